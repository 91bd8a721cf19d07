package sim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/hw/virtio"
	"github.com/gqemu/gqemu/qom"
)

// faults makes calls of a simulator fail on purpose, so that guests, clients
// and management programs can be tried with a device that breaks. The property
// x-fail of both types, which can be set at any time, says which:
//
//	x-fail=VERB[@QUEUE]:ERRNO[:COUNT][;...]
//
// VERB is the kernel's name of a call (VHOST_SET_VRING_ADDR) or of a message to
// the IOTLB (VHOST_IOTLB_UPDATE), or * for any; QUEUE limits it to calls about
// that queue; ERRNO is a name (EIO) or a number; COUNT is how many calls fail,
// and without it all do until the property is set anew. The first rule that
// fits counts. A call that fails has no effect. Reading the property gives the
// rules that are left: one that has been used up is gone.
//
//	qom-set path=/objects/d0 property=x-fail value=VHOST_SET_VRING_ADDR@0:EIO:1
//	qom-set path=/objects/d0 property=x-fail value=*:ENODEV
//
// The first fails the driver's next start, and the one after that succeeds;
// with the second the device has vanished, until x-fail is "".
type faults struct {
	mu    sync.Mutex // guards rules; taken last
	rules []fault
}

// fault is one rule.
type fault struct {
	verb  vdpa.Verb // "*" for any
	queue int       // -1 for any
	errno syscall.Errno
	left  int // -1 for no end
}

// maxFaults bounds the rules.
const maxFaults = 64

// anyCall stands for all verbs.
const anyCall vdpa.Verb = "*"

// failable are the calls there are.
var failable = []vdpa.Verb{
	anyCall, vdpa.VerbGetFeatures, vdpa.VerbSetFeatures, vdpa.VerbSetOwner, vdpa.VerbSetVringNum, vdpa.VerbSetVringAddr,
	vdpa.VerbSetVringBase, vdpa.VerbGetVringBase, vdpa.VerbSetVringKick, vdpa.VerbSetVringCall,
	vdpa.VerbSetBackendFeatures, vdpa.VerbGetBackendFeatures, vdpa.VerbGetDeviceID, vdpa.VerbGetStatus,
	vdpa.VerbSetStatus, vdpa.VerbGetConfig, vdpa.VerbSetConfig, vdpa.VerbSetVringEnable, vdpa.VerbGetVringNum,
	vdpa.VerbSetConfigCall, vdpa.VerbGetIOVARange, vdpa.VerbGetConfigSize, vdpa.VerbGetVqsCount, vdpa.VerbSuspend,
	vdpa.VerbUpdate, vdpa.VerbInvalidate, vdpa.VerbBatchBegin, vdpa.VerbBatchEnd,
}

// hit is asked before each call; queue is -1 for one about no queue. It gives
// the error that the call is to end with.
func (f *faults) hit(verb vdpa.Verb, queue int) error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.rules {
		r := &f.rules[i]
		if r.verb != anyCall && r.verb != verb || r.queue >= 0 && r.queue != queue {
			continue
		}
		no := r.errno
		if r.left > 0 {
			if r.left--; r.left == 0 {
				f.rules = slices.Delete(f.rules, i, i+1)
			}
		}
		return no
	}
	return nil
}

func (f *faults) set(rules []fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = rules
}

// String gives the rules as parseFaults reads them.
func (f *faults) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, r := range f.rules {
		s := string(r.verb)
		if r.queue >= 0 {
			s += "@" + strconv.Itoa(r.queue)
		}
		if name := unix.ErrnoName(r.errno); name != "" {
			s += ":" + name
		} else {
			s += ":" + strconv.Itoa(int(r.errno))
		}
		if r.left > 0 {
			s += ":" + strconv.Itoa(r.left)
		}
		out = append(out, s)
	}
	return strings.Join(out, ";")
}

// parseFaults reads the value of x-fail.
func parseFaults(s string) ([]fault, error) {
	if s == "" {
		return nil, nil
	}
	var rules []fault
	for _, text := range strings.Split(s, ";") {
		r, err := parseFault(text)
		if err != nil {
			return nil, fmt.Errorf("x-fail: '%s': %w", text, err)
		}
		if rules = append(rules, r); len(rules) > maxFaults {
			return nil, fmt.Errorf("x-fail: at most %d rules", maxFaults)
		}
	}
	return rules, nil
}

func parseFault(s string) (fault, error) {
	r := fault{queue: -1, left: -1}
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return r, errors.New("VERB[@QUEUE]:ERRNO[:COUNT] is expected")
	}
	verb, queue, ofQueue := strings.Cut(parts[0], "@")
	if r.verb = vdpa.Verb(verb); !slices.Contains(failable, r.verb) {
		return r, fmt.Errorf("there is no call '%s'", verb)
	}
	number := func(s string, least, most int) (int, error) {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil || int(n) < least || int(n) > most {
			return 0, fmt.Errorf("'%s' is not a number from %d to %d", s, least, most)
		}
		return int(n), nil
	}
	var err error
	if ofQueue {
		if r.queue, err = number(queue, 0, virtio.MaxQueues-1); err != nil {
			return r, err
		}
	}
	if r.errno = errnoNamed(parts[1]); r.errno == 0 {
		n, err := number(parts[1], 1, 4095)
		if err != nil {
			return r, fmt.Errorf("there is no errno '%s'", parts[1])
		}
		r.errno = syscall.Errno(n)
	}
	if len(parts) == 3 {
		r.left, err = number(parts[2], 1, 1<<30)
	}
	return r, err
}

// errnoNamed is the errno of a name, 0 for none.
func errnoNamed(name string) syscall.Errno {
	for no := syscall.Errno(1); no < 256; no++ {
		if n := unix.ErrnoName(no); n != "" && n == name {
			return no
		}
	}
	return 0
}

// failProperty is x-fail; see faults.
func failProperty() *qom.Property {
	p := qom.NewProperty("x-fail", "str", nil,
		func(s simulator) any { return s.common().faults.String() },
		func(s simulator, v qom.Value) error {
			text, err := v.Str("x-fail")
			if err != nil {
				return err
			}
			rules, err := parseFaults(text)
			if err == nil {
				s.common().faults.set(rules)
			}
			return err
		}, nil)
	p.Description = "Calls that fail on purpose: VERB[@QUEUE]:ERRNO[:COUNT][;...]"
	return p
}

// needsResetProperty is x-needs-reset: setting it makes a device that is in use
// stop, set DEVICE_NEEDS_RESET in its status and signal a change, as hardware
// does that has met an error. A reset clears it.
func needsResetProperty() *qom.Property {
	p := qom.NewProperty("x-needs-reset", "bool", nil,
		func(s simulator) any {
			d := s.common().dev
			return d != nil && d.needsReset()
		},
		func(s simulator, v qom.Value) error {
			on, err := v.Bool("x-needs-reset")
			d := s.common().dev
			switch {
			case err != nil:
				return err
			case !on:
				return errors.New("x-needs-reset: only a reset of the device clears it")
			case d == nil:
				return errors.New("x-needs-reset: no device uses the object")
			}
			d.needReset()
			return nil
		}, nil)
	p.Description = "Whether the device asks to be reset; true makes it do so"
	return p
}

func (d *device) needsReset() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state()&uint8(virtio.StatusNeedsReset) != 0
}

func (d *device) needReset() {
	d.reconfigure(func() {
		for i := range d.queues {
			d.queues[i].settle()
		}
		d.suspended = true
		d.ailing = true
	})
}
