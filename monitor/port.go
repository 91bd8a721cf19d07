package monitor

import "github.com/gqemu/gqemu/chardev"

// Port is what a monitor needs of a character device. [*chardev.Chardev] is one.
type Port interface {
	// Attach makes fe the device's frontend. If a client is connected, fe gets
	// EventOpened.
	Attach(fe chardev.Frontend) error
	// Detach takes the frontend away.
	Detach()
	// Write takes output without blocking and returns how many bytes it took.
	// After fewer than len(p), Frontend.Writable follows. It must not call the
	// frontend itself.
	Write(p []byte) int
	// AcceptInput says that Frontend.CanReceive may have grown.
	AcceptInput()
	// TakeFDs hands over the file descriptors that came with the bytes
	// delivered last.
	TakeFDs() []int
	// ID is the name of the device, for messages.
	ID() string
}

var _ Port = (*chardev.Chardev)(nil)

// takesInput says that something can be sent through p. Where nothing can,
// there is no other lane for commands either, and QEMU does not offer one.
func takesInput(p Port) bool {
	if f, ok := p.(interface{ Filename() string }); ok {
		switch f.Filename() {
		case "null", "ringbuf":
			return false
		}
	}
	return true
}

// outlives says that the output of p goes on after EventClosed, which means no
// more than the end of the input: standard input, a pipe, a file. No other
// client can come there.
func outlives(p Port) bool {
	if f, ok := p.(interface{ Filename() string }); ok {
		switch f.Filename() {
		case "stdio", "pipe", "file":
			return true
		}
	}
	return false
}
