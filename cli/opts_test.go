package cli

import (
	"reflect"
	"testing"
)

func parseOne(spec OptsSpec, arg string) (o *Opts, warnings []string, help bool, err error) {
	g := optsGroup{OptsSpec: &spec}
	o, help, err = g.parse(Loc{}, arg, true, func(text, hint string) { warnings = append(warnings, text, hint) })
	return o, warnings, help, err
}

// TestOpts covers the tokenizer: order, repeated names, escapes, the implied
// key, short forms and where the id goes.
func TestOpts(t *testing.T) {
	for _, c := range []struct {
		arg  string
		list []Opt
		id   string
		warn []string
	}{
		{arg: ""},
		{arg: "d", list: []Opt{{"driver", "d"}}},
		{arg: "d,,e,a=1", list: []Opt{{"driver", "d,e"}, {"a", "1"}}},
		{arg: "driver=d,a=x=y,a=2", list: []Opt{{"driver", "d"}, {"a", "x=y"}, {"a", "2"}}},
		{arg: "d,a=1,,2,b=,", list: []Opt{{"driver", "d"}, {"a", "1,2"}, {"b", ""}}},
		{arg: "d,id=x,a=1,id=y", list: []Opt{{"driver", "d"}, {"a", "1"}}, id: "x"},
		{arg: "a=1,d", list: []Opt{{"a", "1"}, {"d", "on"}},
			warn: []string{"short-form boolean option 'd' deprecated", "Please use d=on instead\n"}},
		{arg: "d,nofoo", list: []Opt{{"driver", "d"}, {"foo", "off"}},
			warn: []string{"short-form boolean option 'nofoo' deprecated", "Please use foo=off instead\n"}},
		{arg: "d,nodelay", list: []Opt{{"driver", "d"}, {"delay", "off"}},
			warn: []string{"short-form boolean option 'nodelay' deprecated", "Please use nodelay=on instead\n"}},
		{arg: "d,delay", list: []Opt{{"driver", "d"}, {"delay", "on"}},
			warn: []string{"short-form boolean option 'delay' deprecated", "Please use nodelay=off instead\n"}},
		{arg: "d,help", list: []Opt{{"driver", "d"}, {"help", "on"}}},
		{arg: "d,,id=x", list: []Opt{{"driver", "d,id=x"}}, id: "x"}, // as QEMU, which looks for the id apart
	} {
		o, warn, help, err := parseOne(deviceSpec, c.arg)
		if err != nil || help {
			t.Errorf("%q: %v, help %v", c.arg, err, help)
			continue
		}
		if !reflect.DeepEqual(o.List(), c.list) || o.ID != c.id || o.HasID != (c.id != "") || !reflect.DeepEqual(warn, c.warn) {
			t.Errorf("%q: %q id %q warnings %q", c.arg, o.List(), o.ID, warn)
		}
	}
}

// TestOptsAccess: the last value wins, and the id is part of the dictionary.
func TestOptsAccess(t *testing.T) {
	o, _, _, err := parseOne(deviceSpec, "d,a=1,b=2,a=3,id=i")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := o.Get("a"); v != "3" || !ok {
		t.Errorf("Get(a) = %q, %v", v, ok)
	}
	if _, ok := o.Get("id"); ok {
		t.Error("the id is among the names")
	}
	if n := o.Names(); !reflect.DeepEqual(n, []string{"driver", "a", "b"}) {
		t.Errorf("Names = %q", n)
	}
	if n := o.WithID().Names(); !reflect.DeepEqual(n, []string{"id", "driver", "a", "b"}) {
		t.Errorf("WithID().Names = %q", n)
	}
	if a := o.All("a"); !reflect.DeepEqual(a, []string{"1", "3"}) {
		t.Errorf("All(a) = %q", a)
	}
	if d := o.Dict(); !reflect.DeepEqual(d, map[string]any{"driver": "d", "a": "3", "b": "2", "id": "i"}) {
		t.Errorf("Dict = %v", d)
	}
}

// TestOptsTypes holds declared sub-options to their types and texts.
func TestOptsTypes(t *testing.T) {
	for _, c := range []struct {
		spec     OptsSpec
		arg, err string
	}{
		{memorySpec, "512m", ""}, {memorySpec, "1.5G,slots=0x2,maxmem=4G", ""},
		{memorySpec, "1,slots=x", "Parameter 'slots' expects a number"},
		{memorySpec, "1,slots=18446744073709551616", "Value '18446744073709551616' is too large for parameter 'slots'"},
		{memorySpec, "16E", "Value '16E' is out of range for parameter 'size'"},
		{memorySpec, "1,id=x", "Invalid parameter 'id'"},
		{monSpec, "c,pretty=maybe", "Parameter 'pretty' expects 'on' or 'off'"},
		{monSpec, "c,pretty=y", ""},
		{chardevSpec, "null,id=c,backend=x", ""},
	} {
		if _, _, _, err := parseOne(c.spec, c.arg); errText(err) != c.err {
			t.Errorf("%q: %v", c.arg, err)
		}
	}
	if _, _, help, _ := parseOne(memorySpec, "128,help"); !help {
		t.Error("help in a declared group is not noticed")
	}
}

// FuzzOpts: what parses is written back and parses to the same.
func FuzzOpts(f *testing.F) {
	for _, s := range []string{"d,a=1", "d,,e,nofoo,help", "id=x,id=y", "a=,,,b", ",,,", "no,?"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, _, _, err := parseOne(deviceSpec, s)
		if err != nil {
			return
		}
		again, _, _, err := parseOne(OptsSpec{Name: "x"}, o.String())
		if err != nil || !reflect.DeepEqual(o.List(), again.List()) || o.ID != again.ID || o.HasID != again.HasID {
			t.Errorf("%q -> %q -> %q", s, o, again)
		}
	})
}
