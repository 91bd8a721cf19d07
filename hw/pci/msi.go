package pci

import (
	"fmt"

	"github.com/gqemu/gqemu/accel"
)

// Message control bits of MSI (PCI 3.0 section 6.8.1).
const (
	msiEnable        = 1 << 0
	msiCapableShift  = 1
	msiEnabledShift  = 4
	msiCountMask     = 7
	msi64            = 1 << 7
	msiMaskBits      = 1 << 8
	maxMSIVectorsLog = 5
)

// msi is a function's MSI capability.
type msi struct {
	f       *Function
	at      int
	flags   uint16 // what the function can do
	vectors int    // power of two
}

// AddMSI adds a capability for vectors messages, a power of two up to 32, with
// 64-bit addresses and mask bits if so wished, at an offset or, with 0, where
// there is room.
func (f *Function) AddMSI(at, vectors int, wide, maskable bool) error {
	log := 0
	for 1<<log < vectors {
		log++
	}
	if vectors < 1 || 1<<log != vectors || log > maxMSIVectorsLog {
		return fmt.Errorf("%s: %d MSI vectors", f.TypeName(), vectors)
	}
	flags, size := uint16(log<<msiCapableShift), 10
	if wide {
		flags |= msi64
		size += 4
	}
	if maskable {
		flags |= msiMaskBits
		size += 10
	}
	at, err := f.AddCapability(CapMSI, at, size)
	if err != nil {
		return err
	}
	m := &msi{f: f, at: at, flags: flags, vectors: vectors}
	f.msi = m
	f.set16(at+2, flags)
	f.allow16(at+2, msiEnable|msiCountMask<<msiEnabledShift)
	f.allow32(at+4, 0xfffffffc)
	if wide {
		f.allow32(at+8, 0xffffffff)
	}
	f.allow16(m.dataAt(), 0xffff)
	if maskable {
		f.allow32(m.maskAt(), uint32(1<<vectors-1))
	}
	return nil
}

func (m *msi) dataAt() int {
	if m.flags&msi64 != 0 {
		return m.at + 12
	}
	return m.at + 8
}

func (m *msi) maskAt() int    { return m.dataAt() + 4 }
func (m *msi) pendingAt() int { return m.maskAt() + 4 }

// enabled is how many vectors the guest has allocated, 0 with MSI off.
func (m *msi) enabled() int {
	c := m.f.u16(m.at + 2)
	if c&msiEnable == 0 {
		return 0
	}
	return 1 << (c >> msiEnabledShift & msiCountMask)
}

func (m *msi) masked(vector int) bool {
	return m.flags&msiMaskBits != 0 && m.f.u32(m.maskAt())>>vector&1 == 1
}

func (m *msi) setPending(vector int, on bool) {
	if m.flags&msiMaskBits == 0 {
		return
	}
	v := m.f.u32(m.pendingAt()) &^ (1 << vector)
	if on {
		v |= 1 << vector
	}
	m.f.set32(m.pendingAt(), v)
}

// message is what a vector sends: the low bits of the data are the vector.
func (m *msi) message(vector int) accel.MSI {
	addr := uint64(m.f.u32(m.at + 4))
	if m.flags&msi64 != 0 {
		addr |= uint64(m.f.u32(m.at+8)) << 32
	}
	data := uint32(m.f.u16(m.dataAt()))
	if n := m.enabled(); n > 1 {
		data = data&^uint32(n-1) | uint32(vector)
	}
	return accel.MSI{Addr: addr, Data: data}
}

// MSIEnabled tells whether the guest has MSI on.
func (f *Function) MSIEnabled() bool { return f.msi != nil && f.msi.enabled() > 0 }

// NotifyMSI sends a vector, or keeps it pending while it is masked. Vectors
// beyond those the guest allocated share the last one.
func (f *Function) NotifyMSI(vector int) {
	m := f.msi
	if m == nil || vector < 0 || m.enabled() == 0 {
		return
	}
	vector = min(vector, min(m.enabled(), m.vectors)-1)
	if m.masked(vector) {
		m.setPending(vector, true)
		return
	}
	f.send(m.message(vector))
}

// wrote follows the guest: it cannot allocate more than there are, the line is
// down while MSI is on, and what is no longer masked is sent.
func (m *msi) wrote(at, size int) {
	if !overlaps(at, size, m.at, m.pendingAt()-m.at) {
		return
	}
	c := m.f.u16(m.at + 2)
	if max := uint16(m.flags >> msiCapableShift & msiCountMask); c>>msiEnabledShift&msiCountMask > max {
		m.f.set16(m.at+2, c&^(msiCountMask<<msiEnabledShift)|max<<msiEnabledShift)
	}
	if m.enabled() == 0 {
		return
	}
	if m.f.intx {
		m.f.SetINTx(false)
	}
	if m.flags&msiMaskBits == 0 {
		return
	}
	for v := range min(m.enabled(), m.vectors) {
		if m.f.u32(m.pendingAt())>>v&1 == 1 && !m.masked(v) {
			m.setPending(v, false)
			m.f.send(m.message(v))
		}
	}
}

func (m *msi) reset() {
	m.f.set16(m.at+2, m.flags)
	m.f.set32(m.at+4, 0)
	if m.flags&msi64 != 0 {
		m.f.set32(m.at+8, 0)
	}
	m.f.set16(m.dataAt(), 0)
	if m.flags&msiMaskBits != 0 {
		m.f.set32(m.maskAt(), 0)
		m.f.set32(m.pendingAt(), 0)
	}
}
