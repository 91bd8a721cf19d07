package pci

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

func functionProperties() []*qom.Property {
	word := func(m Model) *uint64 { return &m.PCI().flags }
	return []*qom.Property{
		// What a person is shown for addr.
		qom.NewProperty("legacy-addr", "str", nil, func(m Model) any { return m.PCI().addrText() }, nil, nil),
		addrProperty(),
		qdev.Field("romfile", func(m Model) *string { return &m.PCI().romFile }, ""),
		qdev.Field("romsize", func(m Model) *uint32 { return &m.PCI().romSize }, ^uint32(0)),
		qdev.Field("rombar", func(m Model) *uint32 { return &m.PCI().romBAR }, 1),
		qdev.Bit("multifunction", word, flagMultifunction, false),
		qdev.Bit("x-pcie-lnksta-dllla", word, flagLinkActive, true),
		qdev.Bit("x-pcie-extcap-init", word, flagExtCap, true),
		qdev.Field("failover_pair_id", func(m Model) *string { return &m.PCI().failoverPairID }, ""),
		qdev.Field("acpi-index", func(m Model) *uint32 { return &m.PCI().acpiIndex }, 0),
		qdev.Bit("x-pcie-err-unc-mask", word, flagErrUncMask, true),
		qdev.Bit("x-pcie-ari-nextfn-1", word, flagAriNextFn1, false),
	}
}

// addrText is the address as `info qtree` shows it.
func (f *Function) addrText() string {
	if f.addr < 0 {
		return "<unset>"
	}
	return fmt.Sprintf("%02x.%x", f.addr>>3, f.addr&7)
}

func addrProperty() *qom.Property {
	p := qdev.Field("addr", func(m Model) *int32 { return &m.PCI().addr }, -1,
		qom.Description("Slot and optional function number, example: 06.0 or 06"))
	set := p.Set // knows that a realized device's cannot be set
	p.Set = func(o qom.Object, v qom.Value) error {
		if o.(qdev.Device).Qdev().Realized() {
			return set(o, v)
		}
		f := o.(Model).PCI()
		if s, err := v.Str("addr"); err == nil {
			n, ok := parseAddr(s)
			if !ok {
				return fmt.Errorf("Property '%s.addr' doesn't take value '%s'", f.TypeName(), s)
			}
			f.addr = n
			return nil
		}
		n, err := v.Int("addr", 32)
		if err != nil {
			return err
		}
		if n < -1 || n > 255 {
			return fmt.Errorf("Parameter 'addr' expects a value between -1 and 255")
		}
		f.addr = int32(n)
		return nil
	}
	return p
}

// parseAddr takes "SLOT" or "SLOT.FUNCTION" in hexadecimal, as in "1f.2".
func parseAddr(s string) (int32, bool) {
	slot, fn, both := strings.Cut(s, ".")
	n, ok := hexNumber(slot, 31)
	if !ok || !both {
		return int32(n << 3), ok
	}
	m, ok := hexNumber(fn, 7)
	return int32(n<<3 | m), ok
}

func hexNumber(s string, limit uint64) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(s), "0x"), 16, 32)
	return n, err == nil && n <= limit
}

// checkROM refuses option ROM settings that make no sense.
func (f *Function) checkROM() error {
	if n := f.romSize; n != ^uint32(0) && n&(n-1) != 0 {
		return fmt.Errorf("ROM size %d is not a power of two", n)
	}
	return nil
}

// loadROM refuses an option ROM: without firmware nothing runs it.
func (f *Function) loadROM(*qdev.Host) error {
	if f.romFile == "" {
		return nil
	}
	if _, err := os.Stat(f.romFile); err != nil {
		return fmt.Errorf("failed to find romfile \"%s\"", f.romFile)
	}
	return fmt.Errorf("%s: option ROMs are not supported", f.TypeName())
}

func (f *Function) checkFailover() error {
	if f.u16(regClass) != classEthernet {
		return fmt.Errorf("failover primary device is not an Ethernet device")
	}
	return fmt.Errorf("%s: failover is not supported", f.TypeName())
}

// maxACPIIndex is what udev makes names of.
const maxACPIIndex = 16383

func (f *Function) checkACPIIndex(h *qdev.Host) error {
	if f.acpiIndex == 0 {
		return nil
	}
	if f.acpiIndex > maxACPIIndex {
		return fmt.Errorf("acpi-index should be less or equal to %d", maxACPIIndex)
	}
	taken := false
	eachFunction(h, func(o *Function) {
		taken = taken || o != f && o.Realized() && o.acpiIndex == f.acpiIndex
	})
	if taken {
		return fmt.Errorf("a PCI device with acpi-index = %d already exist", f.acpiIndex)
	}
	return nil
}

// eachFunction visits every function of the machine.
func eachFunction(h *qdev.Host, visit func(*Function)) {
	var walk func(b *qdev.Bus)
	walk = func(b *qdev.Bus) {
		for _, d := range b.Devices() {
			if m, ok := d.(Model); ok {
				visit(m.PCI())
			}
			for _, c := range d.Qdev().Buses() {
				walk(c)
			}
		}
	}
	walk(h.SysBus)
}
