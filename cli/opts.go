package cli

import (
	"slices"
	"strings"
)

// Opt is one NAME=VALUE of an option's argument.
type Opt struct{ Name, Value string }

// Opts is an option's argument in QEMU's QemuOpts form: an ordered list in
// which a later value of a name replaces an earlier one for Get. The id is kept
// apart and is not among the names.
type Opts struct {
	Loc   Loc
	ID    string
	HasID bool
	list  []Opt
}

// Get returns the last value given for name.
func (o *Opts) Get(name string) (string, bool) {
	if o != nil {
		for i := len(o.list) - 1; i >= 0; i-- {
			if o.list[i].Name == name {
				return o.list[i].Value, true
			}
		}
	}
	return "", false
}

// All returns every value given for name, in order.
func (o *Opts) All(name string) []string {
	var v []string
	for _, e := range o.List() {
		if e.Name == name {
			v = append(v, e.Value)
		}
	}
	return v
}

// Names lists the distinct names in the order of their first appearance.
func (o *Opts) Names() []string {
	var n []string
	for _, e := range o.List() {
		if !slices.Contains(n, e.Name) {
			n = append(n, e.Name)
		}
	}
	return n
}

// List returns all entries as written. The caller must not change it.
func (o *Opts) List() []Opt {
	if o == nil {
		return nil
	}
	return o.list
}

// Set appends name=value without checking it.
func (o *Opts) Set(name, value string) { o.list = append(o.list, Opt{name, value}) }

// HasHelp reports whether `help` or `?` is among the names.
func (o *Opts) HasHelp() bool {
	return slices.ContainsFunc(o.List(), func(e Opt) bool { return IsHelp(e.Name) })
}

// Dict returns the options as a dictionary of strings, the id as "id". It is a
// new map each time.
func (o *Opts) Dict() map[string]any {
	m := make(map[string]any, len(o.List())+1)
	for _, e := range o.List() {
		m[e.Name] = e.Value
	}
	if o != nil && o.HasID {
		m["id"] = o.ID
	}
	return m
}

// WithID returns a copy in which the id, if there is one, is among the names.
func (o *Opts) WithID() *Opts {
	c := &Opts{Loc: o.Loc, ID: o.ID, HasID: o.HasID}
	if o.HasID {
		c.Set("id", o.ID)
	}
	c.list = append(c.list, o.list...)
	return c
}

// String writes the options so that parsing them without an implied key gives
// the same list. Names with '=' or ',' in them cannot be written back; parsing
// never produces any.
func (o *Opts) String() string {
	var b strings.Builder
	add := func(name, value string) {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(strings.ReplaceAll(value, ",", ",,"))
	}
	if o.HasID {
		add("id", o.ID)
	}
	for _, e := range o.list {
		add(e.Name, e.Value)
	}
	return b.String()
}

// token is one piece of an argument between single commas.
type token struct {
	Opt
	short  bool   // a flag without "="
	prefix string // "no" where the flag had it
}

// nextToken takes one token off s. first is the key that a leading value
// without "=" implies, or "".
func nextToken(s, first string) (token, string) {
	n := strings.IndexAny(s, "=,")
	var t token
	switch {
	case n >= 0 && s[n] == '=':
		t.Name = s[:n]
		t.Value, s = cutValue(s[n+1:])
	case first != "":
		t.Name = first
		t.Value, s = cutValue(s)
	default:
		if n < 0 {
			n = len(s)
		}
		t.Name, s = s[:n], s[n:]
		t.short, t.Value = true, "on"
		if cut, found := strings.CutPrefix(t.Name, "no"); found {
			t.Name, t.Value, t.prefix = cut, "off", "no"
		}
	}
	return t, strings.TrimPrefix(s, ",")
}

// cutValue takes a value off s, up to a single comma, which it leaves; a
// doubled comma stands for one.
func cutValue(s string) (value, rest string) {
	n := strings.IndexByte(s, ',')
	if n < 0 {
		return s, ""
	}
	if n+1 >= len(s) || s[n+1] != ',' {
		return s[:n], s[n:]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == ',' {
			if i+1 >= len(s) || s[i+1] != ',' {
				return b.String(), s[i:]
			}
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// findID returns the first id in an argument. As in QEMU it does not know of
// an implied key, so it also finds one that a doubled comma in an implied value
// would hide.
func findID(s string) (string, bool) {
	for s != "" {
		var t token
		if t, s = nextToken(s, ""); t.Name == "id" {
			return t.Value, true
		}
	}
	return "", false
}

// shortFormWarning is the text and the hint for a flag without a value.
func (t token) shortFormWarning() (text, hint string) {
	text = "short-form boolean option '" + t.prefix + t.Name + "' deprecated"
	if t.Name == "delay" {
		// "nodelay" is an option of its own, not the negation of "delay".
		on := "off"
		if t.prefix != "" {
			on = "on"
		}
		return text, "Please use nodelay=" + on + " instead\n"
	}
	return text, "Please use " + t.Name + "=" + t.Value + " instead\n"
}
