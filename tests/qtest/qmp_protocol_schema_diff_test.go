package qtest

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// recordedSchema is what QEMU 8.2.7 answers to query-qmp-schema.
func recordedSchema(t testing.TB) *schema {
	t.Helper()
	f, err := os.Open("testdata/query-qmp-schema.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	s, err := readSchema(data)
	if err != nil {
		t.Fatalf("the recording: %v", err)
	}
	return s
}

// schemaDiff compares two schemas by what commands and events mean.
type schemaDiff struct {
	ours, qemu *schema
	seen       map[[2]string]bool
	out        []string
}

func (d *schemaDiff) say(path, format string, args ...any) {
	d.out = append(d.out, path+": "+fmt.Sprintf(format, args...))
}

// typ compares two types. What gqemu lacks of QEMU's enumeration is only
// reported with the values that it has: those are subsets on purpose where
// they stand for kinds of things.
func (d *schemaDiff) typ(path, ours, theirs string) {
	if d.seen[[2]string{ours, theirs}] {
		return
	}
	d.seen[[2]string{ours, theirs}] = true
	a, b := d.ours.byName[ours], d.qemu.byName[theirs]
	if a.MetaType != b.MetaType {
		d.say(path, "%s %s, QEMU has %s %s", a.MetaType, a.Name, b.MetaType, b.Name)
		return
	}
	if !slices.Equal(a.Features, b.Features) {
		d.say(path, "features %q, QEMU has %q", a.Features, b.Features)
	}
	switch a.MetaType {
	case "builtin":
		if a.Name != b.Name {
			d.say(path, "%s, QEMU has %s", a.Name, b.Name)
		}
	case "array":
		d.typ(path+"[]", a.ElementType, b.ElementType)
	case "alternate":
		if len(a.Members) != len(b.Members) {
			d.say(path, "%d branches, QEMU has %d", len(a.Members), len(b.Members))
			return
		}
		for i := range a.Members {
			d.typ(fmt.Sprintf("%s|%d", path, i), a.Members[i].Type, b.Members[i].Type)
		}
	case "enum":
		var missing []string
		for _, v := range b.Values {
			if !slices.Contains(a.Values, v) {
				missing = append(missing, v)
			}
		}
		if len(missing) > 0 {
			d.say(path, "no values %s", strings.Join(missing, " "))
		}
		for _, m := range a.Members {
			i := slices.IndexFunc(b.Members, func(o schemaMember) bool { return o.Name == m.Name })
			if i < 0 {
				d.say(path, "value %s is not QEMU's", m.Name)
			} else if !slices.Equal(m.Features, b.Members[i].Features) {
				d.say(path, "value %s has features %q, QEMU's %q", m.Name, m.Features, b.Members[i].Features)
			}
		}
	case "object":
		d.object(path, a, b)
	}
}

func (d *schemaDiff) object(path string, a, b *schemaEntry) {
	if a.Tag != b.Tag {
		d.say(path, "tag %q, QEMU has %q", a.Tag, b.Tag)
	}
	for _, m := range b.Members {
		if !slices.ContainsFunc(a.Members, func(o schemaMember) bool { return o.Name == m.Name }) {
			d.say(path, "no member %s", m.Name)
		}
	}
	for _, m := range a.Members {
		i := slices.IndexFunc(b.Members, func(o schemaMember) bool { return o.Name == m.Name })
		if i < 0 {
			d.say(path, "member %s is not QEMU's", m.Name)
			continue
		}
		o, here := b.Members[i], path+"."+m.Name
		if m.Optional != o.Optional {
			d.say(here, "optional is %v, QEMU has %v", m.Optional, o.Optional)
		}
		if !slices.Equal(m.Features, o.Features) {
			d.say(here, "features %q, QEMU has %q", m.Features, o.Features)
		}
		d.typ(here, m.Type, o.Type)
	}
	for _, v := range a.Variants {
		i := slices.IndexFunc(b.Variants, func(o schemaVariant) bool { return o.Case == v.Case })
		if i >= 0 { // else the enumeration was reported
			d.typ(path+"{"+v.Case+"}", v.Type, b.Variants[i].Type)
		}
	}
}

// diffSchema lists in which ways what ours says of commands and events is not
// what QEMU says of them.
func diffSchema(ours, qemu *schema) []string {
	d := &schemaDiff{ours: ours, qemu: qemu, seen: map[[2]string]bool{}}
	for _, e := range ours.entries {
		if !e.isEntity() {
			continue
		}
		q := qemu.byName[e.Name]
		if q == nil || q.MetaType != e.MetaType {
			d.say(e.Name, "no %s of QEMU's", e.MetaType)
			continue
		}
		if e.AllowOOB != q.AllowOOB {
			d.say(e.Name, "allow-oob %v, QEMU has %v", e.AllowOOB, q.AllowOOB)
		}
		if !slices.Equal(e.Features, q.Features) {
			d.say(e.Name, "features %q, QEMU has %q", e.Features, q.Features)
		}
		d.typ(e.Name, e.ArgType, q.ArgType)
		if e.MetaType == "command" {
			d.typ(e.Name+"()", e.RetType, q.RetType)
		}
	}
	return d.out
}

// TestSchemaIsQEMUs: a strict reader takes the schema; it fits the line that
// go-qemu reads; and what it says of a command or event is what QEMU says.
func TestSchemaIsQEMUs(t *testing.T) {
	t.Parallel()
	q := Start(t, "-M", "none", "-S").QMP
	q.Send(`{"execute":"query-qmp-schema"}`)
	line := q.Line()
	if len(line) >= 64<<10 {
		t.Errorf("the reply has %d bytes, more than go-qemu reads", len(line))
	}
	var r struct{ Return json.RawMessage }
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatal(err)
	}
	s, err := readSchema(r.Return)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.unused) > 0 {
		t.Errorf("types that nothing refers to: %q", s.unused)
	}
	t.Logf("%d entries, %d bytes", len(s.entries), len(line))
	used := make([]bool, len(schemaDifferences))
	for _, line := range diffSchema(s, recordedSchema(t)) {
		i := slices.IndexFunc(schemaDifferences, func(d schemaDifference) bool { return strings.HasPrefix(line, d.prefix) })
		if i < 0 {
			t.Error(line)
			continue
		}
		used[i] = true
	}
	for i, d := range schemaDifferences {
		if !used[i] {
			t.Errorf("no longer so: %s", d.prefix)
		}
	}
}
