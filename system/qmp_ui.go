package system

import (
	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qdev"
)

type screendumpArgs struct {
	Filename string       `qapi:"filename"`
	Device   *string      `qapi:"device,optional"`
	Head     *int64       `qapi:"head,optional"`
	Format   *imageFormat `qapi:"format,optional"`
}

type imageFormat string

func (imageFormat) QAPIName() string   { return "ImageFormat" }
func (imageFormat) QAPIEnum() []string { return []string{"ppm", "png"} }

// registerUI adds the command of QAPI module ui that clients try. There are no
// displays.
func (v *VM) registerUI() {
	register(v, "screendump", func(a screendumpArgs) (none, error) {
		switch {
		case a.Device != nil:
			d, err := v.host.Find(*a.Device)
			if err != nil {
				return none{}, &qdev.NotFoundError{ID: *a.Device}
			}
			head := int64(0)
			if a.Head != nil {
				head = *a.Head
			}
			return none{}, qapi.Errorf("Device %s (head %d) is not bound to a QemuConsole", d.Qdev().ID(), head)
		case a.Head != nil:
			return none{}, qapi.Errorf("'head' must be specified together with 'device'")
		}
		return none{}, qapi.Errorf("There is no console to take a screendump from")
	})
}
