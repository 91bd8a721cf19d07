package hostmem

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/gqemu/gqemu/qom"
)

func newBackend(t *testing.T, typ string, props map[string]any) *Backend {
	t.Helper()
	r := qom.NewRegistry()
	RegisterTypes(r)
	o, err := r.New(typ)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range props {
		if err := qom.Set(o, name, qom.JSON(v)); err != nil {
			t.Fatal(err)
		}
	}
	b := o.(*Backend)
	t.Cleanup(func() {
		if err := b.Release(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// TestAllocatedMemoryKeepsItsShape: what shapes the memory cannot be changed
// once it is allocated, in QEMU's words; the rest can.
func TestAllocatedMemoryKeepsItsShape(t *testing.T) {
	const mib = int64(1 << 20)
	for _, c := range []struct {
		typ, name string
		value     any
		want      string // "" for success
	}{
		{"ram", "size", 2 * mib, "cannot change property size of memory-backend-ram "},
		{"ram", "share", true, "cannot change property value"},
		{"ram", "reserve", true, "cannot change property value"},
		{"ram", "merge", false, ""},
		{"ram", "dump", false, ""},
		{"ram", "prealloc", true, ""},
		{"ram", "prealloc-threads", int64(0), "property 'prealloc-threads' of memory-backend-ram doesn't take value '0'"},
		{"ram", "prealloc-threads", int64(2), ""},
		{"memfd", "hugetlbsize", 2 * mib, "cannot change property value"},
		{"file", "mem-path", "x", "cannot change property 'mem-path' of memory-backend-file"},
		{"file", "align", mib, "cannot change property 'align' of memory-backend-file"},
		{"file", "offset", mib, "cannot change property 'offset' of memory-backend-file"},
		{"file", "readonly", true, "cannot change property 'readonly' of memory-backend-file."},
	} {
		props := map[string]any{"size": mib}
		if c.typ == "file" {
			props["mem-path"] = filepath.Join(t.TempDir(), "ram")
		}
		b := newBackend(t, "memory-backend-"+c.typ, props)
		if err := b.Complete(); err != nil {
			t.Fatal(err)
		}
		before, err := qom.Get(b, c.name)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint(c.value)
		got := ""
		if err := qom.Set(b, c.name, qom.JSON(c.value)); err != nil {
			got, want = err.Error(), fmt.Sprint(before)
		}
		if got != c.want {
			t.Errorf("%s.%s: %q, want %q", c.typ, c.name, got, c.want)
		}
		if after, _ := qom.Get(b, c.name); fmt.Sprint(after) != want {
			t.Errorf("%s.%s is %v, want %s", c.typ, c.name, after, want)
		}
	}
}

// TestZeroSizes: no size is refused when it is set, or at the latest when
// memory is to be allocated.
func TestZeroSizes(t *testing.T) {
	b := newBackend(t, "memory-backend-memfd", nil)
	for name, want := range map[string]string{
		"size":        "property 'size' of memory-backend-memfd doesn't take value '0'",
		"hugetlbsize": "Property 'memory-backend-memfd.hugetlbsize' doesn't take value '0'",
	} {
		if err := qom.Set(b, name, qom.JSON(int64(0))); err == nil || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.Complete(); err == nil {
		t.Error("allocated without a size")
	}
}
