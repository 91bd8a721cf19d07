package i386

import (
	"fmt"
	"os"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/hw/i386/boot"
)

// acpiBase is where the tables go: in the area below 1 MiB that kernels
// search for the RSDP. The memory map reserves it.
const (
	acpiBase = 0xe0000
	acpiSize = 0x20000
)

// openKernel opens the kernel and checks that it fits. low is how much of the
// memory lies below the hole; reserved is what else of the address space the
// guest must leave alone. Without a kernel the guest could not run: there is no
// firmware.
func (x *x86State) openKernel(low uint64, reserved ...boot.Range) error {
	if x.Kernel == "" {
		if x.board.Accel.Name() != "qtest" && !x.board.Paused {
			return fmt.Errorf("machine %s: no firmware is loaded, -kernel is needed to boot", x.name())
		}
		return nil
	}
	p := boot.Params{
		Kernel: x.Kernel, Initrd: x.Initrd, Cmdline: x.Append,
		RAM: boot.RAM{Below4G: low, Above4G: x.board.RAM.Size() - low, Above4GBase: above4G},
	}
	p.Reserved = reserved
	if x.acpiOn() {
		p.Reserved = append(p.Reserved, boot.Range{Addr: acpiBase, Size: acpiSize, Type: boot.E820Reserved})
	}
	var err error
	x.image, err = boot.Open(p)
	return err
}

// checkFirmware refuses -bios, in QEMU's words where there is no such file.
func (x *x86State) checkFirmware() error {
	if x.Firmware == "" {
		return nil
	}
	f, err := os.Open(x.Firmware)
	if err != nil {
		return &boot.Error{Msg: fmt.Sprintf("qemu: could not load PC BIOS '%s'", x.Firmware), Verbatim: true}
	}
	f.Close()
	return fmt.Errorf("machine %s: firmware is not supported, -kernel is booted directly", x.name())
}

// Runnable is part of machine.Runner.
func (x *x86State) Runnable() error {
	if x.image != nil || x.board.Accel.Name() == "qtest" {
		return nil
	}
	return fmt.Errorf("machine %s: no firmware is loaded, there is nothing to run", x.name())
}

// setCmdline gives the kernel what it is told when the set of devices stands.
func (x *x86State) setCmdline(cmdline string) error {
	if x.image == nil {
		return nil
	}
	if x.acpiTables != nil {
		x.image.SetRSDP(x.acpiTables.RSDP)
	}
	return x.image.SetCmdline(cmdline)
}

// Reset resets all devices and vCPUs and puts what firmware would have put
// into memory there again: the guest may have overwritten it.
func (x *x86State) Reset() error {
	if err := x.resetAll(); err != nil {
		return err
	}
	return x.load()
}

// load puts tables and kernel into memory and the boot CPU at its entry.
func (x *x86State) load() error {
	mem := x.host.Memory
	// In less memory nothing boots that would look for them.
	if t := x.acpiTables; t != nil && (x.image != nil || x.board.RAM.Size() >= acpiBase+acpiSize) {
		if err := mem.WriteAt(t.Data, t.Addr); err != nil {
			return err
		}
	}
	if x.image == nil {
		return nil
	}
	x.quietPICs()
	if err := mem.WriteAt(resetStub, resetVector); err != nil {
		return err
	}
	if !x.acpiOn() {
		var cpus []accel.CPUConfig
		for _, c := range x.cpus {
			cpus = append(cpus, c.VCPU.Config())
		}
		if err := mem.WriteAt(mpTable(cpus, mpTableAddr), mpTableAddr); err != nil {
			return err
		}
	}
	e, err := x.image.Load(mem)
	if err != nil {
		return err
	}
	return x.cpus[0].VCPU.SetBoot(bootState(e))
}

// resetVector is where firmware begins, and where a kernel on a
// hardware-reduced platform without EFI jumps in real mode to reboot.
const resetVector = 0xffff0

// resetStub stands there in the firmware's place: it resets the machine by a
// triple fault.
var resetStub = []byte{
	0xb8, 0x00, 0xf0, // mov ax, 0xf000
	0x8e, 0xd8, // mov ds, ax
	0x0f, 0x01, 0x1e, 0x00, 0xff, // lidt [0xff00]: zeroes, so no vector is in the table
	0xcc, // int3
}

// quietPICs leaves the PICs as firmware does, initialised and masked: a kernel
// that is told of a hardware-reduced platform never touches them, and the PIT
// ticks from power-on.
func (x *x86State) quietPICs() {
	if x.pics == nil {
		return
	}
	for _, w := range []struct {
		port  uint64
		value byte
	}{
		{0x20, 0x11}, {0x21, 0x08}, {0x21, 1 << 2}, {0x21, 0x01}, // ICW1 to 4, vectors 0x08
		{0xa0, 0x11}, {0xa1, 0x70}, {0xa1, 2}, {0xa1, 0x01}, // vectors 0x70
		{0x21, 0xff}, {0xa1, 0xff}, // OCW1: all masked
	} {
		x.host.IO.Access(w.port, []byte{w.value}, true)
	}
}

func bootState(e boot.Entry) accel.BootState {
	mode := accel.ModeProtected32
	if e.Mode == boot.Long64 {
		mode = accel.ModeLong64
	}
	return accel.BootState{
		Mode: mode, RIP: e.RIP, RSI: e.RSI, RBX: e.RBX, RSP: e.RSP, CR3: e.CR3,
		GDTBase: e.GDTBase, GDTLimit: e.GDTLimit, CodeSel: e.CS.Selector, DataSel: e.Data.Selector,
	}
}
