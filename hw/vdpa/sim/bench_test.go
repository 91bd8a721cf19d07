package sim

import (
	"testing"

	"github.com/gqemu/gqemu/hw/vdpa/vdpatest"
)

// BenchmarkBlk reads 4 KiB at a time from a disk in memory, four requests at
// once, with the features that Linux takes.
func BenchmarkBlk(b *testing.B) {
	k := newKit(b)
	k.mustMake("vdpa-sim-blk", "d0", map[string]any{"size": int64(64 << 20)})
	d := vdpatest.NewDriver(b, k.open("d0"))
	d.Start(testFeatures)
	const header, status, data = vdpatest.Data, vdpatest.Data + 0x100, vdpatest.Data + 0x1000
	clear(d.Mem[header : header+16])
	q := d.Queues[0]
	chain := []vdpatest.Buffer{{At: header, Len: 16}, {At: data, Len: 4096, Write: true}, {At: status, Len: 1, Write: true}}
	b.SetBytes(4096)
	const depth = 4
	sent, done := 0, 0
	for b.Loop() {
		for sent < done+depth {
			q.Add(chain...)
			sent++
		}
		for done == sent-depth {
			if _, ok := q.Take(); ok {
				done++
			} else if _, err := q.Call.Wait(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
