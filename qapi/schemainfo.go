package qapi

// These are the types of the result of query-qmp-schema.

// SchemaInfo describes one command, event or type.
type SchemaInfo struct {
	Name     string         `qapi:"name"`
	MetaType SchemaMetaType `qapi:"meta-type,discriminator"`
	Features []string       `qapi:"features,optional"`

	Builtin   *SchemaInfoBuiltin   `qapi:",case=builtin"`
	Enum      *SchemaInfoEnum      `qapi:",case=enum"`
	Array     *SchemaInfoArray     `qapi:",case=array"`
	Object    *SchemaInfoObject    `qapi:",case=object"`
	Alternate *SchemaInfoAlternate `qapi:",case=alternate"`
	Command   *SchemaInfoCommand   `qapi:",case=command"`
	Event     *SchemaInfoEvent     `qapi:",case=event"`
}

// SchemaMetaType tells the kinds of [SchemaInfo] apart.
type SchemaMetaType string

// QAPIEnum lists the values.
func (SchemaMetaType) QAPIEnum() []string {
	return []string{"builtin", "enum", "array", "object", "alternate", "command", "event"}
}

// JSONType is a type of JSON value.
type JSONType string

// QAPIEnum lists the values.
func (JSONType) QAPIEnum() []string {
	return []string{"string", "number", "int", "boolean", "null", "object", "array", "value"}
}

// SchemaInfoBuiltin is what a [SchemaInfo] of a built-in type has.
type SchemaInfoBuiltin struct {
	JSONType JSONType `qapi:"json-type"`
}

// SchemaInfoEnum is what a [SchemaInfo] of an enumeration has.
type SchemaInfoEnum struct {
	Members []SchemaInfoEnumMember `qapi:"members"`
	Values  []string               `qapi:"values,deprecated"`
}

// SchemaInfoEnumMember is one value of an enumeration.
type SchemaInfoEnumMember struct {
	Name     string   `qapi:"name"`
	Features []string `qapi:"features,optional"`
}

// SchemaInfoArray is what a [SchemaInfo] of an array has.
type SchemaInfoArray struct {
	ElementType string `qapi:"element-type"`
}

// SchemaInfoObject is what a [SchemaInfo] of an object has.
type SchemaInfoObject struct {
	Members  []SchemaInfoObjectMember  `qapi:"members"`
	Tag      *string                   `qapi:"tag,optional"`
	Variants []SchemaInfoObjectVariant `qapi:"variants,optional"`
}

// SchemaInfoObjectMember is one member of an object. It is optional if Default
// is present; what it is then, always [Null], means nothing.
type SchemaInfoObjectMember struct {
	Name     string   `qapi:"name"`
	Type     string   `qapi:"type"`
	Default  any      `qapi:"default,optional"`
	Features []string `qapi:"features,optional"`
}

// SchemaInfoObjectVariant names the type whose members an object has too when
// its tag has the value Case.
type SchemaInfoObjectVariant struct {
	Case string `qapi:"case"`
	Type string `qapi:"type"`
}

// SchemaInfoAlternate is what a [SchemaInfo] of an alternate has.
type SchemaInfoAlternate struct {
	Members []SchemaInfoAlternateMember `qapi:"members"`
}

// SchemaInfoAlternateMember is one branch of an alternate.
type SchemaInfoAlternateMember struct {
	Type string `qapi:"type"`
}

// SchemaInfoCommand is what a [SchemaInfo] of a command has.
type SchemaInfoCommand struct {
	ArgType  string `qapi:"arg-type"`
	RetType  string `qapi:"ret-type"`
	AllowOOB *bool  `qapi:"allow-oob,optional"`
}

// SchemaInfoEvent is what a [SchemaInfo] of an event has.
type SchemaInfoEvent struct {
	ArgType string `qapi:"arg-type"`
}
