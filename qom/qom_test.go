package qom

import (
	"fmt"
	"strings"
	"testing"
)

type widget struct {
	State
	on    bool
	size  uint16
	index int32
	name  string
	mode  string
}

func testTypes() *Registry {
	r := NewRegistry()
	r.Register(Type{Name: "spinner", Parent: "interface", Abstract: true})
	r.Register(Type{Name: "thing", Parent: "object", Abstract: true, New: func() Object { return new(widget) },
		Properties: []*Property{Field("on", func(w *widget) *bool { return &w.on }, true)}})
	r.Register(Type{Name: "widget", Parent: "thing", Interfaces: []string{"spinner"},
		Properties: []*Property{
			Field("size", func(w *widget) *uint16 { return &w.size }, 0),
			Field("index", func(w *widget) *int32 { return &w.index }, -1),
			Field("name", func(w *widget) *string { return &w.name }, ""),
			Enum("mode", "OnOffAuto", OnOffAuto, func(w *widget) *string { return &w.mode }, "auto"),
		}})
	return r
}

func newObject(t *testing.T, r *Registry, typ string) Object {
	t.Helper()
	o, err := r.New(typ)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestInstanceHasDefaultsOfAllItsTypes(t *testing.T) {
	w := newObject(t, testTypes(), "widget").(*widget)
	if !w.on || w.index != -1 || w.mode != "auto" {
		t.Errorf("defaults are %+v", w)
	}
	var names []string
	for _, p := range Properties(w) {
		names = append(names, p.Name+":"+p.Type)
	}
	if got := strings.Join(names, " "); got != "type:string on:bool mode:OnOffAuto name:str index:int32 size:uint16" {
		t.Errorf("properties are %s", got)
	}
	if !IsA(w, "thing") || !IsA(w, "spinner") || !IsA(w, "object") || IsA(w, "container") {
		t.Error("the type chain is wrong")
	}
}

func TestAbstractTypesHaveNoInstances(t *testing.T) {
	r := testTypes()
	for _, name := range []string{"thing", "object", "nosuch"} {
		if _, err := r.New(name); err == nil {
			t.Errorf("made a %s", name)
		}
	}
}

// TestSetErrors holds the texts that clients match, recorded from QEMU 8.2.
func TestSetErrors(t *testing.T) {
	for _, c := range []struct {
		prop string
		v    Value
		want string
	}{
		{"size", Keyval("abc"), "Parameter 'size' expects integer"},
		{"size", Keyval("65536"), "Parameter 'size' expects uint16_t"},
		{"size", Keyval("1k"), "Parameter 'size' expects integer"},
		{"size", Keyval("256 "), "Parameter 'size' expects integer"},
		{"size", Keyval("1.5"), "Parameter 'size' expects integer"},
		{"size", Keyval("99999999999999999999"), "Parameter 'size' expects integer"},
		{"size", Keyval("0x10"), ""},
		{"size", Keyval(" 12"), ""},
		{"size", JSON("abc"), "Parameter 'size' expects uint64"},
		{"size", JSON(true), "Parameter 'size' expects uint64"},
		{"size", JSON(int64(65536)), "Parameter 'size' expects uint16_t"},
		{"size", JSON(int64(-1)), "Parameter 'size' expects uint16_t"},
		{"size", String("abc"), "Parameter 'size' expects uint64"},
		{"index", Keyval(""), "Parameter 'index' expects integer"},
		{"index", Keyval("-2"), ""},
		{"index", Keyval("2147483648"), "Parameter 'index' expects int32_t"},
		{"on", Keyval("maybe"), "Parameter 'on' expects 'on' or 'off'"},
		{"on", Keyval("y"), ""},
		{"on", JSON(int64(5)), "Invalid parameter type for 'on', expected: boolean"},
		{"name", JSON(nil), "Invalid parameter type for 'name', expected: string"},
		{"mode", Keyval("foo"), "Parameter 'mode' does not accept value 'foo'"},
		{"nosuch", Keyval("1"), "Property 'widget.nosuch' not found"},
		{"type", Keyval("1"), "Property 'widget.type' is not writable"},
	} {
		err := Set(newObject(t, testTypes(), "widget"), c.prop, c.v)
		if got := fmt.Sprint(err); got != c.want && !(err == nil && c.want == "") {
			t.Errorf("%s=%v: %q, want %q", c.prop, c.v.Raw(), got, c.want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]uint64{
		"512": 512, "1k": 1024, "1.5G": 3 << 29, "0x1000": 0x1000, "0xbe": 0xbe, "2T": 2 << 40, "7B": 7, "1e": 1 << 60,
	} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "k", "-1", "1.5", "16E", "1kk", "0x1k.", "1_0", "+1", "1e3k"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("%q was taken as %d", s, got)
		}
	}
}

func TestPaths(t *testing.T) {
	r := testTypes()
	root, machine, bus := newObject(t, r, "container"), newObject(t, r, "container"), newObject(t, r, "container")
	w := newObject(t, r, "widget")
	for _, err := range []error{
		AddChild(root, "machine", machine),
		AddChild(machine, "bus", bus),
		AddChild(machine, "device[*]", w),
		AddChild(machine, "device[*]", newObject(t, r, "widget")),
		AddLink(bus, "child[0]", "widget", func() Object { return w }),
		AddLink(bus, "nothing", "widget", func() Object { return nil }),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := Path(w); got != "/machine/device[0]" {
		t.Errorf("path is %s", got)
	}
	for path, want := range map[string]Object{
		"/": root, "/machine": machine, "/machine/bus/child[0]": w, "bus": bus, "device[0]": w, "bus/child[0]": w,
		"/nosuch": nil, "/machine/device[0]/on": nil, "": nil, "/machine/bus/nothing": nil,
	} {
		if got, amb := Resolve(root, path, ""); got != want || amb {
			t.Errorf("%q leads to %v (ambiguous %v)", path, got, amb)
		}
	}
	if o, _ := Resolve(root, "/machine", "widget"); o != nil {
		t.Error("resolved an object of another type")
	}
	other := newObject(t, r, "container")
	if err := AddChild(bus, "device[0]", other); err != nil {
		t.Fatal(err)
	}
	if _, amb := Resolve(root, "device[0]", ""); !amb {
		t.Error("two matches are not ambiguous")
	}
	if err := AddChild(machine, "bus", newObject(t, r, "container")); err == nil ||
		err.Error() != "attempt to add duplicate property 'bus' to object (type 'container')" {
		t.Errorf("duplicate child: %v", err)
	}
	Unparent(w)
	if Child(machine, "device[0]") != nil {
		t.Error("an object without parent is still a child")
	}
}
