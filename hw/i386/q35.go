package i386

import (
	"errors"
	"fmt"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/i386/boot"
	"github.com/gqemu/gqemu/hw/i386/cpu"
	"github.com/gqemu/gqemu/hw/intc"
	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/hw/machine"
	"github.com/gqemu/gqemu/hw/nvram"
	"github.com/gqemu/gqemu/hw/pci"
	"github.com/gqemu/gqemu/hw/rtc"
	"github.com/gqemu/gqemu/hw/timer"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// Q35 is QEMU's machine "q35", a PC with Intel's Q35 chipset: RAM, processors
// and interrupt controllers, PCI Express, and all that sits on the ISA bus. It
// boots a kernel directly, without firmware, and does then what firmware would.
type Q35 struct {
	x86State
	vmport                                string
	sata, smbus, hpet, i8042, bypassIOMMU bool
	maxFirmware, maxBelow4G               uint64
	smbiosEntryPoint                      string
	pci                                   *pciHost
	lpc                                   *isa.ICH9
	clock                                 *rtc.MC146818
	onceResets                            int // until -boot once= is over; below 0 it is
}

// The memory map: what lies above is for PCI.
const (
	q35LargeRAM = 0xb0000000 // from here on there is a bigger hole
	q35LargeLow = 0x80000000
	q35SmallLow = 0xb0000000
)

const (
	maxFirmwareSize = 16 << 20
	gib             = 1 << 30
)

func registerQ35(r *qom.Registry) {
	registerPCIHost(r)
	registerMemoryHub(r)
	flag := func(name, desc string, def bool, f func(*Q35) *bool) *qom.Property {
		return qom.Field(name, f, def, qom.Description(desc), qom.HideDefault())
	}
	r.Register(qom.Type{Name: "generic-pc-machine", Parent: "x86-machine", Abstract: true})
	r.Register(qom.Type{
		Name: "pc-q35-8.2-machine", Parent: "generic-pc-machine",
		New: func() qom.Object { return new(Q35) },
		Class: &machine.Class{
			Name: "pc-q35-8.2", Alias: "q35", Desc: "Standard PC (Q35 + ICH9, 2009)", Default: true,
			MaxCPUs: 1024, DefaultCPU: "qemu64-x86_64-cpu", DefaultRAM: 128 << 20, RAMID: "pc.ram", BootOrder: "cad",
			Dies: true, ACPI: true, NUMA: true, DefaultVGA: "std", HotplugCPUs: true,
		},
		Properties: []*qom.Property{
			sizeProperty("max-fw-size", "Maximum combined firmware size", 8<<20,
				func(m *Q35) *uint64 { return &m.maxFirmware }, func(n uint64) error {
					if n > maxFirmwareSize {
						return fmt.Errorf("User specified max allowed firmware size %d is greater than 16MiB. If combined firmware size"+
							" exceeds 16MiB the system may not boot, or experience intermittentstability issues.", n)
					}
					return nil
				}),
			flag("default-bus-bypass-iommu", "", false, func(m *Q35) *bool { return &m.bypassIOMMU }),
			flag("sata", "Enable/disable Serial ATA bus", false, func(m *Q35) *bool { return &m.sata }),
			qom.Enum("vmport", "OnOffAuto", qom.OnOffAuto, func(m *Q35) *string { return &m.vmport }, "auto",
				qom.Description("Enable vmport (pc & q35)"), qom.HideDefault()),
			flag("i8042", "", true, func(m *Q35) *bool { return &m.i8042 }),
			flag("hpet", "Enable/disable high precision event timer emulation", false, func(m *Q35) *bool { return &m.hpet }),
			qom.Enum("smbios-entry-point-type", "str", []string{"32", "64", "auto"},
				func(m *Q35) *string { return &m.smbiosEntryPoint }, "64",
				qom.Description("SMBIOS Entry Point type [32, 64]"), qom.HideDefault()),
			sizeProperty("max-ram-below-4g", "Maximum ram below the 4G boundary (32bit boundary)", above4G,
				func(m *Q35) *uint64 { return &m.maxBelow4G }, func(n uint64) error {
					if n > above4G {
						return fmt.Errorf("Machine option 'max-ram-below-4g=%d' expects size less than or equal to 4G", n)
					}
					return nil
				}),
			flag("smbus", "Enable/disable system management bus", false, func(m *Q35) *bool { return &m.smbus }),
		},
	})
}

// sizeProperty declares a number of bytes that check accepts.
func sizeProperty(name, desc string, def uint64, f func(*Q35) *uint64, check func(uint64) error) *qom.Property {
	p := qom.Field(name, f, def, qom.Description(desc), qom.TypeName("size"), qom.HideDefault())
	p.Set = func(o qom.Object, v qom.Value) error {
		n, err := v.Size(name)
		if err == nil {
			err = check(n)
		}
		if err == nil {
			*f(o.(*Q35)) = n
		}
		return err
	}
	return p
}

// IOAPICPins is how many IOAPIC pins there are.
func (m *Q35) IOAPICPins() int { return ioapicPins }

// Init builds the machine.
func (m *Q35) Init(b *machine.Board) error {
	if err := m.begin(b); err != nil {
		return err
	}
	for _, c := range []struct {
		name string
		on   bool
	}{
		{"vmport=on", m.vmport == "on"}, {"sata=on", m.sata}, {"smbus=on", m.smbus}, {"hpet=on", m.hpet},
		{"usb=on", m.USB}, {"default-bus-bypass-iommu=on", m.bypassIOMMU},
	} {
		if c.on {
			return fmt.Errorf("machine q35: %s is not supported", c.name)
		}
	}
	if err := m.checkFirmware(); err != nil {
		return err
	}
	for _, step := range []func() error{
		m.warnLowRAM,
		func() error { return m.initCPUs(b.CPU) },
		func() error { return m.mapRAM(m.lowRAM()) },
		m.initFwCfg, m.initPCI, m.initInterrupts, m.initISA, m.initCMOS,
		func() error {
			return m.openKernel(m.lowRAM(), boot.Range{Addr: ecamBase, Size: pci.ECAMSize, Type: boot.E820Reserved})
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// lowRAM is how much of the memory lies below the hole, in bytes.
func (m *Q35) lowRAM() uint64 {
	size, low := m.board.RAM.Size(), uint64(q35SmallLow)
	if size >= q35LargeRAM {
		low = q35LargeLow
	}
	if m.maxBelow4G != 0 {
		low = min(low, m.maxBelow4G)
	}
	return min(size, low)
}

// warnLowRAM says of an unwise max-ram-below-4g what QEMU says.
func (m *Q35) warnLowRAM() error {
	low, size := m.lowRAM(), m.board.RAM.Size()
	if m.host.Report == nil || low != m.maxBelow4G {
		return nil
	}
	if low < 1<<20 {
		m.host.Report(fmt.Sprintf("warning: Only %d bytes of RAM below the 4GiB boundary,BIOS may not work with less than 1MiB", low))
	}
	if size-low > low && low%gib != 0 {
		m.host.Report(fmt.Sprintf("warning: There is possibly poor performance as the ram size  (0x%x) is more then twice the size"+
			" of max-ram-below-4g (%d) and max-ram-below-4g is not a multiple of 1G.", size, m.maxBelow4G))
	}
	return nil
}

// initPCI makes the host bridge with the root bus.
func (m *Q35) initPCI() error {
	d, err := m.host.NewSysBus("q35-pcihost", func(d qdev.Device) error {
		p := d.(*pciHost)
		p.ram, p.lowRAM, p.high = m.ram, m.lowRAM(), m.board.RAM.Size()-m.lowRAM()
		p.exposeUnplaced = m.host.Unattached
		p.route = func(devfn, pin int) int { return m.lpc.RoutePIRQ(devfn, pin) }
		p.line = func(n int, level bool) { m.lpc.SetPIRQ(n, level) }
		return qom.AddChild(m, "q35", d)
	})
	if err != nil {
		return err
	}
	m.pci = d.(*pciHost)
	return nil
}

// initInterrupts makes the lines to the interrupt controllers, the bridge
// that they belong to, and the IOAPIC.
func (m *Q35) initInterrupts() error {
	m.initGSI(ioapicPins)
	d, err := m.host.Create("ICH9-LPC", m.pci.PCIBus().Qdev, func(d qdev.Device) error {
		return errors.Join(m.place(d), qom.Set(d, "addr", qom.JSON(lpcAddr)), qom.Set(d, "multifunction", qom.JSON(true)))
	})
	if err != nil {
		return err
	}
	m.lpc = d.(*isa.ICH9)
	m.lpc.ConnectGSI(m.gsi)
	if m.irqchip == accel.IRQChipOn {
		return nil
	}
	return m.addIOAPIC(m.pci)
}

// lpcAddr is where the LPC bridge sits: 1f.0.
const lpcAddr = int64(0x1f << 3)

// initISA makes what sits on the ISA bus.
func (m *Q35) initISA() error {
	h, bus := m.host, m.lpc.ISA()
	inKernel := m.irqchip == accel.IRQChipOn
	if err := isa.NewDMA(h, bus, m.place); err != nil {
		return err
	}
	var err error
	m.clock, err = m.newRTC(bus, func(d qdev.Device) error { return qom.AddChild(m.lpc, "rtc", d) })
	if err != nil {
		return err
	}
	if err := m.exposeRTC(); err != nil {
		return err
	}
	if m.pic != "off" && !inKernel {
		if m.pics, err = intc.NewPICPair(h, bus, m.place); err != nil {
			return err
		}
	}
	m.devices++ // hpet
	if m.pit != "off" && !inKernel {
		d, err := h.Create("isa-pit", bus, m.place)
		if err != nil {
			return err
		}
		_, err = h.Create("isa-pcspk", bus, func(s qdev.Device) error {
			s.(*timer.Speaker).PIT = d.(*timer.PIT)
			return m.place(s)
		})
		if err != nil {
			return err
		}
	}
	if err := m.initSerial(bus, len(serialPorts)); err != nil {
		return err
	}
	if m.i8042 {
		if err := m.addA20Gate("i8042", 0); err != nil {
			return err
		}
	}
	m.devices += 2 // vmport, vmmouse
	return m.addA20Gate("port92", 1)
}

// addA20Gate makes a device with a gate of address line 20. The line leads
// nowhere: processors with KVM have no such gate.
func (m *Q35) addA20Gate(typ string, n int) error {
	d, err := m.host.Create(typ, m.lpc.ISA(), m.place)
	if err == nil {
		d.Qdev().Connect("a20", 0, m.host.NewIRQ(n, func(int, bool) {}))
	}
	return err
}

// exposeRTC shows the clock where QEMU's clients look for it.
func (m *Q35) exposeRTC() error {
	if err := qom.AddLink(m, "rtc_state", "isa-device", func() qom.Object { return m.clock }); err != nil {
		return err
	}
	return qom.AddProperty(m, &qom.Property{Name: "rtc-time", Type: "struct tm",
		Get: func(qom.Object) (any, error) { return m.clock.Tm(), nil }})
}

func (m *Q35) initFwCfg() error {
	limit := cpu.APICIDLimit(m.board.SMP)
	f, err := m.newFwCfg(m, m.lowRAM(), limit)
	if err != nil {
		return err
	}
	// No nodes, and so none for any processor.
	return f.AddBytes(nvram.KeyNUMA, make([]byte, 8*(1+limit)))
}

// Complete puts together what depends on the cold-plugged devices.
func (m *Q35) Complete() error {
	if m.image != nil && m.acpiOn() {
		t, err := m.tables()
		if err != nil {
			return err
		}
		m.acpiTables = &t
	}
	return m.setCmdline(m.Append)
}

// Reset resets the machine; from the second time on it boots in the usual
// order.
func (m *Q35) Reset() error {
	if err := m.resetBootOrder(); err != nil {
		return err
	}
	// In one step, so that RAM that power-on hides and firmware shows again
	// does not go in between, for KVM and for devices that have it mapped.
	err := m.host.Map.Update(func() error {
		if err := m.resetAll(); err != nil {
			return err
		}
		if m.image != nil {
			m.setUp()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.load()
}

// Powerdown presses the power button.
func (m *Q35) Powerdown() { m.lpc.PM().PowerButton() }
