package cli

import (
	"fmt"
	"strings"
)

// DescError is one error in QEMU's words. Hint is the text that QEMU adds on
// standard error only, never in QMP; each of its lines ends in a newline.
type DescError struct {
	Desc string
	Hint string
}

// Error returns the description without the hint.
func (e *DescError) Error() string { return e.Desc }

// ErrorHint returns the lines that follow the error on standard error.
func (e *DescError) ErrorHint() string { return e.Hint }

func errf(format string, args ...any) error {
	return &DescError{Desc: fmt.Sprintf(format, args...)}
}

func errMissing(name string) error { return errf("Parameter '%s' is missing", name) }

func errInvalid(name string) error { return errf("Invalid parameter '%s'", name) }

func errExpects(name, what string) error { return errf("Parameter '%s' expects %s", name, what) }

func errEnum(name, value string) error {
	return errf("Parameter '%s' does not accept value '%s'", name, value)
}

func errType(name, want string) error {
	return errf("Invalid parameter type for '%s', expected: %s", name, want)
}

func errUnexpected(name string) error { return errf("Parameter '%s' is unexpected", name) }

const idHint = "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.\n"

// ErrBadID is QEMU's refusal of an id that is not well-formed.
func ErrBadID() error {
	return &DescError{Desc: "Parameter 'id' expects an identifier", Hint: idHint}
}

// Severity tells an error from a warning.
type Severity int

const (
	SevError Severity = iota
	SevWarning
)

// Message is one diagnostic, not yet formatted.
type Message struct {
	Severity Severity
	Loc      Loc
	Text     string
	Hint     string // further lines, printed without prefix; each ends in "\n"
	// Timestamp and Guest are the state of -msg and -name when the message
	// arose: QEMU applies them from the option on.
	Timestamp bool
	Guest     string
	// Verbatim is text that stands alone on its line, without the program.
	Verbatim bool
}

// Error ends the program: Messages go to standard error, Stdout to standard
// output, and Code is the exit status.
type Error struct {
	Messages []Message
	Stdout   string
	Code     int
}

// Error returns the texts, without program name and location.
func (e *Error) Error() string {
	var texts []string
	for _, m := range e.Messages {
		texts = append(texts, m.Text)
	}
	if len(texts) == 0 {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return strings.Join(texts, "; ")
}
