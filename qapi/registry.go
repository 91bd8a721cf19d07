package qapi

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/gqemu/gqemu/internal/qjson"
)

// Registry holds the commands and events of one VM. The zero value is empty
// and ready. Registering is not safe for concurrent use and must be done
// before the registry is used; everything else is safe.
type Registry struct {
	commands map[string]*Command
	order    []*Command
	events   map[string]*Event
	evOrder  []*Event

	mu    sync.Mutex
	types types // guarded by mu
}

// Session is what a command may ask of the monitor session that it came by.
type Session interface {
	// TakeFD returns the file descriptor that came along with the command
	// (SCM_RIGHTS); the caller owns it. Further ones that came with it are
	// closed. ok is false if none came.
	TakeFD() (fd int, ok bool)
	// AddFD gives the monitor ownership of fd under a name (getfd). One that
	// had the name before is closed.
	AddFD(name string, fd int)
	// FD takes the descriptor of that name out of the monitor; the caller owns
	// it.
	FD(name string) (fd int, ok bool)
}

// Call is one execution of a command.
type Call struct {
	Command *Command
	OOB     bool    // runs out of band, without the VM's lock
	Session Session // nil if it did not come by a monitor
}

// Command is a registered command.
type Command struct {
	Name     string
	Features []string

	AllowOOB        bool // may run out of band
	AllowPreconfig  bool // may run before the machine is made
	SuccessResponse bool // is answered when it succeeded

	// The types are worked out when first asked for: most commands are never
	// run.
	registry  *Registry
	args, ret reflect.Type
	run       func(context.Context, *Call, map[string]any) (any, error)
}

// Args is the type of the arguments, an object: what the schema shows.
func (c *Command) Args() *Type { return c.registry.typeOf(c.args) }

// Ret is the type of the result, an object without members if there is none.
func (c *Command) Ret() *Type { return c.registry.typeOf(c.ret) }

// Run decodes args and runs the command. The result is one that package qjson
// writes.
func (c *Command) Run(ctx context.Context, call *Call, args map[string]any) (any, error) {
	return c.run(ctx, call, args)
}

// Event is a registered event.
type Event struct {
	Name     string
	Features []string

	// Rate is the least time between two of these events; 0 if unlimited.
	// Those with different values of member RateKey, if it is not empty, are
	// limited apart.
	Rate    time.Duration
	RateKey string

	registry *Registry
	data     reflect.Type
}

// Data is the type of the event's data: an object, without members if the event
// has none.
func (e *Event) Data() *Type { return e.registry.typeOf(e.data) }

// Encode makes the data of the event into what package qjson writes. It
// returns nil data for an event that has none, and an error if data is not of
// the type that was registered or one with the same members: who posts an event
// need not know who registered it.
func (e *Event) Encode(data any) (any, error) {
	want := e.Data()
	if len(want.Members) == 0 && len(want.Variants) == 0 {
		if data != nil && data != struct{}{} {
			return nil, fmt.Errorf("qapi: event %s has no data", e.Name)
		}
		return nil, nil
	}
	v := reflect.ValueOf(data)
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.IsValid() && v.Type() == want.Go {
		return want.encode(v), nil
	}
	if v.Kind() == reflect.Struct {
		if t := e.registry.typeOf(v.Type()); sameMembers(t, want) {
			return t.encode(v), nil
		}
	}
	return nil, fmt.Errorf("qapi: data of event %s is %T, not %v", e.Name, data, want.Go)
}

// sameMembers tells whether objects of two types look alike, down to the
// members' types, which must be equal or of the same built-in type.
func sameMembers(a, b *Type) bool {
	if len(a.Members) != len(b.Members) || len(a.Variants)+len(b.Variants) > 0 {
		return false
	}
	for i := range a.Members {
		m, n := &a.Members[i], &b.Members[i]
		if m.Name != n.Name || m.Optional != n.Optional {
			return false
		}
		if m.Type != n.Type && (m.Type.builtin() == "" || m.Type.builtin() != n.Type.builtin()) {
			return false
		}
	}
	return true
}

// Register adds a command. The function is called with decoded arguments; if
// it returns an error, its text and class ([ClassOf]) go to the client. Args
// and Ret are types as the package comment describes; Args is a struct type,
// or map[string]any with the option [RawArgs] or [CheckedArgs]. Register panics if the name is
// taken; a type that is unfit panics when it is first looked at, at the latest by Schema.
func Register[Args, Ret any](r *Registry, name string, fn func(ctx context.Context, c *Call, args Args) (Ret, error), opts ...Option) {
	if _, dup := r.commands[name]; dup {
		panic("qapi: command " + name + " is registered twice")
	}
	argsGo := reflect.TypeFor[Args]()
	c := &Command{Name: name, SuccessResponse: true, registry: r, args: argsGo, ret: reflect.TypeFor[Ret]()}
	s := settings{command: c}
	for _, o := range opts {
		o(&s)
	}
	raw := argsGo == reflect.TypeFor[map[string]any]()
	switch {
	case raw && s.rawArgs != nil:
		c.args = s.rawArgs
	case raw || s.rawArgs != nil || argsGo.Kind() != reflect.Struct:
		panic("qapi: command " + name + ": arguments must be a struct, or a map with RawArgs")
	}
	c.run = func(ctx context.Context, call *Call, m map[string]any) (any, error) {
		var args Args
		argType := c.Args()
		if s.checked {
			if err := argType.decodeArgs(m, reflect.New(argType.Go).Elem()); err != nil {
				return nil, err
			}
		}
		if raw {
			reflect.ValueOf(&args).Elem().Set(reflect.ValueOf(m))
		} else if err := argType.decodeArgs(m, reflect.ValueOf(&args).Elem()); err != nil {
			return nil, err
		}
		v, err := fn(ctx, call, args)
		if err != nil {
			return nil, err
		}
		return c.Ret().encode(reflect.ValueOf(&v).Elem()), nil
	}
	if r.commands == nil {
		r.commands = map[string]*Command{}
	}
	r.commands[name] = c
	r.order = append(r.order, c)
}

// RegisterEvent adds an event. Data is a struct type, struct{} for none.
// It panics if Data is no struct or the name is taken.
func RegisterEvent[Data any](r *Registry, name string, opts ...Option) {
	if _, dup := r.events[name]; dup {
		panic("qapi: event " + name + " is registered twice")
	}
	e := &Event{Name: name, registry: r, data: reflect.TypeFor[Data]()}
	if e.data.Kind() != reflect.Struct {
		panic("qapi: event " + name + ": data must be a struct")
	}
	if l, ok := rateLimits[name]; ok {
		e.Rate, e.RateKey = time.Second, l
	}
	for _, o := range opts {
		o(&settings{event: e})
	}
	if r.events == nil {
		r.events = map[string]*Event{}
	}
	r.events[name] = e
	r.evOrder = append(r.evOrder, e)
}

// rateLimits names the events that QEMU sends at most once a second, since a
// guest can cause them at will, each with the member that tells its sources
// apart.
var rateLimits = map[string]string{
	"BALLOON_CHANGE":            "",
	"MEMORY_DEVICE_SIZE_CHANGE": "qom-path",
	"QUORUM_FAILURE":            "",
	"QUORUM_REPORT_BAD":         "node-name",
	"RTC_CHANGE":                "",
	"VSERPORT_CHANGE":           "id",
	"WATCHDOG":                  "",
}

func (r *Registry) typeOf(t reflect.Type) *Type {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.types == nil {
		r.types = types{}
	}
	return r.types.of(t)
}

// Command returns the command of that name, or nil.
func (r *Registry) Command(name string) *Command { return r.commands[name] }

// Commands lists the commands in the order of registration.
func (r *Registry) Commands() []*Command { return r.order }

// Event returns the event of that name, or nil.
func (r *Registry) Event(name string) *Event { return r.events[name] }

// Events lists the events in the order of registration.
func (r *Registry) Events() []*Event { return r.evOrder }

// Encode makes any value of a QAPI type into one that package qjson writes,
// for results whose type the registry does not know beforehand.
func (r *Registry) Encode(v any) any {
	if v == nil {
		return nil
	}
	if o, ok := v.(qjson.Object); ok {
		return o
	}
	return r.typeOf(reflect.TypeOf(v)).encode(reflect.ValueOf(v))
}
