package qapi

import (
	"reflect"
	"time"
)

// Option modifies a command or event at its registration.
type Option func(*settings)

type settings struct {
	command *Command // one of these is nil
	event   *Event
	rawArgs reflect.Type
	checked bool // rawArgs are decoded first, to see that they are right
}

func forCommand(f func(*Command)) Option {
	return func(s *settings) {
		if s.command == nil {
			panic("qapi: option is for commands, not for event " + s.event.Name)
		}
		f(s.command)
	}
}

// AllowOOB lets the command run out of band: at once, on the goroutine that
// reads the session, beside whatever command is running and without the VM's
// lock. It must not block.
func AllowOOB() Option { return forCommand(func(c *Command) { c.AllowOOB = true }) }

// AllowPreconfig lets the command run before the machine is made.
func AllowPreconfig() Option { return forCommand(func(c *Command) { c.AllowPreconfig = true }) }

// SuccessResponse(false) suppresses the reply when the command succeeds.
func SuccessResponse(on bool) Option {
	return forCommand(func(c *Command) { c.SuccessResponse = on })
}

// RawArgs hands the arguments to a function that takes map[string]any as they
// came, unchecked. Schema is the type that the schema shows for them.
func RawArgs[Schema any]() Option {
	return func(s *settings) {
		if s.command == nil {
			panic("qapi: option is for commands, not for event " + s.event.Name)
		}
		s.rawArgs = reflect.TypeFor[Schema]()
	}
}

// CheckedArgs is as [RawArgs], but the arguments are checked against Schema
// first, with the errors that a command taking Schema has. It is for commands
// that hand their arguments on by name, as object-add does to properties.
func CheckedArgs[Schema any]() Option {
	return func(s *settings) {
		RawArgs[Schema]()(s)
		s.checked = true
	}
}

// Feature marks the command or event with a feature that clients can look for
// in the schema.
func Feature(name string) Option {
	return func(s *settings) {
		if s.command != nil {
			s.command.Features = append(s.command.Features, name)
		} else {
			s.event.Features = append(s.event.Features, name)
		}
	}
}

// Deprecated marks what may go away.
func Deprecated() Option { return Feature("deprecated") }

// Unstable marks what may change.
func Unstable() Option { return Feature("unstable") }

// RateLimit bounds an event to one per interval, apart for each value of the
// member key unless key is empty. The events that QEMU limits have their limit
// without this.
func RateLimit(interval time.Duration, key string) Option {
	return func(s *settings) {
		if s.event == nil {
			panic("qapi: option is for events, not for command " + s.command.Name)
		}
		s.event.Rate, s.event.RateKey = interval, key
	}
}
