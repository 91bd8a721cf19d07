package pci

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/memory"
)

// MSI-X (PCI 3.0 section 6.8.2).
const (
	msixEnable     = 1 << 15
	msixMaskAll    = 1 << 14
	msixEntryLen   = 16
	msixVectorCtrl = 12 // offset in an entry; bit 0 masks
	msixLen        = 12 // of the capability
	// MaxMSIXVectors is how many a table can have.
	MaxMSIXVectors = 2048
)

// VectorUser is whoever sends messages without going through the function, as
// an eventfd does that leads to the accelerator. All methods are called with
// the VM lock held.
type VectorUser interface {
	// UseVector says that the vector is open, with its message. An error
	// leaves the vector to NotifyMSIX.
	UseVector(vector int, m accel.MSI) error
	// ReleaseVector says that the vector is masked: from its return on the user
	// sends nothing.
	ReleaseVector(vector int)
	// PollVector tells, of a vector that is masked, whether something came
	// since.
	PollVector(vector int) bool
}

// msix is a function's MSI-X capability.
type msix struct {
	f       *Function
	at      int
	vectors int
	table   []byte
	pending []byte
	// open has the vectors that user was last told it can use.
	open []bool
	user VectorUser
}

// MSIXLayout is where the table and the pending bits lie: offsets in the
// regions of base address registers, multiples of 8.
type MSIXLayout struct {
	TableBAR, PBABAR       int
	TableOffset, PBAOffset uint64
}

// AddMSIX adds a capability with vectors messages, its table and pending bits
// in table and pba, regions that base address registers place.
func (f *Function) AddMSIX(at, vectors int, table, pba *memory.Region, l MSIXLayout) error {
	if vectors < 1 || vectors > MaxMSIXVectors {
		return fmt.Errorf("%s: %d MSI-X vectors", f.TypeName(), vectors)
	}
	m := &msix{f: f, vectors: vectors, table: make([]byte, vectors*msixEntryLen),
		pending: make([]byte, (vectors+63)/64*8), open: make([]bool, vectors)}
	if l.TableOffset%8 != 0 || l.PBAOffset%8 != 0 || l.TableOffset+uint64(len(m.table))-1 > table.Last() ||
		l.PBAOffset+uint64(len(m.pending))-1 > pba.Last() {
		return fmt.Errorf("%s: an MSI-X table of %d vectors does not fit", f.TypeName(), vectors)
	}
	at, err := f.AddCapability(CapMSIX, at, msixLen)
	if err != nil {
		return err
	}
	m.at = at
	f.set16(at+2, uint16(vectors-1))
	f.allow16(at+2, msixEnable|msixMaskAll)
	f.set32(at+4, uint32(l.TableOffset)|uint32(l.TableBAR))
	f.set32(at+8, uint32(l.PBAOffset)|uint32(l.PBABAR))
	for v := range vectors {
		m.table[v*msixEntryLen+msixVectorCtrl] = 1
	}
	h := f.Host()
	access := memory.Access{ValidMin: 4, ValidMax: 8, ImplMin: 4, ImplMax: 4}
	tableRegion := memory.NewIO("msix-table", uint64(len(m.table)), memory.OpsFuncs{ReadFunc: m.readTable, WriteFunc: m.writeTable}, access)
	pbaRegion := memory.NewIO("msix-pba", uint64(len(m.pending)), memory.OpsFuncs{ReadFunc: m.readPending}, access)
	f.msix = m
	return errors.Join(
		h.Map.Add(table, tableRegion, l.TableOffset, 0), h.ExposeRegion(f.Self(), tableRegion),
		h.Map.Add(pba, pbaRegion, l.PBAOffset, 0), h.ExposeRegion(f.Self(), pbaRegion))
}

// AddExclusiveMSIX adds a capability with a base address register of its own,
// of 4 KiB or more: the table in the first half, the pending bits in the second.
func (f *Function) AddExclusiveMSIX(barNum, vectors int) error {
	const page = 4096
	size, pba := uint64(page), uint64(page/2)
	if n := uint64(vectors * msixEntryLen); n > pba {
		pba = n
	}
	for size < pba+uint64((vectors+63)/64*8) {
		size *= 2
	}
	r := memory.NewContainer(f.TypeName()+"-msix", size)
	if err := f.AddBAR(barNum, BARMem32, r); err != nil {
		return err
	}
	if err := f.Host().ExposeRegion(f.Self(), r); err != nil {
		return err
	}
	return f.AddMSIX(0, vectors, r, r, MSIXLayout{TableBAR: barNum, PBABAR: barNum, PBAOffset: pba})
}

func (m *msix) control() uint16 { return m.f.u16(m.at + 2) }

// MSIXEnabled tells whether the guest has MSI-X on.
func (f *Function) MSIXEnabled() bool { return f.msix != nil && f.msix.control()&msixEnable != 0 }

// MSIXVectors is how many vectors the table has, 0 for none.
func (f *Function) MSIXVectors() int {
	if f.msix == nil {
		return 0
	}
	return f.msix.vectors
}

// masked tells whether a vector sends nothing now.
func (m *msix) masked(v int) bool {
	c := m.control()
	return c&msixEnable == 0 || c&msixMaskAll != 0 || m.table[v*msixEntryLen+msixVectorCtrl]&1 != 0
}

func (m *msix) message(v int) accel.MSI {
	e := m.table[v*msixEntryLen:]
	return accel.MSI{Addr: binary.LittleEndian.Uint64(e), Data: binary.LittleEndian.Uint32(e[8:])}
}

func (m *msix) isPending(v int) bool { return m.pending[v/8]>>(v%8)&1 == 1 }

func (m *msix) setPending(v int, on bool) {
	if m.pending[v/8] &^= 1 << (v % 8); on {
		m.pending[v/8] |= 1 << (v % 8)
	}
}

// NotifyMSIX sends a vector, or keeps it pending while it is masked.
func (f *Function) NotifyMSIX(vector int) {
	m := f.msix
	if m == nil || vector < 0 || vector >= m.vectors || m.control()&msixEnable == 0 {
		return
	}
	if m.masked(vector) {
		m.setPending(vector, true)
		return
	}
	f.send(m.message(vector))
}

// SetVectorUser lets u send messages itself, nil no one. It is told at once of
// the vectors that are open.
func (f *Function) SetVectorUser(u VectorUser) {
	m := f.msix
	if m == nil {
		return
	}
	for v, open := range m.open {
		if open {
			m.open[v] = false
			m.user.ReleaseVector(v)
		}
	}
	m.user = u
	for v := range m.vectors {
		m.follow(v)
	}
}

// follow tells the user of a change of a vector's mask, and sends what waited
// for it.
func (m *msix) follow(v int) {
	masked := m.masked(v)
	if m.user != nil {
		switch {
		case masked && m.open[v]:
			m.open[v] = false
			m.user.ReleaseVector(v)
		case !masked && !m.open[v]:
			if err := m.user.UseVector(v, m.message(v)); err != nil {
				m.f.Host().Log.Error().Err(err).Int("vector", v).Msg("opening an interrupt vector")
			} else {
				m.open[v] = true
			}
		}
	}
	if !masked && m.isPending(v) {
		m.setPending(v, false)
		m.f.send(m.message(v))
	}
}

// wrote follows writes to message control.
func (m *msix) wrote(at, size int) {
	if !overlaps(at, size, m.at+2, 2) && !overlaps(at, size, regCommand, 2) {
		return
	}
	if m.control()&msixEnable != 0 && m.f.intx {
		m.f.SetINTx(false)
	}
	for v := range m.vectors {
		m.follow(v)
	}
}

func (m *msix) readTable(offset uint64, _ int) uint64 {
	return uint64(binary.LittleEndian.Uint32(m.table[offset:]))
}

// writeTable changes an entry. A message that changes while the vector is open
// is a new one for the user.
func (m *msix) writeTable(offset, value uint64, _ int) {
	v := int(offset / msixEntryLen)
	if offset%msixEntryLen != msixVectorCtrl && m.open[v] && m.user != nil {
		m.open[v] = false
		m.user.ReleaseVector(v)
	}
	binary.LittleEndian.PutUint32(m.table[offset:], uint32(value))
	m.follow(v)
}

func (m *msix) readPending(offset uint64, _ int) uint64 {
	if m.user != nil {
		for v := int(offset) * 8; v < min(int(offset+4)*8, m.vectors); v++ {
			if m.masked(v) && m.user.PollVector(v) {
				m.setPending(v, true)
			}
		}
	}
	return uint64(binary.LittleEndian.Uint32(m.pending[offset:]))
}

func (m *msix) reset() {
	m.f.set16(m.at+2, uint16(m.vectors-1))
	for v := range m.vectors {
		clear(m.table[v*msixEntryLen : (v+1)*msixEntryLen])
		m.table[v*msixEntryLen+msixVectorCtrl] = 1
	}
	clear(m.pending)
	for v := range m.vectors {
		m.follow(v)
	}
}
