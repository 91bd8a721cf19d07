// Package qapi describes what a client may ask over QMP and what it is told:
// errors with a class, commands and events with typed arguments and results.
//
// A command is declared once:
//
//	type DeviceDelArgs struct {
//		ID string `qapi:"id"`
//	}
//
//	qapi.Register(r, "device_del",
//		func(ctx context.Context, c *qapi.Call, a DeviceDelArgs) (struct{}, error) { ... })
//
// From the Go types follow the decoding of arguments with QEMU's error texts,
// the form of the reply and, since the [Registry] keeps a [Type] for each, the
// schema that clients may query. Reflection over types is done once, when a
// command is registered.
//
// # Types
//
// A QAPI object is a struct. Each field has a tag `qapi:"name"`, or
// `qapi:"name,optional"` if it may be absent: it is then a pointer, a slice, a
// map or an interface, and absent when nil. The further words "deprecated",
// "unstable" and "feature=NAME" in a tag are features for the schema. An
// embedded struct without a tag is the object's base; its members are the
// object's.
//
// A union is a struct with one member tagged `qapi:"name,discriminator"`, an
// enumeration, and fields tagged `qapi:",case=a|b"`, pointers to structs whose
// members belong to the object when the discriminator has one of the values;
// they may be unions in turn.
//
// A struct may have one field of type map[string]any tagged `qapi:",rest"`: it
// takes the members that are not declared, of any type, where otherwise they
// are unexpected. The schema does not show them. It is for arguments only.
//
// An alternate is a struct whose fields are all tagged `qapi:"name,alternate"`
// and can be nil: one of them is set, the one whose type is the value's kind of
// JSON. Its name is what error texts call it.
//
// The other types are bool; the sized integers, int and int64 (both QAPI's
// "int"), [Size]; float64 ("number"); string ("str"); []T; any, for whatever
// package qjson reads; map[string]any, an object with any members; and [Null].
// A string type with a method QAPIEnum is an enumeration.
//
// A type has the name of its Go type, or what its method QAPIName returns.
// Method QAPIFeatures() []string of a struct lists features for the schema,
// QAPIValueFeatures() map[string][]string of an enumeration those of its
// values.
package qapi
