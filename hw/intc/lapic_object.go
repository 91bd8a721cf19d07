package intc

import (
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// apicObject is what the objects of all local APICs have, those in the kernel
// as well.
type apicObject struct {
	qdev.State
	ID uint32 // the initial id; set before realize
}

// InitialID is the id at power-on.
func (a *apicObject) InitialID() uint32 { return a.ID }

// SetInitialID sets the id before realize.
func (a *apicObject) SetInitialID(id uint32) { a.ID = id }

// APICObject is the object of a local APIC, here or in the kernel.
type APICObject interface {
	qdev.Device
	InitialID() uint32
	SetInitialID(id uint32)
}

// RegisterAPICs adds the types of local APICs. Package cpu does it for its
// processors.
func RegisterAPICs(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "apic-common", Parent: "device", Abstract: true,
		New:   func() qom.Object { return new(apicObject) },
		Class: &qdev.Class{NotUserCreatable: true},
		Properties: []*qom.Property{
			qom.NewProperty("version", "uint8", nil, func(APICObject) any { return uint64(lapicVersionValue) }, nil, nil),
			qom.NewProperty("id", "uint32", nil, func(a APICObject) any { return uint64(a.InitialID()) }, nil, nil),
		},
	})
	r.Register(qom.Type{Name: "apic", Parent: "apic-common", New: func() qom.Object { return new(LAPIC) }})
	r.Register(qom.Type{Name: "kvm-apic", Parent: "apic-common"})
}
