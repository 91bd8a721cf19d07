package qapi

import (
	"errors"
	"fmt"
)

// Class is the machine-readable part of an error on QMP.
type Class string

// The classes that QEMU has. All but GenericError are historic, and clients
// look at them.
const (
	GenericError    Class = "GenericError"
	CommandNotFound Class = "CommandNotFound"
	DeviceNotActive Class = "DeviceNotActive"
	DeviceNotFound  Class = "DeviceNotFound"
	KVMMissingCap   Class = "KVMMissingCap"
)

// Error is an error with a class.
type Error struct {
	Class Class  // GenericError if empty
	Desc  string // the text, one line without a full stop
	Hint  string // further lines for humans, not sent over QMP
	Err   error  // what it wraps, or nil
}

// Error returns the description.
func (e *Error) Error() string { return e.Desc }

// Unwrap returns the wrapped error.
func (e *Error) Unwrap() error { return e.Err }

// QAPIClass returns the name of the class.
func (e *Error) QAPIClass() string {
	if e.Class == "" {
		return string(GenericError)
	}
	return string(e.Class)
}

// Errorf makes an error of class [GenericError]. It wraps what %w does in
// [fmt.Errorf].
func Errorf(format string, args ...any) error {
	return ClassErrorf(GenericError, format, args...)
}

// ClassErrorf makes an error of the given class.
func ClassErrorf(class Class, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	e := &Error{Class: class, Desc: err.Error()}
	switch err.(type) {
	case interface{ Unwrap() error }, interface{ Unwrap() []error }:
		e.Err = err
	}
	return e
}

// ClassOf is the class of err: that of the first error in its chain that has a
// method QAPIClass() string, as [Error] does, and GenericError if none has.
func ClassOf(err error) Class {
	var c interface{ QAPIClass() string }
	if errors.As(err, &c) {
		switch class := Class(c.QAPIClass()); class {
		case CommandNotFound, DeviceNotActive, DeviceNotFound, KVMMissingCap:
			return class
		}
	}
	return GenericError
}
