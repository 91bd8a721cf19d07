package i386

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gqemu/gqemu/hw/acpi"
	"github.com/gqemu/gqemu/hw/i386/boot"
	"github.com/gqemu/gqemu/hw/nvram"
	"github.com/gqemu/gqemu/hw/rtc"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// The PC's serial ports.
var serialPorts = [...]acpi.ISAPort{{Base: 0x3f8, IRQ: 4}, {Base: 0x2f8, IRQ: 3}, {Base: 0x3e8, IRQ: 4}, {Base: 0x2e8, IRQ: 3}}

// initSerial makes a port for each of the first limit -serial that has a
// chardev.
func (x *x86State) initSerial(bus *qdev.Bus, limit int) error {
	for i, id := range x.board.Serials {
		if id == "" || i >= limit {
			continue
		}
		_, err := x.host.Create("isa-serial", bus, func(d qdev.Device) error {
			return errors.Join(x.place(d), qom.Set(d, "index", qom.JSON(int64(i))), qom.Set(d, "chardev", qom.JSON(id)))
		})
		if err != nil {
			return err
		}
		x.serials = append(x.serials, serialPorts[i])
	}
	return nil
}

// newFwCfg makes the fw_cfg device of machine m with the items that all
// machines here have. low is how much of the memory lies below the hole.
// maxCPUs is the number that firmware is told.
func (x *x86State) newFwCfg(m qom.Object, low uint64, maxCPUs int) (*nvram.FwCfg, error) {
	d, err := x.host.NewSysBus("fw_cfg_io", func(d qdev.Device) error { return qom.AddChild(m, "fw_cfg", d) })
	if err != nil {
		return nil, err
	}
	f := d.(*nvram.FwCfg)
	smp, b := x.board.SMP, &x.Boot
	f.StrictBoot = b.Strict != nil && *b.Strict
	// Firmware reserves what it needs of it itself.
	ram := []boot.Range{{Size: low, Type: boot.E820RAM}}
	if rest := x.board.RAM.Size() - low; rest > 0 {
		ram = append(ram, boot.Range{Addr: above4G, Size: rest, Type: boot.E820RAM})
	}
	return f, errors.Join(
		f.AddFile("etc/e820", boot.EncodeE820(ram)),
		f.AddBytes(nvram.KeyUUID, x.board.UUID[:]),
		f.AddUint16(nvram.KeyNoGraphic, boolWord(x.board.NoGraphic)),
		f.AddUint16(nvram.KeyBootMenu, boolWord(b.Menu != nil && *b.Menu)),
		f.AddUint16(nvram.KeyNBCPUs, uint16(smp.CPUs)),
		f.AddUint16(nvram.KeyMaxCPUs, uint16(maxCPUs)),
		f.AddUint64(nvram.KeyRAMSize, x.board.RAM.Size()),
		f.AddUint32(nvram.KeyIRQ0Override, 1),
		x.addSplash(f),
		x.addRebootTimeout(f),
	)
}

func boolWord(on bool) uint16 {
	if on {
		return 1
	}
	return 0
}

// newRTC makes the real-time clock.
func (x *x86State) newRTC(bus *qdev.Bus, setup func(qdev.Device) error) (*rtc.MC146818, error) {
	d, err := x.host.Create("mc146818rtc", bus, func(d qdev.Device) error {
		d.(*rtc.MC146818).Source = x.board.RTC
		if setup != nil {
			if err := setup(d); err != nil {
				return err
			}
		}
		return qom.Set(d, "base_year", qom.JSON(int64(2000)))
	})
	if err != nil {
		return nil, err
	}
	return d.(*rtc.MC146818), nil
}

// maxSplash bounds the boot splash picture, in bytes.
const maxSplash = 16 << 20

// addSplash shows firmware the boot splash of -boot.
func (x *x86State) addSplash(f *nvram.FwCfg) error {
	if t := x.Boot.SplashTime; t != nil {
		if *t < 0 || *t > 0xffff {
			return errors.New("splash-time is invalid,it should be a value between 0 and 65535")
		}
		if err := f.AddFile("etc/boot-menu-wait", binary.LittleEndian.AppendUint16(nil, uint16(*t))); err != nil {
			return err
		}
	}
	if x.Boot.Splash == nil {
		return nil
	}
	if err := addSplashFile(f, *x.Boot.Splash); err != nil && x.host.Report != nil {
		x.host.Report(err.Error()) // the machine does without it
	}
	return nil
}

// addSplashFile takes a JPEG or a BMP with 24 bits per pixel.
func addSplashFile(f *nvram.FwCfg, path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("failed to find file '%s'", path)
	}
	if info.Size() > maxSplash {
		return fmt.Errorf("splash file '%s' is larger than %d bytes", path, maxSplash)
	}
	data, err := os.ReadFile(filepath.Clean(path))
	switch {
	case err != nil:
		return fmt.Errorf("failed to read splash file '%s': %w", path, errors.Unwrap(err))
	case len(data) < 30:
		return fmt.Errorf("splash file '%s' format not recognized; must be JPEG or 24 bit BMP", path)
	case data[0] == 0xff && data[1] == 0xd8:
		return f.AddFile("bootsplash.jpg", data)
	case strings.HasPrefix(string(data), "BM") && binary.LittleEndian.Uint16(data[28:]) == 24:
		return f.AddFile("bootsplash.bmp", data)
	}
	return fmt.Errorf("splash file '%s' format not recognized; must be JPEG or 24 bit BMP", path)
}

// addRebootTimeout tells firmware how long to wait before it tries again to
// boot, in milliseconds, -1 for ever.
func (x *x86State) addRebootTimeout(f *nvram.FwCfg) error {
	t := int64(-1)
	if p := x.Boot.RebootTimeout; p != nil {
		t = *p
	}
	if t < -1 || t > 0xffff {
		return errors.New("reboot timeout is invalid,it should be a value between -1 and 65535")
	}
	return f.AddFile("etc/boot-fail-wait", binary.LittleEndian.AppendUint32(nil, uint32(int32(t))))
}
