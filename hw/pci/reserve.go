package pci

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// QEMU's capability by which a bridge asks firmware to leave room for devices to
// come (docs/pcie_pci_bridge.txt there): vendor-specific, of type 1.
const (
	reserveType = 1
	reserveLen  = 32
)

// reserved is what a bridge asks for; ^0 asks for nothing.
type reserved struct {
	buses          uint32
	io, mem        uint64
	pref32, pref64 uint64
}

func (p *Port) reserved() reserved {
	if !p.kind.reserve {
		all := uint64(math.MaxUint64)
		return reserved{math.MaxUint32, all, all, all, all}
	}
	return reserved{p.busReserve, p.ioReserve, p.memReserve, p.pref32Reserve, p.pref64Reserve}
}

func (p *Port) addReserve() error {
	r := p.reserved()
	none := uint64(math.MaxUint64)
	if r == (reserved{math.MaxUint32, none, none, none, none}) {
		return nil
	}
	fail := func(text string, args ...any) error {
		return fmt.Errorf("PCI resource reserve cap: "+text, args...)
	}
	switch {
	case r.mem != none && r.mem >= 1<<32:
		return fail("mem-reserve must be less than 4G")
	case r.pref32 != none && r.pref32 >= 1<<32:
		return fail("pref32-reserve  must be less than 4G")
	case r.pref32 != none && r.pref64 != none:
		return fail("PREF32 and PREF64 conflict")
	}
	le := binary.LittleEndian
	body := []byte{reserveType}
	body = le.AppendUint32(body, r.buses)
	body = le.AppendUint64(body, r.io)
	body = le.AppendUint32(body, uint32(r.mem))
	body = le.AppendUint32(body, uint32(r.pref32))
	body = le.AppendUint64(body, r.pref64)
	if len(body) != reserveLen-3 {
		return errors.New("pci: reservation capability of the wrong length")
	}
	_, err := p.AddVendorCapability(body, nil)
	return err
}
