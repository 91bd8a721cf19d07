package qtest

import "fmt"

// Registers in the configuration space of a PCI function (PCI 3.0 section 6.1;
// bridges: PCI-to-PCI Bridge Architecture 1.2 section 3.2).
const (
	PCIVendor, PCIDevice, PCICommand, PCIStatus = 0x00, 0x02, 0x04, 0x06
	PCIClass, PCIHeaderType                     = 0x0a, 0x0e
	PCIBAR0, PCICapPtr                          = 0x10, 0x34
	PCIIntLine, PCIIntPin                       = 0x3c, 0x3d
	PCIPrimary, PCISecondary, PCISubordinate    = 0x18, 0x19, 0x1a
	PCIMemBase, PCIMemLimit                     = 0x20, 0x22
	PCIExtCap                                   = 0x100
)

// Bits of the command register.
const (
	PCICommandIO     = 1 << 0
	PCICommandMemory = 1 << 1
	PCICommandMaster = 1 << 2
)

// Capability identifiers.
const (
	PCICapMSI  = 0x05
	PCICapPCIe = 0x10
	PCICapMSIX = 0x11
)

// q35's ports for configuration space, and the register of its function 00.0
// that places the memory-mapped one.
const (
	PCIConfigAddress = 0xcf8
	PCIConfigData    = 0xcfc
	Q35PCIEXBAR      = 0x60
)

// PCI drives the PCI buses of a machine.
type PCI struct {
	M *Machine
	// ECAM is where configuration space is memory-mapped, 0 while only the
	// ports are used.
	ECAM uint64
}

// PCI is the guest's view of the machine's PCI buses, by ports.
func (m *Machine) PCI() *PCI { return &PCI{M: m} }

// EnableECAM has q35 map configuration space at an address, a multiple of 256
// MiB, and uses it from then on.
func (p *PCI) EnableECAM(addr uint64) {
	p.M.t.Helper()
	f := p.At(0, 0, 0)
	f.Set32(Q35PCIEXBAR+4, uint32(addr>>32))
	f.Set32(Q35PCIEXBAR, uint32(addr)|1)
	p.ECAM = addr
}

// PCIFunction is a function by its numbers, which may not exist.
type PCIFunction struct {
	P               *PCI
	Bus, Slot, Func int
}

// At names a function.
func (p *PCI) At(bus, slot, fn int) *PCIFunction { return &PCIFunction{p, bus, slot, fn} }

func (f *PCIFunction) String() string { return fmt.Sprintf("%02x:%02x.%x", f.Bus, f.Slot, f.Func) }

// port points the ports at an offset and gives the one to use.
func (f *PCIFunction) port(at int) uint16 {
	f.P.M.t.Helper()
	f.P.M.Outl(PCIConfigAddress, 1<<31|uint32(f.Bus)<<16|uint32(f.Slot)<<11|uint32(f.Func)<<8|uint32(at&0xfc))
	return PCIConfigData + uint16(at&3)
}

func (f *PCIFunction) addr(at int) uint64 {
	return f.P.ECAM + uint64(f.Bus)<<20 + uint64(f.Slot)<<15 + uint64(f.Func)<<12 + uint64(at)
}

// Get8 reads a byte of configuration space.
func (f *PCIFunction) Get8(at int) uint8 {
	f.P.M.t.Helper()
	if f.P.ECAM != 0 {
		return f.P.M.Readb(f.addr(at))
	}
	return f.P.M.Inb(f.port(at))
}

// Get16 reads two bytes.
func (f *PCIFunction) Get16(at int) uint16 {
	f.P.M.t.Helper()
	if f.P.ECAM != 0 {
		return f.P.M.Readw(f.addr(at))
	}
	return f.P.M.Inw(f.port(at))
}

// Get32 reads four bytes.
func (f *PCIFunction) Get32(at int) uint32 {
	f.P.M.t.Helper()
	if f.P.ECAM != 0 {
		return f.P.M.Readl(f.addr(at))
	}
	return f.P.M.Inl(f.port(at))
}

// Set8 writes a byte of configuration space.
func (f *PCIFunction) Set8(at int, v uint8) {
	f.P.M.t.Helper()
	if f.P.ECAM != 0 {
		f.P.M.Writeb(f.addr(at), v)
		return
	}
	f.P.M.Outb(f.port(at), v)
}

// Set16 writes two bytes.
func (f *PCIFunction) Set16(at int, v uint16) {
	f.P.M.t.Helper()
	if f.P.ECAM != 0 {
		f.P.M.Writew(f.addr(at), v)
		return
	}
	f.P.M.Outw(f.port(at), v)
}

// Set32 writes four bytes.
func (f *PCIFunction) Set32(at int, v uint32) {
	f.P.M.t.Helper()
	if f.P.ECAM != 0 {
		f.P.M.Writel(f.addr(at), v)
		return
	}
	f.P.M.Outl(f.port(at), v)
}

// Exists tells whether something answers.
func (f *PCIFunction) Exists() bool { f.P.M.t.Helper(); return f.Get16(PCIVendor) != 0xffff }

// IsBridge tells whether the function leads to another bus.
func (f *PCIFunction) IsBridge() bool { f.P.M.t.Helper(); return f.Get8(PCIHeaderType)&0x7f == 1 }

// Functions lists what is on a bus.
func (p *PCI) Functions(bus int) []*PCIFunction {
	p.M.t.Helper()
	var out []*PCIFunction
	for slot := range 32 {
		for fn := range 8 {
			f := p.At(bus, slot, fn)
			if !f.Exists() {
				if fn == 0 {
					break
				}
				continue
			}
			out = append(out, f)
			if fn == 0 && f.Get8(PCIHeaderType)&0x80 == 0 {
				break
			}
		}
	}
	return out
}

// Enumerate numbers all buses below bus 0, depth first, and lists every
// function.
func (p *PCI) Enumerate() []*PCIFunction {
	p.M.t.Helper()
	next := 1
	return p.enumerate(0, &next)
}

func (p *PCI) enumerate(bus int, next *int) []*PCIFunction {
	p.M.t.Helper()
	var out []*PCIFunction
	for _, f := range p.Functions(bus) {
		out = append(out, f)
		if !f.IsBridge() {
			continue
		}
		n := *next
		*next++
		f.Set8(PCIPrimary, uint8(bus))
		f.Set8(PCISecondary, uint8(n))
		f.Set8(PCISubordinate, 0xff)
		out = append(out, p.enumerate(n, next)...)
		f.Set8(PCISubordinate, uint8(*next-1))
	}
	return out
}

// Capability is where a capability of an id stands, 0 for none. The list is
// walked at most as far as it can be long.
func (f *PCIFunction) Capability(id uint8) int {
	f.P.M.t.Helper()
	if f.Get16(PCIStatus)&(1<<4) == 0 {
		return 0
	}
	at := int(f.Get8(PCICapPtr)) &^ 3
	for range 48 {
		if at == 0 || f.Get8(at) == id {
			return at
		}
		at = int(f.Get8(at+1)) &^ 3
	}
	f.P.M.t.Fatalf("%v: the list of capabilities does not end", f)
	return 0
}

// ExtCapability is where an extended capability of an id stands, 0 for none. It
// takes EnableECAM.
func (f *PCIFunction) ExtCapability(id uint16) int {
	f.P.M.t.Helper()
	at := PCIExtCap
	for range 960 {
		head := f.Get32(at)
		switch {
		case head == 0 || head == 0xffffffff:
			return 0
		case uint16(head) == id:
			return at
		}
		if at = int(head >> 20); at == 0 {
			return 0
		}
	}
	f.P.M.t.Fatalf("%v: the list of extended capabilities does not end", f)
	return 0
}
