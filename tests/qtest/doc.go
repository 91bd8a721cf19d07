// Package qtest drives a built emulator from outside, as QEMU's libqtest does:
// over the qtest protocol (QEMU docs/devel/qtest.rst) for ports, memory, clock
// and interrupt lines, and over QMP for everything else. It needs no KVM, no
// root and no kernel module, uses the standard library only, and never imports
// the implementation, so its tests hold for any emulator of the same behaviour.
//
// A test starts a machine and talks to it:
//
//	m := qtest.Start(t, "-M", "microvm", "-m", "128m")
//	m.Outb(0x70, 0x0d)
//	if m.Inb(0x71)&0x80 == 0 { ... }
//	m.QMP.Must("system_reset", nil, nil)
//
// A [Machine] ends with its test: by SIGTERM, and its exit status must be 0.
// Methods fail the test at the first answer that is not OK; those ending in
// Err hand it back. A Machine is used by one goroutine at a time, except where
// a method says otherwise.
//
// On top of the protocol stand small guest drivers: [FwCfg], [UART], [RTC],
// [IOAPIC], [PIC], [GED] and [VirtioMMIO] with a split virtqueue.
//
// Environment: QTEST_QEMU_BINARY names a binary to test instead of building
// one; GQEMU_QTEST_RACE=1 builds with the race detector.
package qtest
