package cli

import (
	"fmt"
	"slices"
	"strings"
)

// OptType is the type of a declared sub-option.
type OptType int

const (
	OptString OptType = iota
	OptBool
	OptNumber // unsigned 64 bits, C notation
	OptSize   // bytes, with suffixes
)

// String is the type as help texts show it.
func (t OptType) String() string {
	return [...]string{"str", "bool (on/off)", "num", "size"}[t]
}

// OptDesc declares one sub-option.
type OptDesc struct {
	Name string
	Type OptType
	Help string
}

// OptsSpec declares an option group in QemuOpts form.
type OptsSpec struct {
	Name    string
	Implied string // the key a leading bare value stands for
	Merge   bool   // all occurrences make up one list, and ids are refused
	Desc    []OptDesc
}

// AcceptsAny reports whether the group takes any sub-option; something later
// knows which are valid.
func (s *OptsSpec) AcceptsAny() bool { return len(s.Desc) == 0 }

// HelpText is the list of sub-options that `help` prints.
func (s *OptsSpec) HelpText() string {
	if len(s.Desc) == 0 {
		return fmt.Sprintf("There are no options for %s.\n", s.Name)
	}
	var lines []string
	for _, d := range s.Desc {
		l := fmt.Sprintf("  %s=<%s>", d.Name, d.Type)
		if d.Help != "" {
			l = fmt.Sprintf("%-24s - %s", l, d.Help)
		}
		lines = append(lines, l)
	}
	slices.Sort(lines)
	return s.Name + " options:\n" + strings.Join(lines, "\n") + "\n"
}

func (s *OptsSpec) desc(name string) *OptDesc {
	for i := range s.Desc {
		if s.Desc[i].Name == name {
			return &s.Desc[i]
		}
	}
	return nil
}

// check validates one sub-option against the group's declaration.
func (s *OptsSpec) check(o Opt) error {
	d := s.desc(o.Name)
	if d == nil {
		if s.AcceptsAny() {
			return nil
		}
		return errInvalid(o.Name)
	}
	switch d.Type {
	case OptBool:
		_, err := ParseBool(o.Name, o.Value)
		return err
	case OptNumber:
		_, err := parseUint64(o.Value)
		if err == errRange {
			return errf("Value '%s' is too large for parameter '%s'", o.Value, o.Name)
		}
		if err != nil {
			return errExpects(o.Name, "a number")
		}
	case OptSize:
		_, err := ParseSize(o.Value)
		if err == errRange {
			return errf("Value '%s' is out of range for parameter '%s'", o.Value, o.Name)
		}
		if err != nil {
			return &DescError{
				Desc: errExpects(o.Name, "a non-negative number below 2^64").Error(),
				Hint: "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n" +
					"and exabytes, respectively.\n",
			}
		}
	case OptString:
	}
	return nil
}

// optsGroup is an OptsSpec with what the command line put into it.
type optsGroup struct {
	*OptsSpec
	all []*Opts
}

// find returns the entry with this id, or the anonymous one.
func (g *optsGroup) find(id string, hasID bool) *Opts {
	for _, o := range g.all {
		if o.HasID == hasID && o.ID == id {
			return o
		}
	}
	return nil
}

// create adds an entry, or for a merged group returns the one there is.
func (g *optsGroup) create(loc Loc, id string, hasID bool) (*Opts, error) {
	if g.Merge {
		if hasID {
			return nil, errInvalid("id")
		}
		if len(g.all) > 0 {
			return g.all[0], nil
		}
	} else if hasID {
		if !WellFormedID(id) {
			return nil, ErrBadID()
		}
		if g.find(id, true) != nil {
			return nil, errf("Duplicate ID '%s' for %s", id, g.Name)
		}
	}
	o := &Opts{Loc: loc, ID: id, HasID: hasID}
	g.all = append(g.all, o)
	return o, nil
}

// parse adds one argument to the group. implied says whether a leading bare
// value stands for the group's implied key. warn is called for each short-form
// boolean. help is true, and nothing else valid, if the argument asks for the
// list of sub-options and the group has one.
func (g *optsGroup) parse(loc Loc, arg string, implied bool, warn func(text, hint string)) (o *Opts, help bool, err error) {
	id, hasID := findID(arg)
	if o, err = g.create(loc, id, hasID); err != nil {
		return nil, false, err
	}
	first := ""
	if implied {
		first = g.Implied
	}
	for rest := arg; rest != ""; first = "" {
		var t token
		t, rest = nextToken(rest, first)
		switch {
		case !t.short:
		case t.prefix == "" && IsHelp(t.Name):
			if !g.AcceptsAny() {
				return nil, true, nil
			}
		default:
			warn(t.shortFormWarning())
		}
		if t.Name == "id" {
			continue
		}
		if err := g.check(t.Opt); err != nil {
			return nil, false, err
		}
		o.list = append(o.list, t.Opt)
	}
	return o, false, nil
}
