// Package input holds a PC's keyboard controller and the PS/2 devices behind
// it. No host input reaches them: what matters is that guests find them, and
// the controller's other duties, reset and the gate of address line 20.
package input

import "github.com/gqemu/gqemu/qom"

// RegisterTypes adds the devices. Package isa's types are registered already.
func RegisterTypes(r *qom.Registry) {
	registerPS2(r)
	registerI8042(r)
}
