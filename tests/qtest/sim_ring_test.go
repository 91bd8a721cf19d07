package qtest

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

// simWrites makes n write requests available at once, for one sector each from
// first on.
func simWrites(d *simDisk, h *Heap, indirect bool, first, n int) (status []uint64) {
	m := d.M
	for i := range n {
		header, data, done := h.Take(16, 16), h.Take(512, 512), h.Take(1, 1)
		b := binary.LittleEndian.AppendUint64([]byte{1, 7: 0}, uint64(first+i))
		m.Write(header, b)
		m.Write(data, simPattern(first+i, 512))
		m.Writeb(done, 0xff)
		chain := []Buffer{{Addr: header, Len: 16}, {Addr: data, Len: 512}, {Addr: done, Len: 1, Write: true}}
		if indirect {
			d.ring.AddIndirect(h, chain...)
		} else {
			d.ring.Add(chain...)
		}
		status = append(status, done)
	}
	return status
}

// simFeatures are kinds of rings.
var simFeatures = []uint64{
	0, FeatureIndirectDesc, FeatureEventIdx, FeatureIndirectDesc | FeatureEventIdx, FeatureInOrder,
	FeatureRingPacked, FeatureRingPacked | FeatureIndirectDesc, FeatureRingPacked | FeatureEventIdx,
	FeatureRingPacked | FeatureIndirectDesc | FeatureEventIdx | FeatureInOrder,
}

// TestSimRings: requests in flight together, in split and packed rings, by
// direct descriptors and indirect tables, with the flags and the event index,
// over stops that come between.
func TestSimRings(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, args ...string) {
		for _, features := range simFeatures {
			modern := features >= FeatureVersion1
			t.Run(fmt.Sprintf("%#x", features), func(t *testing.T) {
				m := simBlk(t, "size=2M", append([]string{"-global", "vhost-vdpa-device.packed=on"}, args...)...)
				d := &simDisk{VirtioMMIO: slot(m, 23)}
				if modern && d.In(VVersion) == 1 {
					t.Skip("a legacy device has no such rings")
				}
				if !d.Init(FeatureVersion1|features) || d.Features&features != features {
					t.Fatalf("of the features %#x are left", d.Features)
				}
				h := NewHeap(t, 0x200000, 16<<20)
				d.ring = d.Queue(0, 32, h)
				d.DriverOK()
				const batch = 10 // of three descriptors each, in a ring of 32
				for round := range 10 {
					status := simWrites(d, h, features&FeatureIndirectDesc != 0, round*batch, batch)
					if features&FeatureEventIdx != 0 {
						d.ring.SetUsedEvent(0)
					}
					d.KickIfNeeded(0)
					if round%3 == 0 {
						m.QMP.Must("stop", nil, nil)
						m.QMP.Must("cont", nil, nil)
					}
					for range batch {
						d.ring.Wait()
					}
					for i, at := range status {
						if s := m.Readb(at); s != 0 {
							t.Fatalf("request %d: status %d", round*batch+i, s)
						}
					}
				}
				d.WaitInterrupt(1)
				for i := range 10 * batch {
					d.check(uint64(i), simPattern(i, 512))
				}
				if n := simCount(m, "/objects/d0", "write-requests"); n != 10*batch {
					t.Errorf("%d writes, want %d", n, 10*batch)
				}
			})
		}
	})
}

// TestSimInterruptSuppression: a driver that wants no interrupt gets none, and
// with the event index one where it asked for it.
func TestSimInterruptSuppression(t *testing.T) {
	t.Parallel()
	for _, eventIdx := range []bool{false, true} {
		t.Run(fmt.Sprintf("event index %v", eventIdx), func(t *testing.T) {
			t.Parallel()
			m := simBlk(t, "size=2M", "-global", "virtio-mmio.force-legacy=false")
			d := &simDisk{VirtioMMIO: slot(m, 23)}
			features := uint64(FeatureVersion1)
			if eventIdx {
				features |= FeatureEventIdx
			}
			d.Init(features)
			h := NewHeap(t, 0x200000, 16<<20)
			d.ring = d.Queue(0, 32, h)
			d.DriverOK()
			// The first interrupt after a start comes whatever was asked for.
			simWrites(d, h, false, 0, 1)
			d.Kick(0)
			d.ring.Wait()
			d.WaitInterrupt(1)

			if eventIdx {
				d.ring.SetUsedEvent(4)
			} else {
				d.ring.SuppressInterrupts(true)
			}
			for i := range 4 {
				simWrites(d, h, false, i, 1)
				d.Kick(0)
				d.ring.Wait()
			}
			time.Sleep(20 * time.Millisecond)
			if s := d.In(VInterruptStatus); s != 0 {
				t.Errorf("interrupt status %d", s)
			}
			if !eventIdx {
				d.ring.SuppressInterrupts(false)
			}
			simWrites(d, h, false, 9, 1)
			d.Kick(0)
			d.ring.Wait()
			d.WaitInterrupt(1)
		})
	}
}
