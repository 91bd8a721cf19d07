package qtest

// COM1 is the first serial port's base; its line is IRQ 4.
const COM1 = 0x3f8

// Registers of a 16550, as offsets from its base.
const (
	UARTData = 0 // RBR, THR; divisor's low byte with DLAB
	UARTIER  = 1 // divisor's high byte with DLAB
	UARTIIR  = 2 // FCR when written
	UARTLCR  = 3
	UARTMCR  = 4
	UARTLSR  = 5
	UARTMSR  = 6
	UARTSCR  = 7
)

// UART drives a 16550A.
type UART struct {
	M    *Machine
	Base uint16
}

// In reads a register.
func (u *UART) In(reg uint16) uint8 { u.M.t.Helper(); return u.M.Inb(u.Base + reg) }

// Out writes a register.
func (u *UART) Out(reg uint16, v uint8) { u.M.t.Helper(); u.M.Outb(u.Base+reg, v) }

// Init sets 115200 8N1, FIFOs on with a trigger of 14, DTR, RTS and OUT2.
func (u *UART) Init() {
	u.M.t.Helper()
	u.Out(UARTLCR, 0x80)
	u.Out(UARTData, 1)
	u.Out(UARTIER, 0)
	u.Out(UARTLCR, 0x03)
	u.Out(UARTIIR, 0xc7)
	u.Out(UARTMCR, 0x0b)
}

// Print sends text, waiting for the transmitter as a kernel's early console
// does. Virtual time moves while it waits.
func (u *UART) Print(s string) {
	u.M.t.Helper()
	for i := range len(s) {
		for tries := 0; u.In(UARTLSR)&0x20 == 0; tries++ {
			if tries > 100 {
				u.M.t.Fatalf("the transmitter stays busy after %d of %d bytes", i, len(s))
			}
			u.M.ClockStep(1e6)
		}
		u.Out(UARTData, s[i])
	}
}

// Available takes what has been received.
func (u *UART) Available() []byte {
	u.M.t.Helper()
	var b []byte
	for u.In(UARTLSR)&0x01 != 0 {
		b = append(b, u.In(UARTData))
	}
	return b
}

// ReadN takes n received bytes, waiting for them.
func (u *UART) ReadN(n int) string {
	u.M.t.Helper()
	var b []byte
	u.M.Eventually("received bytes", func() bool {
		b = append(b, u.Available()...)
		return len(b) >= n
	})
	return string(b)
}
