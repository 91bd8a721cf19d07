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
		id := ""
		if s.Filename != "none" {
			var err error
			if id, err = v.legacyChardev(s, fmt.Sprintf("serial%d", n), "serial"); err != nil {
				return err
			}
			n++
		}
		v.serials = append(v.serials, id)
	}
	return nil
}

// maxParallel is how many -parallel QEMU takes.
const maxParallel = 3

// createParallels makes the chardevs behind -parallel, where no device is, and
// behind -debugcon.
func (v *VM) createParallels() error {
	n := 0
	for _, s := range v.cfg.Parallels {
		if s.Filename == "none" {
			continue
		}
		if n == maxParallel {
			return at(s.Loc, errors.New("too many parallel ports"))
		}
		if _, err := v.legacyChardev(s, fmt.Sprintf("parallel%d", n), "parallel"); err != nil {
			return err
		}
		n++
	}
	for _, s := range v.cfg.Debugcons {
		if _, err := v.legacyChardev(s, "debugcon", ""); err != nil {
			return err
		}
	}
	return nil
}

// legacyChardev makes the chardev id of -serial or its like, which may be
// shared with a monitor, or finds the one it names. What goes wrong is reported
// with what the chardev is for, if that is not "".
func (v *VM) legacyChardev(s cli.SerialOpt, id, what string) (string, error) {
	v.messages.at(s.Loc)
	fail := func() error {
		if what == "" {
			return errQuiet
		}
		return at(s.Loc, fmt.Errorf("could not connect %s device to character backend '%s'", what, s.Filename))
	}
	if named, ok := strings.CutPrefix(s.Filename, "chardev:"); ok {
		if _, ok := v.chardevs.Get(named); !ok {
			return "", fail()
		}
		return named, nil
	}
	cfg, err := chardev.ParseMuxFilename(s.Filename)
	var syntax *chardev.SyntaxError
	if err == nil {
		err = v.addChardev(id, cfg)
	}
	if err == nil && cfg.Multiplexed() {
		// "mon:": the port, which comes later, then takes the focus.
		c, _ := v.chardevs.Get(id)
		err = v.monitors.Add(c, monitor.Options{Mode: monitor.Readline})
	}
	if err != nil {
		if !errors.As(err, &syntax) || syntax.Text != "" {
			v.rep.Error(s.Loc, err)
		}
		return "", fail()
	}
	return id, nil
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
