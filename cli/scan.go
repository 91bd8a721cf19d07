package cli

import (
	"path/filepath"

	"github.com/spf13/pflag"
)

// imageArg is the name under which the scanner files an argument that is no
// option. Nobody can type it: no option's name has a space.
const imageArg = "disk image"

// scanner is the first pass: it looks every option up and takes its argument.
//
// pflag has the table and hands out the values, in order, through recorder.
// What it cannot know is QEMU's spelling (one dash or two, the argument always
// in a word of its own), so the words are rewritten as --name=argument first.
type scanner struct {
	flags   *pflag.FlagSet
	locs    []Loc // of the rewritten words, in order
	options []Option
}

// recorder is the pflag.Value of one option: it appends to the scanner's list.
type recorder struct {
	s    *scanner
	name string
}

func (r *recorder) String() string { return "" }
func (r *recorder) Type() string   { return "string" }

// Set records one occurrence. pflag calls it in the order of the words.
func (r *recorder) Set(arg string) error {
	loc := r.s.locs[len(r.s.options)]
	r.s.options = append(r.s.options, Option{Name: r.name, Arg: arg, Loc: loc})
	return nil
}

// noArg marks the flags of options without an argument for pflag.
const noArg = "\x00"

func newScanner(table []optionSpec) *scanner {
	s := &scanner{flags: pflag.NewFlagSet("", pflag.ContinueOnError)}
	s.flags.SortFlags = false
	for _, o := range table {
		f := s.flags.VarPF(&recorder{s, o.name}, o.name, "", "")
		if !o.hasArg {
			f.NoOptDefVal = noArg
		}
	}
	s.flags.Var(&recorder{s, imageArg}, imageArg, "")
	return s
}

// scan takes argv without the program's name.
func (s *scanner) scan(args []string) ([]Option, *Message) {
	words, bad := s.rewrite(args)
	if bad != nil {
		return nil, bad
	}
	if err := s.flags.Parse(words); err != nil {
		return nil, &Message{Text: err.Error()}
	}
	for i := range s.options {
		if s.options[i].Arg == noArg && s.flags.Lookup(s.options[i].Name).NoOptDefVal == noArg {
			s.options[i].Arg = ""
		}
	}
	return s.options, nil
}

// rewrite turns QEMU's words into pflag's.
func (s *scanner) rewrite(args []string) ([]string, *Message) {
	var words []string
	for i := 0; i < len(args); i++ {
		word := args[i]
		if word == "" || word[0] != '-' {
			words = append(words, "--"+imageArg+"="+word)
			s.locs = append(s.locs, Loc{CmdLine: word})
			continue
		}
		name := word[1:]
		if len(name) > 0 && name[0] == '-' {
			name = name[1:]
		}
		f := s.flags.Lookup(name)
		if f == nil || name == imageArg {
			return nil, &Message{Loc: Loc{CmdLine: word}, Text: "invalid option"}
		}
		if f.NoOptDefVal == noArg {
			words = append(words, "--"+name)
			s.locs = append(s.locs, Loc{CmdLine: word})
			continue
		}
		i++
		if i == len(args) {
			return nil, &Message{Loc: Loc{CmdLine: word}, Text: "requires an argument"}
		}
		words = append(words, "--"+name+"="+args[i])
		s.locs = append(s.locs, Loc{CmdLine: word + " " + args[i]})
	}
	return words, nil
}

// progName is the name with which messages begin.
func progName(argv []string) string {
	if len(argv) == 0 || argv[0] == "" {
		return "gqemu"
	}
	return filepath.Base(argv[0])
}
