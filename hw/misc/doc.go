// Package misc holds small devices of a PC: port 0x92, the paravirtual panic
// device, and the devices by which guest programs under test speak and end.
package misc

import "github.com/gqemu/gqemu/qom"

// RegisterTypes adds the devices. Package isa's types are registered already.
func RegisterTypes(r *qom.Registry) {
	registerPort92(r)
	registerPanic(r)
	registerDebugExit(r)
}
