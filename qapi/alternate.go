package qapi

import (
	"fmt"
	"reflect"
)

// jsonType is what the kinds of a JSON value are told apart by. The numbers are
// one: QAPI does not let an alternate have several kinds of them.
func (t *Type) jsonType() string {
	switch t.Kind {
	case KindNull:
		return "null"
	case KindBool:
		return "boolean"
	case KindInt, KindUint, KindNumber:
		return "number"
	case KindString, KindEnum:
		return "string"
	case KindArray:
		return "array"
	case KindObject, KindDict:
		return "object"
	}
	return "" // an alternate or any value cannot be told from the others
}

func jsonTypeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case int64, uint64, float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return ""
}

// checkBranches panics unless each JSON value belongs to one branch at most.
func (t *Type) checkBranches() {
	seen := map[string]bool{}
	for _, m := range t.Members {
		j := m.Type.jsonType()
		if j == "" || seen[j] {
			panic(fmt.Sprintf("qapi: branch %s of alternate %v cannot be told from the others", m.Name, t.Go))
		}
		seen[j] = true
	}
}

// decodeAlternate sets the one branch that v is of the kind of.
func (t *Type) decodeAlternate(v any, at *place, dst reflect.Value) error {
	kind := jsonTypeOf(v)
	for i := range t.Members {
		if m := &t.Members[i]; m.Type.jsonType() == kind {
			return m.Type.decode(v, at, dst.FieldByIndex(m.field))
		}
	}
	return Errorf("Invalid parameter type for '%s', expected: %s", at.last(), t.Name)
}

// encodeAlternate writes the branch that is set.
func (t *Type) encodeAlternate(v reflect.Value) any {
	for i := range t.Members {
		if f := v.FieldByIndex(t.Members[i].field); !f.IsNil() {
			return t.Members[i].Type.encode(f)
		}
	}
	panic(fmt.Sprintf("qapi: an alternate %v without a value", t.Go))
}
