// Package qtest drives a built emulator from outside, as QEMU's libqtest does:
// over the qtest protocol (QEMU docs/devel/testing/qtest.rst) for ports, memory,
// clock and interrupt lines, and over QMP for everything else. It needs no KVM,
// no root and no kernel module, uses the standard library only, and never
// imports the implementation, so its tests hold for any emulator of the same
// behaviour. Other projects may use it as it is.
//
// A whole test file:
//
//	package mydevice
//
//	import (
//		"testing"
//		"time"
//
//		"github.com/gqemu/gqemu/tests/qtest"
//	)
//
//	func TestMain(m *testing.M) { qtest.Main(m) }
//
//	// The clock's periodic interrupt reaches the interrupt controller.
//	func TestTick(t *testing.T) {
//		t.Parallel()
//		m := qtest.Start(t, "-M", "microvm", "-nodefaults")
//		m.InterceptIn("ioapic")
//		rtc := &qtest.RTC{M: m}
//		rtc.Out(qtest.RTCA, 0x2f) // twice a second
//		rtc.Out(qtest.RTCB, qtest.RTC24h|qtest.RTCPIE)
//		m.ClockUntil("a tick", 100_000_000, 1_000_000_000, func() bool { return m.IRQ(8) })
//		rtc.In(qtest.RTCC)
//		if m.IRQ(8) {
//			t.Error("reading register C leaves the line high")
//		}
//
//		m.QMP.Must("system_reset", nil, nil)
//		if _, ok := m.QMP.WaitEventWithin(5*time.Second, "RESET", nil); !ok {
//			t.Error("nobody is told of the reset")
//		}
//	}
//
// A [Machine] ends with its test: by SIGTERM, and its exit status must be 0. No
// sleep is needed: virtual time stands until [Machine.ClockStep], and each
// command is answered once its effects are there. What comes from outside, such
// as a client of a chardev, is waited for with [Machine.Eventually] and
// [Machine.WaitIRQ].
//
// Methods fail the test at the first answer that is not OK; those ending in Err
// hand it back. A Machine is used by one goroutine at a time, except where a
// method says otherwise, and so is a [QMP] connection; a test may have many.
//
// On top of the protocol stand small guest drivers: [FwCfg] (ports and DMA),
// [UART], [RTC], [IOAPIC], [PIC], [GED] and [VirtioMMIO], legacy and modern, with
// split virtqueues ([Vring]: indirect descriptors, event index). Their buffers
// come from an [Allocator]: an [Alloc], or a [Heap], which takes memory back and
// tells of leaks. [VDPASim] stands in for a vhost-vdpa character device.
//
// [Script] runs the same code outside of go test.
//
// Environment: QTEST_QEMU_BINARY names the binary to test, a path or a name to
// look for in PATH, instead of a gqemu that is built; GQEMU_QTEST_RACE=1 builds
// that with the race detector; QTEST_LOG=1 shows the conversation with the qtest
// server on the emulator's standard error, which a failed test prints.
package qtest
