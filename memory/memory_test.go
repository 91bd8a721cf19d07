package memory

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func ram(t testing.TB, name string, size uint64) *Region {
	t.Helper()
	r, err := NewAnonRAM(name, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return NewRAM(r)
}

func io(name string, size uint64) *Region { return NewIO(name, size, OpsFuncs{}, Access{}) }

func show(s *Space) string {
	var b strings.Builder
	for _, x := range s.Sections() {
		fmt.Fprintf(&b, "%x-%x %s+%x\n", x.Addr, x.Last, x.Region.Name(), x.Offset)
	}
	return b.String()
}

func want(t *testing.T, s *Space, lines ...string) {
	t.Helper()
	w := strings.Join(lines, "\n") + "\n"
	if len(lines) == 0 {
		w = ""
	}
	if got := show(s); got != w {
		t.Errorf("view:\n%swant:\n%s", got, w)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHigherPriorityHidesLower(t *testing.T) {
	m, root := &Map{}, NewContainer("root", MaxSize)
	s := m.NewSpace("memory", root, 0)
	low, high := ram(t, "low", 0x10000), io("high", 0x1000)
	must(t, m.Add(root, low, 0, 0))
	must(t, m.Add(root, high, 0x4000, 1))
	want(t, s, "0-3fff low+0", "4000-4fff high+0", "5000-ffff low+5000")
	must(t, m.SetEnabled(high, false))
	want(t, s, "0-ffff low+0")
	must(t, m.SetEnabled(high, true))
	must(t, m.Move(high, 0xf800))
	want(t, s, "0-f7ff low+0", "f800-107ff high+0")
	must(t, m.Remove(high))
	must(t, m.Remove(low))
	want(t, s)
}

func TestLatestWinsAmongEquals(t *testing.T) {
	m, root := &Map{}, NewContainer("root", 0x100)
	s := m.NewSpace("io", root, 0xff)
	must(t, m.Add(root, io("first", 0x10), 0, 0))
	must(t, m.Add(root, io("second", 0x10), 8, 0))
	want(t, s, "0-7 first+0", "8-17 second+0")
}

func TestAliasShowsThePartItNames(t *testing.T) {
	m, root := &Map{}, NewContainer("root", MaxSize)
	s := m.NewSpace("memory", root, 0)
	r := ram(t, "ram", 0x8000)
	must(t, m.Add(root, NewAlias("low", r, 0, 0x5000), 0, 0))
	must(t, m.Add(root, NewAlias("high", r, 0x5000, 0x3000), 1<<32, 0))
	must(t, m.Add(root, NewAlias("top", r, 0x7000, 0x1000), ^uint64(0)-0xfff, 0))
	want(t, s, "0-4fff ram+0", "100000000-100002fff ram+5000", "fffffffffffff000-ffffffffffffffff ram+7000")
	must(t, s.WriteAt([]byte{1, 2, 3}, 1<<32))
	if got := r.RAM().Bytes()[0x5000:0x5003]; !bytes.Equal(got, []byte{1, 2, 3}) {
		t.Errorf("alias leads to % x", got)
	}
}

func TestChildIsClippedToItsParent(t *testing.T) {
	m, root := &Map{}, NewContainer("root", MaxSize)
	s := m.NewSpace("memory", root, 0)
	box := NewContainer("box", 0x1000)
	must(t, m.Add(box, io("dev", 0x3000), 0x800, 0))
	must(t, m.Add(root, box, 0x10000, 0))
	want(t, s, "10800-10fff dev+0")
}

// recorder notes what a listener is told, and fails on demand.
type recorder struct {
	log  []string
	fail string
}

func (r *recorder) note(format string, args ...any) error {
	l := fmt.Sprintf(format, args...)
	r.log = append(r.log, l)
	if r.fail != "" && strings.HasPrefix(l, r.fail) {
		return errors.New("refused: " + l)
	}
	return nil
}
func (r *recorder) Begin()                        { r.note("begin") }
func (r *recorder) Commit() error                 { return r.note("commit") }
func (r *recorder) AddSection(s Section) error    { return r.note("add %x-%x", s.Addr, s.Last) }
func (r *recorder) RemoveSection(s Section) error { return r.note("remove %x-%x", s.Addr, s.Last) }
func (r *recorder) AddEventFD(a uint64, e IOEventFD) error {
	return r.note("eventfd %x=%d", a, e.Data)
}
func (r *recorder) RemoveEventFD(a uint64, e IOEventFD) error {
	return r.note("no eventfd %x=%d", a, e.Data)
}

func (r *recorder) take() string {
	s := strings.Join(r.log, "; ")
	r.log = nil
	return s
}

func TestListenerSeesOneStepPerUpdate(t *testing.T) {
	m, root := &Map{}, NewContainer("root", MaxSize)
	s := m.NewSpace("memory", root, 0)
	a := ram(t, "a", 0x4000)
	must(t, m.Add(root, a, 0, 0))
	var l recorder
	must(t, s.Listen(&l))
	if got := l.take(); got != "begin; add 0-3fff; commit" {
		t.Errorf("on listening: %s", got)
	}
	dev := io("dev", 0x1000)
	must(t, m.Update(func() error {
		for i := range uint64(3) {
			must(t, m.AddIOEventFD(dev, IOEventFD{Offset: 0x50, Size: 4, Match: true, Data: i, FD: int(i)}))
		}
		return m.Add(root, dev, 0x1000, 1)
	}))
	if got := l.take(); got != "begin; remove 0-3fff; add 0-fff; add 1000-1fff; add 2000-3fff; "+
		"eventfd 1050=0; eventfd 1050=1; eventfd 1050=2; commit" {
		t.Errorf("on update: %s", got)
	}
	must(t, s.Unlisten(&l))
	if got := l.take(); !strings.HasSuffix(got, "remove 2000-3fff; remove 1000-1fff; remove 0-fff; commit") {
		t.Errorf("on leaving: %s", got)
	}
}

func TestListenerErrorReachesTheCaller(t *testing.T) {
	m, root := &Map{}, NewContainer("root", MaxSize)
	s := m.NewSpace("memory", root, 0)
	l := &recorder{fail: "add 1000"}
	must(t, s.Listen(l))
	err := m.Add(root, ram(t, "a", 0x1000), 0x1000, 0)
	if err == nil || !strings.Contains(err.Error(), "refused: add 1000-1fff") {
		t.Errorf("error is %v", err)
	}
}

func TestAccessIsCutToWhatTheDeviceTakes(t *testing.T) {
	m, root := &Map{}, NewContainer("root", 0x100)
	s := m.NewSpace("io", root, 0xff)
	var log []string
	dev := NewIO("dev", 8, OpsFuncs{
		ReadFunc: func(off uint64, n int) uint64 {
			log = append(log, fmt.Sprintf("r%d@%d", n, off))
			return 0x1122334455667788 >> (8 * off)
		},
		WriteFunc: func(off uint64, v uint64, n int) { log = append(log, fmt.Sprintf("w%d@%d=%x", n, off, v)) },
	}, Access{ValidMax: 4, ImplMax: 2})
	must(t, m.Add(root, dev, 0x10, 0))
	for _, c := range []struct {
		addr  uint64
		data  []byte
		write bool
		ok    bool
		log   string
		read  string
	}{
		{0x10, make([]byte, 4), false, true, "r2@0 r2@2", "88776655"},
		{0x11, make([]byte, 2), false, true, "r1@1 r1@2", "7766"},
		{0x10, []byte{1, 2, 3, 4}, true, true, "w2@0=201 w2@2=403", ""},
		{0x16, make([]byte, 4), false, false, "r2@6", "2211ffff"},
		{0x30, make([]byte, 2), false, false, "", "ffff"},
	} {
		log = nil
		if ok := s.Access(c.addr, c.data, c.write); ok != c.ok {
			t.Errorf("%x: answered %v", c.addr, ok)
		}
		if got := strings.Join(log, " "); got != c.log {
			t.Errorf("%x: device saw %q, want %q", c.addr, got, c.log)
		}
		if got := fmt.Sprintf("%x", c.data); !c.write && got != c.read {
			t.Errorf("%x: read %s, want %s", c.addr, got, c.read)
		}
	}
}

func TestDMAStaysInRAM(t *testing.T) {
	m, root := &Map{}, NewContainer("root", MaxSize)
	s := m.NewSpace("memory", root, 0)
	a, b := ram(t, "a", 0x1000), ram(t, "b", 0x1000)
	must(t, m.Add(root, a, 0, 0))
	must(t, m.Add(root, b, 0x1000, 0))
	must(t, m.Add(root, io("dev", 0x1000), 0x2000, 0))
	data := bytes.Repeat([]byte{7}, 0x20)
	must(t, s.WriteAt(data, 0xff0))
	got := make([]byte, 0x20)
	must(t, s.ReadAt(got, 0xff0))
	if !bytes.Equal(got, data) {
		t.Error("a copy across two blocks is torn")
	}
	for _, addr := range []uint64{0x1ff0, 0x2000, 0x5000, ^uint64(0) - 4} {
		if err := s.WriteAt(data, addr); !errors.As(err, new(*DMAError)) {
			t.Errorf("write at %x: %v", addr, err)
		}
	}
	if b.RAM().Bytes()[0xff0] != 0 {
		t.Error("a write that did not fit left a part behind")
	}
	if _, err := s.Slice(0xff0, 0x20); err == nil {
		t.Error("a slice across two blocks was given")
	}
}

func TestROMIsNotWritten(t *testing.T) {
	m, root := &Map{}, NewContainer("root", MaxSize)
	s := m.NewSpace("memory", root, 0)
	rom, err := NewROM("rom", []byte("abc"))
	must(t, err)
	defer rom.Close()
	must(t, m.Add(root, NewRAM(rom), 0, 0))
	s.Access(0, []byte("xyz"), true)
	if err := s.WriteAt([]byte("xyz"), 0); err == nil {
		t.Error("DMA to ROM went through")
	}
	if got := string(rom.Bytes()[:3]); got != "abc" {
		t.Errorf("ROM holds %q", got)
	}
}

// TestViewAgainstBruteForce compares rendering with painting bytes.
func TestViewAgainstBruteForce(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		m, root := &Map{}, NewContainer("root", 256)
		s := m.NewSpace("memory", root, 0)
		type placed struct {
			r    *Region
			at   uint64
			prio int
			seq  int
		}
		var all []placed
		must(t, m.Update(func() error {
			for i := range 1 + rnd.IntN(8) {
				p := placed{io(fmt.Sprint(i), 1+rnd.Uint64N(100)), rnd.Uint64N(256), rnd.IntN(3), i}
				all = append(all, p)
				must(t, m.Add(root, p.r, p.at, p.prio))
			}
			return nil
		}))
		for a := range uint64(256) {
			var best *placed
			for i := range all {
				p := &all[i]
				if a >= p.at && a-p.at <= p.r.Last() && (best == nil || p.prio >= best.prio) {
					best = p
				}
			}
			sec, ok := s.Find(a)
			if ok != (best != nil) || ok && (sec.Region != best.r || sec.Offset+(a-sec.Addr) != a-best.at) {
				t.Fatalf("round %d: at %x found %v %v, want %v", round, a, ok, sec, best)
			}
		}
	}
}

// What nothing answers reads as the fill, and RAM on both sides of it, also
// across the end of the space, is found.
func TestAccessAcrossGaps(t *testing.T) {
	m, root := &Map{}, NewContainer("root", MaxSize)
	s := m.NewSpace("memory", root, 0xee)
	must(t, m.Add(root, ram(t, "a", 0x1000), 0, 0))
	must(t, m.Add(root, ram(t, "b", 0x1000), 0x3000, 0))
	if s.Access(0xfff, bytes.Repeat([]byte{1}, 0x2002), true) {
		t.Error("a write across a gap succeeds")
	}
	b := make([]byte, 0x2002)
	if s.Access(0xfff, b, false) {
		t.Error("a read across a gap succeeds")
	}
	w := bytes.Repeat([]byte{0xee}, 0x2002)
	w[0], w[0x2001] = 1, 1
	if !bytes.Equal(b, w) {
		t.Errorf("%x ... %x", b[:4], b[0x1ffe:])
	}
	b = make([]byte, 20)
	s.Access(0xffff_ffff_ffff_fff0, b, false)
	if !bytes.Equal(b, append(bytes.Repeat([]byte{0xee}, 16), 0, 0, 0, 0)) {
		t.Errorf("across the end: %x", b)
	}
}

// A register is accessed in its full width even where another lies over its
// end; RAM and long transfers stop there.
func TestOverlappedRegister(t *testing.T) {
	var m Map
	root := NewContainer("io", 0x100)
	s := m.NewSpace("io", root, 0xff)
	var wide, narrow []int
	note := func(to *[]int) Ops {
		return OpsFuncs{WriteFunc: func(_, _ uint64, size int) { *to = append(*to, size) }}
	}
	for _, add := range []error{
		m.Add(root, NewIO("address", 4, note(&wide), Access{}), 0x10, 0),
		m.Add(root, NewIO("reset", 1, note(&narrow), Access{}), 0x11, 1),
	} {
		if add != nil {
			t.Fatal(add)
		}
	}
	s.Access(0x10, make([]byte, 4), true)
	if len(wide) != 1 || wide[0] != 4 || len(narrow) != 0 {
		t.Errorf("four bytes: accesses of %v and %v", wide, narrow)
	}
	s.Access(0x11, make([]byte, 1), true)
	if len(narrow) != 1 {
		t.Error("the register on top does not answer")
	}
	wide = nil
	s.Access(0x10, make([]byte, 16), true)
	if len(narrow) != 2 {
		t.Errorf("a long transfer: accesses of %v and %v", wide, narrow)
	}
}
