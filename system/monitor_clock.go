package system

import "time"

// eventTimers is the clock of the monitors' event rate limits. As in QEMU, it
// is the host's, and with the qtest accelerator the guest's, which a test can
// step.
func (v *VM) eventTimers() func(d time.Duration, f func()) (stop func() bool) {
	if !v.host.Clock.Manual() {
		return nil
	}
	// Events are sent with the VM lock held, which timers need.
	return func(d time.Duration, f func()) func() bool {
		t := v.host.Clock.NewTimer(f)
		t.Set(v.host.Clock.Now() + int64(d))
		return func() bool {
			v.mu.Lock()
			defer v.mu.Unlock()
			pending := t.Pending()
			t.Stop()
			return pending
		}
	}
}
