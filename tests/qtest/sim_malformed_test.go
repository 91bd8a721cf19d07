package qtest

import (
	"fmt"
	"testing"
)

// rawDesc is a descriptor as it stands in memory; of a packed ring last is the
// buffer's id, of a split one the next descriptor.
type rawDesc struct {
	addr  uint64
	len   uint32
	flags uint16
	last  uint16
}

// simTable is where malformed rings have their indirect tables.
const simTable = 0x310000

// offer makes descriptors available: in a split ring from entry 0 on with a chain
// that begins there, in a packed one from where it stands.
func (d *simDisk) offer(list ...rawDesc) {
	d.M.t.Helper()
	if d.ring.packed != nil {
		for _, r := range list {
			d.ring.PutPacked(r.addr, r.len, r.last, r.flags)
		}
		return
	}
	for i, r := range list {
		d.ring.putDesc(d.ring.Desc, i, r.addr, r.len, r.flags, int(r.last))
	}
	d.ring.publish(0)
}

// table writes an indirect table and gives the descriptor for it.
func (d *simDisk) table(list ...rawDesc) rawDesc {
	d.M.t.Helper()
	for i, r := range list {
		if d.ring.packed != nil { // id and flags
			d.ring.putDesc(simTable, i, r.addr, r.len, r.last, int(r.flags))
		} else {
			d.ring.putDesc(simTable, i, r.addr, r.len, r.flags, int(r.last))
		}
	}
	return rawDesc{simTable, uint32(16 * len(list)), descIndirect, 0}
}

// simDamage is one way to break a ring.
type simDamage struct {
	name string
	do   func(d *simDisk)
}

const simRAM = 128 << 20 // microvm's default

// simDamages are those that any ring suffers.
var simDamages = []simDamage{
	{"a buffer beyond memory", func(d *simDisk) { d.offer(rawDesc{1 << 60, 512, 0, 0}) }},
	{"a buffer over the end of memory", func(d *simDisk) { d.offer(rawDesc{simRAM - 256, 512, descWrite, 0}) }},
	{"a buffer that wraps", func(d *simDisk) { d.offer(rawDesc{^uint64(0) - 255, 512, 0, 0}) }},
	{"a buffer of 4 GiB", func(d *simDisk) { d.offer(rawDesc{simData, 1<<32 - 1, 0, 0}) }},
	{"a readable buffer behind a writable one", func(d *simDisk) {
		d.offer(rawDesc{simData, 1, descWrite | descNext, 1}, rawDesc{simData, 1, 0, 0})
	}},
	{"an indirect descriptor with a next", func(d *simDisk) {
		d.table(rawDesc{simData, 1, 0, 0})
		d.offer(rawDesc{simTable, 16, descIndirect | descNext, 1}, rawDesc{simData, 1, 0, 0})
	}},
	{"an indirect table of 0 bytes", func(d *simDisk) { d.offer(rawDesc{simTable, 0, descIndirect, 0}) }},
	{"an indirect table of half an entry", func(d *simDisk) { d.offer(rawDesc{simTable, 24, descIndirect, 0}) }},
	{"an indirect table of 4 GiB", func(d *simDisk) { d.offer(rawDesc{simTable, 0xfffffff0, descIndirect, 0}) }},
	{"an indirect table beyond memory", func(d *simDisk) { d.offer(rawDesc{1 << 50, 32, descIndirect, 0}) }},
	{"an indirect table over the end of memory", func(d *simDisk) { d.offer(rawDesc{simRAM - 16, 32, descIndirect, 0}) }},
	{"an indirect table in an indirect table", func(d *simDisk) {
		d.offer(d.table(rawDesc{simTable, 16, descIndirect, 0}))
	}},
	{"a buffer of an indirect table beyond memory", func(d *simDisk) { d.offer(d.table(rawDesc{1 << 60, 1, 0, 0})) }},
}

// simSplitDamages and simPackedDamages are those of one kind of ring.
var simSplitDamages = []simDamage{
	{"an index that jumps ahead", func(d *simDisk) { d.M.Writew(d.ring.Avail+2, 1000) }},
	{"an index that is one too far", func(d *simDisk) { d.M.Writew(d.ring.Avail+2, uint16(d.ring.Size)+1) }},
	{"an index that goes back", func(d *simDisk) { d.M.Writew(d.ring.Avail+2, 65535) }},
	{"a head out of range", func(d *simDisk) { d.M.Writew(d.ring.Avail+4, 16); d.M.Writew(d.ring.Avail+2, 1) }},
	{"a next out of range", func(d *simDisk) { d.offer(rawDesc{simData, 1, descNext, 16}) }},
	{"a next far out of range", func(d *simDisk) { d.offer(rawDesc{simData, 1, descNext, 65535}) }},
	{"a descriptor that follows itself", func(d *simDisk) { d.offer(rawDesc{simData, 1, descNext, 0}) }},
	{"an empty descriptor that follows itself", func(d *simDisk) { d.offer(rawDesc{simData, 0, descNext, 0}) }},
	{"two descriptors that follow each other", func(d *simDisk) {
		d.offer(rawDesc{simData, 1, descNext, 1}, rawDesc{simData, 1, descNext, 0})
	}},
	{"a next out of an indirect table", func(d *simDisk) { d.offer(d.table(rawDesc{simData, 1, descNext, 1})) }},
	{"a loop in an indirect table", func(d *simDisk) {
		d.offer(d.table(rawDesc{simData, 1, descNext, 1}, rawDesc{simData, 1, descNext, 0}))
	}},
}

var simPackedDamages = []simDamage{
	{"a chain of the whole ring that goes on", func(d *simDisk) {
		for range d.ring.Size {
			d.offer(rawDesc{simData, 1, descNext, 0})
		}
	}},
	{"a chain of empty descriptors that goes on", func(d *simDisk) {
		for range d.ring.Size {
			d.offer(rawDesc{simData, 0, descNext, 0})
		}
	}},
	{"a chain that runs into what is not available", func(d *simDisk) { d.offer(rawDesc{simData, 1, descNext, 0}) }},
}

// TestSimMalformed: whatever a driver does to its ring, nothing crashes, nothing
// is left behind, the driver is told that the device needs a reset, and after one
// it works.
func TestSimMalformed(t *testing.T) {
	t.Parallel()
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("packed %v", packed), func(t *testing.T) {
			t.Parallel()
			m := simBlk(t, "size=2M", "-global", "virtio-mmio.force-legacy=false", "-global", "vhost-vdpa-device.packed=on")
			broken := simCount(m, "/objects/d0", "broken-rings")
			start := func(features uint64) *simDisk {
				t.Helper()
				if packed {
					features |= FeatureRingPacked
				}
				d := &simDisk{VirtioMMIO: slot(m, 23)}
				if !d.Init(FeatureVersion1|features) || d.Features&features != features {
					t.Fatalf("of the features %#x are left", d.Features)
				}
				d.ring = d.Queue(0, 16, &Alloc{0x200000})
				if st := d.DriverOK(); st&(StatusNeedsReset|StatusDriverOK) != StatusDriverOK {
					t.Fatalf("status %#x", st)
				}
				return d
			}
			check := func(what string, features uint64, do func(d *simDisk)) {
				t.Helper()
				d := start(features)
				d.Interrupts()
				do(d)
				d.Kick(0)
				m.Eventually(what+": the device to need a reset", func() bool { return d.Status()&StatusNeedsReset != 0 })
				d.WaitInterrupt(2)
				broken++
				if n := simCount(m, "/objects/d0", "broken-rings"); n != broken {
					t.Errorf("%s: %d rings are broken, want %d", what, n, broken)
				}
				d = start(features)
				d.write(1, simPattern(1, 512))
				d.check(1, simPattern(1, 512))
			}
			damages := append(simSplitDamages[:len(simSplitDamages):len(simSplitDamages)], simDamages...)
			if packed {
				damages = append(simPackedDamages[:len(simPackedDamages):len(simPackedDamages)], simDamages...)
			}
			check("first", FeatureIndirectDesc, damages[0].do)
			fds := fmt.Sprint(m.FDs())
			for _, c := range damages {
				check(c.name, FeatureIndirectDesc, c.do)
				check(c.name+", with the event index", FeatureIndirectDesc|FeatureEventIdx, c.do)
			}
			check("an indirect descriptor that was not negotiated", 0, func(d *simDisk) {
				d.offer(d.table(rawDesc{simData, 1, 0, 0}))
			})
			if now := fmt.Sprint(m.FDs()); now != fds {
				t.Errorf("descriptors %v, were %v", now, fds)
			}

			// What is wrong with a request, and not with its ring, is its own.
			d := start(FeatureIndirectDesc)
			failed := simCount(m, "/objects/d0", "failed-requests")
			request := func(what string, written uint32, chain ...Buffer) {
				t.Helper()
				d.M.Memset(simHeader, 16, 0)
				d.M.Writeb(simStatus, 0xff)
				d.ring.Add(chain...)
				d.Kick(0)
				if _, n := d.ring.Wait(); n != written {
					t.Errorf("%s: used length %d, want %d", what, n, written)
				}
			}
			header := Buffer{Addr: simHeader, Len: 16}
			status := Buffer{Addr: simStatus, Len: 1, Write: true}
			request("no status", 0, header)
			request("a status of no length", 0, header, Buffer{Addr: simStatus, Write: true})
			request("a header that is to be written", 1, Buffer{Addr: simHeader, Len: 16, Write: true}, status)
			request("no header", 1, status)
			request("a status that is to be read", 0, header, Buffer{Addr: simStatus, Len: 1})
			if n := simCount(m, "/objects/d0", "failed-requests") - failed; n != 5 {
				t.Errorf("%d requests failed, want 5", n)
			}
			request("empty buffers between", 513, header, Buffer{Addr: simData}, Buffer{Addr: simData, Len: 512, Write: true},
				Buffer{Addr: 1 << 60, Write: true}, status)
			if st := d.Status(); st&StatusNeedsReset != 0 {
				t.Errorf("status %#x", st)
			}
			d.check(1, simPattern(1, 512))
		})
	}
}
