package vdpa

import (
	"testing"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
)

// The calls of a device's whole life, both versions of virtio-mmio.
func TestCallOrder(t *testing.T) {
	for name, legacy := range map[string]bool{"modern": false, "legacy": true} {
		rec := NewRecorder("/dev/vhost-vdpa-0", 2)
		r := newRig(t, legacy, rec)
		s := &script{rec: rec}
		s.step("realize")
		r.Do(func() { r.dev.dma.piece = 48 << 20 })
		r.drive(2)
		r.waitState(stateRunning)
		s.step("start: the driver sets DRIVER_OK")
		rec.SetBase(0, 1780)
		rec.SetBase(1, 7)
		r.run(false)
		s.step("stop")
		r.run(true)
		r.waitState(stateRunning)
		s.step("cont")
		r.write(regStatus, 0)
		s.step("the driver resets the device")
		r.drive(1)
		s.step("restart with one queue")
		r.Readl(base + 0x100)
		r.Writeb(base+0x120, 1)
		s.step("configuration: read of 4 bytes, write of 1")
		r.Do(func() { qdev.Reset(r.mmio) })
		s.step("machine reset")
		r.Do(func() { qdev.Reset(r.mmio) })
		s.step("machine reset of a device at rest")
		r.unplug()
		s.step("unrealize")
		s.check(t, name)
	}
}

// A device that cannot suspend goes on where its used ring stands.
func TestCallOrderNoSuspend(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	rec.BackendFeatures = FeatureIOTLBMsgV2
	r := newRig(t, false, rec)
	s := &script{rec: rec}
	r.drive(1)
	rec.TakeCalls()
	r.Writew(0x1002000+2, 0x321) // used.idx
	r.run(false)
	s.step("stop")
	r.run(true)
	r.waitState(stateRunning)
	s.step("cont")
	r.unplug()
	s.step("unrealize while running")
	s.check(t, "nosuspend")
}

// A packed ring starts with both wrap counters set.
func TestPackedBase(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	rec.Features |= 1 << 34
	r := newMachine(t, false, rec)
	if err := r.plug("packed=on", "queue-size=128"); err != nil {
		t.Fatal(err)
	}
	rec.TakeCalls()
	r.write(regStatus, 3)
	r.write(regDriverFeaturesSel, 1)
	r.write(regDriverFeatures, 1|1<<2)
	r.write(regStatus, 0xb)
	r.write(regQueueReady, 1)
	r.write(regStatus, 0xf)
	found := false
	for _, c := range rec.TakeCalls() {
		found = found || c == "VHOST_SET_VRING_BASE queue 0 base 0x80008000"
	}
	if !found {
		t.Error("no base with both wrap counters set")
	}
}

// What the memory map holds reaches the device: ROM read-only, changes while
// it runs, nothing outside of the device's range.
func TestCallOrderMemory(t *testing.T) {
	rec := NewRecorder("/dev/vhost-vdpa-0", 1)
	rec.Range = IOVARange{0x1000, 1<<40 - 1}
	r := newRig(t, false, rec)
	s := &script{rec: rec}
	rom, err := memory.NewROM("rom", make([]byte, 0x20000))
	if err != nil {
		t.Fatal(err)
	}
	region := memory.NewRAM(rom)
	r.Do(func() { err = r.Map.Add(r.System, region, 0xfffe0000, 0) })
	if err != nil {
		t.Fatal(err)
	}
	r.drive(1)
	s.step("realize and start with ROM below 4 GiB")
	r.Do(func() { err = r.Map.Move(region, 0xe0000) })
	if err != nil {
		t.Fatal(err)
	}
	s.step("the ROM moves over the RAM")
	r.Do(func() { err = r.Map.Remove(region) })
	if err != nil {
		t.Fatal(err)
	}
	s.step("the ROM goes")
	r.unplug()
	s.step("unrealize")
	s.check(t, "memory")
	if err := rom.Close(); err != nil {
		t.Error(err)
	}
}
