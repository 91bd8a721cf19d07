package qtest

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// rngMachine starts a microvm with an entropy device in its last slot, and
// drives it up to DRIVER_OK. The queue has size entries.
func rngMachine(t *testing.T, args ...string) (*Machine, *VirtioMMIO, *Vring, *Alloc) {
	t.Helper()
	m := microvm(t, args...)
	v, r, a := driveRNG(m, SlotAddr(VirtioSlots-1))
	return m, v, r, a
}

func driveRNG(m *Machine, base uint64) (*VirtioMMIO, *Vring, *Alloc) {
	m.t.Helper()
	v := &VirtioMMIO{M: m, Base: base}
	if id := v.In(VDeviceID); id != 4 {
		m.t.Fatalf("device id %d, want 4", id)
	}
	if !v.Init(^uint64(0) &^ FeatureEventIdx) {
		m.t.Fatal("the device refuses its own features")
	}
	a := &Alloc{Next: 1 << 20}
	r := v.Queue(0, 8, a)
	v.DriverOK()
	return v, r, a
}

// fill offers a buffer of n bytes and gives what the device put there.
func fill(v *VirtioMMIO, r *Vring, a *Alloc, n int) []byte {
	v.M.t.Helper()
	addr := a.Take(uint64(n), 8)
	v.M.Memset(addr, n, 0)
	r.Add(Buffer{Addr: addr, Len: uint32(n), Write: true})
	v.Kick(0)
	_, got := r.Wait()
	if int(got) > n {
		v.M.t.Fatalf("%d bytes in a buffer of %d", got, n)
	}
	return v.M.Read(addr, int(got))
}

// TestRNG: buffers come back full of bytes that differ, with an interrupt, on
// both kinds of transport and with both kinds of source.
func TestRNG(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"legacy":  Args("-device virtio-rng-device"),
		"modern":  Args("-global virtio-mmio.force-legacy=false -device virtio-rng-device,id=rng0"),
		"builtin": Args("-object rng-builtin,id=r -device virtio-rng-device,rng=r"),
		"random":  Args("-object rng-random,id=r -device virtio-rng-device,rng=/objects/r"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, v, r, a := rngMachine(t, args...)
			seen := map[string]bool{}
			for range 20 {
				b := fill(v, r, a, 64)
				if len(b) != 64 || seen[string(b)] || bytes.Count(b, []byte{0}) > 16 {
					t.Fatalf("% x", b)
				}
				seen[string(b)] = true
				m.Eventually("the interrupt", func() bool { return v.Interrupts()&1 != 0 })
			}
			m.QMP.Must("system_reset", nil, nil)
			m.QMP.WaitEvent("RESET")
			v, r, a = driveRNG(m, SlotAddr(VirtioSlots-1))
			if b := fill(v, r, a, 8); len(b) != 8 {
				t.Errorf("after a reset %d bytes", len(b))
			}
		})
	}
}

// TestRNGRate: no more than max-bytes come in a period of virtual time.
func TestRNGRate(t *testing.T) {
	t.Parallel()
	m, v, r, a := rngMachine(t, Args("-device virtio-rng-device,max-bytes=16,period=1000")...)
	if b := fill(v, r, a, 64); len(b) != 16 {
		t.Fatalf("%d bytes in the first period", len(b))
	}
	addr := a.Take(64, 8)
	r.Add(Buffer{Addr: addr, Len: 64, Write: true})
	v.Kick(0)
	m.ClockStep(999e6)
	m.QMP.Status()
	if _, _, ok := r.Take(); ok {
		t.Fatal("more in the same period")
	}
	m.ClockStep(2e6)
	if _, n := r.Wait(); n != 16 {
		t.Errorf("%d bytes in the second period", n)
	}
}

// TestRNGBlocks: a source that has nothing holds up its device and nothing
// else, not even the end; what comes later arrives.
func TestRNGBlocks(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	m, v, r, a := rngMachine(t, "-object", "rng-random,id=r,filename="+fifo, "-device", "virtio-rng-device,id=d,rng=r")
	addr := a.Take(16, 8)
	r.Add(Buffer{Addr: addr, Len: 16, Write: true})
	v.Kick(0)
	if s := m.QMP.Status(); s != "running" {
		t.Errorf("status %s", s)
	}
	if _, _, ok := r.Take(); ok {
		t.Fatal("bytes out of nothing")
	}
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString("0123456789abcdef"); err != nil {
		t.Fatal(err)
	}
	if _, n := r.Wait(); n != 16 || string(m.Read(addr, 16)) != "0123456789abcdef" {
		t.Errorf("%d bytes: %q", n, m.Read(addr, 16))
	}
	r.Add(Buffer{Addr: addr, Len: 16, Write: true})
	v.Kick(0)
	m.QMP.Must("stop", nil, nil)
	m.QMP.Must("cont", nil, nil)
	m.QMP.Must("system_reset", nil, nil)
	m.QMP.WaitEvent("RESET")
	// The machine's end, with a read under way, is part of the test.
}

// TestRNGStopped: what a driver offered while the VM stands is filled when it
// goes on.
func TestRNGStopped(t *testing.T) {
	t.Parallel()
	m, v, r, a := rngMachine(t, Args("-device virtio-rng-device")...)
	m.QMP.Must("stop", nil, nil)
	r.Add(Buffer{Addr: a.Take(16, 8), Len: 16, Write: true})
	v.Kick(0)
	m.QMP.Status()
	if _, _, ok := r.Take(); ok {
		t.Fatal("filled while the VM stands")
	}
	m.QMP.Must("cont", nil, nil)
	if _, n := r.Wait(); n != 16 {
		t.Errorf("%d bytes", n)
	}
}

// TestRNGEventIndex: a driver that notifies only where the device asks for it
// has all its buffers filled, one after the other and several at a time.
func TestRNGEventIndex(t *testing.T) {
	t.Parallel()
	m := microvm(t, Args("-device virtio-rng-device")...)
	v := &VirtioMMIO{M: m, Base: SlotAddr(VirtioSlots - 1)}
	if !v.Init(^uint64(0)) || v.Features&FeatureEventIdx == 0 {
		t.Fatalf("features %#x", v.Features)
	}
	a := &Alloc{Next: 1 << 20}
	r := v.Queue(0, 8, a)
	v.DriverOK()
	for round := range 20 {
		for range 1 + round%8 {
			r.Add(Buffer{Addr: a.Take(16, 8), Len: 16, Write: true})
			v.KickIfNeeded(0)
		}
		for r.InFlight() > 0 {
			if _, n := r.Wait(); n != 16 {
				t.Fatalf("round %d: %d bytes", round, n)
			}
		}
		// The device may still be about to say where it wants to be notified.
		m.Eventually("a place in the event index", func() bool {
			return m.Readw(r.Used+4+8*uint64(r.Size)) == r.UsedIndex()
		})
	}
}

// TestRNGErrors: in QEMU's words.
func TestRNGErrors(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-device virtio-rng-device,period=0":                     "'period' parameter expects a positive integer",
		"-device virtio-rng-device,max-bytes=0x8000000000000000": "'max-bytes' parameter must be non-negative, and less than 2^63",
		"-device virtio-rng-device,rng=nosuch":                   "Device 'nosuch' not found",
		"-device virtio-rng-device,rng=/objects/microvm.ram":     "Invalid parameter type for 'rng', expected: rng-backend",
		"-object rng-random,id=r,filename=/nonexistent/file":     "Could not open '/nonexistent/file': No such file or directory",
	} {
		p := Spawn(t, Config{Args: append(Args("-nodefaults -display none -accel qtest -M microvm"), Args(args)...)})
		if code := p.Wait(); code != 1 || !bytes.HasSuffix(bytes.TrimSpace([]byte(p.Stderr())), []byte(want)) {
			t.Errorf("%s: exit status %d, %s, want %s", args, code, p.Stderr(), want)
		}
	}
}
