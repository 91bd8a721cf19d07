package input

import (
	"fmt"

	"github.com/gqemu/gqemu/hw/isa"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// I8042 is the "i8042" device, a PC's keyboard controller at ports 0x60 and
// 0x64 (IBM PS/2 Hardware Interface Technical Reference, "Keyboard and
// Auxiliary Device Controller").
//
// The gate of address line 20 is an output. As with KVM, memory accesses do
// not heed it.
type I8042 struct {
	isa.Device
	kbdLine, mouseLine uint8
	throttle, extended bool
	types              *qom.Registry

	kbd             *Keyboard
	mouse           *Mouse
	irqs            [2]*qdev.IRQ // keyboard, mouse
	levels          [2]bool      // of irqs
	a20             *qdev.IRQ
	command         uint8  // that waits for its parameter, 0 for none
	status          uint8  // without the bits of the output buffer
	mode            uint8  // the command byte
	outport         uint8  // without the bits of the output buffer
	reply, replyAux []byte // one byte each at the most
	last            byte   // the byte read last
}

// Status register.
const (
	statusOBF      = 1 << 0 // output buffer full
	statusTested   = 1 << 2 // self-test passed
	statusCommand  = 1 << 3
	statusUnlocked = 1 << 4
	statusAuxOBF   = 1 << 5 // the output buffer is the mouse's
)

// Command byte.
const (
	modeKbdInt      = 1 << 0
	modeMouseInt    = 1 << 1
	modeKbdOff      = 1 << 4
	modeMouseOff    = 1 << 5
	modeTranslate   = 1 << 6
	outReset        = 1 << 0 // low resets
	outA20          = 1 << 1
	outOBF          = 1 << 4
	outAuxOBF       = 1 << 5
	outAlways       = 0xcc
	selfTestPassed  = 0x55
	interfacePassed = 0x00
	inputPort       = 0x80 // the keyboard is not locked
)

// Commands.
const (
	cmdReadMode    = 0x20
	cmdWriteMode   = 0x60
	cmdMouseOff    = 0xa7
	cmdMouseOn     = 0xa8
	cmdTestMouse   = 0xa9
	cmdSelfTest    = 0xaa
	cmdTestKbd     = 0xab
	cmdKbdOff      = 0xad
	cmdKbdOn       = 0xae
	cmdReadInput   = 0xc0
	cmdReadOutput  = 0xd0
	cmdWriteOutput = 0xd1
	cmdWriteBuffer = 0xd2
	cmdWriteAux    = 0xd3
	cmdWriteMouse  = 0xd4
	cmdA20Off      = 0xdd
	cmdA20On       = 0xdf
	cmdPulse       = 0xf0 // up to 0xff: clear bits are outputs to pulse low
	cmdNoOp        = 0xff
	kbdSide        = 0
	mouseSide      = 1
	dataPort       = 0x60
	statusPort     = 0x64
)

// InitInstance makes the devices behind the controller.
func (c *I8042) InitInstance() {
	for _, d := range []struct{ typ, name string }{{"ps2-kbd", "ps2kbd"}, {"ps2-mouse", "ps2mouse"}} {
		o, err := c.types.New(d.typ)
		if err == nil {
			err = qom.AddChild(c, d.name, o)
		}
		if err != nil {
			panic(fmt.Sprintf("input: %v", err)) // RegisterTypes adds the types
		}
		switch p := o.(type) {
		case *Keyboard:
			c.kbd = p
		case *Mouse:
			c.mouse = p
		}
	}
}

// Realize maps the ports and puts the devices behind them into work.
func (c *I8042) Realize(h *qdev.Host) error {
	if err := c.AddGPIOOut("", &c.irqs[kbdSide], &c.irqs[mouseSide]); err != nil {
		return err
	}
	if err := c.AddGPIOOut("a20", &c.a20); err != nil {
		return err
	}
	for side, line := range []uint8{c.kbdLine, c.mouseLine} {
		irq, err := c.Line(uint64(line))
		if err != nil {
			return err
		}
		c.Connect("", side, irq)
	}
	for _, d := range []struct {
		dev qdev.Device
		pin string
	}{{c.kbd, "ps2-kbd-input-irq"}, {c.mouse, "ps2-mouse-input-irq"}} {
		if err := c.AddGPIOIn(d.pin, 1, func(int, bool) { c.update() }); err != nil {
			return err
		}
		if h.SysBus != nil {
			if err := h.SysBus.Attach(d.dev); err != nil {
				return err
			}
		}
		if err := qdev.Realize(d.dev); err != nil {
			return err
		}
		c.Defer(func() { qdev.Unrealize(d.dev) })
		d.dev.Qdev().Connect("", 0, c.GPIOIn(d.pin, 0))
	}
	byteWide := memory.Access{ImplMax: 1}
	data := memory.NewIO("i8042-data", 1, memory.OpsFuncs{
		ReadFunc:  func(uint64, int) uint64 { return uint64(c.readData()) },
		WriteFunc: func(_, v uint64, _ int) { c.writeData(byte(v)) },
	}, byteWide)
	if err := c.AddPorts(data, dataPort); err != nil {
		return err
	}
	return c.AddPorts(memory.NewIO("i8042-cmd", 1, memory.OpsFuncs{
		ReadFunc:  func(uint64, int) uint64 { return uint64(c.state()) },
		WriteFunc: func(_, v uint64, _ int) { c.writeCommand(byte(v)) },
	}, byteWide), statusPort)
}

// Reset is power-on.
func (c *I8042) Reset() {
	c.mode = modeKbdInt | modeMouseInt
	c.status = statusCommand | statusUnlocked
	c.outport = outReset | outA20 | outAlways
	c.command, c.reply, c.replyAux = 0, nil, nil
	c.update()
}

// source is where the output buffer's byte comes from: the controller itself
// first, then the keyboard, then the mouse. full is false for an empty one.
func (c *I8042) source() (take func() byte, aux, full bool) {
	own := func(b *[]byte) func() byte {
		return func() byte {
			v := (*b)[0]
			*b = nil
			return v
		}
	}
	switch {
	case len(c.reply) > 0:
		return own(&c.reply), false, true
	case len(c.replyAux) > 0:
		return own(&c.replyAux), true, true
	case len(c.kbd.queue) > 0 && c.mode&modeKbdOff == 0:
		return c.kbd.read, false, true
	case len(c.mouse.queue) > 0 && c.mode&modeMouseOff == 0:
		return c.mouse.read, true, true
	}
	return nil, false, false
}

// state is the status register.
func (c *I8042) state() uint8 {
	v := c.status
	if _, aux, full := c.source(); full {
		v |= statusOBF
		if aux {
			v |= statusAuxOBF
		}
	}
	return v
}

// update drives the interrupt lines.
func (c *I8042) update() {
	_, aux, full := c.source()
	for side, level := range []bool{
		kbdSide:   full && !aux && c.mode&modeKbdInt != 0 && c.mode&modeKbdOff == 0,
		mouseSide: full && aux && c.mode&modeMouseInt != 0,
	} {
		if level != c.levels[side] {
			c.levels[side] = level
			c.irqs[side].Set(level)
		}
	}
}

func (c *I8042) readData() byte {
	if take, aux, full := c.source(); full {
		// The line falls for a moment, so that the next byte is an edge.
		if side := map[bool]int{true: mouseSide}[aux]; c.levels[side] {
			c.levels[side] = false
			c.irqs[side].Set(false)
		}
		c.last = take()
		c.update()
	}
	return c.last
}

func (c *I8042) answer(v byte) {
	c.reply = []byte{v}
	c.update()
}

func (c *I8042) writeCommand(v byte) {
	if v >= cmdPulse && v != cmdNoOp {
		// Only bit 0's output, the reset line, can be pulsed.
		if v&outReset == 0 {
			c.reset()
		}
		return
	}
	switch v {
	case cmdReadMode:
		c.answer(c.mode)
	case cmdWriteMode, cmdWriteOutput, cmdWriteBuffer, cmdWriteAux, cmdWriteMouse:
		c.command = v
	case cmdMouseOff:
		c.mode |= modeMouseOff
	case cmdMouseOn:
		c.mode &^= modeMouseOff
	case cmdTestMouse, cmdTestKbd:
		c.answer(interfacePassed)
	case cmdSelfTest:
		c.status |= statusTested
		c.answer(selfTestPassed)
	case cmdKbdOff:
		c.mode |= modeKbdOff
	case cmdKbdOn:
		c.mode &^= modeKbdOff
	case cmdReadInput:
		c.answer(inputPort)
	case cmdReadOutput:
		c.answer(c.outputPort())
	case cmdA20On:
		c.setA20(true)
	case cmdA20Off:
		c.setA20(false)
	}
	c.update()
}

func (c *I8042) writeData(v byte) {
	cmd := c.command
	c.command = 0
	switch cmd {
	case 0:
		c.mode &^= modeKbdOff // data for the keyboard turns it on
		c.kbd.write(v)
	case cmdWriteMode:
		c.mode = v
		c.kbd.translate = v&modeTranslate != 0
	case cmdWriteBuffer:
		c.reply = []byte{v}
	case cmdWriteAux:
		c.replyAux = []byte{v}
	case cmdWriteOutput:
		c.outport = v &^ (outOBF | outAuxOBF)
		c.setA20(v&outA20 != 0)
		if v&outReset == 0 {
			c.reset()
		}
	case cmdWriteMouse:
		c.mode &^= modeMouseOff
		c.mouse.write(v)
	}
	c.update()
}

// outputPort is the controller's output port as a guest reads it.
func (c *I8042) outputPort() byte {
	v := c.outport
	if _, aux, full := c.source(); full {
		v |= outOBF
		if aux {
			v |= outAuxOBF
		}
	}
	return v
}

func (c *I8042) setA20(on bool) {
	c.outport &^= outA20
	if on {
		c.outport |= outA20
	}
	c.a20.Set(on)
}

func (c *I8042) reset() {
	if g := c.Host().Guest; g != nil {
		g.GuestReset()
	}
}

func registerI8042(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "i8042", Parent: "isa-device",
		New:   func() qom.Object { return &I8042{types: r} },
		Class: &qdev.Class{BusType: "ISA", Category: "Input"},
		Properties: []*qom.Property{
			qdev.Field("extended-state", func(c *I8042) *bool { return &c.extended }, true),
			qdev.Field("kbd-throttle", func(c *I8042) *bool { return &c.throttle }, false),
			qdev.Field("kbd-irq", func(c *I8042) *uint8 { return &c.kbdLine }, 1),
			qdev.Field("mouse-irq", func(c *I8042) *uint8 { return &c.mouseLine }, 12),
		},
	})
}
