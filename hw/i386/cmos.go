package i386

import "fmt"

// This file is what firmware finds in the CMOS RAM of a PC (IBM PC AT
// Technical Reference; the rest is QEMU's convention with its firmware).

const (
	cmosFloppy      = 0x10
	cmosDisks       = 0x12
	cmosEquipment   = 0x14
	cmosBaseLow     = 0x15 // KiB below 1 MiB
	cmosExtLow      = 0x17 // KiB above 1 MiB
	cmosExt2Low     = 0x30 // again
	cmosHighLow     = 0x34 // 64 KiB above 16 MiB
	cmosCentury     = 0x32
	cmosBoot2       = 0x38 // third boot device, and no look at floppies
	cmosTranslation = 0x39
	cmosBoot1       = 0x3d // second and first boot device
	cmosAbove4G     = 0x5b // 64 KiB, three bytes
	cmosCPUs        = 0x5f // processors but the first

	equipFPU      = 0x02
	equipPS2Mouse = 0x04
)

// maxBootDevices fit in the CMOS RAM.
const maxBootDevices = 3

// initCMOS fills the CMOS RAM. It has a battery: a reset leaves it.
func (m *Q35) initCMOS() error {
	low, high := m.lowRAM(), m.board.RAM.Size()-m.lowRAM()
	word := func(addr int, v uint64) {
		m.clock.SetCMOS(addr, uint8(v))
		m.clock.SetCMOS(addr+1, uint8(v>>8))
	}
	above := func(limit, unit uint64) uint64 { return min((max(low, limit)-limit)/unit, 0xffff) }
	word(cmosBaseLow, min(low>>10, 640))
	word(cmosExtLow, above(1<<20, 1<<10))
	word(cmosExt2Low, above(1<<20, 1<<10))
	word(cmosHighLow, above(16<<20, 64<<10))
	word(cmosAbove4G, high>>16)
	m.clock.SetCMOS(cmosAbove4G+2, uint8(high>>32))
	cpus := len(m.cpus)
	if cpus > 0xff {
		cpus = 1 // firmware has to ask fw_cfg
	}
	m.clock.SetCMOS(cmosCPUs, uint8(cpus-1))
	// Neither floppies nor disks.
	m.clock.SetCMOS(cmosFloppy, 0)
	m.clock.SetCMOS(cmosDisks, 0)
	m.clock.SetCMOS(cmosTranslation, 0)
	m.clock.SetCMOS(cmosEquipment, equipFPU|equipPS2Mouse)

	order := m.BootOrder()
	if err := m.SetBootOrder(order); err != nil {
		return err
	}
	if m.Boot.Once == nil {
		return nil
	}
	m.onceResets = 1 // the one that begins the first boot
	return m.SetBootOrder(*m.Boot.Once)
}

// resetBootOrder ends what -boot once= says, when the machine is reset after
// its first boot.
func (m *Q35) resetBootOrder() error {
	if m.onceResets < 0 || m.Boot.Once == nil {
		return nil
	}
	m.onceResets--
	if m.onceResets >= 0 {
		return nil
	}
	return m.SetBootOrder(m.BootOrder())
}

// SetBootOrder tells firmware to boot from devices in an order, at most three
// of them: a and b are floppies, c the disk, d the CD-ROM, n the network.
func (m *Q35) SetBootOrder(order string) error {
	if len(order) > maxBootDevices {
		return fmt.Errorf("Too many boot devices for PC")
	}
	var codes [maxBootDevices]uint8
	for i := range len(order) {
		switch c := order[i]; c {
		case 'a', 'b':
			codes[i] = 1
		case 'c':
			codes[i] = 2
		case 'd':
			codes[i] = 3
		case 'n':
			codes[i] = 4
		default:
			return fmt.Errorf("Invalid boot device for PC: '%c'", c)
		}
	}
	m.clock.SetCMOS(cmosBoot1, codes[1]<<4|codes[0])
	m.clock.SetCMOS(cmosBoot2, codes[2]<<4|uint8(boolWord(m.board.NoFDBootCheck)))
	return nil
}
