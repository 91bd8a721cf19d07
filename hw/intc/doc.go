// Package intc holds the interrupt controllers of a PC that are emulated in
// this process: the I/O APIC, the pair of 8259 PICs, and the local APICs, as
// far as they are not the accelerator's.
package intc

import "github.com/gqemu/gqemu/qom"

// RegisterTypes adds the interrupt controllers. Package isa's types are
// registered already.
func RegisterTypes(r *qom.Registry) {
	registerIOAPIC(r)
	registerPIC(r)
}
