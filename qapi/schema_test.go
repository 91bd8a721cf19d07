package qapi

import (
	"context"
	"strings"
	"testing"

	"github.com/gqemu/gqemu/internal/qjson"
)

type marked struct {
	Old *int8 `qapi:"old,optional,deprecated,feature=odd"`
}

func (marked) QAPIFeatures() []string { return []string{"shiny"} }

type level string

func (level) QAPIEnum() []string { return []string{"low", "high"} }
func (level) QAPIValueFeatures() map[string][]string {
	return map[string][]string{"high": {"unstable"}}
}
func schemaCommand[A, R any](r *Registry, name string, opts ...Option) {
	Register(r, name, func(context.Context, *Call, A) (ret R, err error) { return }, opts...)
}

// The schema of each form of type, in QEMU's order and with QEMU's masking of
// names.
func TestSchema(t *testing.T) {
	var r Registry
	schemaCommand[struct{}, []Size](&r, "sizes", AllowOOB())
	schemaCommand[marked, []int16](&r, "mark", Unstable(), Feature("x"))
	schemaCommand[struct {
		A strOrInner `qapi:"a"`
	}, map[string]any](&r, "alt")
	schemaCommand[union, float64](&r, "un")
	RegisterEvent[struct {
		L []level `qapi:"l"`
	}](&r, "EV", Deprecated())
	RegisterEvent[struct{}](&r, "NOTHING")
	want := `
{"name": "sizes", "ret-type": "[int]", "allow-oob": true, "meta-type": "command", "arg-type": "0"}
{"name": "mark", "ret-type": "[int]", "meta-type": "command", "arg-type": "1", "features": ["unstable", "x"]}
{"name": "alt", "ret-type": "any", "meta-type": "command", "arg-type": "2"}
{"name": "un", "ret-type": "number", "meta-type": "command", "arg-type": "3"}
{"name": "EV", "meta-type": "event", "arg-type": "4", "features": ["deprecated"]}
{"name": "NOTHING", "meta-type": "event", "arg-type": "0"}
{"name": "0", "members": [], "meta-type": "object"}
{"name": "[int]", "element-type": "int", "meta-type": "array"}
{"name": "int", "json-type": "int", "meta-type": "builtin"}
{"name": "1", "members": [{"name": "old", "default": null, "type": "int", "features": ["deprecated", "odd"]}], "meta-type": "object", "features": ["shiny"]}
{"name": "2", "members": [{"name": "a", "type": "5"}], "meta-type": "object"}
{"name": "any", "json-type": "value", "meta-type": "builtin"}
{"name": "3", "tag": "kind", "variants": [{"case": "file", "type": "7"}, {"case": "mem", "type": "8"}, {"case": "none", "type": "0"}], "members": [{"name": "kind", "type": "6"}, {"name": "id", "type": "str"}], "meta-type": "object"}
{"name": "number", "json-type": "number", "meta-type": "builtin"}
{"name": "4", "members": [{"name": "l", "type": "[9]"}], "meta-type": "object"}
{"name": "5", "members": [{"type": "str"}, {"type": "10"}, {"type": "int"}, {"type": "[int]"}, {"type": "null"}], "meta-type": "alternate"}
{"name": "6", "members": [{"name": "file"}, {"name": "mem"}, {"name": "none"}], "meta-type": "enum", "values": ["file", "mem", "none"]}
{"name": "str", "json-type": "string", "meta-type": "builtin"}
{"name": "7", "members": [{"name": "path", "type": "str"}], "meta-type": "object"}
{"name": "8", "members": [{"name": "size", "type": "int"}], "meta-type": "object"}
{"name": "[9]", "element-type": "9", "meta-type": "array"}
{"name": "9", "members": [{"name": "low"}, {"name": "high", "features": ["unstable"]}], "meta-type": "enum", "values": ["low", "high"]}
{"name": "10", "members": [{"name": "b", "type": "int"}, {"name": "c", "default": null, "type": "int"}, {"name": "d", "default": null, "type": "[bool]"}], "meta-type": "object"}
{"name": "null", "json-type": "null", "meta-type": "builtin"}
{"name": "[bool]", "element-type": "bool", "meta-type": "array"}
{"name": "bool", "json-type": "boolean", "meta-type": "builtin"}
`
	var got strings.Builder
	for _, e := range r.Schema() {
		got.WriteString("\n" + string(qjson.Marshal(r.Encode(e))))
	}
	if got.String()+"\n" != want {
		t.Errorf("got:%s\n", got.String())
	}
}
