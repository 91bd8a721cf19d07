package cli

import "strconv"

// Loc says where on the command line (or in which line of a configuration
// file) something was asked for. The zero Loc is "nowhere in particular".
type Loc struct {
	// CmdLine is the option as written, with its argument: `-device foo,id=a`.
	CmdLine string
	// File and Line name a line of a configuration file instead.
	File string
	Line int
}

// String is the location as it stands in a message, without separators.
func (l Loc) String() string {
	if l.File != "" {
		if l.Line == 0 {
			return l.File
		}
		return l.File + ":" + strconv.Itoa(l.Line)
	}
	return l.CmdLine
}

// prefix is what precedes a message: program, location, separator.
func (l Loc) prefix(prog string) string {
	switch {
	case l.File != "":
		return prog + ":" + l.String() + ": "
	case l.CmdLine != "":
		return prog + ": " + l.CmdLine + ": "
	}
	return prog + ": "
}

// Option is one option of the command line, before its argument is understood.
type Option struct {
	Name string // without dashes; "" for an argument that is no option
	Arg  string // "" where the option takes none
	Loc  Loc
}
