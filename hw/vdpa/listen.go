package vdpa

import (
	"errors"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
)

// listen follows the guest's memory and the run state.
func (d *Device) listen(h *qdev.Host) error {
	// Nothing is mapped yet, so nothing can fail for lack of memory.
	l := &follower{dmaMap: d.dma, d: d}
	err := h.Memory.Listen(l)
	d.Defer(func() {
		if err := h.Memory.Unlisten(l); err != nil {
			d.logError(err)
		}
	})
	if err != nil {
		return err
	}
	d.Defer(h.Run.OnChange(d.runStateChanged))
	return nil
}

// follower is how a device's dmaMap hears of the address space. Whoever
// changes that, a guest by its chipset for instance, cannot help it when a
// device does not follow: the change holds, and the device is broken.
type follower struct {
	*dmaMap
	d    *Device
	errs []error // of the change under way
}

var _ memory.Listener = (*follower)(nil)

func (f *follower) note(err error) error {
	if err != nil {
		f.errs = append(f.errs, err)
	}
	return nil
}

// AddSection is part of memory.Listener, as are those below.
func (f *follower) AddSection(s memory.Section) error { return f.note(f.dmaMap.AddSection(s)) }

func (f *follower) RemoveSection(s memory.Section) error { return f.note(f.dmaMap.RemoveSection(s)) }

func (f *follower) Commit() error {
	_ = f.note(f.dmaMap.Commit())
	err := errors.Join(f.errs...)
	f.errs = nil
	if d := f.d; err != nil {
		d.unfollowed = err
		// Not from within the change.
		lock := d.host.Lock
		d.working = true
		d.tasks.Go(func() {
			lock.Lock()
			defer lock.Unlock()
			d.look()
		})
	}
	return nil
}
