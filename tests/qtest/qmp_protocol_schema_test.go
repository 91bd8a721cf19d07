package qtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// schema is a query-qmp-schema reply that was read strictly.
type schema struct {
	entries []*schemaEntry
	byName  map[string]*schemaEntry
	unused  []string // types that nothing refers to
}

// schemaEntry is one SchemaInfo. The fields below MetaType are those of its
// meta-type.
type schemaEntry struct {
	Name     string
	MetaType string
	Features []string

	JSONType         string         // builtin
	Values           []string       // enum
	Members          []schemaMember // enum, object, alternate
	ElementType      string         // array
	Tag              string         // object
	Variants         []schemaVariant
	ArgType, RetType string // command, event
	AllowOOB         bool   // command
}

type schemaMember struct {
	Name, Type string
	Optional   bool
	Features   []string
}

type schemaVariant struct{ Case, Type string }

// readSchema accepts what SchemaInfo in QEMU's QAPI schema allows, and nothing
// else: no unknown or missing member, no type that is not there or is there
// twice.
func readSchema(data []byte) (*schema, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, err
	}
	s := &schema{byName: map[string]*schemaEntry{}}
	for _, r := range raw {
		e, err := readSchemaEntry(r)
		if err != nil {
			return nil, fmt.Errorf("%w in %s", err, r)
		}
		if s.byName[e.Name] != nil {
			return nil, fmt.Errorf("%s is there twice", e.Name)
		}
		s.entries = append(s.entries, e)
		s.byName[e.Name] = e
	}
	used := map[string]bool{}
	for _, e := range s.entries {
		if err := s.check(e, used); err != nil {
			return nil, fmt.Errorf("%s %s: %w", e.MetaType, e.Name, err)
		}
	}
	for _, e := range s.entries {
		if !e.isEntity() && !used[e.Name] {
			s.unused = append(s.unused, e.Name)
		}
	}
	return s, nil
}

func (e *schemaEntry) isEntity() bool { return e.MetaType == "command" || e.MetaType == "event" }

// strictly decodes an object without unknown members, all of which but those
// named optional are present.
func strictly(data []byte, into any, optional ...string) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	var have, all map[string]json.RawMessage
	if err := json.Unmarshal(data, &have); err != nil {
		return err
	}
	text, err := json.Marshal(into)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	for k := range all {
		if v, ok := have[k]; !slices.Contains(optional, k) && (!ok || string(v) == "null") {
			return fmt.Errorf("no %s", k)
		}
	}
	return nil
}

type schemaHead struct {
	Name     string   `json:"name"`
	MetaType string   `json:"meta-type"`
	Features []string `json:"features"`
}

func readSchemaEntry(data []byte) (*schemaEntry, error) {
	var h schemaHead
	if err := json.Unmarshal(data, &h); err != nil {
		return nil, err
	}
	e := &schemaEntry{Name: h.Name, MetaType: h.MetaType, Features: h.Features}
	var err error
	switch h.MetaType {
	case "builtin":
		var v struct {
			schemaHead
			JSONType string `json:"json-type"`
		}
		err = strictly(data, &v, "features")
		e.JSONType = v.JSONType
	case "enum":
		var v struct {
			schemaHead
			Members []json.RawMessage `json:"members"`
			Values  []string          `json:"values"`
		}
		if err = strictly(data, &v, "features"); err != nil {
			break
		}
		e.Values = v.Values
		for _, raw := range v.Members {
			var m struct {
				Name     string   `json:"name"`
				Features []string `json:"features"`
			}
			if err := strictly(raw, &m, "features"); err != nil {
				return nil, err
			}
			e.Members = append(e.Members, schemaMember{Name: m.Name, Features: m.Features})
		}
	case "array":
		var v struct {
			schemaHead
			ElementType string `json:"element-type"`
		}
		err = strictly(data, &v, "features")
		e.ElementType = v.ElementType
	case "object":
		err = e.readObject(data)
	case "alternate":
		var v struct {
			schemaHead
			Members []json.RawMessage `json:"members"`
		}
		if err = strictly(data, &v, "features"); err != nil {
			break
		}
		for _, raw := range v.Members {
			var m struct {
				Type string `json:"type"`
			}
			if err := strictly(raw, &m); err != nil {
				return nil, err
			}
			e.Members = append(e.Members, schemaMember{Type: m.Type})
		}
	case "command":
		var v struct {
			schemaHead
			ArgType  string `json:"arg-type"`
			RetType  string `json:"ret-type"`
			AllowOOB bool   `json:"allow-oob"`
		}
		err = strictly(data, &v, "features", "allow-oob")
		e.ArgType, e.RetType, e.AllowOOB = v.ArgType, v.RetType, v.AllowOOB
	case "event":
		var v struct {
			schemaHead
			ArgType string `json:"arg-type"`
		}
		err = strictly(data, &v, "features")
		e.ArgType = v.ArgType
	default:
		err = fmt.Errorf("meta-type %q", h.MetaType)
	}
	return e, err
}

func (e *schemaEntry) readObject(data []byte) error {
	var v struct {
		schemaHead
		Members  []json.RawMessage `json:"members"`
		Tag      string            `json:"tag"`
		Variants []json.RawMessage `json:"variants"`
	}
	if err := strictly(data, &v, "features", "tag", "variants"); err != nil {
		return err
	}
	for _, raw := range v.Members {
		var m struct {
			Name     string          `json:"name"`
			Type     string          `json:"type"`
			Default  json.RawMessage `json:"default"`
			Features []string        `json:"features"`
		}
		if err := strictly(raw, &m, "features", "default"); err != nil {
			return err
		}
		if m.Default != nil && string(m.Default) != "null" {
			return fmt.Errorf("default %s", m.Default)
		}
		e.Members = append(e.Members, schemaMember{m.Name, m.Type, m.Default != nil, m.Features})
	}
	e.Tag = v.Tag
	for _, raw := range v.Variants {
		var x schemaVariant
		if err := strictly(raw, &x); err != nil && !strings.HasPrefix(err.Error(), "no ") {
			return err
		}
		if x.Case == "" || x.Type == "" {
			return fmt.Errorf("variant %s", raw)
		}
		e.Variants = append(e.Variants, x)
	}
	return nil
}

// check looks at what e refers to.
func (s *schema) check(e *schemaEntry, used map[string]bool) error {
	typ := func(name string, metas ...string) error {
		t := s.byName[name]
		if t == nil || t.isEntity() {
			return fmt.Errorf("type %q does not exist", name)
		}
		if len(metas) > 0 && !slices.Contains(metas, t.MetaType) {
			return fmt.Errorf("type %s is a %s", name, t.MetaType)
		}
		used[name] = true
		return nil
	}
	if slices.Contains(e.Features, "") || len(e.Features) == 0 && e.Features != nil {
		return fmt.Errorf("features %q", e.Features)
	}
	_, err := strconv.Atoi(e.Name)
	masked := err == nil
	if want := e.MetaType == "enum" || e.MetaType == "object" || e.MetaType == "alternate"; masked != want {
		return fmt.Errorf("masked: %v", masked)
	}
	seen := map[string]bool{}
	for _, m := range e.Members {
		if e.MetaType != "alternate" && (m.Name == "" || seen[m.Name]) {
			return fmt.Errorf("member %q is there twice", m.Name)
		}
		seen[m.Name] = true
	}
	switch e.MetaType {
	case "builtin":
		want := map[string]string{"str": "string", "number": "number", "int": "int", "bool": "boolean", "null": "null", "any": "value"}
		if want[e.Name] != e.JSONType {
			return fmt.Errorf("json-type %s", e.JSONType)
		}
	case "enum":
		if len(e.Values) != len(e.Members) {
			return fmt.Errorf("%d values and %d members", len(e.Values), len(e.Members))
		}
		for i, m := range e.Members {
			if m.Name != e.Values[i] {
				return fmt.Errorf("member %s is value %s", m.Name, e.Values[i])
			}
		}
	case "array":
		if e.Name != "["+e.ElementType+"]" {
			return fmt.Errorf("element-type %s", e.ElementType)
		}
		return typ(e.ElementType)
	case "command":
		if err := typ(e.RetType); err != nil {
			return err
		}
		return typ(e.ArgType, "object")
	case "event":
		return typ(e.ArgType, "object")
	}
	for _, m := range e.Members {
		if e.MetaType == "enum" {
			break
		}
		if err := typ(m.Type); err != nil {
			return err
		}
	}
	return s.checkVariants(e, typ)
}

// checkVariants looks that there is one for each value of the tag.
func (s *schema) checkVariants(e *schemaEntry, typ func(string, ...string) error) error {
	if e.Tag == "" {
		if len(e.Variants) > 0 {
			return fmt.Errorf("variants without a tag")
		}
		return nil
	}
	i := slices.IndexFunc(e.Members, func(m schemaMember) bool { return m.Name == e.Tag })
	if i < 0 || e.Members[i].Optional {
		return fmt.Errorf("tag %s is no member that is always there", e.Tag)
	}
	if err := typ(e.Members[i].Type, "enum"); err != nil {
		return err
	}
	var cases []string
	for _, v := range e.Variants {
		cases = append(cases, v.Case)
		if err := typ(v.Type, "object"); err != nil {
			return err
		}
		for _, m := range s.byName[v.Type].Members {
			if slices.ContainsFunc(e.Members, func(o schemaMember) bool { return o.Name == m.Name }) {
				return fmt.Errorf("variant %s: member %s is in the base too", v.Case, m.Name)
			}
		}
	}
	want := slices.Clone(s.byName[e.Members[i].Type].Values)
	slices.Sort(want)
	slices.Sort(cases)
	if !slices.Equal(cases, want) {
		return fmt.Errorf("variants %q, values of the tag %q", cases, want)
	}
	return nil
}
