package virtio

import (
	"errors"
	"testing"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

const base = 0xfeb00000

// dummy is a device whose every call the test sees.
type dummy struct {
	State
	setup  Setup
	config []byte
	// What the core asked of it.
	starts, resets int
	stopped        []int
	written        []byte
	writtenAt      int
	// What it answers.
	done      chan struct{}
	configErr error
}

type dummyModel struct{ d *dummy }

func (m dummyModel) ReadConfig(offset int, buf []byte) error {
	if m.d.configErr != nil {
		return m.d.configErr
	}
	copy(buf, m.d.config[offset:offset+len(buf)])
	return nil
}

func (m dummyModel) WriteConfig(offset int, data []byte) error {
	m.d.writtenAt, m.d.written = offset, append([]byte(nil), data...)
	copy(m.d.config[offset:], data)
	return nil
}

func (m dummyModel) Start() <-chan struct{} { m.d.starts++; return m.d.done }
func (m dummyModel) Reset() bool            { m.d.resets++; return true }
func (m dummyModel) StopQueue(n int)        { m.d.stopped = append(m.d.stopped, n) }

func (d *dummy) Realize(h *qdev.Host) error { return d.Plug(d.setup) }
func (d *dummy) Reset()                     { d.State.Reset() }

const (
	testFeatures = 0x308007646 // the kernel's block simulator
	testQueues   = 3
)

func register(r *qom.Registry) {
	RegisterTypes(r)
	r.Register(qom.Type{Name: "test-virtio", Parent: "virtio-device", New: func() qom.Object {
		d := &dummy{config: make([]byte, 24)}
		d.setup = Setup{DeviceID: 2, ConfigSize: 24, Features: testFeatures, Queues: testQueues, QueueMax: 256}
		d.setup.Model = dummyModel{d}
		return d
	}})
}

// rig is a transport at base with a device, and the test as its driver.
type rig struct {
	*hwtest.Machine
	mmio *MMIO
	dev  *dummy
	line *hwtest.Line
}

func newRig(t testing.TB, legacy bool, setup func(*dummy)) *rig {
	t.Helper()
	m := hwtest.New(t, register)
	r := &rig{Machine: m}
	r.mmio = hwtest.Add(m, "virtio-mmio", nil, func(x *MMIO) error {
		return qom.Set(x, "force-legacy", qom.JSON(legacy))
	})
	r.Do(func() {
		r.line = m.NewLine()
		r.mmio.ConnectIRQ(0, r.line.IRQ)
		if err := r.mmio.MapMMIO(0, base); err != nil {
			t.Fatal(err)
		}
	})
	r.dev = hwtest.Add(m, "test-virtio", r.mmio.Buses()[0], func(d *dummy) error {
		if setup != nil {
			setup(d)
		}
		return nil
	})
	return r
}

func (r *rig) read(reg uint64) uint32     { return r.Readl(base + reg) }
func (r *rig) write(reg uint64, v uint32) { r.Writel(base+reg, v) }

// want checks what a register reads.
func (r *rig) want(reg uint64, v uint32) {
	r.T.Helper()
	if got := r.read(reg); got != v {
		r.T.Errorf("register %#x reads %#x, want %#x", reg, got, v)
	}
}

// probe does what Linux does up to the choice of features.
func (r *rig) probe() {
	r.write(regStatus, 0)
	r.write(regStatus, uint32(StatusAcknowledge))
	r.write(regStatus, uint32(StatusAcknowledge|StatusDriver))
}

func (r *rig) features(f uint64) {
	r.write(regDriverFeaturesSel, 1)
	r.write(regDriverFeatures, uint32(f>>32))
	r.write(regDriverFeaturesSel, 0)
	r.write(regDriverFeatures, uint32(f))
}

// addStatus sets bits as Linux does.
func (r *rig) addStatus(s Status) { r.write(regStatus, r.read(regStatus)|uint32(s)) }

// modernQueue sets queue n up at addr.
func (r *rig) modernQueue(n, size uint32, addr uint64) {
	r.write(regQueueSel, n)
	r.write(regQueueNum, size)
	for i, reg := range []uint64{regQueueDescLow, regQueueDriverLow, regQueueDeviceLow} {
		a := addr + uint64(i)*0x1000
		r.write(reg, uint32(a))
		r.write(reg+4, uint32(a>>32))
	}
	r.write(regQueueReady, 1)
}

// live takes the device to DRIVER_OK with one queue.
func (r *rig) live() {
	r.probe()
	if r.dev.Legacy() {
		r.write(regGuestPageSize, 4096)
		r.write(regQueueSel, 0)
		r.write(regQueuePFN, 0x100)
	} else {
		r.features(1 << FeatureVersion1)
		r.addStatus(StatusFeaturesOK)
		r.modernQueue(0, 256, 0x100000)
	}
	r.addStatus(StatusDriverOK)
	if r.dev.starts == 0 {
		r.T.Fatal("the device was not started")
	}
}

// fdWatch is an accelerator's side of ioeventfds.
type fdWatch struct {
	have    []memory.IOEventFD
	addr    uint64
	commits int
	failAt  int // fail the nth addition
	added   int
	touched bool
}

func (w *fdWatch) Begin()                             { w.touched = false }
func (w *fdWatch) AddSection(memory.Section) error    { return nil }
func (w *fdWatch) RemoveSection(memory.Section) error { return nil }
func (w *fdWatch) AddEventFD(addr uint64, e memory.IOEventFD) error {
	w.added++
	w.touched = true
	if w.added == w.failAt {
		return errors.New("no room for an ioeventfd")
	}
	w.addr, w.have = addr, append(w.have, e)
	return nil
}

func (w *fdWatch) RemoveEventFD(_ uint64, e memory.IOEventFD) error {
	w.touched = true
	for i, h := range w.have {
		if h == e {
			w.have = append(w.have[:i:i], w.have[i+1:]...)
			return nil
		}
	}
	return nil
}

func (w *fdWatch) Commit() error {
	if w.touched {
		w.commits++
	}
	return nil
}
