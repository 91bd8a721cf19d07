package vring

import "testing"

// FuzzQueue lets the fuzzer fill the ring, its descriptors and tables. Nothing
// panics, every chain is within bounds, and the indices agree.
func FuzzQueue(f *testing.F) {
	r := newRing(f, nil)
	copy(r.mem[tData:], "headerbody")
	r.set(0, descriptor{tData, 6, descNext, 1})
	r.set(1, descriptor{tData + 0x100, 4, descWrite, 0})
	r.setAt(0x5000, descriptor{tData, 4, descNext, 1})
	r.setAt(0x5010, descriptor{tData, 4, descWrite, 0})
	r.set(2, descriptor{0x5000, 32, descIndirect, 0})
	r.set(3, descriptor{tData, 0, descNext, 3})
	for _, h := range []uint16{0, 2, 2, 0, 3} {
		r.offer(h)
		f.Add(uint8(3), uint16(0), append([]byte(nil), r.mem[tDesc:tDesc+16*tNum]...),
			append([]byte(nil), r.mem[tAvail:tAvail+6+2*tNum]...), append([]byte(nil), r.mem[0x5000:0x5020]...))
	}
	f.Fuzz(func(t *testing.T, flags uint8, base uint16, desc, avail, data []byte) {
		r := newRing(t, func(c *Config) {
			c.Indirect, c.EventIdx, c.NotifyOnEmpty = flags&1 != 0, flags&2 != 0, flags&4 != 0
			c.Base = base
		})
		copy(r.mem[tDesc:], desc)
		copy(r.mem[tAvail:], avail)
		copy(r.mem[0x5000:0xf000], data)
		// What is written may be the ring itself, so bound the rounds.
		for range 4 * tNum {
			r.q.SuppressKicks()
			c, err := r.q.Pop()
			if err != nil {
				if r.q.Broken() == nil {
					t.Fatal("an error, and the queue is whole")
				}
				return
			}
			if c == nil {
				if more, err := r.q.WantKicks(); !more || err != nil {
					return
				}
				continue
			}
			if c.Descriptors > MaxChain || len(c.In)+len(c.Out) > maxPieces || c.Head >= tNum {
				t.Fatalf("chain %+v", c)
			}
			n := uint32(0)
			for _, b := range c.In {
				clear(b)
				n += uint32(len(b))
			}
			used := r.q.used
			if err := r.q.Push(c, n); err != nil {
				t.Fatal(err) // this ring is in memory that can be written
			}
			if r.q.used != used+1 || r.q.InUse() != 0 {
				t.Fatalf("used %d after %d, in use %d", r.q.used, used, r.q.InUse())
			}
			r.q.ShouldInterrupt()
		}
	})
}
