// Package intc holds the interrupt controllers of a PC that are emulated in
// this process: the I/O APIC and the pair of 8259 PICs. The local APICs are
// the accelerator's.
package intc

import "github.com/gqemu/gqemu/qom"

// RegisterTypes adds the interrupt controllers. Package isa's types are
// registered already.
func RegisterTypes(r *qom.Registry) {
	registerIOAPIC(r)
	registerPIC(r)
}
