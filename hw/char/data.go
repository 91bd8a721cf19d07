package char

import (
	"errors"

	"github.com/gqemu/gqemu/chardev"
)

// This file is the UART's data path: the transmitter, the receiver and the
// chardev's side of both.

// transmit is a write of THR.
func (u *UART) transmit(b byte) {
	limit := 1
	if u.fcr&fcrEnable != 0 {
		limit = len(u.tx.buf)
	}
	if u.tx.n >= limit {
		u.tx.drop(1) // the guest did not look at THRE
	}
	u.tx.push(b)
	u.thrEmpty = false
	u.lsr &^= lsrTHRE | lsrTEMT
	u.updateIRQ()
	u.send()
}

// send empties the transmitter as far as the chardev takes it. When it does
// not take all, Writable calls again.
func (u *UART) send() {
	if u.tx.n == 0 {
		return
	}
	for u.tx.n > 0 {
		run := u.tx.run()
		switch {
		case u.mcr&mcrLoop != 0:
			for _, b := range run {
				u.accept(b)
			}
		case u.chr != nil:
			n := u.chr.Write(run)
			if n < len(run) {
				u.tx.drop(n)
				return
			}
		}
		u.tx.drop(len(run))
	}
	u.lsr |= lsrTHRE | lsrTEMT
	u.thrEmpty = true
	u.updateIRQ()
}

// accept takes a byte from the line.
func (u *UART) accept(b byte) {
	switch {
	case u.fcr&fcrEnable == 0:
		if u.lsr&lsrDR != 0 {
			u.lsr |= lsrOE
		}
		u.rbr = b
	case u.rx.full():
		u.lsr |= lsrOE
	default:
		u.rx.push(b)
	}
	u.lsr |= lsrDR
	u.watchIdle()
}

// watchIdle starts the receiver timeout: characters wait in the FIFO and
// nothing came or was read for four character times (section 8.5.2).
func (u *UART) watchIdle() {
	if u.fcr&fcrEnable == 0 || u.rx.n == 0 {
		u.idle.Stop()
		return
	}
	u.idle.Set(u.Host().Clock.Now() + timeoutChars*u.charTime())
}

// charTime is how long a character is on the line, in nanoseconds.
func (u *UART) charTime() int64 {
	divisor := int64(u.divisor)
	if divisor == 0 || u.baudBase == 0 {
		divisor = resetDivisor
	}
	bits := 1 + 5 + int64(u.lcr&3) + 1 // start, data, stop
	if u.lcr&0x04 != 0 {
		bits++
	}
	if u.lcr&0x08 != 0 {
		bits++ // parity
	}
	return bits * nsPerSecond * divisor / max(int64(u.baudBase), 1)
}

func (u *UART) timeout() {
	if u.rx.n > 0 {
		u.timedOut = true
		u.updateIRQ()
	}
}

// receive is a read of RBR.
func (u *UART) receive() byte {
	b := u.rbr
	if u.fcr&fcrEnable != 0 {
		b = 0
		if u.rx.n > 0 {
			b = u.rx.pop()
		}
	}
	if u.rx.n == 0 {
		u.lsr &^= lsrDR | lsrBI
	}
	u.timedOut = false
	u.watchIdle()
	u.updateIRQ()
	u.acceptInput()
	return b
}

// room is how many bytes the chardev may give. Beyond the trigger level they
// come one by one, so that the guest has the time that it asked for.
func (u *UART) room() int {
	switch {
	case u.mcr&mcrLoop != 0: // the line is cut off
		return 0
	case u.fcr&fcrEnable == 0:
		return int(^u.lsr & lsrDR)
	case u.rx.full():
		return 0
	default:
		return max(u.trigger()-u.rx.n, 1)
	}
}

// acceptInput lets the chardev ask for room again.
func (u *UART) acceptInput() {
	if u.chr != nil && u.room() > 0 {
		u.chr.AcceptInput()
	}
}

// frontend is what the chardev calls, from its own goroutine and without the
// VM lock. A call may come late, when the UART has no chardev any more.
type frontend struct{ u *UART }

func (f *frontend) locked(do func(u *UART)) {
	lock := f.u.Host().Lock
	lock.Lock()
	defer lock.Unlock()
	if f.u.chr != nil {
		do(f.u)
	}
}

// Rebind is part of chardev.Hotswapper.
func (f *frontend) Rebind(c *chardev.Chardev) (err error) {
	err = errors.New("the serial port is gone")
	f.locked(func(u *UART) {
		if err = c.Attach(f); err == nil {
			u.chr.Detach()
			u.chr = c
			u.send()
		}
	})
	return err
}

func (f *frontend) CanReceive() (n int) {
	f.locked(func(u *UART) { n = u.room() })
	return n
}

func (f *frontend) Receive(p []byte) {
	f.locked(func(u *UART) {
		for _, b := range p {
			u.accept(b)
		}
		u.updateIRQ()
	})
}

func (f *frontend) Event(e chardev.Event) {
	if e != chardev.EventBreak {
		return
	}
	f.locked(func(u *UART) {
		u.accept(0)
		u.lsr |= lsrBI
		u.updateIRQ()
	})
}

func (f *frontend) Writable() { f.locked((*UART).send) }
