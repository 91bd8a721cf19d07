package qtest

import (
	"strings"
	"testing"
)

// Property is one entry of qom-list.
type Property struct {
	Name        string
	Type        string
	Description string
}

// QOMList lists the properties of an object.
func (q *QMP) QOMList(path string) []Property {
	q.t.Helper()
	var l []Property
	q.Must("qom-list", map[string]any{"path": path}, &l)
	return l
}

// QOMGet reads a property.
func (q *QMP) QOMGet(path, property string) any {
	q.t.Helper()
	var v any
	q.Must("qom-get", map[string]any{"path": path, "property": property}, &v)
	return v
}

// Child tells whether a property is a child object, and of which type.
func (p Property) Child() (string, bool) {
	s, ok := strings.CutPrefix(p.Type, "child<")
	return strings.TrimSuffix(s, ">"), ok
}

// findType gives the path of the first child of a type.
func findType(t testing.TB, q *QMP, parent, typ string) string {
	t.Helper()
	for _, p := range q.QOMList(parent) {
		if c, ok := p.Child(); ok && c == typ {
			return parent + "/" + p.Name
		}
	}
	t.Fatalf("no %s below %s", typ, parent)
	return ""
}
