// Package chardev implements QEMU's character device backends: the byte streams behind serial
// ports, monitors and the qtest channel.
//
// A [Chardev] joins two sides. The backend is the host side: a socket, a terminal, a pty, a file,
// a pipe, nothing at all. The [Frontend] is the device or monitor that was attached to it. A
// [Registry] holds the chardevs of one VM by id. [ParseOpts] reads the -chardev form, and
// [ParseFilename] the older one of -serial, -monitor and -qmp.
//
// # Flow control
//
// Both directions are bounded. Input is read from the host only while the frontend's CanReceive is
// positive, in pieces of at most 4096 bytes, so a slow guest stops its peer. Output goes through a
// queue of [QueueSize] bytes: Write never blocks, takes what fits, and Writable is called when
// there is room again.
//
// # Multiplexers
//
// With [Common].Mux up to four frontends share a backend: all write to it, and the one with the
// focus gets its input. Ctrl-A, or [Registry].EscapeKey, followed by a key is for the multiplexer,
// as in QEMU: h lists the keys, c moves the focus on, x calls [Registry].Quit. Each frontend gets a
// Chardev of its own from [Registry.Get].
//
// # Goroutines
//
// Every Chardev owns up to three goroutines: one that makes all calls of the frontend, one that
// opens sessions and reads them, one that writes. Close stops and joins them. A multiplexer has none:
// its frontends are called from the goroutine of its base.
package chardev
