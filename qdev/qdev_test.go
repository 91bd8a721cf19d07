package qdev

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qom"
)

// gadget is a device that notes what happens to it.
type gadget struct {
	State
	number uint16
	index  int32
	fail   string
	log    *[]string
}

func (g *gadget) note(s string) { *g.log = append(*g.log, g.id+" "+s) }

func (g *gadget) Realize(*Host) error {
	for _, step := range []string{"a", "b"} {
		if g.fail == step {
			return errors.New("no " + step)
		}
		g.note("+" + step)
		g.Defer(func() { g.note("-" + step) })
	}
	return nil
}

func (g *gadget) Reset() { g.note("reset") }

// hub has a bus for one gadget.
type hub struct {
	SysBus
	bus *Bus
}

func (u *hub) Realize(h *Host) error {
	b, err := h.NewBus("gadget-bus", "", u, 1)
	if err != nil {
		return err
	}
	u.bus = b
	u.Defer(b.Remove)
	r := memory.NewIO("hub", 0x100, memory.OpsFuncs{}, memory.Access{})
	return u.InitMMIO(r)
}

func newHost(t *testing.T) (*Host, *[]string) {
	t.Helper()
	log := new([]string)
	r := qom.NewRegistry()
	RegisterTypes(r)
	r.Register(qom.Type{Name: "gadget-bus", Parent: "bus"})
	r.Register(qom.Type{Name: "hub", Parent: "sys-bus-device", New: func() qom.Object { return new(hub) }})
	r.Register(qom.Type{Name: "base-gadget", Parent: "device", Abstract: true})
	r.Register(qom.Type{
		Name: "gadget", Parent: "base-gadget", New: func() qom.Object { return &gadget{log: log} },
		Class: &Class{BusType: "gadget-bus"},
		Properties: []*qom.Property{
			Field("number", func(g *gadget) *uint16 { return &g.number }, 7),
			Field("fail", func(g *gadget) *string { return &g.fail }, ""),
			BootIndex(func(g *gadget) *int32 { return &g.index }, ""),
		},
	})
	r.Register(qom.Type{Name: "stray", Parent: "device", New: func() qom.Object { return &gadget{log: log} },
		Class: &Class{BusType: "other-bus"}})
	r.Register(qom.Type{Name: "fixed", Parent: "device", Class: &Class{NotUserCreatable: true},
		New: func() qom.Object { return &gadget{log: log} }})
	h := &Host{Types: r, Lock: &sync.Mutex{}, Map: &memory.Map{}, System: memory.NewContainer("system", 0), Boot: &BootOrder{}}
	mk := func(parent qom.Object, name string) qom.Object {
		o, err := r.New("container")
		if err == nil && parent != nil {
			err = qom.AddChild(parent, name, o)
		}
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	h.Root = mk(nil, "")
	m := mk(h.Root, "machine")
	h.Peripheral, h.PeripheralAnon, h.Unattached = mk(m, "peripheral"), mk(m, "peripheral-anon"), mk(m, "unattached")
	var err error
	if h.SysBus, err = h.NewBus("System", "main-system-bus", nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := qom.AddChild(h.Unattached, "sysbus", h.SysBus); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		d, err := h.NewSysBus("hub", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.(*hub).MapMMIO(0, uint64(i)*0x100+0x1000); err != nil {
			t.Fatal(err)
		}
	}
	return h, log
}

func props(kv ...string) []Prop {
	var out []Prop
	for i := 0; i < len(kv); i += 2 {
		out = append(out, Prop{kv[i], qom.Keyval(kv[i+1])})
	}
	return out
}

func TestDeviceTakesTheLatestFreeBus(t *testing.T) {
	h, _ := newHost(t)
	for _, want := range []string{"gadget-bus.1", "gadget-bus.0"} {
		d, err := h.Add(Request{Driver: "gadget"})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Qdev().Bus().BusName(); got != want {
			t.Errorf("device is on %s, want %s", got, want)
		}
	}
	_, err := h.Add(Request{Driver: "gadget"})
	if fmt.Sprint(err) != "No 'gadget-bus' bus found for device 'gadget'" {
		t.Errorf("with all buses full: %v", err)
	}
}

// TestAddErrors holds the texts that clients match, as QEMU 8.2 has them.
func TestAddErrors(t *testing.T) {
	for _, c := range []struct {
		r    Request
		hot  bool
		want string
	}{
		{Request{}, false, "Parameter 'driver' is missing"},
		{Request{Driver: "nosuch"}, false, "'nosuch' is not a valid device model name"},
		{Request{Driver: "container"}, false, "'container' is not a valid device model name"},
		{Request{Driver: "base-gadget"}, false, "Parameter 'driver' expects a non-abstract device type"},
		{Request{Driver: "fixed"}, false, "Parameter 'driver' expects a pluggable device type"},
		{Request{Driver: "hub"}, false, "Parameter 'driver' expects a pluggable device type"},
		{Request{Driver: "gadget", Bus: "nosuch"}, false, "Bus 'nosuch' not found"},
		{Request{Driver: "gadget", Bus: "main-system-bus"}, false, "Device 'gadget' can't go on System bus"},
		{Request{Driver: "stray"}, false, "No 'other-bus' bus found for device 'stray'"},
		{Request{Driver: "gadget", ID: "first"}, false, "Duplicate device ID 'first'"},
		{Request{Driver: "gadget", Bus: "gadget-bus.1"}, false, "Bus 'gadget-bus.1' is full"},
		{Request{Driver: "gadget", Props: props("foo", "1")}, false, "Property 'gadget.foo' not found"},
		{Request{Driver: "gadget", Props: props("number", "x")}, false, "Parameter 'number' expects integer"},
		{Request{Driver: "gadget", Props: props("bootindex", "1")}, false, "The bootindex 1 has already been used"},
		{Request{Driver: "gadget", Props: props("fail", "b")}, false, "no b"},
		{Request{Driver: "gadget"}, true, "Bus 'gadget-bus.0' does not support hotplugging"},
	} {
		h, log := newHost(t)
		first, err := h.Add(Request{Driver: "gadget", ID: "first"})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Boot.Set(first, 1, ""); err != nil {
			t.Fatal(err)
		}
		h.Ready = c.hot
		*log = nil
		before := tree(h.Root)
		if _, err = h.Add(c.r); fmt.Sprint(err) != c.want {
			t.Errorf("%+v: %v, want %s", c.r, err, c.want)
		}
		if after := tree(h.Root); after != before {
			t.Errorf("%+v: left in the tree:\n%s", c.r, after)
		}
		if c.want == "no b" && strings.Join(*log, ";") != " +a; -a" {
			t.Errorf("a failed realize did %q", *log)
		}
	}
}

func tree(o qom.Object) string {
	var b strings.Builder
	for _, p := range qom.Properties(o) {
		v, _ := p.Get(o)
		fmt.Fprintln(&b, qom.Path(o), p.Name, v)
		if c, ok := p.IsChild(); ok {
			b.WriteString(tree(c))
		}
	}
	return b.String()
}

func TestUnrealizeRunsTheStackBackwards(t *testing.T) {
	h, log := newHost(t)
	d, err := h.Add(Request{Driver: "gadget", ID: "g"})
	if err != nil {
		t.Fatal(err)
	}
	Reset(d)
	Delete(d)
	if got := strings.Join(*log, ";"); got != "g +a;g +b;g reset;g -b;g -a" {
		t.Errorf("life was %s", got)
	}
	if qom.Child(h.Peripheral, "g") != nil || len(d.Qdev().Buses()) != 0 {
		t.Error("a deleted device is still there")
	}
	if _, err := h.Add(Request{Driver: "gadget", ID: "g"}); err != nil {
		t.Errorf("its id and bus are not free: %v", err)
	}
}

func TestPropertiesAreFixedOnceRealized(t *testing.T) {
	h, _ := newHost(t)
	d, err := h.Add(Request{Driver: "gadget", ID: "g", Props: props("number", "8")})
	if err != nil {
		t.Fatal(err)
	}
	err = qom.Set(d, "number", qom.JSON(int64(9)))
	if fmt.Sprint(err) != "Attempt to set property 'number' on device 'g' (type 'gadget') after it was realized" {
		t.Errorf("set after realize: %v", err)
	}
	if v, _ := qom.Get(d, "number"); v != uint64(8) {
		t.Errorf("number is %v", v)
	}
	anon, err := h.Add(Request{Driver: "gadget"})
	if err != nil {
		t.Fatal(err)
	}
	err = qom.Set(anon, "number", qom.JSON(int64(9)))
	if fmt.Sprint(err) != "Attempt to set property 'number' on anonymous device (type 'gadget') after it was realized" {
		t.Errorf("set after realize: %v", err)
	}
}

func TestGlobalsApplyToDerivedTypes(t *testing.T) {
	h, _ := newHost(t)
	h.Globals = []*Global{{Driver: "gadget", Property: "number", Value: "3"}, {Driver: "hub", Property: "x", Value: "1"}}
	d, err := h.New("gadget")
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := qom.Get(d, "number"); v != uint64(3) || !h.Globals[0].Used || h.Globals[1].Used {
		t.Errorf("number is %v", v)
	}
	h.Globals = []*Global{{Driver: "base-gadget", Property: "number", Value: "abc"}}
	_, err = h.New("gadget")
	if fmt.Sprint(err) != "can't apply global base-gadget.number=abc: Parameter 'number' expects uint64" {
		t.Errorf("bad global: %v", err)
	}
}

func TestBootOrder(t *testing.T) {
	h, _ := newHost(t)
	a, err := h.Add(Request{Driver: "gadget", ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := h.Add(Request{Driver: "gadget", ID: "b"})
	if err != nil {
		t.Fatal(err)
	}
	set := func(d Device, n int64) error { return qom.Set(d, "bootindex", qom.JSON(n)) }
	if err := errors.Join(set(a, 5), set(b, 2)); err != nil {
		t.Fatal(err)
	}
	want := "/hub@0000000000001000/gadget /hub@0000000000001100/gadget"
	if got := strings.Join(h.Boot.Paths(), " "); got != want {
		t.Errorf("boot order is %s, want %s", got, want)
	}
	if err := set(a, 2); fmt.Sprint(err) != "The bootindex 2 has already been used" {
		t.Errorf("duplicate: %v", err)
	}
	if v, _ := qom.Get(a, "bootindex"); v != int64(5) {
		t.Errorf("a refused bootindex was stored: %v", v)
	}
	if err := set(b, -1); err != nil {
		t.Fatal(err)
	}
	if err := set(a, 2); err != nil {
		t.Errorf("a cleared index is not free: %v", err)
	}
}

func TestFindBusByPath(t *testing.T) {
	h, _ := newHost(t)
	for path, want := range map[string]string{
		"gadget-bus.0":                     "gadget-bus.0",
		"main-system-bus/hub/gadget-bus.1": "gadget-bus.1",
		"/hub":                             "gadget-bus.1",
		"main-system-bus/nosuch":           "Device 'nosuch' not found",
		"/hub/nosuch":                      "Bus 'nosuch' not found",
	} {
		b, err := h.FindBus(path)
		got := fmt.Sprint(err)
		if err == nil {
			got = b.BusName()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestCheckID(t *testing.T) {
	for id, ok := range map[string]bool{"a": true, "A1-._z": true, "": false, "1a": false, "a/b": false, "é": false} {
		if (CheckID(id) == nil) != ok {
			t.Errorf("id %q: %v", id, CheckID(id))
		}
	}
}
