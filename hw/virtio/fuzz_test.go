package virtio

import (
	"encoding/binary"
	"testing"
)

// FuzzRegisters drives both versions with any sequence of accesses. Nothing
// panics, and no state comes about that the specification does not know.
func FuzzRegisters(f *testing.F) {
	w := func(reg uint16, v uint32) []byte {
		b := []byte{2 | 4, 0, 0, 0, 0, 0}
		binary.LittleEndian.PutUint16(b[1:], reg)
		b[3], b[4], b[5] = byte(v), byte(v>>8), byte(v>>16)
		return b
	}
	var seed []byte
	for _, s := range [][]byte{
		w(regStatus, 1), w(regStatus, 3), w(regDriverFeaturesSel, 1), w(regDriverFeatures, 1), w(regStatus, 0xb),
		w(regQueueNum, 128), w(regQueueDescLow, 0x1000), w(regQueueReady, 1), w(regGuestPageSize, 4096),
		w(regQueuePFN, 16), w(regStatus, 0xf), w(regQueueNotify, 1), w(regQueueReady, 0), w(regStatus, 0),
	} {
		seed = append(seed, s...)
		f.Add(append([]byte(nil), seed...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, legacy := range []bool{true, false} {
			r := newRig(t, legacy, nil)
			for data := data; len(data) >= 6; data = data[6:] {
				r.Fuzz(r.Memory, base, MMIOSize, data[:6])
				r.Do(func() {
					if data[0]&8 != 0 {
						r.dev.QueueUsed(int(data[1]))
					}
					if data[0]&16 != 0 {
						r.dev.ConfigChanged()
					}
					r.invariants(t)
				})
			}
		}
	})
}

// invariants are what holds whatever the driver does. The VM lock is held.
func (r *rig) invariants(t *testing.T) {
	t.Helper()
	s := r.dev.Status()
	if s.Has(StatusDriver) && !s.Has(StatusAcknowledge) || s.Has(StatusDriverOK) && !s.Has(StatusDriver) ||
		!r.dev.Legacy() && s.Has(StatusDriverOK) && !s.Has(StatusFeaturesOK) {
		t.Fatalf("status %s", s)
	}
	if n := r.dev.Negotiated(); n&^r.dev.Offered() != 0 {
		t.Fatalf("negotiated %#x of %#x", n, r.dev.Offered())
	}
	if !r.dev.Legacy() && s.Has(StatusFeaturesOK) && !r.dev.HasFeature(FeatureVersion1) {
		t.Fatalf("FEATURES_OK with features %#x", r.dev.Negotiated())
	}
	for i := range testQueues {
		if q := r.dev.Queue(i); q.Num == 0 || q.Num > 256 || !isPow2(uint64(q.Num)) ||
			q.Ready && q.check(false) != nil || q.Ready && q.Desc+16*uint64(q.Num) < q.Desc {
			t.Fatalf("queue %d is %+v", i, q)
		}
	}
	if is := r.mmio.interruptStatus; is > 3 || (is != 0) != r.line.Level || is != 0 && !s.Has(StatusDriverOK) {
		t.Fatalf("InterruptStatus %d, line %v, status %s", is, r.line.Level, s)
	}
}

// FuzzQueueEvents drives a transport and the IOAPIC that can take its
// eventfds with any sequence of accesses and signals. The kernel has all of
// them or none, and only while the driver is ready; the acknowledgement goes
// with them.
func FuzzQueueEvents(f *testing.F) {
	w := func(what byte, reg uint16, v uint32) []byte {
		b := []byte{2 | 4 | what, 0, 0, byte(v), byte(v >> 8), byte(v >> 16)}
		binary.LittleEndian.PutUint16(b[1:], reg)
		return b
	}
	const toIOAPIC, signal = 32, 64
	var seed []byte
	for _, s := range [][]byte{
		w(toIOAPIC, 0, 0x10+2*testPin), w(toIOAPIC, 0x10, 0x41), w(signal, regInterruptACK, 1),
		w(toIOAPIC, 0x10, pinMasked|0x41), w(signal, regInterruptACK, 3), w(toIOAPIC, 0x10, 0x41),
		w(toIOAPIC, 0x10, pinLevel|0x41), w(signal, regInterruptACK, 1), w(0, regStatus, 0),
	} {
		seed = append(seed, s...)
		f.Add(append([]byte(nil), seed...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newEventRig(t, nil)
		r.live()
		for ; len(data) >= 6; data = data[6:] {
			if data[0]&toIOAPIC != 0 {
				r.Fuzz(r.Memory, testIOAPIC, 0x48, data[:6])
			} else {
				r.Fuzz(r.Memory, base, MMIOSize, data[:6])
			}
			if data[0]&signal != 0 {
				if err := r.k.Signal(r.src.calls[int(data[1])%testQueues].FD()); err != nil {
					t.Fatal(err)
				}
			}
			r.Do(func() {
				if data[0]&8 != 0 {
					r.dev.QueueUsed(int(data[1]))
				}
				if data[0]&16 != 0 {
					r.dev.ConfigChanged()
				}
				if data[0]&3 == 3 {
					r.pic.EOI(data[1])
				}
				r.invariants(t)
			})
			n, active := r.k.IRQFDs(), r.mmio.queueEvents.direct
			if active != (n == testQueues) || !active && n != 0 || active && !r.dev.Status().Has(StatusDriverOK) ||
				active != (len(r.ackEvents()) == 1) {
				t.Fatalf("%d irqfds, active %v, status %s, %v", n, active, r.dev.Status(), r.ackEvents())
			}
		}
	})
}
