package char

import (
	"fmt"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/clock"
	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// UART is the "serial" device, a National Semiconductor 16550A (datasheet
// PC16550D). It is part of a device that gives it a place and an interrupt
// line.
//
// The baud rate only times the receiver's timeout: output goes as fast as
// the chardev takes it, and THRE stays clear while it takes none. Without a
// chardev output vanishes.
type UART struct {
	qdev.State
	chardevID string
	baudBase  uint32 // bits per second at divisor 1
	wakeup    bool   // for a machine that can sleep

	irq   *qdev.IRQ
	level bool             // of irq
	chr   *chardev.Chardev // nil without, and after unrealize
	idle  *clock.Timer     // receiver timeout

	rx, tx   fifo
	rbr      uint8 // receiver buffer without FIFO
	thrEmpty bool  // THRE interrupt pending
	timedOut bool  // receiver timeout pending

	divisor            uint16
	ier, iir, fcr, lcr uint8
	mcr, lsr, msr, scr uint8
}

// Registers (PC16550D, table II).
const (
	regData = iota // RBR, THR; DLL with LCR DLAB
	regIER         // DLM with DLAB
	regIIR         // FCR when written
	regLCR
	regMCR
	regLSR
	regMSR
	regSCR

	uartRegs = 8
)

const (
	ierRDI, ierTHRI, ierRLSI, ierMSI = 0x01, 0x02, 0x04, 0x08

	// Interrupt identification, highest priority first.
	iirRLS, iirTimeout, iirRDI, iirTHR, iirMSI, iirNone = 0x06, 0x0c, 0x04, 0x02, 0x00, 0x01
	iirFIFO                                             = 0xc0

	fcrEnable, fcrClearRX, fcrClearTX = 0x01, 0x02, 0x04
	fcrWritable                       = 0xc9

	lcrDLAB = 0x80

	mcrDTR, mcrRTS, mcrOUT1, mcrOUT2, mcrLoop = 0x01, 0x02, 0x04, 0x08, 0x10
	mcrWritable                               = 0x1f

	lsrDR, lsrOE, lsrPE, lsrFE, lsrBI, lsrTHRE, lsrTEMT = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40
	lsrErrors                                           = lsrOE | lsrPE | lsrFE | lsrBI

	msrDeltas                           = 0x0f
	msrTERI                             = 0x04
	msrCTS, msrDSR, msrRI, msrDCD       = 0x10, 0x20, 0x40, 0x80
	connected                           = msrCTS | msrDSR | msrDCD // the modem lines at rest
	resetDivisor                        = 12
	timeoutChars                        = 4 // receiver timeout in character times
	nsPerSecond                   int64 = 1e9
)

// triggers are the receiver FIFO's trigger levels by FCR bits 7:6.
var triggers = [4]int{1, 4, 8, 14}

// fifo is a FIFO of the chip.
type fifo struct {
	buf  [16]byte
	n    int // bytes in it
	head int // the oldest
}

func (f *fifo) full() bool { return f.n == len(f.buf) }
func (f *fifo) clear()     { f.n, f.head = 0, 0 }

func (f *fifo) push(b byte) {
	f.buf[(f.head+f.n)%len(f.buf)] = b
	f.n++
}

func (f *fifo) pop() byte {
	b := f.buf[f.head]
	f.drop(1)
	return b
}

// run is the longest run of the oldest bytes that lie in one piece.
func (f *fifo) run() []byte { return f.buf[f.head:min(f.head+f.n, len(f.buf))] }

func (f *fifo) drop(n int) {
	f.n -= n
	f.head = (f.head + n) % len(f.buf)
	if f.n == 0 {
		f.head = 0
	}
}

// SetIRQ sets the interrupt line. Called before realize.
func (u *UART) SetIRQ(irq *qdev.IRQ) { u.irq = irq }

// Registers makes the region of the eight registers.
func (u *UART) Registers(name string) *memory.Region {
	return memory.NewIO(name, uartRegs, memory.OpsFuncs{ReadFunc: u.read, WriteFunc: u.write},
		memory.Access{ImplMax: 1, Unaligned: true})
}

// Realize attaches the chardev.
func (u *UART) Realize(h *qdev.Host) error {
	u.idle = h.Clock.NewTimer(u.timeout)
	u.Defer(u.idle.Stop)
	u.Reset()
	if u.chardevID == "" {
		return nil
	}
	chr, err := u.findChardev(h, u.chardevID)
	if err != nil {
		return err
	}
	// Calls of the frontend begin at once and wait for the VM lock.
	u.chr = chr
	if err := chr.Attach(&frontend{u}); err != nil {
		u.chr = nil
		return fmt.Errorf("Property '%s.chardev' can't take value '%s': %w", u.TypeName(), u.chardevID, err)
	}
	u.Defer(func() {
		chr := u.chr // perhaps another by now
		u.chr = nil
		chr.Detach()
	})
	return nil
}

func (u *UART) findChardev(h *qdev.Host, id string) (*chardev.Chardev, error) {
	if h.Chardevs != nil {
		if chr, ok := h.Chardevs.Get(id); ok {
			return chr, nil
		}
	}
	return nil, fmt.Errorf("Property '%s.chardev' can't find value '%s'", u.TypeName(), id)
}

// Reset is the chip's master reset. What was not sent yet is lost.
func (u *UART) Reset() {
	u.idle.Stop()
	u.rx.clear()
	u.tx.clear()
	u.rbr, u.thrEmpty, u.timedOut = 0, false, false
	u.divisor = resetDivisor
	u.ier, u.iir, u.fcr, u.lcr, u.scr = 0, iirNone, 0, 0, 0
	u.mcr, u.lsr, u.msr = mcrOUT2, lsrTHRE|lsrTEMT, connected
	u.level = false
	u.irq.Set(false)
	u.acceptInput()
}

// updateIRQ finds the pending interrupt of the highest priority and drives
// the line.
func (u *UART) updateIRQ() {
	id := uint8(iirNone)
	switch {
	case u.ier&ierRLSI != 0 && u.lsr&lsrErrors != 0:
		id = iirRLS
	case u.ier&ierRDI != 0 && u.timedOut:
		id = iirTimeout
	case u.ier&ierRDI != 0 && u.lsr&lsrDR != 0 && (u.fcr&fcrEnable == 0 || u.rx.n >= u.trigger()):
		id = iirRDI
	case u.ier&ierTHRI != 0 && u.thrEmpty:
		id = iirTHR
	case u.ier&ierMSI != 0 && u.msr&msrDeltas != 0:
		id = iirMSI
	}
	u.iir = u.iir&iirFIFO | id
	if level := id != iirNone; level != u.level {
		u.level = level
		u.irq.Set(level)
	}
}

func (u *UART) trigger() int { return triggers[u.fcr>>6] }

func (u *UART) read(offset uint64, _ int) uint64 {
	switch offset {
	case regData:
		if u.lcr&lcrDLAB != 0 {
			return uint64(uint8(u.divisor))
		}
		return uint64(u.receive())
	case regIER:
		if u.lcr&lcrDLAB != 0 {
			return uint64(u.divisor >> 8)
		}
		return uint64(u.ier)
	case regIIR:
		iir := u.iir
		if iir&0x0f == iirTHR {
			u.thrEmpty = false
			u.updateIRQ()
		}
		return uint64(iir)
	case regLCR:
		return uint64(u.lcr)
	case regMCR:
		return uint64(u.mcr)
	case regLSR:
		lsr := u.lsr
		if lsr&lsrErrors != 0 {
			u.lsr &^= lsrErrors
			u.updateIRQ()
		}
		return uint64(lsr)
	case regMSR:
		msr := u.msr
		if msr&msrDeltas != 0 {
			u.msr &^= msrDeltas
			u.updateIRQ()
		}
		return uint64(msr)
	default:
		return uint64(u.scr)
	}
}

func (u *UART) write(offset, value uint64, _ int) {
	switch v := uint8(value); offset {
	case regData:
		if u.lcr&lcrDLAB != 0 {
			u.divisor = u.divisor&0xff00 | uint16(v)
			return
		}
		u.transmit(v)
	case regIER:
		if u.lcr&lcrDLAB != 0 {
			u.divisor = u.divisor&0x00ff | uint16(v)<<8
			return
		}
		changed := u.ier ^ v&0x0f
		u.ier = v & 0x0f
		if changed&ierTHRI != 0 {
			// Enabling it interrupts at once when THRE is set, even if IIR was
			// read before. Drivers count on it (Linux: UART_BUG_TXEN).
			u.thrEmpty = u.ier&ierTHRI != 0 && u.lsr&lsrTHRE != 0
		}
		if changed != 0 {
			u.updateIRQ()
		}
	case regIIR:
		u.writeFCR(v)
	case regLCR:
		u.lcr = v
	case regMCR:
		u.mcr = v & mcrWritable
		u.updateModem()
		u.acceptInput() // loopback may have ended
	case regSCR:
		u.scr = v
	}
}

// writeFCR switches and empties the FIFOs.
func (u *UART) writeFCR(v uint8) {
	v &= fcrWritable | fcrClearRX | fcrClearTX
	if (v^u.fcr)&fcrEnable != 0 {
		v |= fcrClearRX | fcrClearTX
	}
	u.fcr = v & fcrWritable
	u.iir &^= iirFIFO
	if u.fcr&fcrEnable != 0 {
		u.iir |= iirFIFO
	}
	if v&fcrClearRX != 0 {
		u.rx.clear()
		u.idle.Stop()
		u.timedOut = false
		u.lsr &^= lsrDR | lsrBI
	}
	if v&fcrClearTX != 0 {
		u.tx.clear()
		u.lsr |= lsrTHRE | lsrTEMT
		u.thrEmpty = true
	}
	u.updateIRQ()
	u.acceptInput()
}

// updateModem takes the modem lines from the other side, or in loopback from
// MCR, and notes what has changed.
func (u *UART) updateModem() {
	lines := uint8(connected)
	if u.mcr&mcrLoop != 0 {
		lines = u.mcr&mcrRTS<<3 | u.mcr&mcrDTR<<5 | u.mcr&(mcrOUT1|mcrOUT2)<<4
	}
	changed := (u.msr ^ lines) >> 4
	if lines&msrRI != 0 {
		changed &^= msrTERI // only the trailing edge counts
	}
	u.msr = lines | u.msr&msrDeltas | changed
	u.updateIRQ()
}

func registerUART(r *qom.Registry) {
	id := qdev.Field("chardev", func(u *UART) *string { return &u.chardevID }, "",
		qom.Description("ID of a chardev to use as a backend"))
	set := id.Set
	id.Set = func(o qom.Object, v qom.Value) error {
		u := o.(*UART)
		if s, err := v.Str("chardev"); err == nil && s != "" && !u.Realized() {
			if _, err := u.findChardev(u.Host(), s); err != nil {
				return err
			}
		}
		return set(o, v)
	}
	r.Register(qom.Type{
		Name: "serial", Parent: "device",
		New:   func() qom.Object { return new(UART) },
		Class: &qdev.Class{NotUserCreatable: true},
		Properties: []*qom.Property{
			id,
			qdev.Field("baudbase", func(u *UART) *uint32 { return &u.baudBase }, 115200),
			qdev.Field("wakeup", func(u *UART) *bool { return &u.wakeup }, false),
		},
	})
}
