package qdev

import (
	"fmt"

	"github.com/gqemu/gqemu/qom"
)

// IRQ is the receiving end of an interrupt line: an input pin. A nil IRQ is
// a line that leads nowhere. It is an object of type "irq".
type IRQ struct {
	qom.State
	set   func(n int, level bool)
	n     int
	watch func(n int, level bool) // a test listens too; nil without
	// events, if not nil, can take eventfds as input n.
	events EventInput
	input  int
}

// EventInput is an interrupt controller that can take signals of eventfds as
// edges of an input, without this process in between. Called with the VM lock
// held.
type EventInput interface {
	// BindEvents hands eventfds to input n until UnbindEvents. False: the
	// input has others already.
	BindEvents(n int, e *Events) bool
	UnbindEvents(n int)
}

// Events are eventfds whose signals are interrupts of one line.
type Events struct {
	FDs []int
	// Changed is called, with the VM lock held, when the input begins to take
	// the signals, and when it no longer does. In between whoever finds a
	// count in one of the eventfds all the same raises the line, for which a
	// masked input then remembers an edge.
	Changed func(direct bool)
}

// SetEventInput makes the line lead, for Bind, to input n of e.
func (i *IRQ) SetEventInput(e EventInput, n int) { i.events, i.input = e, n }

// TakesEvents tells whether Bind may succeed.
func (i *IRQ) TakesEvents() bool { return i != nil && i.events != nil }

// Bind asks the input at the line's end to take signals of eventfds by itself
// while the guest has it set up so that it can: e.Changed tells, now or later.
// False: it never will.
func (i *IRQ) Bind(e *Events) bool { return i.TakesEvents() && i.events.BindEvents(i.input, e) }

// Unbind undoes a Bind that was true. Changed is not called.
func (i *IRQ) Unbind() { i.events.UnbindEvents(i.input) }

// Set drives the line. Called with the VM lock held.
func (i *IRQ) Set(level bool) {
	if i == nil {
		return
	}
	i.set(i.n, level)
	if i.watch != nil {
		i.watch(i.n, level)
	}
}

// Pulse raises and lowers the line.
func (i *IRQ) Pulse() {
	i.Set(true)
	i.Set(false)
}

// Number is the pin's index among its siblings.
func (i *IRQ) Number() int { return i.n }

// NewIRQ makes a line outside any device. It comes to stand below
// /machine/unattached when an output is first connected to it.
func (h *Host) NewIRQ(n int, set func(n int, level bool)) *IRQ {
	o, err := h.Types.New("irq")
	if err != nil {
		panic(fmt.Sprintf("qdev: %v", err)) // RegisterTypes was not called
	}
	i := o.(*IRQ)
	i.set, i.n = set, n
	return i
}

// gpioOut is an output: a slot of the device that holds where it leads.
type gpioOut struct {
	name string
	slot **IRQ
	// tap stands in the slot while a test listens, and to is then what the
	// output leads to.
	tap, to *IRQ
}

// target is where the output leads, nil for nowhere.
func (g *gpioOut) target() *IRQ {
	if g.tap != nil {
		return g.to
	}
	return *g.slot
}

// connect leads the output elsewhere.
func (g *gpioOut) connect(irq *IRQ) {
	if g.tap != nil {
		g.to = irq
	} else {
		*g.slot = irq
	}
}

// AddGPIOIn gives the device count input pins under a name, "" for unnamed
// ones. set is called with the pin's number and level.
func (s *State) AddGPIOIn(name string, count int, set func(n int, level bool)) error {
	label := name
	if label == "" {
		label = "unnamed-gpio-in"
	}
	if s.gpioIn == nil {
		s.gpioIn = map[string][]*IRQ{}
	}
	for i := range count {
		o, err := s.host.Types.New("irq")
		if err != nil {
			return err
		}
		irq := o.(*IRQ)
		irq.set, irq.n = set, i
		if err := qom.AddChild(s.self, fmt.Sprintf("%s[%d]", label, i), irq); err != nil {
			return err
		}
		s.gpioIn[name] = append(s.gpioIn[name], irq)
	}
	return nil
}

// GPIOIn is an input pin, nil when there is none of that name and number.
func (s *State) GPIOIn(name string, n int) *IRQ {
	if pins := s.gpioIn[name]; n >= 0 && n < len(pins) {
		return pins[n]
	}
	return nil
}

// GPIOIns lists the input pins of a name.
func (s *State) GPIOIns(name string) []*IRQ { return s.gpioIn[name] }

// AddGPIOOut declares slots as outputs under a name. Connect fills them.
func (s *State) AddGPIOOut(name string, slots ...**IRQ) error {
	label := name
	if label == "" {
		label = "unnamed-gpio-out"
	}
	for i, slot := range slots {
		g := &gpioOut{name: name, slot: slot}
		s.gpioOut = append(s.gpioOut, g)
		err := qom.AddLink(s.self, fmt.Sprintf("%s[%d]", label, i), "irq", func() qom.Object {
			if irq := g.target(); irq != nil {
				return irq
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Connect leads output n of a name to irq.
func (s *State) Connect(name string, n int, irq *IRQ) {
	if irq != nil && irq.Parent() == nil && s.host.Unattached != nil {
		// A "[*]" name cannot be taken.
		_ = qom.AddChild(s.host.Unattached, "non-qdev-gpio[*]", irq)
	}
	for _, g := range s.gpioOut {
		if g.name != name {
			continue
		}
		if n == 0 {
			g.connect(irq)
			return
		}
		n--
	}
	panic(fmt.Sprintf("qdev: %s has no output %s[%d]", s.TypeName(), name, n))
}

// GPIOCount tells how many pins of each kind stand under each name, for
// `info qtree`.
func (s *State) GPIOCount() (in, out map[string]int) {
	in, out = map[string]int{}, map[string]int{}
	for name, pins := range s.gpioIn {
		in[name] = len(pins)
	}
	for _, g := range s.gpioOut {
		out[g.name]++
	}
	return in, out
}
