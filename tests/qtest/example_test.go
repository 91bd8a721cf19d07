package qtest_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gqemu/gqemu/tests/qtest"
)

// script runs an example's body, which gets a t as a test does.
func script(f func(t testing.TB)) {
	if err := qtest.Script(f); err != nil {
		fmt.Println(err)
	}
}

// The test that the package comment shows.
func TestTick(t *testing.T) {
	t.Parallel()
	m := qtest.Start(t, "-M", "microvm", "-nodefaults")
	m.InterceptIn("ioapic")
	rtc := &qtest.RTC{M: m}
	rtc.Out(qtest.RTCA, 0x2f) // twice a second
	rtc.Out(qtest.RTCB, qtest.RTC24h|qtest.RTCPIE)
	m.ClockUntil("a tick", 100_000_000, 1_000_000_000, func() bool { return m.IRQ(8) })
	rtc.In(qtest.RTCC)
	if m.IRQ(8) {
		t.Error("reading register C leaves the line high")
	}

	m.QMP.Must("system_reset", nil, nil)
	if _, ok := m.QMP.WaitEventWithin(5*time.Second, "RESET", nil); !ok {
		t.Error("nobody is told of the reset")
	}
}

func ExampleStart() {
	script(func(t testing.TB) {
		m := qtest.Start(t, "-M", "microvm", "-nodefaults", "-m", "64m")
		m.Writeq(0x1000, 0x0123456789abcdef)
		fmt.Printf("%#x %x\n", m.Readw(0x1000), m.Read(0x1000, 8))
		m.Outb(0x70, 0x0d)
		fmt.Println("the clock's battery is good:", m.Inb(0x71)&0x80 != 0)
		fmt.Println(m.QMP.Status())
	})
	// Output:
	// 0xcdef efcdab8967452301
	// the clock's battery is good: true
	// running
}

// A command and what it returns; an error of the server; an event.
func ExampleQMP() {
	script(func(t testing.TB) {
		q := qtest.Start(t, "-M", "none").QMP
		var cpus []struct {
			Index int `json:"cpu-index"`
		}
		q.Must("query-cpus-fast", nil, &cpus)
		fmt.Println(len(cpus), "CPUs")
		fmt.Println(q.Execute("device_del", map[string]any{"id": "nosuch"}, nil))
		q.Must("stop", nil, nil)
		_, ok := q.WaitEventWithin(5*time.Second, "STOP", nil)
		fmt.Println("told of the stop:", ok)
	})
	// Output:
	// 0 CPUs
	// DeviceNotFound: Device 'nosuch' not found
	// told of the stop: true
}

// Time is the test's: the clock interrupts eight times a second once it is
// told to, as seen at the interrupt controller.
func ExampleMachine_ClockStep() {
	script(func(t testing.TB) {
		m := qtest.Start(t, "-M", "microvm", "-nodefaults")
		m.InterceptIn("ioapic")
		rtc := &qtest.RTC{M: m}
		rtc.Out(qtest.RTCA, 0x2d)
		rtc.Out(qtest.RTCB, qtest.RTC24h|qtest.RTCPIE)
		ticks := 0
		for range 40 {
			m.ClockStep(25_000_000)
			if rtc.In(qtest.RTCC)&qtest.RTCPF != 0 {
				ticks++
			}
		}
		fmt.Println(ticks, "ticks in a second")
		fmt.Println(slices.DeleteFunc(m.IRQLog(), func(s string) bool { return !strings.HasSuffix(s, " 8") })[:4])
	})
	// Output:
	// 8 ticks in a second
	// [raise 8 lower 8 raise 8 lower 8]
}

func ExampleFwCfg() {
	script(func(t testing.TB) {
		m := qtest.Start(t, "-M", "microvm", "-nodefaults", "-smp", "3", "-m", "64m")
		f := &qtest.FwCfg{M: m, Scratch: 0x10000}
		fmt.Printf("%s, DMA %v, %d CPUs\n", f.Item(qtest.FwCfgSignature, 4), f.HasDMA(), f.U16(qtest.FwCfgNbCPUs))
		fmt.Printf("RAM by e820: %#x bytes\n", binary.LittleEndian.Uint64(f.File("etc/e820")[8:]))
	})
	// Output:
	// QEMU, DMA true, 3 CPUs
	// RAM by e820: 0x4000000 bytes
}

// The driver's whole way from discovery to data: an entropy device in the
// highest transport.
func ExampleVirtioMMIO() {
	script(func(t testing.TB) {
		m := qtest.Start(t, "-M", "microvm", "-nodefaults", "-global", "virtio-mmio.force-legacy=false",
			"-device", "virtio-rng-device")
		v := &qtest.VirtioMMIO{M: m, Base: qtest.SlotAddr(qtest.VirtioSlots - 1)}
		fmt.Println("device", v.In(qtest.VDeviceID))
		fmt.Println("features accepted:", v.Init(qtest.FeatureVersion1))
		heap := qtest.NewHeap(t, 1<<20, 1<<20)
		v.Queue(0, 8, heap)
		v.DriverOK()
		b := v.Exchange(0, heap, nil, 32)
		v.WaitInterrupt(1)
		fmt.Println(len(b), "bytes, all the same:", bytes.Count(b, b[:1]) == len(b))
	})
	// Output:
	// device 4
	// features accepted: true
	// 32 bytes, all the same: false
}

// A vDPA block device out of the simulator, by indirect descriptors and with
// the event index: a sector is written and read back.
func ExampleVring() {
	script(func(t testing.TB) {
		m := qtest.Start(t, "-M", "microvm", "-nodefaults", "-global", "virtio-mmio.force-legacy=false",
			"-object", "vdpa-sim-blk,id=d0,size=1M", "-device", "vhost-vdpa-device,vhostdev=/objects/d0")
		v := &qtest.VirtioMMIO{M: m, Base: qtest.SlotAddr(qtest.VirtioSlots - 1)}
		v.Init(qtest.FeatureVersion1 | qtest.FeatureIndirectDesc | qtest.FeatureEventIdx)
		heap := qtest.NewHeap(t, 1<<20, 1<<20)
		ring := v.Queue(0, 16, heap)
		v.DriverOK()

		const read, write = 0, 1
		request := func(kind byte, data uint64) (status byte) {
			header := heap.Take(16, 16)
			m.Write(header, append([]byte{kind}, make([]byte, 15)...))
			done := heap.Take(1, 1)
			ring.SetUsedEvent(0)
			ring.AddIndirect(heap, qtest.Buffer{Addr: header, Len: 16},
				qtest.Buffer{Addr: data, Len: 512, Write: kind == read}, qtest.Buffer{Addr: done, Len: 1, Write: true})
			v.KickIfNeeded(0)
			ring.Wait()
			v.WaitInterrupt(1)
			return m.Readb(done)
		}
		out, in := heap.Take(512, 512), heap.Take(512, 512)
		m.Write(out, bytes.Repeat([]byte("vdpa"), 128))
		fmt.Println("write:", request(write, out))
		fmt.Println("read:", request(read, in))
		fmt.Println("the same:", slices.Equal(m.Read(out, 512), m.Read(in, 512)))
	})
	// Output:
	// write: 0
	// read: 0
	// the same: true
}

func ExampleHeap() {
	script(func(t testing.TB) {
		h := qtest.NewHeap(t, 0x100000, 0x10000)
		a := h.Take(100, 16)
		b := h.Take(4096, 4096)
		fmt.Printf("%#x %#x\n", a, b)
		h.Free(a)
		h.CheckEmpty()
	})
	// Output:
	// 0x100000 0x101000
	// heap: 1 pieces, 4096 bytes, are still taken, the first at 0x101000
}
