package qdev

import "github.com/gqemu/gqemu/qom"

// UserCreatable is an object that -object and object-add make: one of a type
// that implements the interface type "user-creatable" and is not a memory
// backend. All methods are called with the VM lock held.
type UserCreatable interface {
	qom.Object
	// Complete is called once, when all properties are set and the object is
	// in the tree. An object that fails is taken out of it again.
	Complete(h *Host) error
	// InUse tells whether something depends on the object, so that it cannot
	// be deleted.
	InUse() bool
	// Release undoes Complete. Nothing uses the object any more.
	Release()
}
