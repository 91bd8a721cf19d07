package vring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// packedRing is a packed queue and the driver's side of it.
type packedRing struct {
	*guest
	t    testing.TB
	q    *Queue
	c    Config
	next uint16 // the next descriptor to make available
	wrap bool
	seen uint16 // the next descriptor to be used
	back bool   // with this wrap counter
}

func newPacked(t testing.TB, change func(*Config)) *packedRing {
	t.Helper()
	c := Config{Num: tNum, Desc: tDesc, Avail: tAvail, Used: tUsed, Packed: true, Indirect: true, Base: FreshPacked}
	if change != nil {
		change(&c)
	}
	r := &packedRing{
		guest: newGuest(), t: t, c: c,
		next: uint16(c.Base) & 0x7fff, wrap: c.Base>>15&1 != 0, seen: uint16(c.Base>>16) & 0x7fff, back: c.Base>>31 != 0,
	}
	// What lies in the ring was used in the rounds before.
	for i := range int(c.Num) {
		flags := uint16(0)
		if i < int(r.next) == r.wrap {
			flags = descAvail | descUsed
		}
		binary.LittleEndian.PutUint16(r.mem[tDesc+16*i+14:], flags)
	}
	var err error
	if r.q, err = New(r.guest, c); err != nil {
		t.Fatal(err)
	}
	return r
}

// setPacked writes a descriptor; next is its id.
func (r *packedRing) setPacked(at int, d descriptor) {
	b := r.mem[at:]
	binary.LittleEndian.PutUint64(b, d.addr)
	binary.LittleEndian.PutUint32(b[8:], d.len)
	binary.LittleEndian.PutUint16(b[12:], d.next)
	binary.LittleEndian.PutUint16(b[14:], d.flags)
}

// add makes descriptors available, a chain where the flags say so.
func (r *packedRing) add(list ...descriptor) {
	for _, d := range list {
		if d.flags |= descUsed; r.wrap {
			d.flags ^= descAvail | descUsed
		}
		r.setPacked(tDesc+16*int(r.next), d)
		if r.next++; r.next == r.c.Num {
			r.next, r.wrap = 0, !r.wrap
		}
	}
}

// take gives the next used buffer, which had span descriptors.
func (r *packedRing) take(span int) (id uint16, n uint32, write, ok bool) {
	b := r.mem[tDesc+16*int(r.seen):]
	flags := binary.LittleEndian.Uint16(b[14:])
	if flags&descAvail != 0 != r.back || flags&descUsed != 0 != r.back {
		return 0, 0, false, false
	}
	if r.seen += uint16(span); r.seen >= r.c.Num {
		r.seen, r.back = r.seen-r.c.Num, !r.back
	}
	return binary.LittleEndian.Uint16(b[12:]), binary.LittleEndian.Uint32(b[8:]), flags&descWrite != 0, true
}

func (r *packedRing) pop() *Chain {
	r.t.Helper()
	c, err := r.q.Pop()
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *packedRing) push(id uint16, n uint32) {
	r.t.Helper()
	if err := r.q.PushHead(id, n); err != nil {
		r.t.Fatal(err)
	}
}

var one = descriptor{addr: tData, len: 16, flags: descWrite, next: 3}

func TestPackedChainKeepsOrderAndDirection(t *testing.T) {
	r := newPacked(t, nil)
	copy(r.mem[tData:], "headerbody")
	if c := r.pop(); c != nil || !r.q.Empty() {
		t.Fatalf("an empty ring gives %v", c)
	}
	r.add(descriptor{tData, 6, descNext, 0}, descriptor{tData + 6, 4, descNext, 9},
		descriptor{tData + 0xffe, 4, descWrite | descNext, 9}, descriptor{tData + 0x3000, 1, descWrite, 777})
	c := r.pop()
	if fmt.Sprintf("%s", c.Out) != "[header body]" || Bytes(c.In) != 5 || len(c.In) != 3 || c.Head != 777 || c.Descriptors != 4 {
		t.Fatalf("chain %+v", c)
	}
	if base := r.q.Base(); base != 0x80008004 {
		t.Errorf("base %#x with the chain taken", base)
	}
	r.push(c.Head, 5)
	if id, n, write, ok := r.take(4); id != 777 || n != 5 || !write || !ok {
		t.Errorf("used %d, %d, %v, %v", id, n, write, ok)
	}
	if r.pop() != nil || r.q.Base() != 0x80048004 || r.q.InUse() != 0 {
		t.Errorf("base %#x, in use %d", r.q.Base(), r.q.InUse())
	}
	r.add(descriptor{tData, 6, 0, 2})
	r.push(r.pop().Head, 0)
	if id, _, write, ok := r.take(1); id != 2 || write || !ok {
		t.Errorf("used %d, %v, %v", id, write, ok)
	}
}

// Rings of any size, chains of any length, handed back in any order, from any
// base: every buffer comes back once.
func TestPackedRounds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		num := uint16(1 + rnd.IntN(12))
		at := uint32(rnd.IntN(int(num))) | uint32(rnd.IntN(2))<<15
		r := newPacked(t, func(c *Config) { c.Num, c.Base = num, at|at<<16 })
		spans := map[uint16]int{}
		free, id := int(num), uint16(0)
		var taken []uint16
		for range 100 {
			for free > 0 && rnd.IntN(3) > 0 {
				span := 1 + rnd.IntN(free)
				var list []descriptor
				for i := range span {
					d := descriptor{tData, 4, descNext, id}
					if i == span-1 {
						d.flags = 0
					}
					list = append(list, d)
				}
				r.add(list...)
				spans[id] = span
				free -= span
				id++
			}
			for {
				c := r.pop()
				if c == nil {
					break
				}
				if c.Descriptors != spans[c.Head] {
					t.Fatalf("chain %d has %d descriptors, want %d", c.Head, c.Descriptors, spans[c.Head])
				}
				taken = append(taken, c.Head)
			}
			for len(taken) > 0 && rnd.IntN(4) > 0 {
				i := rnd.IntN(len(taken))
				h := taken[i]
				taken = append(taken[:i], taken[i+1:]...)
				r.push(h, uint32(h)+1)
				got, n, _, ok := r.take(spans[h])
				if !ok || got != h || n != uint32(h)+1 {
					t.Fatalf("used %d, %d, %v, want %d", got, n, ok, h)
				}
				free += spans[h]
				delete(spans, h)
			}
		}
		if r.q.InUse() != len(taken) {
			t.Fatalf("in use %d, want %d", r.q.InUse(), len(taken))
		}
	}
}

// A queue that goes on from another's base is the same queue.
func TestPackedBase(t *testing.T) {
	r := newPacked(t, nil)
	for i := range 5 * tNum {
		r.add(one)
		r.push(r.pop().Head, uint32(i))
		if _, n, _, ok := r.take(1); !ok || n != uint32(i) {
			t.Fatalf("round %d: used length %d, %v", i, n, ok)
		}
		c := r.c
		c.Base = r.q.Base()
		var err error
		if r.q, err = New(r.guest, c); err != nil {
			t.Fatal(err)
		}
	}
	for _, base := range []uint32{tNum, tNum << 16, 0xffff8000, 0x8000ffff} {
		if _, err := New(r.guest, Config{Num: tNum, Packed: true, Base: base}); err == nil {
			t.Errorf("base %#x is taken", base)
		}
	}
	if _, err := New(r.guest, Config{Num: tNum, Base: 0x10000}); err == nil {
		t.Error("a split ring takes a packed ring's base")
	}
}

func TestPackedIndirectTable(t *testing.T) {
	r := newPacked(t, nil)
	table := 0x5ff0 // crosses from one piece to the next
	r.setPacked(table, descriptor{tData, 8, 0, 99})
	r.setPacked(table+16, descriptor{tData + 50, 3, descNext, 99}) // NEXT means nothing here
	r.setPacked(table+32, descriptor{tData + 100, 2, descWrite, 0})
	r.add(descriptor{uint64(table), 48, descIndirect, 5})
	c := r.pop()
	if Bytes(c.Out) != 11 || Bytes(c.In) != 2 || c.Head != 5 || c.Descriptors != 3 {
		t.Fatalf("chain %+v", c)
	}
	r.push(5, 2)
	if id, _, _, ok := r.take(1); id != 5 || !ok {
		t.Errorf("used %d, %v", id, ok)
	}
	for i := range 2 * tNum { // more than the ring has
		r.setPacked(table+16*i, descriptor{tData, 1, 0, 0})
	}
	r.add(descriptor{uint64(table), 32 * tNum, descIndirect, 5})
	if c := r.pop(); Bytes(c.Out) != 2*tNum {
		t.Errorf("chain %+v", c)
	}
}

// What a driver may not do breaks the queue.
func TestBrokenPackedRings(t *testing.T) {
	for _, c := range []struct {
		want  string
		build func(r *packedRing)
	}{
		{"chain of more than 8 descriptors", func(r *packedRing) {
			for range tNum {
				r.add(descriptor{tData, 1, descNext, 0})
			}
		}},
		{"chain of more than 8 descriptors", func(r *packedRing) {
			for range tNum {
				r.add(descriptor{tData, 0, descNext, 0})
			}
		}},
		{"descriptor 1 of a chain is not available", func(r *packedRing) { r.add(descriptor{tData, 1, descNext, 0}) }},
		{"readable buffer after a writable one", func(r *packedRing) {
			r.add(descriptor{tData, 1, descWrite | descNext, 1}, descriptor{tData, 1, 0, 0})
		}},
		{"buffer at 0xfffffffffffffff0, size 0x20: no memory", func(r *packedRing) { r.add(descriptor{^uint64(0) - 15, 32, 0, 0}) }},
		{"buffer at 0x4000, size 0xffffffff: no memory", func(r *packedRing) { r.add(descriptor{tData, 1<<32 - 1, 0, 0}) }},
		{"buffer at 0xf000, size 0x1: no memory", func(r *packedRing) { r.add(descriptor{0xf000, 1, descWrite, 0}) }},
		{"descriptor 0 is indirect and has a next", func(r *packedRing) { r.add(descriptor{tData, 16, descIndirect | descNext, 1}) }},
		{"indirect table of 0 bytes", func(r *packedRing) { r.add(descriptor{tData, 0, descIndirect, 1}) }},
		{"indirect table of 17 bytes", func(r *packedRing) { r.add(descriptor{tData, 17, descIndirect, 1}) }},
		{"indirect table of 16400 bytes", func(r *packedRing) { r.add(descriptor{tData, 16400, descIndirect, 1}) }},
		{"indirect table at 0xfff8: no memory", func(r *packedRing) { r.add(descriptor{0xfff8, 16, descIndirect, 1}) }},
		{"indirect descriptor in an indirect table", func(r *packedRing) {
			r.setPacked(tData, descriptor{tData, 16, descIndirect, 0})
			r.add(descriptor{tData, 16, descIndirect, 0})
		}},
		{"buffer 3 is available twice", func(r *packedRing) {
			r.add(one, one)
			if _, err := r.q.Pop(); err != nil {
				r.t.Error(err)
			}
		}},
	} {
		r := newPacked(t, nil)
		c.build(r)
		_, err := r.q.Pop()
		var e *Error
		if !errors.As(err, &e) || err.Error() != "virtqueue: "+c.want {
			t.Errorf("%v, want %q", err, c.want)
		}
		if _, again := r.q.Pop(); again != err || r.q.Broken() != err || !r.q.Empty() || r.q.ShouldInterrupt() {
			t.Errorf("%s: the queue goes on", c.want)
		}
		if err := r.q.PushHead(0, 0); err == nil {
			t.Errorf("%s: Push works", c.want)
		}
	}
	r := newPacked(t, func(c *Config) { c.Indirect = false })
	r.add(descriptor{tData, 16, descIndirect, 0})
	if _, err := r.q.Pop(); err == nil || err.Error() != "virtqueue: indirect descriptor that was not negotiated" {
		t.Error(err)
	}
	if err := newPacked(t, nil).q.PushHead(1, 0); err == nil {
		t.Error("a buffer is handed back that was not taken")
	}
}

func TestPackedRingsOutsideMemory(t *testing.T) {
	for _, c := range []Config{
		{Desc: 0x10000, Avail: tAvail, Used: tUsed},
		{Desc: tDesc, Avail: tAvail, Used: 0xf000},
	} {
		c.Num, c.Packed, c.Base = 8, true, FreshPacked
		q, err := New(newGuest(), c)
		if err != nil {
			t.Fatal(err)
		}
		q.SuppressKicks()
		_, err = q.Pop()
		if _, want := q.WantKicks(); err == nil && want == nil {
			t.Errorf("%+v works", c)
		}
	}
	r := newPacked(t, func(c *Config) { c.Avail = 0x10000 })
	r.add(one)
	r.push(r.pop().Head, 1)
	if r.q.ShouldInterrupt() || r.q.Broken() == nil {
		t.Error("event suppression outside of memory works")
	}
	for _, c := range []Config{{}, {Num: 40000}, {Num: 8, Desc: 8}, {Num: 8, Avail: 2}, {Num: 8, Used: 2},
		{Num: 8, Avail: 1<<64 - 2}, {Num: 8, Desc: 1<<64 - 112}} {
		c.Packed, c.Base = true, FreshPacked
		if _, err := New(newGuest(), c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

// Interrupts: the flags, and the event index as a model has it: one when the
// descriptor that the driver names is among those used since it was told.
func TestPackedInterrupts(t *testing.T) {
	r := newPacked(t, nil)
	use := func() { t.Helper(); r.add(one); r.push(r.pop().Head, 1); r.take(1) }
	if r.q.ShouldInterrupt(); r.q.ShouldInterrupt() {
		t.Error("interrupt for nothing")
	}
	for flags, want := range []bool{true, false, true, true} { // 2 was not negotiated
		use()
		binary.LittleEndian.PutUint16(r.mem[tAvail+2:], uint16(flags))
		if r.q.ShouldInterrupt() != want {
			t.Errorf("flags %d: %v", flags, !want)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		num := uint16(1 + rnd.IntN(8))
		at := uint32(rnd.IntN(int(num))) | uint32(rnd.IntN(2))<<15
		r := newPacked(t, func(c *Config) { c.Num, c.EventIdx, c.Base = num, true, at|at<<16 })
		r.q.ShouldInterrupt()
		binary.LittleEndian.PutUint16(r.mem[tAvail+2:], eventsAt)
		for range 30 {
			// The driver names a descriptor of the next round at most.
			ahead := rnd.IntN(int(num))
			index, wrap := r.q.advance(r.seen, r.back, uint16(ahead))
			binary.LittleEndian.PutUint16(r.mem[tAvail:], position(index, wrap))
			n := rnd.IntN(int(num) + 1)
			for range n {
				r.add(one)
				r.push(r.pop().Head, 0)
				r.take(1)
			}
			if got, want := r.q.ShouldInterrupt(), n > ahead; got != want {
				t.Fatalf("ring of %d: %d were used, the driver waits for the one after %d: %v", num, n, ahead, got)
			}
		}
	}
}

func TestPackedKickSuppression(t *testing.T) {
	r := newPacked(t, nil)
	word := func() uint32 { return binary.LittleEndian.Uint32(r.mem[tUsed:]) }
	r.q.SuppressKicks()
	if word() != eventsOff<<16 {
		t.Errorf("%#x", word())
	}
	r.add(one)
	if more, err := r.q.WantKicks(); !more || err != nil || word() != eventsOn {
		t.Errorf("more %v, %v, %#x", more, err, word())
	}
	r = newPacked(t, func(c *Config) { c.EventIdx = true })
	for i := range uint32(3 * tNum) {
		r.add(one)
		r.push(r.pop().Head, 1)
		if more, err := r.q.WantKicks(); more || err != nil || word() != eventsAt<<16|(r.q.Base()&0xffff) {
			t.Errorf("round %d: more %v, %v, %#x", i, more, err, word())
		}
	}
}

func TestPackedUnpop(t *testing.T) {
	r := newPacked(t, func(c *Config) { c.Base = 0x80078007 })
	r.add(descriptor{tData, 1, descNext, 0}, descriptor{tData, 1, 0, 6}) // over the end
	c := r.pop()
	if r.q.Base() != 0x80070001 {
		t.Errorf("base %#x", r.q.Base())
	}
	r.q.Unpop(c)
	r.q.Unpop(c) // once is enough
	if r.q.Base() != 0x80078007 || r.q.InUse() != 0 {
		t.Fatalf("base %#x, in use %d", r.q.Base(), r.q.InUse())
	}
	if c := r.pop(); c == nil || c.Head != 6 {
		t.Fatal("it does not come again")
	}
	r.push(6, 0)
	if r.q.Base() != 0x00010001 {
		t.Errorf("base %#x", r.q.Base())
	}
}
