package sim

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/internal/sys"
	"github.com/gqemu/gqemu/memory"
)

// script hands out the bytes of an input, zeroes after its end.
type script struct{ data []byte }

func (s *script) next() (b byte) {
	if len(s.data) > 0 {
		b, s.data = s.data[0], s.data[1:]
	}
	return b
}

// number is small as a rule, and otherwise anything.
func (s *script) number() uint64 {
	switch b := s.next(); {
	case b < 0xf0:
		return uint64(b)
	case b < 0xf8: // a power of two
		return 1 << (s.next() % 64)
	default:
		return ^uint64(0) - uint64(s.next())
	}
}

// FuzzIOTLB makes and drops mappings and looks addresses up, beside a model that
// knows what stands at each address.
func FuzzIOTLB(f *testing.F) {
	// update, invalidate and look up; a pair of numbers each.
	f.Add(false, []byte{0, 10, 20, 0, 30, 20, 2, 10, 40, 2, 25, 10, 1, 12, 1, 2, 30, 5})
	f.Add(true, []byte{0, 0, 255, 3, 1, 0, 0, 2, 0, 16, 1, 255, 1, 2, 0, 10})
	f.Add(true, []byte{0, 200, 56, 0, 190, 10, 3, 190, 66, 1, 199, 2, 2, 190, 66})
	f.Fuzz(func(t *testing.T, top bool, data []byte) {
		type cell struct {
			mem  *byte
			id   int // of the mapping, 0 for none
			perm vdpa.Perm
		}
		const space = 256
		var live, table [space]cell
		base := uint64(0)
		if top {
			base = ^uint64(0) - space + 1
		}
		var tlb iotlb
		s := &script{data}
		for id := 1; len(s.data) > 0 && id < 200; id++ {
			op, a, n := s.next(), int(s.next()), int(s.next())
			inside := a+n <= space
			switch op % 4 {
			case 0, 1:
				if n == 0 {
					continue // which the call refuses
				}
				if op%4 == 1 {
					tlb.invalidate(base+uint64(a), uint64(n))
					hit := map[int]bool{}
					for _, c := range table[a:min(a+n, space)] {
						hit[c.id] = true
					}
					for i := range table {
						if hit[table[i].id] {
							table[i] = cell{}
						}
					}
					if !inside && !top {
						continue // it may have dropped nothing else: the model has nothing there
					}
					continue
				}
				if !inside && !top {
					n = space - a
					if n == 0 {
						continue
					}
					inside = true
				}
				perm := vdpa.Perm(op>>2%3 + 1)
				mem := make([]byte, n)
				free := inside
				for i := a; free && i < a+n; i++ {
					free = table[i].id == 0
				}
				err := tlb.update(base+uint64(a), mem, perm)
				if (err == nil) != free {
					t.Fatalf("mapping %d bytes at %d: %v, free %v", n, a, err, free)
				}
				for i := 0; free && i < n; i++ {
					table[a+i] = cell{&mem[i], id, perm}
				}
			case 2:
				write := op&4 != 0
				list, err := tlb.Pieces(nil, base+uint64(a), uint64(n), write)
				need := vdpa.PermRead
				if write {
					need = vdpa.PermWrite
				}
				there := n > 0 && inside
				for i := a; there && i < a+n; i++ {
					there = live[i].id != 0 && live[i].perm&need != 0
				}
				if (err == nil) != there {
					t.Fatalf("%d bytes at %d, write %v: %v, they are there: %v", n, a, write, err, there)
				}
				i := a
				for _, p := range list {
					if err != nil {
						t.Fatal("pieces and an error")
					}
					for j := range p {
						if live[i].mem != &p[j] {
							t.Fatalf("%d bytes at %d: the byte at %d is another", n, a, i)
						}
						i++
					}
				}
				if err == nil && i != a+n {
					t.Fatalf("%d bytes at %d are %d", n, a, i-a)
				}
			case 3:
				tlb.commit()
				live = table
			}
		}
	})
}

// FuzzCalls makes calls in any order with any arguments, as a user of the
// device may, while its queues are processed. Nothing panics or hangs, every
// failure is an errno, memory is written only where a mapping lets it be, and
// closing works.
func FuzzCalls(f *testing.F) {
	ram, err := memory.NewAnonRAM("ram", 0x2000)
	if err != nil {
		f.Fatal(err)
	}
	disk, err := newMemory("disk", 32<<10)
	if err != nil {
		f.Fatal(err)
	}
	event, err := sys.NewEventfd()
	if err != nil {
		f.Fatal(err)
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { ram.Close(); disk.close(); event.Close(); null.Close() })
	const ( // what the numbers of calls are
		owner = iota
		features
		status
		num
		base
		addr
		kick
		call
		enable
		update
		invalidate
		batch
		end
		suspend
		getBase
		config
		setConfig
		configCall
		group
		work
		calls
	)
	start := []byte{
		owner, features, 32, update, 0, 0, 0, 255, 3, num, 0, 4, addr, 0, 0, 64, 96, enable, 0, 1,
		kick, 0, 0, call, 0, 0, status, 15, work, getBase, 0, suspend, getBase, 0, base, 0, 5, status, 0, invalidate, 0, 0, 255,
	}
	f.Add(false, start)
	f.Add(true, start)
	f.Add(true, []byte{owner, batch, update, 0, 0, 0, 16, 3, end, group, 1, 1, config, 0, 8, setConfig, 0, 6, configCall, 0, status, 0})
	f.Fuzz(func(t *testing.T, card bool, data []byte) {
		var broken atomic.Uint64
		var m model
		if card {
			var up atomic.Bool
			up.Store(true)
			m = newCard([6]byte{2, 0, 0, 0, 0, 1}, 1500, 256, 1, nil, &up, new(netStats))
		} else {
			b := &blk{store: disk, sectors: 64, max: 256, queues: 2, stats: new(blkStats)}
			b.layOut()
			m = b
		}
		mem := ram.Bytes()
		clear(mem)
		copy(mem[:0x1000], data)
		freed := 0
		d := newDevice("fuzz", m, zerolog.Nop(), &broken, func() { freed++ })
		s := &script{data}
		fd := func() int { return []int{event.FD(), -1, -2, 1 << 30, int(null.Fd())}[s.next()%5] }
		buf := make([]byte, 300)
		for n := 0; len(s.data) > 0 && n < 300; n++ {
			var err error
			switch s.next() % calls {
			case owner:
				err = d.SetOwner()
			case features:
				err = d.SetFeatures(1<<33 | s.number()<<27 | s.number())
			case status:
				v := uint8(s.number())
				if err = d.SetStatus(v); err == nil && v == 0 {
					if got, _ := d.GetStatus(); got != 0 {
						t.Fatalf("status %#x after a reset", got)
					}
				}
			case num:
				err = d.SetVringNum(int(s.next()%5), uint32(s.number()))
			case base:
				err = d.SetVringBase(int(s.next()%5), uint32(s.number()))
			case addr:
				err = d.SetVringAddr(int(s.next()%5), vdpa.VringAddr{Desc: s.number(), Avail: s.number(), Used: s.number()})
			case kick:
				err = d.SetVringKick(int(s.next()%5), fd())
			case call:
				err = d.SetVringCall(int(s.next()%5), fd())
			case enable:
				err = d.SetVringEnable(int(int8(s.next())), s.next()&1 != 0)
			case update:
				asid, iova, at := int(int8(s.next())), s.number(), int(s.next())*16
				n := min(int(s.next())*16, 0x1000-at)
				err = d.UpdateASID(asid, iova, mem[at:at+n], vdpa.Perm(s.next()%4))
			case invalidate:
				err = d.InvalidateASID(int(int8(s.next())), s.number(), s.number())
			case batch:
				err = d.BatchBegin()
			case end:
				err = d.BatchEnd()
			case suspend:
				err = d.Suspend()
			case getBase:
				_, err = d.GetVringBase(int(s.next() % 5))
			case config:
				err = d.GetConfig(int(s.number()), buf[:int(s.next())])
			case setConfig:
				err = d.SetConfig(int(s.number()), buf[:int(s.next())])
			case configCall:
				err = d.SetConfigCall(fd())
			case group:
				err = d.SetGroupASID(int(int8(s.next())), int(int8(s.next())))
			case work:
				for round := range 50 {
					if !d.step(round % len(d.queues)) {
						break
					}
				}
			}
			var errno syscall.Errno
			if err != nil && !errors.As(err, &errno) {
				t.Fatalf("%v has no errno", err)
			}
		}
		for i, b := range mem[0x1000:] {
			if b != 0 {
				t.Fatalf("memory was written that was never mapped, at %#x", i)
			}
		}
		if err := errors.Join(d.Close(), d.Close()); err != nil || freed != 1 {
			t.Fatalf("closing: %v, freed %d times", err, freed)
		}
		if err := d.SetOwner(); !errors.Is(err, syscall.EBADF) {
			t.Fatalf("a call after closing: %v", err)
		}
	})
}
