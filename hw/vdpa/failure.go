package vdpa

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/qom"
)

// StateEvent is the event that tells clients that a device has broken, and
// later that a reset has recovered it. Its data is a StateChange.
const StateEvent = "__io.github.gqemu_VDPA_DEVICE_STATE"

// StateChange is the data of StateEvent. What says why a device broke is nil
// when it has recovered, and Verb, Queue and the errno also where the failure
// is none of a call, of a queue's or of the operating system's.
type StateChange struct {
	Device    *string `qapi:"device,optional"` // its id; nil for none
	Path      string  `qapi:"path"`            // in the composition tree
	State     string  `qapi:"state"`           // as property x-state has it
	Verb      *string `qapi:"verb,optional"`   // the kernel's name of the call
	Queue     *int64  `qapi:"queue,optional"`
	Errno     *int64  `qapi:"errno,optional"`
	ErrnoName *string `qapi:"errno-name,optional"`
	Error     *string `qapi:"error,optional"`
}

// failure is what went wrong, for those who are told of it once.
type failure struct {
	what  string // "start failed: ", "" for a call of its own
	verb  Verb
	errno syscall.Errno
}

// failureOf takes an error apart. Of several the first counts.
func failureOf(what string, err error) failure {
	f := failure{what: what}
	var op *OpError
	if errors.As(err, &op) {
		f.verb = op.Verb
	}
	errors.As(err, &f.errno)
	return f
}

// broken tells the log, the user, the clients and the driver that the device
// works no more. Of a device that is broken already it tells what it has not
// told since it broke.
func (d *Device) broken(what string, err error) {
	f := failureOf(what, err)
	known := d.state == stateBroken && d.told[f]
	d.move(evFailed)
	d.lastErr = err
	d.stats.failed(err)
	d.resized(f)
	if !known {
		if d.told == nil {
			d.told = map[failure]bool{}
		}
		d.told[f] = true
		d.tell(what, err)
	}
	d.NeedsReset()
}

// tell reports a failure.
func (d *Device) tell(what string, err error) {
	text := what + errorText(err)
	d.post(text, err)
	missed, ok := d.lines.take(time.Now())
	if !ok {
		return // a guest may go on to reset it and to make it fail
	}
	d.logError(err)
	if d.host.Report != nil {
		if missed > 0 {
			text += fmt.Sprintf(" (%d failures before it were not reported)", missed)
		}
		d.host.Report("vhost-vdpa-device: " + text)
	}
}

// maxErrors is how many of several errors are told: undoing a start may fail
// once for each piece of memory.
const maxErrors = 3

// errorText is an error in one line.
func errorText(err error) string {
	list := strings.Split(err.Error(), "\n")
	if n := len(list) - maxErrors; n > 0 {
		list = append(list[:maxErrors], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(list, "; ")
}

// post sends StateEvent. err is nil for a device that has recovered.
func (d *Device) post(text string, err error) {
	if d.host.Events == nil {
		return
	}
	c := StateChange{Path: qom.Path(d), State: d.state.String()}
	if id := d.ID(); id != "" {
		c.Device = &id
	}
	if err != nil {
		c.Error = &text
		var op *OpError
		if errors.As(err, &op) {
			verb := string(op.Verb)
			c.Verb = &verb
			if op.Queue >= 0 {
				n := int64(op.Queue)
				c.Queue = &n
			}
		}
		var no syscall.Errno
		if errors.As(err, &no) {
			n, name := int64(no), unix.ErrnoName(no)
			c.Errno, c.ErrnoName = &n, &name
		}
	}
	d.host.Events.Post(StateEvent, c)
}

// moved is called when the device goes from state from to where it is now.
func (d *Device) moved(e event, from state) {
	switch e {
	case evStarted, evVMStop, evReset, evFailed:
		d.unfollowed = nil // all was mapped anew, or will be
	}
	if e == evStarted {
		for i := range d.stats.queues {
			if q := d.Queue(i); q != nil && q.Ready {
				d.stats.queues[i].starts++
			}
		}
	}
	if from == stateBroken && d.state != stateBroken {
		clear(d.told)
		d.stats.recoveries++
		d.post("", nil)
	}
}

// logError logs a failed call.
func (d *Device) logError(err error) {
	e := d.host.Log.Error().Str("id", d.ID())
	var op *OpError
	if errors.As(err, &op) {
		e = e.Str("verb", string(op.Verb)).Str("device", op.Device)
		if op.Queue >= 0 {
			e = e.Int("queue", op.Queue)
		}
		e = e.Str("errno", errno.Text(op.Err))
	}
	e.Msg(errorText(err))
}

// Lines about one device: this many at once, and then one in each interval.
const (
	lineBurst    = 10
	lineInterval = time.Second
)

// lineLimit bounds how much is written about a device.
type lineLimit struct {
	used   int       // of lineBurst
	since  time.Time // when used was reckoned
	missed int       // lines that were not written
}

// take asks for a line. missed is how many were refused since the last.
func (l *lineLimit) take(now time.Time) (missed int, ok bool) {
	if n := now.Sub(l.since) / lineInterval; n > 0 {
		l.used = max(0, l.used-int(min(n, lineBurst)))
		l.since = now
	}
	if l.used == lineBurst {
		l.missed++
		return 0, false
	}
	l.used++
	missed, l.missed = l.missed, 0
	return missed, true
}
