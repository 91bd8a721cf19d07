package vring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

var errNoMemory = errors.New("no memory")

// guest is 64 KiB of memory at address 0 in pieces of piece bytes; above
// readOnly it cannot be written.
type guest struct {
	mem      []byte
	piece    uint64
	readOnly uint64
}

func newGuest() *guest { return &guest{mem: make([]byte, 64<<10), piece: 4096, readOnly: 60 << 10} }

func (g *guest) Pieces(list [][]byte, addr, n uint64, write bool) ([][]byte, error) {
	end := addr + n
	if end < addr || end > uint64(len(g.mem)) || write && end > g.readOnly {
		return list, errNoMemory
	}
	for addr < end {
		stop := min(addr-addr%g.piece+g.piece, end)
		list = append(list, g.mem[addr:stop:stop])
		addr = stop
	}
	return list, nil
}

const (
	tNum   = 8
	tDesc  = 0x1000
	tAvail = 0x2000
	tUsed  = 0x3000
	tData  = 0x4000
)

// ring is a queue and the driver's side of it.
type ring struct {
	*guest
	t     testing.TB
	q     *Queue
	avail uint16
}

func newRing(t testing.TB, change func(*Config)) *ring {
	c := Config{Num: tNum, Desc: tDesc, Avail: tAvail, Used: tUsed, Indirect: true}
	if change != nil {
		change(&c)
	}
	r := &ring{guest: newGuest(), t: t, avail: uint16(c.Base)}
	var err error
	if r.q, err = New(r.guest, c); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *ring) u16(at int) uint16       { return binary.LittleEndian.Uint16(r.mem[at:]) }
func (r *ring) put16(at int, v uint16)  { binary.LittleEndian.PutUint16(r.mem[at:], v) }
func (r *ring) descAt(i int) int        { return tDesc + 16*i }
func (r *ring) usedEntry(i int) []byte  { return r.mem[tUsed+4+8*i:][:8] }
func (r *ring) set(i int, d descriptor) { r.setAt(r.descAt(i), d) }

func (r *ring) setAt(at int, d descriptor) {
	b := r.mem[at:]
	binary.LittleEndian.PutUint64(b, d.addr)
	binary.LittleEndian.PutUint32(b[8:], d.len)
	binary.LittleEndian.PutUint16(b[12:], d.flags)
	binary.LittleEndian.PutUint16(b[14:], d.next)
}

// offer makes a head available.
func (r *ring) offer(head uint16) {
	r.put16(tAvail+4+2*int(r.avail%tNum), head)
	r.avail++
	r.put16(tAvail+2, r.avail)
}

func (r *ring) pop() *Chain {
	r.t.Helper()
	c, err := r.q.Pop()
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *ring) push(c *Chain, n uint32) {
	r.t.Helper()
	if err := r.q.Push(c, n); err != nil {
		r.t.Fatal(err)
	}
}

// simple sets descriptor 0 to one writable buffer.
func (r *ring) simple() { r.set(0, descriptor{tData, 16, descWrite, 0}) }

func TestChainKeepsOrderAndDirection(t *testing.T) {
	r := newRing(t, nil)
	copy(r.mem[tData:], "headerbody")
	r.set(2, descriptor{tData, 6, descNext, 5})
	r.set(5, descriptor{tData + 6, 4, descNext, 1})
	r.set(1, descriptor{tData + 0xffe, 4, descWrite | descNext, 7}) // two pieces
	r.set(7, descriptor{tData + 0x3000, 1, descWrite, 0})
	if c := r.pop(); c != nil || !r.q.Empty() {
		t.Fatalf("an empty ring gives %v", c)
	}
	r.offer(2)
	c := r.pop()
	if fmt.Sprintf("%s", c.Out) != "[header body]" || Bytes(c.In) != 5 || len(c.In) != 3 || c.Head != 2 || c.Descriptors != 4 {
		t.Fatalf("chain %+v", c)
	}
	r.push(c, 5)
	if idx, e := r.u16(tUsed+2), r.usedEntry(0); idx != 1 || e[0] != 2 || e[4] != 5 {
		t.Errorf("used index %d, entry %x", idx, e)
	}
	if r.pop() != nil {
		t.Error("taken twice")
	}
}

func TestIndicesPassTheEndOfRingAndWord(t *testing.T) {
	for _, eventIdx := range []bool{false, true} {
		r := newRing(t, func(c *Config) { c.Base, c.EventIdx = 65530, eventIdx })
		r.put16(tAvail+2, r.avail)
		r.simple()
		for i := range 3 * tNum {
			r.offer(0)
			c := r.pop()
			r.push(c, uint32(i))
			if !r.q.ShouldInterrupt() && !eventIdx {
				t.Fatal("no interrupt")
			}
			if idx := r.u16(tUsed + 2); idx != r.avail {
				t.Fatalf("used index %d, available %d", idx, r.avail)
			}
			if e := r.usedEntry(int(r.avail-1) % tNum); binary.LittleEndian.Uint32(e[4:]) != uint32(i) {
				t.Fatalf("entry %x", e)
			}
		}
		if r.q.Base() != uint32(r.avail) || r.q.InUse() != 0 {
			t.Errorf("base %d, in use %d", r.q.Base(), r.q.InUse())
		}
	}
}

func TestIndirectTable(t *testing.T) {
	r := newRing(t, nil)
	table := 0x5ff0 // crosses from one piece to the next
	r.setAt(table, descriptor{tData, 8, descNext, 2})
	r.setAt(table+16, descriptor{tData + 100, 2, descWrite, 0})
	r.setAt(table+32, descriptor{tData + 50, 3, descNext, 1})
	r.set(3, descriptor{uint64(table), 48, descIndirect, 0})
	r.offer(3)
	c := r.pop()
	if Bytes(c.Out) != 11 || Bytes(c.In) != 2 || c.Head != 3 {
		t.Fatalf("chain %+v", c)
	}
	// More than the ring has is allowed in a table.
	for i := range 2 * tNum {
		d := descriptor{tData, 1, descNext, uint16(i + 1)}
		if i == 2*tNum-1 {
			d.flags = 0
		}
		r.setAt(table+16*i, d)
	}
	r.set(3, descriptor{uint64(table), 32 * tNum, descIndirect, 0})
	r.offer(3)
	if c := r.pop(); Bytes(c.Out) != 2*tNum {
		t.Errorf("chain %+v", c)
	}
}

// What a driver may not do breaks the queue, in words that tell what it was.
func TestBrokenRings(t *testing.T) {
	for _, c := range []struct {
		want  string
		build func(r *ring)
	}{
		{"9 chains are available in a ring of 8", func(r *ring) { r.put16(tAvail+2, 9) }},
		{"65535 chains are available in a ring of 8", func(r *ring) { r.put16(tAvail+2, 65535) }},
		{"head 8 in a ring of 8", func(r *ring) { r.offer(8) }},
		{"next descriptor 8 in a ring of 8", func(r *ring) { r.set(0, descriptor{tData, 1, descNext, 8}); r.offer(0) }},
		{"chain of more than 8 descriptors", func(r *ring) { r.set(0, descriptor{tData, 1, descNext, 0}); r.offer(0) }},
		{"chain of more than 8 descriptors", func(r *ring) { r.set(0, descriptor{tData, 0, descNext, 0}); r.offer(0) }},
		{"readable buffer after a writable one", func(r *ring) {
			r.set(0, descriptor{tData, 1, descWrite | descNext, 1})
			r.set(1, descriptor{tData, 1, 0, 0})
			r.offer(0)
		}},
		{"buffer at 0xfffffffffffffff0, size 0x20: no memory", func(r *ring) {
			r.set(0, descriptor{^uint64(0) - 15, 32, 0, 0})
			r.offer(0)
		}},
		{"buffer at 0x4000, size 0xffffffff: no memory", func(r *ring) { r.set(0, descriptor{tData, 1<<32 - 1, 0, 0}); r.offer(0) }},
		{"buffer at 0xf000, size 0x1: no memory", func(r *ring) { r.set(0, descriptor{0xf000, 1, descWrite, 0}); r.offer(0) }},
		{"descriptor 0 is indirect and has a next", func(r *ring) { r.set(0, descriptor{tData, 16, descIndirect | descNext, 1}); r.offer(0) }},
		{"indirect table of 0 bytes", func(r *ring) { r.set(0, descriptor{tData, 0, descIndirect, 1}); r.offer(0) }},
		{"indirect table of 17 bytes", func(r *ring) { r.set(0, descriptor{tData, 17, descIndirect, 1}); r.offer(0) }},
		{"indirect table of 16400 bytes", func(r *ring) { r.set(0, descriptor{tData, 16400, descIndirect, 1}); r.offer(0) }},
		{"indirect table at 0xfff8: no memory", func(r *ring) { r.set(0, descriptor{0xfff8, 16, descIndirect, 1}); r.offer(0) }},
		{"indirect descriptor in an indirect table", func(r *ring) {
			r.setAt(tData, descriptor{tData, 16, descIndirect, 0})
			r.set(0, descriptor{tData, 16, descIndirect, 0})
			r.offer(0)
		}},
		{"next descriptor 1 in an indirect table of 1", func(r *ring) {
			r.setAt(tData, descriptor{tData, 16, descNext, 1})
			r.set(0, descriptor{tData, 16, descIndirect, 0})
			r.offer(0)
		}},
		{"chain of more than 1 descriptors", func(r *ring) {
			r.setAt(tData, descriptor{tData, 16, descNext, 0})
			r.set(0, descriptor{tData, 16, descIndirect, 0})
			r.offer(0)
		}},
	} {
		r := newRing(t, nil)
		c.build(r)
		_, err := r.q.Pop()
		var e *Error
		if !errors.As(err, &e) || err.Error() != "virtqueue: "+c.want {
			t.Errorf("%q, want %q", err, c.want)
		}
		if _, again := r.q.Pop(); again != err || r.q.Broken() != err || !r.q.Empty() || r.q.ShouldInterrupt() {
			t.Errorf("%s: the queue goes on", c.want)
		}
		if err := r.q.PushHead(0, 0); err == nil {
			t.Errorf("%s: Push works", c.want)
		}
	}
	r := newRing(t, func(c *Config) { c.Indirect = false })
	r.set(0, descriptor{tData, 16, descIndirect, 0})
	r.offer(0)
	if _, err := r.q.Pop(); err == nil || !strings.Contains(err.Error(), "not negotiated") {
		t.Error(err)
	}
}

func TestRingsOutsideMemory(t *testing.T) {
	for _, c := range []Config{
		{Num: 8, Desc: 0x10000, Avail: tAvail, Used: tUsed},
		{Num: 8, Desc: tDesc, Avail: 0x10000, Used: tUsed},
		{Num: 8, Desc: tDesc, Avail: tAvail, Used: 0xf000},
		{Num: 8, Desc: tDesc, Avail: tAvail, Used: 0xefbc, EventIdx: true},
	} {
		r := newRing(t, func(x *Config) { *x = c })
		r.simple()
		r.offer(0)
		r.q.SuppressKicks()
		if ch, err := r.q.Pop(); err == nil {
			if ch == nil {
				t.Fatalf("%+v: nothing is available", c)
			}
			if err = r.q.Push(ch, 0); err == nil && !c.EventIdx {
				t.Errorf("%+v works", c)
			}
		}
		if _, err := r.q.WantKicks(); err == nil {
			t.Errorf("%+v works", c)
		}
	}
	for _, c := range []Config{{}, {Num: 3}, {Num: 8, Avail: 1}, {Num: 8, Used: 2}, {Num: 40000},
		{Num: 8, Avail: 1<<64 - 2}, {Num: 8, Used: 1<<64 - 4}, {Num: 8, Desc: 1<<64 - 127}} {
		if _, err := New(newGuest(), c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

func TestInterruptFlag(t *testing.T) {
	r := newRing(t, nil)
	r.simple()
	use := func() { r.t.Helper(); r.offer(0); r.push(r.pop(), 1) }
	if r.q.ShouldInterrupt() != true { // nobody has been told of anything yet
		t.Error("not told at the start")
	}
	if r.q.ShouldInterrupt() {
		t.Error("interrupt for nothing")
	}
	use()
	if !r.q.ShouldInterrupt() {
		t.Error("no interrupt")
	}
	r.put16(tAvail, noInterrupt)
	use()
	if r.q.ShouldInterrupt() {
		t.Error("interrupt against the flag")
	}
}

// The event index: one interrupt when the used index passes the driver's, as a
// model of section 2.7.10 has it.
func TestInterruptEventIndex(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		r := newRing(t, func(c *Config) { c.EventIdx, c.Base = true, rnd.Uint32()&0xffff })
		r.put16(tAvail+2, r.avail)
		r.simple()
		told := r.avail
		r.q.ShouldInterrupt()
		for range 20 {
			event := told + uint16(rnd.IntN(6))
			r.put16(tAvail+4+2*tNum, event)
			for range rnd.IntN(tNum) {
				r.offer(0)
				r.push(r.pop(), 0)
			}
			want := false
			for i := told; i != r.avail; i++ {
				want = want || i == event
			}
			if got := r.q.ShouldInterrupt(); got != want {
				t.Fatalf("used %d to %d, event %d: %v", told, r.avail, event, got)
			}
			told = r.avail
		}
	}
}

func TestNotifyOnEmpty(t *testing.T) {
	r := newRing(t, func(c *Config) { c.NotifyOnEmpty = true })
	r.simple()
	r.q.ShouldInterrupt()
	r.put16(tAvail, noInterrupt)
	r.offer(0)
	r.offer(0)
	r.push(r.pop(), 0)
	if r.q.ShouldInterrupt() {
		t.Error("interrupt while a chain is available")
	}
	r.push(r.pop(), 0)
	if !r.q.ShouldInterrupt() {
		t.Error("no interrupt when the queue ran empty")
	}
}

func TestKickSuppression(t *testing.T) {
	r := newRing(t, nil)
	r.simple()
	r.q.SuppressKicks()
	if r.u16(tUsed) != noNotify {
		t.Error("no flag")
	}
	r.offer(0)
	if more, err := r.q.WantKicks(); !more || err != nil || r.u16(tUsed) != 0 {
		t.Errorf("more %v, %v, flags %d", more, err, r.u16(tUsed))
	}
	r.push(r.pop(), 0)
	if more, _ := r.q.WantKicks(); more || r.u16(tUsed+2) != 1 {
		t.Error("more, of which there is none")
	}
	r = newRing(t, func(c *Config) { c.EventIdx = true })
	r.simple()
	r.q.SuppressKicks()
	r.offer(0)
	r.push(r.pop(), 0)
	if more, err := r.q.WantKicks(); more || err != nil || r.u16(tUsed+4+8*tNum) != 1 || r.u16(tUsed) != 0 {
		t.Errorf("more %v, %v, event %d", more, err, r.u16(tUsed+4+8*tNum))
	}
}

func TestUnpop(t *testing.T) {
	r := newRing(t, nil)
	r.simple()
	r.offer(0)
	c := r.pop()
	r.q.Unpop(c)
	r.q.Unpop(c) // once is enough
	if r.q.Base() != 0 || r.q.InUse() != 0 {
		t.Fatalf("base %d, in use %d", r.q.Base(), r.q.InUse())
	}
	if c := r.pop(); c == nil || c.Head != 0 {
		t.Error("it does not come again")
	}
}
