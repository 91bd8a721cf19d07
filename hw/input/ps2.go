package input

import (
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// ps2 is what the PS/2 keyboard and mouse have in common: a queue of bytes for
// the controller, which knows from the output pin that there are any.
type ps2 struct {
	qdev.SysBus
	out   *qdev.IRQ
	queue []byte
	param uint8 // the command that waits for its parameter, 0 for none
	last  byte  // the byte read last
}

// maxQueue bounds the bytes that wait. A host that asks for more before it
// reads loses them.
const maxQueue = 16

// Replies and commands that both devices know (IBM PS/2 Hardware Interface
// Technical Reference, "Keyboards" and "Pointing device").
const (
	replyACK    = 0xfa
	replyResend = 0xfe
	replyPassed = 0xaa

	cmdReset    = 0xff
	cmdDefaults = 0xf6
	cmdDisable  = 0xf5
	cmdEnable   = 0xf4
	cmdRate     = 0xf3
	cmdGetID    = 0xf2
)

// Realize makes the output pin.
func (p *ps2) Realize(*qdev.Host) error { return p.AddGPIOOut("", &p.out) }

func (p *ps2) put(bytes ...byte) {
	if len(p.queue)+len(bytes) > maxQueue {
		return
	}
	p.queue = append(p.queue, bytes...)
	p.out.Set(len(p.queue) > 0)
}

// read takes the next byte; without one it is the last again.
func (p *ps2) read() byte {
	if len(p.queue) > 0 {
		p.last = p.queue[0]
		p.queue = p.queue[1:]
		p.out.Set(false) // an edge for each byte
		p.out.Set(len(p.queue) > 0)
	}
	return p.last
}

func (p *ps2) clear() {
	p.queue, p.param = nil, 0
	p.out.Set(false)
}

// Keyboard is the "ps2-kbd" device.
type Keyboard struct {
	ps2
	// translate tells that the controller makes scan codes of set 1.
	translate bool
	codeSet   byte
}

// Reset is power-on. Unlike a reset by command it answers nothing.
func (k *Keyboard) Reset() {
	k.clear()
	k.translate, k.codeSet = false, 2
}

// write is a byte from the controller.
func (k *Keyboard) write(v byte) {
	const (
		cmdLEDs     = 0xed
		cmdEcho     = 0xee
		cmdCodeSet  = 0xf0
		cmdKeysLow  = 0xf7 // these change what keys of set 3 send
		cmdKeysHigh = 0xfa
		cmdKeyLow   = 0xfb // and take a key
		cmdKeyHigh  = 0xfd
		cmdResend   = 0xfe
	)
	if cmd := k.param; cmd != 0 {
		k.param = 0
		switch {
		case cmd == cmdCodeSet && v == 0:
			k.put(replyACK, k.codeSet)
		case cmd == cmdCodeSet && v > 3:
			k.put(replyResend)
		case cmd == cmdCodeSet:
			k.codeSet = v
			k.put(replyACK)
		default:
			k.put(replyACK)
		}
		return
	}
	switch {
	case v == 0:
		k.put(replyACK)
	case v == cmdLEDs, v == cmdCodeSet, v == cmdRate, v >= cmdKeyLow && v <= cmdKeyHigh:
		k.param = v
		k.put(replyACK)
	case v == cmdGetID:
		id := byte(0x83)
		if k.translate {
			id = 0x41
		}
		k.put(replyACK, 0xab, id)
	case v == cmdEcho:
		k.put(cmdEcho)
	case v == cmdEnable:
		k.put(replyACK)
	case v == cmdDisable, v == cmdDefaults:
		k.queue, k.codeSet = nil, 2
		k.put(replyACK)
	case v >= cmdKeysLow && v <= cmdKeysHigh:
		k.put(replyACK)
	case v == cmdResend:
		k.put(k.last)
	case v == cmdReset:
		k.queue, k.codeSet = nil, 2
		k.put(replyACK, replyPassed)
	default:
		k.put(replyResend)
	}
}

// Mouse is the "ps2-mouse" device, which becomes one with a wheel for drivers
// that ask for it.
type Mouse struct {
	ps2
	status     byte // as the status request shows it
	resolution byte
	rate       byte
	wrap       bool
	id         byte // 0 plain, 3 with a wheel, 4 with five buttons
	detect     byte // progress of the sample rates that ask for that
}

// Bits of Mouse.status.
const (
	mouseRemote  = 0x40
	mouseEnabled = 0x20
	mouseScale21 = 0x10
)

// Reset is power-on.
func (m *Mouse) Reset() {
	m.clear()
	m.defaults()
	m.wrap, m.id, m.detect = false, 0, 0
}

func (m *Mouse) defaults() { m.status, m.resolution, m.rate = 0, 2, 100 }

// write is a byte from the controller.
func (m *Mouse) write(v byte) {
	const (
		cmdScale11    = 0xe6
		cmdScale21    = 0xe7
		cmdResolution = 0xe8
		cmdStatus     = 0xe9
		cmdStream     = 0xea
		cmdPoll       = 0xeb
		cmdEndWrap    = 0xec
		cmdWrap       = 0xee
		cmdRemote     = 0xf0
	)
	if cmd := m.param; cmd != 0 {
		m.param = 0
		if cmd == cmdRate {
			m.rate = v
			m.identify(v)
		} else {
			m.resolution = v
		}
		m.put(replyACK)
		return
	}
	if m.wrap {
		switch v {
		case cmdEndWrap:
			m.wrap = false
			m.put(replyACK)
			return
		case cmdReset:
		default:
			m.put(v)
			return
		}
	}
	switch v {
	case cmdScale11:
		m.status &^= mouseScale21
		m.put(replyACK)
	case cmdScale21:
		m.status |= mouseScale21
		m.put(replyACK)
	case cmdStream:
		m.status &^= mouseRemote
		m.put(replyACK)
	case cmdRemote:
		m.status |= mouseRemote
		m.put(replyACK)
	case cmdWrap:
		m.wrap = true
		m.put(replyACK)
	case cmdResolution, cmdRate:
		m.param = v
		m.put(replyACK)
	case cmdGetID:
		m.put(replyACK, m.id)
	case cmdStatus:
		m.put(replyACK, m.status, m.resolution, m.rate)
	case cmdPoll:
		packet := []byte{replyACK, 0x08, 0, 0} // bit 3 is always set
		if m.id != 0 {
			packet = append(packet, 0)
		}
		m.put(packet...)
	case cmdEnable:
		m.status |= mouseEnabled
		m.put(replyACK)
	case cmdDisable:
		m.status &^= mouseEnabled
		m.put(replyACK)
	case cmdDefaults:
		m.defaults()
		m.put(replyACK)
	case cmdReset:
		m.defaults()
		m.wrap, m.id = false, 0
		m.queue = nil
		m.put(replyACK, replyPassed, m.id)
	}
}

// identify follows the sample rates by which drivers ask for a wheel (200,
// 100, 80) and then for five buttons (200, 200, 80).
func (m *Mouse) identify(rate byte) {
	switch {
	case rate == 200 && m.detect == 1:
		m.detect = 3
	case rate == 200:
		m.detect = 1
	case rate == 100 && m.detect == 1:
		m.detect = 2
	case rate == 80 && m.detect == 2:
		m.id, m.detect = 3, 0
	case rate == 80 && m.detect == 3:
		m.id, m.detect = 4, 0
	default:
		m.detect = 0
	}
}

func registerPS2(r *qom.Registry) {
	class := &qdev.Class{BusType: "System", Category: "Input", NotUserCreatable: true, NotHotpluggable: true}
	r.Register(qom.Type{Name: "ps2-device", Parent: "sys-bus-device", Abstract: true, Class: class})
	r.Register(qom.Type{Name: "ps2-kbd", Parent: "ps2-device", New: func() qom.Object { return new(Keyboard) }})
	r.Register(qom.Type{Name: "ps2-mouse", Parent: "ps2-device", New: func() qom.Object { return new(Mouse) }})
}
