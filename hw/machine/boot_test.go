package machine

import (
	"testing"

	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

func newNone(t *testing.T) qom.Object {
	t.Helper()
	r := qom.NewRegistry()
	qdev.RegisterTypes(r)
	RegisterTypes(r)
	o, err := r.New("none-machine")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// A boot configuration is refused in QEMU's words, and then nothing changes.
func TestBootErrors(t *testing.T) {
	o := newNone(t)
	for _, c := range []struct {
		value map[string]any
		want  string
	}{
		{map[string]any{"foo": "1"}, "Parameter 'boot.foo' is unexpected"},
		{map[string]any{"order": "q"}, "Invalid boot device 'q'"},
		{map[string]any{"once": "cc"}, "Boot device 'c' was given twice"},
		{map[string]any{"reboot-timeout": "abc"}, "Parameter 'boot.reboot-timeout' expects integer"},
		{map[string]any{"menu": "maybe"}, "Parameter 'boot.menu' expects 'on' or 'off'"},
	} {
		err := qom.Set(o, "boot", qom.Keyval(c.value))
		if err == nil || err.Error() != c.want {
			t.Errorf("%v: %v, want %s", c.value, err, c.want)
		}
	}
	if v, err := qom.Get(o, "boot"); err != nil || len(v.(map[string]any)) != 0 {
		t.Errorf("boot is %v, %v", v, err)
	}
}

// What was set is what clients read.
func TestBootValue(t *testing.T) {
	o := newNone(t)
	in := map[string]any{"order": "dc", "once": "n", "menu": "on", "splash-time": "5", "reboot-timeout": "-1", "strict": "off"}
	if err := qom.Set(o, "boot", qom.Keyval(in)); err != nil {
		t.Fatal(err)
	}
	v, err := qom.Get(o, "boot")
	m := v.(map[string]any)
	if err != nil || m["order"] != "dc" || m["once"] != "n" || m["menu"] != true || m["splash-time"] != int64(5) ||
		m["reboot-timeout"] != int64(-1) || m["strict"] != false || len(m) != 6 {
		t.Errorf("boot is %v, %v", v, err)
	}
	if s := o.(Machine).Common().BootOrder(); s != "dc" {
		t.Errorf("order %q", s)
	}
}
