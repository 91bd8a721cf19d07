package hwtest

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/accel"
)

// Kernel is Interrupts with irqfds, as KVM has them with a split irqchip. It
// cannot see the writes to an eventfd: a test's device calls Signal instead.
// Put it into Host.Interrupts before the machine's devices are made.
type Kernel struct {
	*Interrupts
	// Deliver takes every message, of SendMSI and of irqfds, in place of
	// TakeMSIs. It is called with or without the VM lock.
	Deliver func(accel.MSI)

	mu    sync.Mutex // guards what follows, and orders signals and changes
	gsi   map[int]int
	calls []string
	limit int // irqfds there is room for, -1 for no limit
}

// NewKernel makes a kernel without irqfds on top of i.
func NewKernel(i *Interrupts) *Kernel {
	return &Kernel{Interrupts: i, gsi: map[int]int{}, limit: -1}
}

// LimitIRQFDs has AddIRQFD fail beyond n.
func (k *Kernel) LimitIRQFDs(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.limit = n
}

// IRQFDs is how many there are.
func (k *Kernel) IRQFDs() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.gsi)
}

// TakeCalls gives what was asked since the last call, in order: "add GSI",
// "remove GSI", "route GSI" and "mask GSI".
func (k *Kernel) TakeCalls() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := k.calls
	k.calls = nil
	return out
}

// AddIRQFD is part of accel.EventInterrupts.
func (k *Kernel) AddIRQFD(gsi, fd int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, busy := k.gsi[fd]; busy || k.limit >= 0 && len(k.gsi) >= k.limit {
		return fmt.Errorf("hwtest: irqfd %d for interrupt %d", fd, gsi)
	}
	k.gsi[fd] = gsi
	k.calls = append(k.calls, fmt.Sprintf("add %d", gsi))
	k.poll(gsi)
	return nil
}

// RemoveIRQFD is part of accel.EventInterrupts.
func (k *Kernel) RemoveIRQFD(gsi, fd int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if have, ok := k.gsi[fd]; !ok || have != gsi {
		return fmt.Errorf("hwtest: interrupt %d has no irqfd %d", gsi, fd)
	}
	delete(k.gsi, fd)
	k.calls = append(k.calls, fmt.Sprintf("remove %d", gsi))
	return nil
}

// SetPinRoutes is part of accel.Interrupts.
func (k *Kernel) SetPinRoutes(routes []accel.PinRoute) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := map[int]bool{}
	for _, r := range routes {
		old, ok := k.Route(r.GSI)
		was[r.GSI] = ok && !old.Masked
		what := "route"
		if r.Masked {
			what = "mask"
		}
		k.calls = append(k.calls, fmt.Sprintf("%s %d", what, r.GSI))
	}
	if err := k.Interrupts.SetPinRoutes(routes); err != nil {
		return err
	}
	for _, r := range routes {
		if !r.Masked && !was[r.GSI] {
			k.poll(r.GSI)
		}
	}
	return nil
}

// poll delivers what was signalled before there was an irqfd, or while its
// pin was masked. As in KVM the count stays. mu is held.
func (k *Kernel) poll(gsi int) {
	r, ok := k.Route(gsi)
	if !ok || r.Masked {
		return
	}
	for fd, g := range k.gsi {
		if g != gsi {
			continue
		}
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(p, 0); n == 1 && err == nil {
			k.deliver(r.MSI)
		}
	}
}

// SendMSI is part of accel.Interrupts.
func (k *Kernel) SendMSI(m accel.MSI) error {
	k.deliver(m)
	return nil
}

func (k *Kernel) deliver(m accel.MSI) {
	if k.Deliver != nil {
		k.Deliver(m)
		return
	}
	// It fails only when a test wants it to.
	_ = k.Interrupts.SendMSI(m)
}

// Signal is what a write to the eventfd does: an interrupt at once where
// there is an irqfd for it whose pin is not masked, which leaves no count;
// else a count.
func (k *Kernel) Signal(fd int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if gsi, ok := k.gsi[fd]; ok {
		if r, ok := k.Route(gsi); ok && !r.Masked {
			k.deliver(r.MSI)
			return nil
		}
	}
	_, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return err
}

var _ accel.EventInterrupts = (*Kernel)(nil)
