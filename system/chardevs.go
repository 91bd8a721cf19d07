package system

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/monitor"
	"github.com/gqemu/gqemu/qom"
)

// chardevObject shows a chardev in the tree.
type chardevObject struct{ qom.State }

// RegisterTypes adds the types of objects that belong to the VM itself.
func RegisterTypes(r *qom.Registry) {
	registerIOThread(r)
	r.Register(qom.Type{Name: "chardev", Parent: "object", Abstract: true,
		New: func() qom.Object { return new(chardevObject) }})
	for _, b := range chardev.Backends() {
		r.Register(qom.Type{Name: "chardev-" + b, Parent: "chardev"})
	}
}

// createChardevs makes what -chardev, -qmp and -monitor name. Those of -serial
// come with the devices, after the machine's properties are known.
func (v *VM) createChardevs() error {
	for _, o := range v.cfg.Chardevs {
		var err error
		v.messages.at(o.Loc)
		if o.Opts != nil {
			err = v.addChardevOpts(o.Opts)
		} else {
			err = v.addChardevFilename(o.ID, o.Filename, o.Loc)
		}
		if err != nil {
			return at(o.Loc, err)
		}
	}
	return nil
}

func (v *VM) addChardevOpts(o *cli.Opts) error {
	if backend, _ := o.Get("backend"); o.HasHelp() || cli.IsHelp(backend) {
		_ = cli.PrintNames(v.env.Stdout, "Available chardev backend types: ", "  ", chardev.Backends())
		return ErrHelp
	}
	id, cfg, err := chardev.ParseOpts(o.WithID())
	if err != nil {
		return err
	}
	return v.addChardev(id, cfg)
}

// ErrHelp says that the command line only asked for help, which has been
// printed.
var ErrHelp = errors.New("help was asked for")

// addChardevFilename makes a chardev from the older form. What is no address
// at all is reported in two lines.
func (v *VM) addChardevFilename(id, filename string, loc cli.Loc) error {
	cfg, err := chardev.ParseMuxFilename(filename)
	var syntax *chardev.SyntaxError
	if errors.As(err, &syntax) {
		if syntax.Text != "" {
			v.rep.Error(loc, errors.New(syntax.Text))
		}
		return fmt.Errorf("parse error: %s", filename)
	}
	if err != nil {
		return err
	}
	return v.addChardev(id, cfg)
}

func (v *VM) addChardev(id string, cfg chardev.Config) error {
	if _, err := v.chardevs.Add(id, cfg); err != nil {
		return err
	}
	backend := cfg.Backend()
	if cfg.Multiplexed() {
		if err := v.addChardevObject(chardev.BaseID(id), backend); err != nil {
			return err
		}
		backend = "mux"
	}
	return v.addChardevObject(id, backend)
}

func (v *VM) addChardevObject(id, backend string) error {
	o, err := v.env.Types.New("chardev-" + backend)
	if err != nil {
		return err
	}
	return qom.AddChild(v.chardevObjects, id, o)
}

// createSerials makes the chardevs behind -serial and lists their ids.
func (v *VM) createSerials() error {
	n := 0
	for _, s := range v.cfg.Serials {
		if s.Filename == "none" {
			v.serials = append(v.serials, "")
			continue
		}
		v.messages.at(s.Loc)
		id, given := strings.CutPrefix(s.Filename, "chardev:")
		if given {
			if _, ok := v.chardevs.Get(id); !ok {
				return at(s.Loc, fmt.Errorf("could not connect serial device to character backend '%s'", s.Filename))
			}
		} else {
			id = fmt.Sprintf("serial%d", n)
			cfg, err := chardev.ParseMuxFilename(s.Filename)
			var syntax *chardev.SyntaxError
			v.rep.Flush(locate(cli.ShortForms(s.Filename), s.Loc))
			if err == nil {
				err = v.addChardev(id, cfg)
			}
			if err == nil && cfg.Multiplexed() {
				// "mon:": the serial port, which comes later, then takes the focus.
				c, _ := v.chardevs.Get(id)
				err = v.monitors.Add(c, monitor.Options{Mode: monitor.Readline})
			}
			if err != nil {
				if !errors.As(err, &syntax) || syntax.Text != "" {
					v.rep.Error(s.Loc, err)
				}
				return at(s.Loc, fmt.Errorf("could not connect serial device to character backend '%s'", s.Filename))
			}
		}
		n++
		v.serials = append(v.serials, id)
	}
	return nil
}

// locate gives messages a place.
func locate(ms []cli.Message, loc cli.Loc) []cli.Message {
	for i := range ms {
		ms[i].Loc = loc
	}
	return ms
}

// messageWriter prints a chardev's messages as lines of the program, with the
// option that made the chardev.
type messageWriter struct {
	rep *cli.Reporter

	mu  sync.Mutex
	loc cli.Loc // of the option that is worked off; guarded by mu
}

func (w *messageWriter) at(loc cli.Loc) {
	w.mu.Lock()
	w.loc = loc
	w.mu.Unlock()
}

func (w *messageWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	loc := w.loc
	w.mu.Unlock()
	w.rep.Error(loc, errors.New(strings.TrimSuffix(string(p), "\n")))
	return len(p), nil
}
