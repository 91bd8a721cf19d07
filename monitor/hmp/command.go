package hmp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Command is one command of the monitor. Commands are values in a table that
// does not change.
type Command struct {
	// Name has the alternatives separated by '|', as in "print|p".
	Name string
	// Args is the format of the arguments; see the package comment.
	Args string
	// Params and Help are what help shows.
	Params, Help string
	// Detail is what help NAME prints; nil for a line of Params and Help.
	Detail func() string
	// Preconfig lets the command run before the machine is made.
	Preconfig bool
	// Run does the work. Its error is printed after "Error: ", with its hint.
	// Nil is a command that help lists and that is not available.
	Run func(c *Call) error
	// Sub are the commands that may follow; Run is for a line without.
	Sub []Command
	// Complete lists what the last of args, the words after the command,
	// may become; those that do not begin with it are dropped. Nil leaves
	// file names and commands after help to the Shell, and the rest to the
	// user.
	Complete func(args []string) []string
}

// answers tells whether name is one of the command's.
func (c *Command) answers(name string) bool { return slices.Contains(strings.Split(c.Name, "|"), name) }

func find(table []Command, name string) *Command {
	for i := range table {
		if table[i].answers(name) {
			return &table[i]
		}
	}
	return nil
}

// maxOutput is how many bytes of output a command line has at most. A dump of
// gigabytes would otherwise be held in memory before the client gets any.
const maxOutput = 16 << 20

// Call is one execution of a command.
type Call struct {
	Context context.Context
	Shell   *Shell
	Args    Args
	out     strings.Builder
	cut     bool
}

// Printf adds to the output. Lines end in LF.
func (c *Call) Printf(format string, args ...any) { c.Print(fmt.Sprintf(format, args...)) }

// Print adds to the output.
func (c *Call) Print(text string) {
	switch {
	case c.cut:
	case c.out.Len()+len(text) > maxOutput:
		c.cut = true
		c.out.WriteString("\n(the output ends here: it is too long)\n")
	default:
		c.out.WriteString(text)
	}
}

// Write makes a Call an io.Writer of its output. It never fails.
func (c *Call) Write(p []byte) (int, error) {
	c.Print(string(p))
	return len(p), nil
}

// Full tells that the output has reached its limit, so that more of it is lost.
func (c *Call) Full() bool { return c.cut }

// Shell runs command lines for one user. Its methods must not be called at the
// same time.
type Shell struct {
	Commands []Command
	// Register gives the value of $name. Nil knows none.
	Register func(name string) (int64, bool)
	// Options parses the argument of type O. Its error has been reported
	// when it returns: only where to find help is said.
	Options func(list, text string) (map[string]string, error)
	// Preconfig tells that the machine is not made yet. Nil means never.
	Preconfig func() bool
	// History lists the lines that were typed, the oldest first. Nil: none.
	History func() []string

	format byte // of the last /fmt, 0 before the first
	size   int
}

// Execute runs one line and returns what it printed.
func (s *Shell) Execute(ctx context.Context, line string) string {
	c := &Call{Context: ctx, Shell: s}
	s.execute(c, line)
	return c.out.String()
}

func (s *Shell) execute(c *Call, line string) {
	p := &scanner{text: line}
	p.space()
	start := p.pos
	cmd := s.lookup(c, p, start, s.Commands)
	if cmd == nil {
		return
	}
	if cmd.Run == nil {
		c.Printf("Command \"%s\" is not available.\n", strings.TrimRight(line[start:p.pos], blanks))
		return
	}
	end := p.pos
	args, complaint, ok := s.parse(cmd, p)
	if !ok {
		if complaint != "" {
			c.Print(complaint + "\n")
		}
		c.Printf("Try \"help %s\" for more information\n", strings.TrimRight(line[start:end], blanks))
		return
	}
	c.Args = args
	if err := cmd.Run(c); err != nil {
		c.Printf("Error: %v\n%s", err, hint(err))
	}
}

// lookup reads the name of a command, and those of its sub-commands.
func (s *Shell) lookup(c *Call, p *scanner, start int, table []Command) *Command {
	name := p.name()
	if name == "" {
		return nil
	}
	cmd := find(table, name)
	if cmd == nil {
		c.Printf("unknown command: '%s'\n", p.text[start:p.pos])
		return nil
	}
	if !s.available(cmd) {
		c.Printf("Command '%s' not available until machine initialization has completed.\n", p.text[start:p.pos])
		return nil
	}
	p.space()
	if cmd.Sub != nil && !p.end() {
		return s.lookup(c, p, start, cmd.Sub)
	}
	return cmd
}

func (s *Shell) available(cmd *Command) bool {
	return cmd.Preconfig || s.Preconfig == nil || !s.Preconfig()
}

// hint is the advice that comes with an error, "" for none.
func hint(err error) string {
	var h interface{ ErrorHint() string }
	if errors.As(err, &h) {
		return h.ErrorHint()
	}
	return ""
}

// Help prints the help for a command, given as its words; without any, that
// for all commands.
func (c *Call) Help(words ...string) { c.help(c.Shell.Commands, words, 0) }

func (c *Call) help(table []Command, words []string, at int) {
	one := func(cmd *Command) {
		if c.Shell.available(cmd) {
			for _, w := range words[:at] {
				c.Print(w + " ")
			}
			c.Printf("%s %s -- %s\n", cmd.Name, cmd.Params, cmd.Help)
		}
	}
	if at >= len(words) {
		for i := range table {
			one(&table[i])
		}
		return
	}
	cmd := find(table, words[at])
	switch {
	case cmd != nil && cmd.Detail != nil:
		c.Print(cmd.Detail())
	case cmd == nil || !c.Shell.available(cmd):
		c.Printf("unknown command: '%s'\n", strings.Join(words[:at+1], " "))
	case cmd.Sub != nil:
		c.help(cmd.Sub, words, at+1)
	default:
		one(cmd)
	}
}

// HelpCommand is the command help, for a table.
func HelpCommand() Command {
	return Command{
		Name: "help|?", Args: "name:S?", Params: "[cmd]", Help: "show the help", Preconfig: true,
		Run: func(c *Call) error {
			words, ok := split(c.Args.Str("name"))
			if ok {
				c.Help(words...)
			}
			return nil
		},
	}
}
