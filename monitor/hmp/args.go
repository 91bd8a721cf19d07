package hmp

import (
	"fmt"
	"math"
	"strings"
)

// Args are the arguments of a call by the names in [Command].Args. What was
// not given is absent.
type Args map[string]any

// Has tells whether the argument was given.
func (a Args) Has(name string) bool { _, ok := a[name]; return ok }

// Str is a word, or "".
func (a Args) Str(name string) string { s, _ := a[name].(string); return s }

// Int is a number, or 0.
func (a Args) Int(name string) int64 { n, _ := a[name].(int64); return n }

// Bool is a flag or a switch.
func (a Args) Bool(name string) bool { b, _ := a[name].(bool); return b }

// Format is a /fmt, the default where none was given.
func (a Args) Format(name string) Format { f, _ := a[name].(Format); return f }

// Options is an argument of type O, nil where it was not given.
func (a Args) Options(name string) map[string]string { m, _ := a[name].(map[string]string); return m }

// Format is a /fmt: a count, a letter and a size.
type Format struct {
	Count int64
	// Letter is x, d, u, o, c or i.
	Letter byte
	// Size is 1, 2, 4 or 8 bytes; -1 where a format i has none.
	Size int
}

// spec is one argument of a command.
type spec struct {
	name string
	kind byte
	rest string // modifiers: "?", ".", the letter of a flag
}

// specs takes Command.Args apart.
func specs(format string) []spec {
	var out []spec
	for _, f := range strings.Split(format, ",") {
		name, kind, ok := strings.Cut(f, ":")
		if ok && kind != "" {
			out = append(out, spec{name, kind[0], kind[1:]})
		}
	}
	return out
}

func (s spec) optional() bool { return strings.HasSuffix(s.rest, "?") }

// parse reads the arguments of cmd. If they are wrong, ok is false and
// complaint says why, "" where that has been reported.
func (s *Shell) parse(cmd *Command, p *scanner) (args Args, complaint string, ok bool) {
	args = Args{}
	for _, a := range specs(cmd.Args) {
		if err := s.argument(cmd, a, p, args); err != nil {
			return nil, err.Error(), false
		}
	}
	p.space()
	if !p.end() {
		return nil, cmd.Name + ": extraneous characters at the end of line", false
	}
	return args, "", true
}

// silent is a failure that has been reported.
type silent struct{}

func (silent) Error() string { return "" }

// argument reads one argument into args.
func (s *Shell) argument(cmd *Command, a spec, p *scanner, args Args) error {
	p.space()
	if a.optional() && p.end() {
		return nil
	}
	switch a.kind {
	case 's', 'F':
		w, ok := p.word()
		if !ok {
			what := "string"
			if a.kind == 'F' {
				what = "filename"
			}
			return fmt.Errorf("%s: %s expected", cmd.Name, what)
		}
		args[a.name] = w
	case 'S':
		if p.end() {
			return fmt.Errorf("%s: string expected", cmd.Name)
		}
		args[a.name] = p.text[p.pos:]
		p.pos = len(p.text)
	case 'O':
		return s.options(a, p, args)
	case '/':
		f, err := s.parseFormat(p)
		if err != nil {
			return err
		}
		args[a.name] = f
	case 'i', 'l', 'M':
		return s.number(cmd, a, p, args)
	case 'o':
		n, err := sizeMiB(p)
		if err != nil {
			return err
		}
		args[a.name] = n
	case 'b':
		from := p.pos
		for !p.end() && p.peek() > ' ' && p.peek() < 0x7F {
			p.pos++
		}
		switch p.text[from:p.pos] {
		case "on":
			args[a.name] = true
		case "off":
			args[a.name] = false
		default:
			return fmt.Errorf("Expected 'on' or 'off'")
		}
	case '-':
		return flag(cmd, a, p, args)
	default:
		return fmt.Errorf("%s: unknown type '%c'", cmd.Name, a.kind)
	}
	return nil
}

// options reads an argument of type O. It may be absent.
func (s *Shell) options(a spec, p *scanner, args Args) error {
	if p.end() {
		return nil
	}
	w, ok := p.word()
	if !ok || s.Options == nil {
		return silent{}
	}
	m, err := s.Options(a.name, w)
	if err != nil {
		return silent{}
	}
	args[a.name] = m
	return nil
}

// number reads an expression.
func (s *Shell) number(cmd *Command, a spec, p *scanner, args Args) error {
	if a.rest == "." {
		if p.peek() != '.' {
			return nil
		}
		p.pos++
		p.space()
	}
	n, err := s.expression(p)
	if err != nil {
		return err
	}
	switch {
	case a.kind == 'i' && n>>32 != 0:
		return fmt.Errorf("'%s' has failed: integer is for 32-bit values", cmd.Name)
	case a.kind == 'M' && n < 0:
		return fmt.Errorf("enter a positive value")
	case a.kind == 'M':
		n <<= 20
	}
	args[a.name] = n
	return nil
}

// flag reads -x. Another flag of the command may come first: it is left alone.
func flag(cmd *Command, a spec, p *scanner, args Args) error {
	if a.rest == "" || p.peek() != '-' {
		return nil
	}
	if p.pos+1 >= len(p.text) || p.text[p.pos+1] != a.rest[0] {
		var given byte
		if p.pos+1 < len(p.text) {
			given = p.text[p.pos+1]
		}
		for _, o := range specs(cmd.Args) {
			if o.kind == '-' && o.rest != "" && o.rest[0] == given {
				return nil
			}
		}
		if given == 0 {
			return fmt.Errorf("%s: unsupported option -", cmd.Name)
		}
		return fmt.Errorf("%s: unsupported option -%c", cmd.Name, given)
	}
	p.pos += 2
	if len(a.rest) < 2 || a.rest[1] != 's' {
		args[a.name] = true
		return nil
	}
	w, ok := p.word()
	if !ok {
		return fmt.Errorf("%s: value expected for -%c", cmd.Name, a.rest[0])
	}
	args[a.name] = w
	return nil
}

// parseFormat reads a /fmt. What is not given is as in the one before.
func (s *Shell) parseFormat(p *scanner) (Format, error) {
	if s.format == 0 {
		s.format, s.size = 'x', 4
	}
	f := Format{Count: 1, Letter: s.format, Size: s.size}
	if p.peek() != '/' {
		if f.Letter == 'i' {
			f.Size = -1
		}
		return f, nil
	}
	p.pos++
	if isDigit(p.peek()) {
		f.Count = 0
		for isDigit(p.peek()) {
			f.Count = min(f.Count*10+int64(p.peek()-'0'), math.MaxInt32)
			p.pos++
		}
	}
	letter, size := byte(0), -1
scan:
	for {
		switch c := p.peek(); c {
		case 'o', 'd', 'u', 'x', 'i', 'c':
			letter = c
		case 'b':
			size = 1
		case 'h':
			size = 2
		case 'w':
			size = 4
		case 'g', 'L':
			size = 8
		default:
			break scan
		}
		p.pos++
	}
	if !p.end() && !isBlank(p.peek()) {
		return f, fmt.Errorf("invalid char in format: '%c'", p.peek())
	}
	if letter != 0 {
		s.format = letter
	}
	f.Letter, f.Size = s.format, size
	if f.Letter != 'i' {
		// An instruction has the size it has.
		if size > 0 {
			s.size = size
		}
		f.Size = s.size
	}
	return f, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// sizeMiB reads a size: a decimal number, maybe with a fraction, in MiB or
// with a suffix.
func sizeMiB(p *scanner) (int64, error) {
	bad := fmt.Errorf("invalid size")
	n, ok := p.size()
	if !ok || n >= math.MaxInt64 {
		return 0, bad
	}
	return int64(n), nil
}

// size reads a number with a suffix, in bytes.
func (p *scanner) size() (float64, bool) {
	from := p.pos
	for isDigit(p.peek()) {
		p.pos++
	}
	if p.pos == from {
		return 0, false
	}
	if p.peek() == '.' {
		for p.pos++; isDigit(p.peek()); p.pos++ {
		}
	}
	var n float64
	if _, err := fmt.Sscanf(p.text[from:p.pos], "%g", &n); err != nil {
		return 0, false
	}
	unit := float64(1 << 20)
	if i := strings.IndexByte("BKMGTPE", p.peek()&^0x20); i >= 0 && !p.end() {
		unit = math.Pow(1024, float64(i))
		p.pos++
	}
	return n * unit, p.end() || isBlank(p.peek())
}
