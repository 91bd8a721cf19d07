package vdpa

import (
	"bytes"
	"sync/atomic"
)

// task is something under way that owns the backend and the mappings: a
// start, on a goroutine of its own, or a stop, a reset, an unplug or the end
// of a device that broke, on the goroutine that waits for it. Calls are made
// without the VM lock. Everybody else leaves the backend alone until done is
// closed; the state is that of before until then.
type task struct {
	canceled atomic.Bool   // a start that is called off
	done     chan struct{} // closed when the device has the outcome
	// What the driver did meanwhile; VM lock.
	taken  []int // queues that it took back
	config []configWrite
}

// configWrite is a write to the configuration space.
type configWrite struct {
	offset int
	data   []byte
}

// maxConfigWrites bounds how many of them are kept.
const maxConfigWrites = 256

// acquire makes a task the owner of the backend. There is none.
func (d *Device) acquire() *task {
	t := &task{done: make(chan struct{})}
	d.task = t
	d.dma.busy = true
	return t
}

// release ends a task's ownership, and makes up for changes of the memory map.
func (d *Device) release() error {
	d.task = nil
	d.dma.busy = false
	if d.dma.live {
		return d.dma.catchUp()
	}
	return nil
}

// unlocked runs f without the VM lock.
func (d *Device) unlocked(f func() error) error {
	d.host.Lock.Unlock()
	defer d.host.Lock.Lock()
	return f()
}

// perform makes calls to the backend without the VM lock. Guest and clients
// get at the device meanwhile; what needs the backend waits. Nothing comes
// between the calls' end and the caller, who applies the outcome.
func (d *Device) perform(calls func() error) error {
	t := d.acquire()
	err := d.unlocked(calls)
	if e := d.release(); err == nil {
		err = e
	}
	close(t.done)
	return err
}

// await waits, without the VM lock, until no task is under way.
func (d *Device) await() {
	for d.task != nil {
		t := d.task
		_ = d.unlocked(func() error { <-t.done; return nil })
	}
}

// callOff is await, and ends a start early: at most one piece of memory is
// pinned before it is undone.
func (d *Device) callOff() {
	for d.task != nil {
		t := d.task
		t.canceled.Store(true)
		_ = d.unlocked(func() error { <-t.done; return nil })
	}
}

// later keeps a write to the configuration for the end of a start.
func (d *Device) later(offset int, data []byte) {
	t := d.task
	if h := d.host; len(t.config) >= maxConfigWrites && h.Await != nil {
		// A driver that writes and writes waits. A pause ends that: then it
		// gets one more write in.
		h.Await(t.done)
	} else if len(t.config) >= maxConfigWrites {
		_ = d.unlocked(func() error { <-t.done; return nil })
	}
	if d.task == t {
		t.config = append(t.config, configWrite{offset, bytes.Clone(data)})
		copy(d.config[offset:], data)
		return
	}
	_ = model{d}.WriteConfig(offset, data)
}

// writeConfig hands over what the driver wrote during a start.
func (d *Device) writeConfig(t *task) error {
	writes := t.config
	t.config = nil
	for _, w := range writes {
		if err := d.be.SetConfig(w.offset, w.data); err != nil {
			d.fail("", err)
			return err
		}
	}
	return nil
}
