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
			c.Base = uint32(base)
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

// FuzzPacked is FuzzQueue for a packed ring.
func FuzzPacked(f *testing.F) {
	r := newPacked(f, nil)
	copy(r.mem[tData:], "headerbody")
	r.setPacked(0x5000, descriptor{tData, 4, 0, 0})
	r.setPacked(0x5010, descriptor{tData, 4, descWrite, 0})
	r.add(descriptor{tData, 6, descNext, 1}, descriptor{tData + 0x100, 4, descWrite, 0})
	r.add(descriptor{0x5000, 32, descIndirect, 1}, descriptor{0x5000, 32, descIndirect, 2})
	r.add(descriptor{tData, 0, descNext, 3}, descriptor{tDesc, 64, descWrite, 3})
	for i := range 4 {
		desc := append([]byte(nil), r.mem[tDesc+16*i:tDesc+16*tNum]...)
		f.Add(uint8(i), uint32(FreshPacked), desc, []byte{0, 0, byte(i), 0}, append([]byte(nil), r.mem[0x5000:0x5020]...))
		f.Add(uint8(3-i), uint32(0x00070003), desc, []byte{3, 0, byte(i), 0}, append([]byte(nil), r.mem[0x5000:0x5020]...))
	}
	f.Fuzz(func(t *testing.T, flags uint8, base uint32, desc, event, data []byte) {
		c := Config{
			Num: tNum, Desc: tDesc, Avail: tAvail, Used: tUsed, Packed: true,
			Indirect: flags&1 != 0, EventIdx: flags&2 != 0, Base: base &^ 0x7ff87ff8,
		}
		g := newGuest()
		q, err := New(g, c)
		if err != nil {
			t.Fatal(err)
		}
		copy(g.mem[tDesc:], desc)
		copy(g.mem[tAvail:], event)
		copy(g.mem[0x5000:0xf000], data)
		var taken []uint16
		for range 4 * tNum {
			q.SuppressKicks()
			c, err := q.Pop()
			if err != nil {
				if q.Broken() == nil {
					t.Fatal("an error, and the queue is whole")
				}
				return
			}
			if c == nil {
				more, err := q.WantKicks()
				if err != nil {
					t.Fatal(err) // this ring is in memory that can be written
				}
				if !more && len(taken) == 0 {
					return
				}
			} else {
				if c.Descriptors > MaxChain || len(c.In)+len(c.Out) > maxPieces {
					t.Fatalf("chain %+v", c)
				}
				taken = append(taken, c.Head)
				if flags&4 != 0 && len(taken) < 3 {
					continue // some are handed back later, the last first
				}
				for _, b := range c.In {
					clear(b)
				}
			}
			if q.InUse() != len(taken) || len(q.flying) != len(taken) {
				t.Fatalf("in use %d, %d in flight, want %d", q.InUse(), len(q.flying), len(taken))
			}
			for len(taken) > 0 {
				i := len(taken) - 1
				if err := q.PushHead(taken[i], uint32(i)); err != nil {
					t.Fatal(err)
				}
				taken = taken[:i]
			}
			q.ShouldInterrupt()
		}
	})
}
