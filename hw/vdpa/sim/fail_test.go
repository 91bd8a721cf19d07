package sim

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/hw/vdpa/vdpatest"
	"github.com/gqemu/gqemu/qom"
)

// What x-fail takes, and what it says of the rest.
func TestFaultRules(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"*:ENODEV":                        "*:ENODEV",
		"VHOST_SET_VRING_ADDR@3:EIO:2":    "VHOST_SET_VRING_ADDR@3:EIO:2",
		"VHOST_IOTLB_UPDATE:12;*@0:EBUSY": "VHOST_IOTLB_UPDATE:ENOMEM;*@0:EBUSY",
		"VHOST_SET_OWNER:4095:1073741824": "VHOST_SET_OWNER:4095:1073741824",
		"VHOST_SET_OWNER":                 "x-fail: 'VHOST_SET_OWNER': VERB[@QUEUE]:ERRNO[:COUNT] is expected",
		"VHOST_SET_OWNER:EIO:1:1":         "x-fail: 'VHOST_SET_OWNER:EIO:1:1': VERB[@QUEUE]:ERRNO[:COUNT] is expected",
		"SET_OWNER:EIO":                   "x-fail: 'SET_OWNER:EIO': there is no call 'SET_OWNER'",
		"*:EWHAT":                         "x-fail: '*:EWHAT': there is no errno 'EWHAT'",
		"*:0":                             "x-fail: '*:0': there is no errno '0'",
		"*:":                              "x-fail: '*:': there is no errno ''",
		"*@:EIO":                          "x-fail: '*@:EIO': '' is not a number from 0 to 1023",
		"*@1024:EIO":                      "x-fail: '*@1024:EIO': '1024' is not a number from 0 to 1023",
		"*:EIO:0":                         "x-fail: '*:EIO:0': '0' is not a number from 1 to 1073741824",
		"*:EIO;":                          "x-fail: '': VERB[@QUEUE]:ERRNO[:COUNT] is expected",
		strings.Repeat(";*:EIO", 65)[1:]:  "x-fail: at most 64 rules",
	} {
		rules, err := parseFaults(text)
		f := &faults{rules: rules}
		if got := f.String(); err == nil && got != want || err != nil && err.Error() != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

// The first rule that fits makes a call fail, as often as it says, and the
// call has no effect.
func TestFaults(t *testing.T) {
	k := newKit(t)
	o := k.mustMake("vdpa-sim-blk", "d0", map[string]any{"size": int64(1 << 20)})
	be := k.open("d0")
	set := func(s string) {
		t.Helper()
		k.Do(func() {
			if err := qom.Set(o, "x-fail", qom.JSON(s)); err != nil {
				t.Fatal(err)
			}
		})
	}
	set("VHOST_SET_OWNER:EBUSY:1;VHOST_SET_VRING_NUM@1:ENODEV:1;VHOST_VDPA_SET_STATUS:EIO:2;VHOST_IOTLB_BATCH_BEGIN:ENOMEM")
	var op *vdpa.OpError
	if err := be.SetOwner(); !errors.Is(err, syscall.EBUSY) || !errors.As(err, &op) || op.Verb != vdpa.VerbSetOwner {
		t.Errorf("%v", err)
	}
	if err := errors.Join(be.SetOwner(), be.SetVringNum(0, 16)); err != nil {
		t.Error(err)
	}
	for i := range 3 {
		if err := be.SetStatus(3); errors.Is(err, syscall.EIO) != (i < 2) {
			t.Errorf("SetStatus %d: %v", i, err)
		}
		if st, err := be.GetStatus(); err != nil || st != 3 && i == 2 || st != 0 && i < 2 {
			t.Errorf("status %#x, %v", st, err)
		}
		if err := be.BatchBegin(); !errors.Is(err, syscall.ENOMEM) {
			t.Errorf("BatchBegin: %v", err)
		}
	}
	if v, err := qom.Get(o, "x-fail"); err != nil || v != "VHOST_SET_VRING_NUM@1:ENODEV:1;VHOST_IOTLB_BATCH_BEGIN:ENOMEM" {
		t.Errorf("left: %v, %v", v, err)
	}
	set("*:ENODEV")
	_, err1 := be.GetFeatures()
	_, err2 := be.GetVringBase(0)
	for _, err := range []error{err1, err2, be.InvalidateIOTLB(0, 1), be.SetConfigCall(-1), be.SetVringEnable(9, true)} {
		if !errors.Is(err, syscall.ENODEV) {
			t.Errorf("a device that is gone says %v", err)
		}
	}
	set("")
	if err := be.SetStatus(0); err != nil {
		t.Error(err)
	}
	k.Do(func() {
		if err := qom.Set(o, "x-fail", qom.JSON("?")); err == nil {
			t.Error("x-fail took nonsense")
		}
		be.Close()
	})
}

// x-needs-reset makes the device stop and say so, until it is reset.
func TestNeedsReset(t *testing.T) {
	k := newKit(t)
	o := k.mustMake("vdpa-sim-blk", "d0", map[string]any{"size": int64(1 << 20)})
	set := func(v any) (err error) {
		k.Do(func() { err = qom.Set(o, "x-needs-reset", qom.JSON(v)) })
		return err
	}
	if err := set(true); err == nil {
		t.Error("an object that nobody uses took it")
	}
	be := k.open("d0")
	d := vdpatest.NewDriver(t, be)
	d.Start(testFeatures)
	if err := errors.Join(set(true), set(true)); err != nil {
		t.Fatal(err)
	}
	if err := set(false); err == nil {
		t.Error("it was cleared without a reset")
	}
	if st, err := be.GetStatus(); err != nil || st != 0x4f {
		t.Errorf("status %#x, %v", st, err)
	}
	if v, _ := qom.Get(o, "x-needs-reset"); v != true {
		t.Errorf("reads %v", v)
	}
	if err := be.SetStatus(0); err != nil {
		t.Error(err)
	}
	if v, _ := qom.Get(o, "x-needs-reset"); v != false {
		t.Errorf("after a reset it reads %v", v)
	}
	k.Do(func() { be.Close() })
}

// Whatever a client writes to x-fail is refused or reads back as the same.
func FuzzFaults(f *testing.F) {
	for _, s := range []string{"*:EIO", "VHOST_SET_VRING_ADDR@3:EIO:2;*:19", ";", "*@:EIO:1", "*:EIO:99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rules, err := parseFaults(s)
		if err != nil {
			return
		}
		text := (&faults{rules: rules}).String()
		again, err := parseFaults(text)
		if err != nil || !slices.Equal(again, rules) {
			t.Errorf("%q reads back as %q, %v", s, text, err)
		}
	})
}
