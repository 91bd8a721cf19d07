package machine

import (
	"errors"

	"github.com/gqemu/gqemu/memory"
)

// none is a machine without anything but memory, for asking what the program
// can do.
type none struct{ State }

// Init maps the memory, if -m asks for any.
func (m *none) Init(b *Board) error {
	if m.Kernel != "" {
		return errors.New("The -kernel parameter is not supported (use the generic 'loader' device instead).")
	}
	if b.RAM == nil {
		return nil
	}
	return b.Host.Map.Add(b.Host.System, memory.NewRAM(b.RAM), 0, 0)
}

func (*none) Complete() error { return nil }
func (*none) Reset() error    { return nil }
func (*none) Powerdown()      {}
func (*none) EOI(uint8)       {}
func (*none) CPUs() []CPU     { return nil }
