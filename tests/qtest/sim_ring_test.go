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
	for _, features := range []uint64{0, FeatureEventIdx, FeatureRingPacked, FeatureRingPacked | FeatureEventIdx} {
		t.Run(fmt.Sprintf("%#x", features), func(t *testing.T) {
			t.Parallel()
			eventIdx, packed := features&FeatureEventIdx != 0, features&FeatureRingPacked != 0
			m := simBlk(t, "size=2M", "-global", "virtio-mmio.force-legacy=false", "-global", "vhost-vdpa-device.packed=on")
			d := &simDisk{VirtioMMIO: slot(m, 23)}
			if !d.Init(FeatureVersion1|features) || d.Features&features != features {
				t.Fatalf("of the features %#x are left", d.Features)
			}
			h := NewHeap(t, 0x200000, 16<<20)
			d.ring = d.Queue(0, 32, h)
			d.DriverOK()
			// The first interrupt after a start comes whatever was asked for.
			simWrites(d, h, false, 0, 1)
			d.Kick(0)
			d.ring.Wait()
			d.WaitInterrupt(1)

			switch {
			case eventIdx && packed:
				d.ring.SetUsedEvent(4 * 3) // descriptors
			case eventIdx:
				d.ring.SetUsedEvent(4)
			default:
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

// TestSimQueues: a disk's queues are served independently, each from its own
// place after a stop, and what each did is counted.
func TestSimQueues(t *testing.T) {
	t.Parallel()
	const queues = 3
	for _, packed := range []string{"off", "on"} {
		t.Run("packed "+packed, func(t *testing.T) {
			t.Parallel()
			m := simBlk(t, fmt.Sprintf("size=2M,num-queues=%d", queues),
				"-global", "virtio-mmio.force-legacy=false", "-global", "vhost-vdpa-device.packed="+packed)
			v := slot(m, 23)
			if !v.Init(FeatureVersion1|FeatureRingPacked|1<<12) || v.Features&FeatureRingPacked != 0 != (packed == "on") {
				t.Fatalf("features %#x", v.Features)
			}
			if n := binary.LittleEndian.Uint16(v.Config(34, 2)); n != queues {
				t.Errorf("num_queues %d", n)
			}
			h := NewHeap(t, 0x200000, 16<<20)
			var d [queues]*simDisk
			for n := range d {
				d[n] = &simDisk{VirtioMMIO: v, ring: v.Queue(n, 16, h)}
			}
			v.DriverOK()
			for round := range 10 {
				for n := range d {
					for range n { // another number for each
						simWrites(d[n], h, false, 16*n+round, 1)
					}
				}
				if round%4 == 1 {
					m.QMP.Must("stop", nil, nil)
					m.QMP.Must("cont", nil, nil)
				}
				for n := range d {
					if n > 0 {
						v.Kick(n)
					}
					for range n {
						d[n].ring.Wait()
					}
				}
			}
			for n := 1; n < queues; n++ {
				for round := range 10 {
					m.Memset(simHeader, 16, 0)
					m.Writeq(simHeader+8, uint64(16*n+round))
					d[0].ring.Add(Buffer{Addr: simHeader, Len: 16}, Buffer{Addr: simData, Len: 512, Write: true}, Buffer{Addr: simStatus, Len: 1, Write: true})
					v.Kick(0)
					d[0].ring.Wait()
					if got := m.Read(simData, 512); string(got) != string(simPattern(16*n+round, 512)) {
						t.Fatalf("sector %d reads %.20q", 16*n+round, got)
					}
				}
			}
			var counts []struct {
				Queue, Chains int
				Broken        int `json:"broken-rings"`
			}
			m.QMP.Must("qom-get", map[string]any{"path": "/objects/d0", "property": "queues"}, &counts)
			for n, want := range []int{20, 10, 20} {
				if c := counts[n]; c.Queue != n || c.Chains != want || c.Broken != 0 {
					t.Errorf("queue %d: %+v, want %d chains", n, c, want)
				}
			}
		})
	}
}

// TestSimPackedCard: a network card's packed rings, whose receiving one is used
// by another queue's work and gives back buffers that are too small.
func TestSimPackedCard(t *testing.T) {
	t.Parallel()
	for _, features := range []uint64{0, FeatureEventIdx, FeatureInOrder} {
		t.Run(fmt.Sprintf("%#x", features), func(t *testing.T) {
			t.Parallel()
			m := Start(t, "-nodefaults", "-M", "microvm", "-global", "virtio-mmio.force-legacy=false",
				"-object", "vdpa-sim-net,id=n0,mac=02:00:00:00:00:07", "-device", "vhost-vdpa-device,vhostdev=/objects/n0,packed=on")
			v := slot(m, 23)
			if features |= FeatureRingPacked; !v.Init(FeatureVersion1|features) || v.Features&features != features {
				t.Fatalf("features %#x", v.Features)
			}
			h := NewHeap(t, 0x200000, 16<<20)
			rx, tx := v.Queue(0, 8, h), v.Queue(1, 8, h)
			v.DriverOK()
			const out, in = 0x300000, 0x310000
			send := func(n int) []byte {
				p := append(append(make([]byte, 12), 2, 0, 0, 0, 0, 7), simPattern(n, n)...)
				m.Write(out, p)
				tx.Add(Buffer{Addr: out, Len: 12}, Buffer{Addr: out + 12, Len: uint32(len(p) - 12)})
				v.Kick(1)
				tx.Wait()
				return p[12:]
			}
			receive := func(want []byte) {
				t.Helper()
				_, n := rx.Wait()
				if got := m.Read(in, int(n)); string(got[12:]) != string(want) {
					t.Errorf("%d bytes came, %d were sent", n, 12+len(want))
				}
			}
			for i := range 40 {
				rx.Add(Buffer{Addr: in, Len: 100 + uint32(i), Write: true}, Buffer{Addr: in + 100 + uint64(i), Len: 2000, Write: true})
				if i%10 == 5 {
					send(2900) // too long for the buffer, which stays
					m.QMP.Must("stop", nil, nil)
					m.QMP.Must("cont", nil, nil)
				}
				receive(send(60 + i*30))
			}
			if n := simCount(m, "/objects/n0", "rx-packets"); n != 40 {
				t.Errorf("%d packets were received", n)
			}
			if n := simCount(m, "/objects/n0", "broken-rings"); n != 0 {
				t.Errorf("%d rings are broken", n)
			}
		})
	}
}
