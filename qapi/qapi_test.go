package qapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gqemu/gqemu/internal/qjson"
)

type runState string

func (runState) QAPIEnum() []string { return []string{"running", "paused"} }
func (runState) QAPIName() string   { return "RunState" }

type base struct {
	ID string `qapi:"id"`
}

type inner struct {
	B int16  `qapi:"b"`
	C *int8  `qapi:"c,optional"`
	D []bool `qapi:"d,optional"`
}

type args struct {
	base
	N     int64          `qapi:"n"`
	U     *uint16        `qapi:"u,optional"`
	U64   *uint64        `qapi:"u64,optional"`
	Size  *Size          `qapi:"size,optional"`
	F     *float64       `qapi:"f,optional"`
	Flag  *bool          `qapi:"flag,optional,deprecated"`
	State *runState      `qapi:"state,optional"`
	List  []runState     `qapi:"list,optional"`
	In    *inner         `qapi:"in,optional"`
	Ins   []inner        `qapi:"ins,optional"`
	Any   any            `qapi:"any,optional"`
	Dict  map[string]any `qapi:"dict,optional"`
	Null  *Null          `qapi:"null,optional"`
}

func object(t *testing.T, s string) map[string]any {
	t.Helper()
	v, err := qjson.Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

// Wrong arguments get the texts that QEMU gives them.
func TestArgumentErrors(t *testing.T) {
	var r Registry
	Register(&r, "cmd", func(context.Context, *Call, args) (struct{}, error) { return struct{}{}, nil })
	for _, c := range []struct{ in, want string }{
		{`{}`, "Parameter 'id' is missing"},
		{`{"x":1}`, "Parameter 'id' is missing"},
		{`{"id":5}`, "Invalid parameter type for 'id', expected: string"},
		{`{"id":null}`, "Invalid parameter type for 'id', expected: string"},
		{`{"id":"a"}`, "Parameter 'n' is missing"},
		{`{"id":"a","n":"1"}`, "Invalid parameter type for 'n', expected: integer"},
		{`{"id":"a","n":1.0}`, "Invalid parameter type for 'n', expected: integer"},
		{`{"id":"a","n":18446744073709551615}`, "Invalid parameter type for 'n', expected: integer"},
		{`{"id":"a","n":1,"x":1}`, "Parameter 'x' is unexpected"},
		{`{"id":"a","n":1,"u":65536}`, "Parameter 'u' expects uint16_t"},
		{`{"id":"a","n":1,"u":-1}`, "Parameter 'u' expects uint16_t"},
		{`{"id":"a","n":1,"u":"1"}`, "Parameter 'u' expects uint64"},
		{`{"id":"a","n":1,"size":"1048576"}`, "Parameter 'size' expects uint64"},
		{`{"id":"a","n":1,"f":"1"}`, "Invalid parameter type for 'f', expected: number"},
		{`{"id":"a","n":1,"flag":1}`, "Invalid parameter type for 'flag', expected: boolean"},
		{`{"id":"a","n":1,"flag":null}`, "Invalid parameter type for 'flag', expected: boolean"},
		{`{"id":"a","n":1,"state":1}`, "Invalid parameter type for 'state', expected: string"},
		{`{"id":"a","n":1,"state":"no"}`, "Parameter 'state' does not accept value 'no'"},
		{`{"id":"a","n":1,"list":"no"}`, "Invalid parameter type for 'list', expected: array"},
		{`{"id":"a","n":1,"list":[5]}`, "Invalid parameter type for 'list[0]', expected: string"},
		{`{"id":"a","n":1,"list":["running","no"]}`, "Parameter 'null' does not accept value 'no'"},
		{`{"id":"a","n":1,"in":[]}`, "Invalid parameter type for 'in', expected: object"},
		{`{"id":"a","n":1,"in":{}}`, "Parameter 'in.b' is missing"},
		{`{"id":"a","n":1,"in":{"b":true}}`, "Invalid parameter type for 'in.b', expected: integer"},
		{`{"id":"a","n":1,"in":{"b":32768}}`, "Parameter 'b' expects int16_t"},
		{`{"id":"a","n":1,"in":{"b":1,"x":1}}`, "Parameter 'in.x' is unexpected"},
		{`{"id":"a","n":1,"in":{"b":1,"d":[1]}}`, "Invalid parameter type for 'in.d[0]', expected: boolean"},
		{`{"id":"a","n":1,"ins":[{"b":1},{"b":1,"c":[]}]}`, "Invalid parameter type for 'ins[1].c', expected: integer"},
		{`{"id":"a","n":1,"dict":1}`, "Invalid parameter type for 'dict', expected: object"},
		{`{"id":"a","n":1,"null":1}`, "Invalid parameter type for 'null', expected: null"},
	} {
		_, err := r.Command("cmd").Run(t.Context(), &Call{}, object(t, c.in))
		if err == nil || err.Error() != c.want || ClassOf(err) != GenericError {
			t.Errorf("%s: got %v, want %s", c.in, err, c.want)
		}
	}
}

// What is decoded and encoded again is the same, in QEMU's order of members.
func TestRoundTrip(t *testing.T) {
	var r Registry
	var got args
	Register(&r, "cmd", func(_ context.Context, _ *Call, a args) (args, error) { got = a; return a, nil })
	for _, in := range []string{
		`{"id": "a", "n": -9223372036854775808}`,
		`{"id": "a", "n": 1, "u": 65535, "u64": 18446744073709551615, "size": 1, "f": 0.5, "flag": false}`,
		`{"id": "a", "n": 1, "state": "paused", "list": [], "any": [null, {"x": 1}], "dict": {"k": "v"}, "null": null}`,
		`{"id": "a", "n": 1, "in": {"b": -1, "c": -128}, "ins": [{"b": 1, "d": [true]}]}`,
	} {
		m := object(t, in)
		v, err := r.Command("cmd").Run(t.Context(), &Call{}, m)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if out, want := string(qjson.Marshal(v)), string(qjson.Marshal(m)); out != want {
			t.Errorf("%s\n got %s\nwant %s", in, out, want)
		}
	}
	if got.In == nil || got.In.B != -1 || *got.In.C != -128 || !got.Ins[0].D[0] {
		t.Errorf("decoded %+v", got)
	}
	// As QEMU, unsigned members take negative numbers.
	v, err := r.Command("cmd").Run(t.Context(), &Call{}, object(t, `{"id":"a","n":1,"u64":-1,"f":3}`))
	if err != nil || *got.U64 != math.MaxUint64 || *got.F != 3 {
		t.Errorf("%v, %v", v, err)
	}
}

type kind string

func (kind) QAPIEnum() []string { return []string{"file", "mem", "none"} }

type union struct {
	Kind kind        `qapi:"kind,discriminator"`
	ID   string      `qapi:"id"`
	File *fileMember `qapi:",case=file"`
	Mem  *memMember  `qapi:",case=mem"`
}

type fileMember struct {
	Path string `qapi:"path"`
}

type memMember struct {
	Size Size `qapi:"size"`
}

// The discriminator decides which members a union has.
func TestUnion(t *testing.T) {
	var r Registry
	Register(&r, "cmd", func(_ context.Context, _ *Call, u union) (union, error) { return u, nil })
	for _, c := range []struct{ in, want string }{
		{`{"kind":"file","id":"a","path":"p"}`, `{"path": "p", "kind": "file", "id": "a"}`},
		{`{"kind":"none","id":"a"}`, `{"kind": "none", "id": "a"}`},
		{`{"kind":"mem","id":"a"}`, "Parameter 'size' is missing"},
		{`{"kind":"mem","id":"a","size":1,"path":"p"}`, "Parameter 'path' is unexpected"},
		{`{"kind":"none","id":"a","size":1}`, "Parameter 'size' is unexpected"},
		{`{"kind":"x","id":"a"}`, "Parameter 'kind' does not accept value 'x'"},
		{`{"id":"a"}`, "Parameter 'kind' is missing"},
	} {
		v, err := r.Command("cmd").Run(t.Context(), &Call{}, object(t, c.in))
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = string(qjson.Marshal(v))
			c.want = string(qjson.Marshal(object(t, c.want)))
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
}

type open struct {
	Kind kind        `qapi:"kind,discriminator"`
	File *fileMember `qapi:",case=file"`
	Mem  *openMember `qapi:",case=mem"`
}

type openMember struct {
	Size Size           `qapi:"size"`
	Rest map[string]any `qapi:",rest"`
}

// What is not declared goes to the field that asks for it, and is unexpected
// elsewhere.
func TestRest(t *testing.T) {
	var r Registry
	Register(&r, "cmd", func(_ context.Context, _ *Call, a open) (any, error) {
		if a.Mem == nil {
			return nil, nil
		}
		return a.Mem.Rest, nil
	})
	for _, c := range []struct{ in, want string }{
		{`{"kind":"mem","size":1,"x":[1],"y":2}`, `{"y": 2, "x": [1]}`},
		{`{"kind":"mem","size":1}`, "{}"},
		{`{"kind":"mem","size":"x","x":1}`, "Parameter 'size' expects uint64"},
		{`{"kind":"file","path":"p","x":1}`, "Parameter 'x' is unexpected"},
		{`{"kind":"none","x":1}`, "Parameter 'x' is unexpected"},
	} {
		v, err := r.Command("cmd").Run(t.Context(), &Call{}, object(t, c.in))
		var got string
		if err != nil {
			got = err.Error()
		} else {
			got, c.want = string(qjson.Marshal(v)), string(qjson.Marshal(object(t, c.want)))
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.in, got, c.want)
		}
	}
}

type transport string

func (transport) QAPIEnum() []string { return []string{"socket", "exec"} }

type address struct {
	Transport transport `qapi:"transport,discriminator"`
	Socket    *union    `qapi:",case=socket"`
}

// A variant may be a union itself.
func TestUnionInUnion(t *testing.T) {
	var r Registry
	Register(&r, "cmd", func(_ context.Context, _ *Call, a address) (address, error) { return a, nil })
	for _, c := range []struct{ in, want string }{
		{`{"transport":"socket","kind":"file","id":"a","path":"p"}`, ""},
		{`{"transport":"exec"}`, ""},
		{`{"transport":"socket","kind":"mem","id":"a","size":1,"path":"p"}`, "Parameter 'path' is unexpected"},
		{`{"transport":"socket","kind":"mem","id":"a"}`, "Parameter 'size' is missing"},
		{`{"transport":"exec","kind":"mem"}`, "Parameter 'kind' is unexpected"},
	} {
		m := object(t, c.in)
		v, err := r.Command("cmd").Run(t.Context(), &Call{}, m)
		switch {
		case err != nil && err.Error() != c.want, err == nil && c.want != "":
			t.Errorf("%s: %v, want %q", c.in, err, c.want)
		case err == nil && string(qjson.Marshal(v)) != string(qjson.Marshal(m)):
			t.Errorf("%s became %s", c.in, qjson.Marshal(v))
		}
	}
}

type strOrInner struct {
	S *string `qapi:"s,alternate"`
	I *inner  `qapi:"i,alternate"`
	N *int64  `qapi:"n,alternate"`
	L []int64 `qapi:"l,alternate"`
	Z *Null   `qapi:"z,alternate"`
}

func (strOrInner) QAPIName() string { return "StrOrInner" }

type alternateArgs struct {
	A  strOrInner   `qapi:"a"`
	As []strOrInner `qapi:"as,optional"`
}

// The kind of the value decides which branch of an alternate it is.
func TestAlternate(t *testing.T) {
	var r Registry
	Register(&r, "cmd", func(_ context.Context, _ *Call, a alternateArgs) (alternateArgs, error) { return a, nil })
	for _, c := range []struct{ in, want string }{
		{`{"a":"x"}`, ""},
		{`{"a":{"b":1}}`, ""},
		{`{"a":-1}`, ""},
		{`{"a":null}`, ""},
		{`{"a":[1,2],"as":["a",1]}`, ""},
		{`{"a":[]}`, ""},
		{`{}`, "Parameter 'a' is missing"},
		{`{"a":true}`, "Invalid parameter type for 'a', expected: StrOrInner"},
		{`{"a":1,"as":[false]}`, "Invalid parameter type for 'null', expected: StrOrInner"},
		{`{"a":1,"as":[{"b":""}]}`, "Invalid parameter type for 'as[0].b', expected: integer"},
		{`{"a":1.5}`, "Invalid parameter type for 'a', expected: integer"},
	} {
		m := object(t, c.in)
		v, err := r.Command("cmd").Run(t.Context(), &Call{}, m)
		switch {
		case err != nil && err.Error() != c.want, err == nil && c.want != "":
			t.Errorf("%s: %v, want %q", c.in, err, c.want)
		case err == nil && string(qjson.Marshal(v)) != string(qjson.Marshal(m)):
			t.Errorf("%s became %s", c.in, qjson.Marshal(v))
		}
	}
}

// CheckedArgs refuses what the schema does not allow and passes on the rest as
// it came.
func TestCheckedArgs(t *testing.T) {
	var r Registry
	Register(&r, "object-add", func(_ context.Context, _ *Call, m map[string]any) (any, error) { return m, nil },
		CheckedArgs[union]())
	c := r.Command("object-add")
	if _, err := c.Run(t.Context(), &Call{}, object(t, `{"kind":"mem","id":"a"}`)); err == nil || err.Error() != "Parameter 'size' is missing" {
		t.Error(err)
	}
	in := object(t, `{"kind":"mem","id":"a","size":1}`)
	if v, err := c.Run(t.Context(), &Call{}, in); err != nil || !reflect.DeepEqual(v, in) {
		t.Errorf("%v, %v", v, err)
	}
}

type classed struct{}

func (classed) Error() string     { return "no such device" }
func (classed) QAPIClass() string { return "DeviceNotFound" }

func TestErrorClass(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Class
		text string
	}{
		{errors.New("x"), GenericError, "x"},
		{Errorf("a %d", 1), GenericError, "a 1"},
		{ClassErrorf(DeviceNotActive, "a"), DeviceNotActive, "a"},
		{fmt.Errorf("b: %w", ClassErrorf(KVMMissingCap, "a")), KVMMissingCap, "b: a"},
		{fmt.Errorf("b: %w", classed{}), DeviceNotFound, "b: no such device"},
		{ClassErrorf("Unheard", "a"), GenericError, "a"},
	} {
		if ClassOf(c.err) != c.want || c.err.Error() != c.text {
			t.Errorf("%v: class %s", c.err, ClassOf(c.err))
		}
	}
	if !errors.Is(Errorf("open: %w", fs.ErrNotExist), fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
}

func TestRawArgs(t *testing.T) {
	var r Registry
	Register(&r, "device_add", func(_ context.Context, _ *Call, m map[string]any) (any, error) { return m["x"], nil },
		RawArgs[base](), AllowOOB(), AllowPreconfig(), Feature("f"))
	c := r.Command("device_add")
	v, err := c.Run(t.Context(), &Call{}, object(t, `{"x":[1],"anything":2}`))
	if err != nil || !reflect.DeepEqual(v, []any{int64(1)}) {
		t.Errorf("%v, %v", v, err)
	}
	if !c.AllowOOB || !c.AllowPreconfig || c.Features[0] != "f" || c.Args().Members[0].Name != "id" {
		t.Errorf("%+v", c)
	}
}

func TestEvents(t *testing.T) {
	var r Registry
	RegisterEvent[struct{}](&r, "STOP")
	RegisterEvent[base](&r, "VSERPORT_CHANGE")
	RegisterEvent[inner](&r, "OWN", RateLimit(time.Minute, "b"))
	if e := r.Event("STOP"); e.Rate != 0 {
		t.Error("STOP is limited")
	}
	if e := r.Event("VSERPORT_CHANGE"); e.Rate != time.Second || e.RateKey != "id" {
		t.Errorf("%+v", e)
	}
	if e := r.Event("OWN"); e.Rate != time.Minute || e.RateKey != "b" {
		t.Errorf("%+v", e)
	}
	if v, err := r.Event("STOP").Encode(nil); v != nil || err != nil {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := r.Event("VSERPORT_CHANGE").Encode(&base{"x"}); err != nil || string(qjson.Marshal(v)) != `{"id": "x"}` {
		t.Errorf("%v, %v", v, err)
	}
	type alike struct {
		Other string `qapi:"id"`
	}
	if v, err := r.Event("VSERPORT_CHANGE").Encode(alike{"y"}); err != nil || string(qjson.Marshal(v)) != `{"id": "y"}` {
		t.Errorf("%v, %v", v, err)
	}
	for name, data := range map[string]any{"STOP": base{}, "OWN": base{}, "VSERPORT_CHANGE": nil} {
		if _, err := r.Event(name).Encode(data); err == nil {
			t.Errorf("%s takes %T", name, data)
		}
	}
}

// A mistake in a declaration is found when it is made.
func TestUnfitDeclarations(t *testing.T) {
	type untagged struct{ A int }
	type twice struct {
		A int `qapi:"a"`
		B int `qapi:"a"`
	}
	type notNil struct {
		A int `qapi:"a,optional"`
	}
	type badCase struct {
		K kind   `qapi:"k,discriminator"`
		A *inner `qapi:",case=unheard"`
	}
	type mixed struct {
		A *int   `qapi:"a,alternate"`
		B string `qapi:"b"`
	}
	type alike struct {
		A *int     `qapi:"a,alternate"`
		B *float64 `qapi:"b,alternate"`
	}
	type noTag struct {
		A *inner `qapi:",case=file"`
	}
	type badWord struct {
		A int `qapi:"a,option"`
	}
	none := func(context.Context, *Call, struct{}) (struct{}, error) { return struct{}{}, nil }
	for name, f := range map[string]func(*Registry){
		"untagged": func(r *Registry) { RegisterEvent[untagged](r, "E") },
		"twice":    func(r *Registry) { RegisterEvent[twice](r, "E") },
		"notNil":   func(r *Registry) { RegisterEvent[notNil](r, "E") },
		"badCase":  func(r *Registry) { RegisterEvent[badCase](r, "E") },
		"noTag":    func(r *Registry) { RegisterEvent[noTag](r, "E") },
		"mixed": func(r *Registry) {
			RegisterEvent[struct {
				A mixed `qapi:"a"`
			}](r, "E")
		},
		"alike": func(r *Registry) {
			RegisterEvent[struct {
				A alike `qapi:"a"`
			}](r, "E")
		},
		"badWord": func(r *Registry) { RegisterEvent[badWord](r, "E") },
		"chan":    func(r *Registry) { RegisterEvent[struct{ C chan int }](r, "E") },
		"again":   func(r *Registry) { Register(r, "c", none); Register(r, "c", none) },
		"mapArgs": func(r *Registry) {
			Register(r, "c", func(context.Context, *Call, map[string]any) (struct{}, error) { return struct{}{}, nil })
		},
		"eventOption": func(r *Registry) { RegisterEvent[struct{}](r, "E", AllowOOB()) },
	} {
		func() {
			defer func() {
				if p, ok := recover().(string); !ok || !strings.HasPrefix(p, "qapi: ") {
					t.Errorf("%s: recovered %v", name, p)
				}
			}()
			r := new(Registry)
			f(r)
			r.Schema()
			t.Errorf("%s is accepted", name)
		}()
	}
}

type tree struct {
	Name string `qapi:"name"`
	Kids []tree `qapi:"kids,optional"`
}

func TestRecursiveType(t *testing.T) {
	var r Registry
	v := r.Encode(tree{"a", []tree{{Name: "b"}}})
	if got := string(qjson.Marshal(v)); got != `{"name": "a", "kids": [{"name": "b"}]}` {
		t.Error(got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"a","n":1,"ins":[{"b":1,"c":2}],"u64":-1,"any":{}}`))
	f.Add([]byte(`{"kind":"mem","id":"a","size":1}`))
	var r Registry
	Register(&r, "a", func(_ context.Context, _ *Call, a args) (args, error) { return a, nil })
	Register(&r, "u", func(_ context.Context, _ *Call, a union) (union, error) { return a, nil })
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := qjson.Parse(in)
		m, ok := v.(map[string]any)
		if err != nil || !ok {
			return
		}
		for _, c := range r.Commands() {
			out, err := c.Run(context.Background(), &Call{}, m)
			if err == nil && len(m) != len(out.(qjson.Object)) && m["any"] != nil {
				t.Fatalf("%s became %s", in, qjson.Marshal(out))
			}
		}
	})
}
