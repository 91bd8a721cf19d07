package hmp

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

type hinted struct{ error }

func (hinted) ErrorHint() string { return "Try harder.\n" }

// testShell has a command for each kind of argument. They print what they were
// given.
func testShell() *Shell {
	show := func(c *Call) error {
		var names []string
		for n := range c.Args {
			names = append(names, n)
		}
		slices.Sort(names)
		for _, n := range names {
			c.Printf("%s=%v\n", n, c.Args[n])
		}
		return nil
	}
	s := &Shell{
		Register: func(name string) (int64, bool) { return 0xfff0, name == "eip" || name == "cs.base" },
		Options: func(list, text string) (map[string]string, error) {
			if text == "bad" {
				return nil, errors.New("bad")
			}
			return map[string]string{list: text}, nil
		},
		History: func() []string { return nil },
	}
	s.Commands = []Command{
		{Name: "chardev-add", Args: "args:S", Params: "args", Help: "add chardev", Run: show},
		{Name: "cont|c", Help: "resume emulation", Run: show},
		{Name: "fail", Run: func(*Call) error { return hinted{fmt.Errorf("it failed")} }},
		{Name: "flags", Args: "all:-a,format:-fs,name:s?", Run: show},
		{Name: "gone", Params: "x", Help: "not here"},
		HelpCommand(),
		{Name: "i", Args: "fmt:/,addr:i,index:i.", Run: show},
		{Name: "info", Params: "[subcommand]", Help: "show things", Preconfig: true, Run: func(c *Call) error {
			c.Help("info")
			return nil
		}, Sub: []Command{
			{Name: "kvm", Help: "show KVM information", Run: show},
			{Name: "mtree", Args: "flat:-f", Params: "[-f]", Help: "show memory tree", Preconfig: true, Run: show},
		}},
		{Name: "logfile", Args: "filename:F", Run: show},
		{Name: "mem", Args: "target:M", Run: show},
		{Name: "opts", Args: "device:O", Run: show},
		{Name: "print|p", Args: "fmt:/,val:l", Params: "/fmt expr", Help: "print expression value", Run: show},
		{Name: "set_link", Args: "name:s,up:b", Run: show, Complete: func(args []string) []string {
			return [][]string{{"net0", "net1"}, {"on", "off"}}[min(len(args)-1, 1)]
		}},
		{Name: "size", Args: "n:o", Run: show},
		{Name: "sum", Args: "start:i,size:i", Run: show},
	}
	return s
}

func try(command string) string { return `Try "help ` + command + `" for more information` + "\n" }

// Lines are taken apart as QEMU does, and refused with its texts.
func TestLines(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"", ""}, {"   ", ""},
		{"nosuch", "unknown command: 'nosuch'\n"},
		{"info foo bar", "unknown command: 'info foo'\n"},
		{"info  kvm  bar", "kvm: extraneous characters at the end of line\n" + try("info  kvm")},
		{"c x", "cont|c: extraneous characters at the end of line\n" + try("c")},
		{"cont/x", "cont|c: extraneous characters at the end of line\n" + try("cont")},
		{"info", "info kvm  -- show KVM information\ninfo mtree [-f] -- show memory tree\n"},
		{"help info kvm x", "info kvm  -- show KVM information\n"},
		{"help foo", "unknown command: 'foo'\n"},
		{"help info foo", "unknown command: 'info foo'\n"},
		{"? p", "print|p /fmt expr -- print expression value\n"},
		{"gone 1", "Command \"gone\" is not available.\n"},
		{"help gone", "gone x -- not here\n"},
		{"fail", "Error: it failed\nTry harder.\n"},

		{"set_link", "set_link: string expected\n" + try("set_link")},
		{"set_link foo bar", "Expected 'on' or 'off'\n" + try("set_link")},
		{"set_link foo on", "name=foo\nup=true\n"},
		{`set_link "a b\"\\\n" off`, "name=a b\"\\\n\nup=false\n"},
		{`set_link "a`, "set_link: string expected\n" + try("set_link")},
		{`set_link "\x" on`, "set_link: string expected\n" + try("set_link")},
		{"logfile", "logfile: filename expected\n" + try("logfile")},
		{"chardev-add", "chardev-add: string expected\n" + try("chardev-add")},
		{"chardev-add  a,b c ", "args=a,b c \n"},
		{"opts", ""}, {"opts x,y=1", "device=map[device:x,y=1]\n"}, {"opts bad", try("opts")},
		{"info mtree -z", "mtree: unsupported option -z\n" + try("info mtree")},
		{"info mtree -f -z", "mtree: extraneous characters at the end of line\n" + try("info mtree")},
		{"info mtree -f", "flat=true\n"},
		{"flags -a -f png x", "all=true\nformat=png\nname=x\n"},
		{"flags -f png", "format=png\n"}, {"flags x", "name=x\n"}, {"flags", ""},
		{"flags -f", "flags: value expected for -f\n" + try("flags")},
		{"flags -", "flags: unsupported option -\n" + try("flags")},

		{"mem 2", "target=2097152\n"}, {"mem -1", "enter a positive value\n" + try("mem")},
		{"size 2", "n=2097152\n"}, {"size 1.5k", "n=1536\n"}, {"size 3G", "n=3221225472\n"}, {"size 7b", "n=7\n"},
		{"size x", "invalid size\n" + try("size")}, {"size 8E", "invalid size\n" + try("size")},
		{"size 1kk", "invalid size\n" + try("size")},
		{"sum 0", "unexpected end of expression\n" + try("sum")},
		{"sum 0x100000000 1", "'sum' has failed: integer is for 32-bit values\n" + try("sum")},
		{"i 0x70.1", "addr=112\nfmt={1 120 4}\nindex=1\n"},
		{"i 0x70", "addr=112\nfmt={1 120 4}\n"},

		{"p", "unexpected end of expression\n" + try("p")},
		{"p /z 0", "invalid char in format: 'z'\n" + try("p")},
		{"p /2z", "invalid char in format: 'z'\n" + try("p")},
		{"p 1+", "unexpected end of expression\n" + try("p")},
		{"p (1", "')' expected\n" + try("p")},
		{"p $foo", "unknown register\n" + try("p")},
		{"p 1/0", "division by zero\n" + try("p")},
		{"p 0x", "print|p: extraneous characters at the end of line\n" + try("p")},
		{"p zz", "invalid char 'z' in expression\n" + try("p")},
		{"p 99999999999999999999999", "number too large\n" + try("p")},
		{"p 1 2", "print|p: extraneous characters at the end of line\n" + try("p")},
		{"p '", "character constant expected\n" + try("p")},
		{"p 'ab", "missing terminating ' character\n" + try("p")},
		{"p " + strings.Repeat("(", 5000), "expression too deep\n" + try("p")},
	} {
		if got := testShell().Execute(context.Background(), c.line); got != c.want {
			t.Errorf("%.60q: got %q, want %q", c.line, got, c.want)
		}
	}
}

// Expressions have C's numbers, and + and - bind weaker than & | ^, as in QEMU.
func TestExpressions(t *testing.T) {
	for text, want := range map[string]int64{
		"10": 10, "0x10": 16, "010": 8, "0": 0, "-1": -1, "~1": -2, "+5": 5, "'a'": 97,
		"1+2*3": 7, "(1+2)*3": 9, "7 - 2 - 1": 4, "6|1+1": 8, "7&3^1": 2, "9%4": 1, "9/2": 4,
		"$eip": 0xfff0, "$cs.base + 1": 0xfff1, "0xffffffffffffffff": -1, "-8/3": -2,
		"0x8000000000000000/-1": -1 << 63,
	} {
		s := testShell()
		p := &scanner{text: text}
		got, err := s.expression(p)
		if err != nil || got != want || !p.end() {
			t.Errorf("%s: got %d, %v, rest %q; want %d", text, got, err, text[p.pos:], want)
		}
	}
}

// What a /fmt leaves out is as in the one before, whichever command that was.
func TestFormats(t *testing.T) {
	s := testShell()
	for _, c := range []struct {
		line string
		want Format
	}{
		{"p 1", Format{1, 'x', 4}},
		{"p /4xb 1", Format{4, 'x', 1}},
		{"p/3d 1", Format{3, 'd', 1}},
		{"p /g 1", Format{1, 'd', 8}},
		{"p 1", Format{1, 'd', 8}},
		{"p /2i 1", Format{2, 'i', -1}},
		{"p 1", Format{1, 'i', -1}},
		{"p /hc 1", Format{1, 'c', 2}},
		{"p /0u 1", Format{0, 'u', 2}},
		{"p /99999999999999o 1", Format{1<<31 - 1, 'o', 2}},
	} {
		want := fmt.Sprintf("fmt=%v\nval=1\n", c.want)
		if got := s.Execute(context.Background(), c.line); got != want {
			t.Errorf("%s: got %q, want %q", c.line, got, want)
		}
	}
}

// Before the machine is made only some commands are there, in help too.
func TestPreconfig(t *testing.T) {
	s := testShell()
	s.Preconfig = func() bool { return true }
	for line, want := range map[string]string{
		"c":        "Command 'c' not available until machine initialization has completed.\n",
		"info kvm": "Command 'info kvm' not available until machine initialization has completed.\n",
		"help":     "help|? [cmd] -- show the help\ninfo [subcommand] -- show things\n",
		"info":     "info mtree [-f] -- show memory tree\n",
	} {
		if got := s.Execute(context.Background(), line); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

// Completion knows commands, topics, what a command says of its arguments, and
// files.
func TestComplete(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		line, prefix string
		words        []string
	}{
		{"c", "c", []string{"c", "chardev-add", "cont"}},
		{"go", "go", nil}, // not available
		{"info ", "", []string{"kvm", "mtree"}},
		{"info m", "m", []string{"mtree"}},
		{"help in", "in", []string{"info"}},
		{"help info k", "k", []string{"kvm"}},
		{"set_link n", "n", []string{"net0", "net1"}},
		{"set_link net0 o", "o", []string{"off", "on"}},
		{"nosuch x", "x", nil},
		{`set_link "`, "", nil},
		{"logfile " + dir[:len(dir)-1], dir[:len(dir)-1], []string{dir + "/"}},
	} {
		prefix, words := testShell().Complete(c.line)
		if prefix != c.prefix || !reflect.DeepEqual(words, c.words) {
			t.Errorf("%q: got %q %q, want %q %q", c.line, prefix, words, c.prefix, c.words)
		}
	}
}

// The output of a line has a bound.
func TestOutputBound(t *testing.T) {
	s := &Shell{Commands: []Command{{Name: "x", Run: func(c *Call) error {
		for !c.Full() {
			c.Print(strings.Repeat("y", 1<<16))
		}
		c.Print("z")
		return nil
	}}}}
	if n := len(s.Execute(context.Background(), "x")); n > maxOutput+100 {
		t.Errorf("%d bytes", n)
	}
}

// FuzzLine: no line panics, hangs, or is answered with more than it asks for.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"p /4xb $eip+'a'*(1-~2)", `set_link "a\"b" on`, "flags -a -f x y", "i 0x70.1", "size 1.5k",
		"help info kvm", "p 0x", "info mtree -f", "chardev-add a=b,c=d", "opts driver=x,id=y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		s := testShell()
		out := s.Execute(context.Background(), line)
		if len(out) > 4*len(line)+2000 {
			t.Errorf("%d bytes for %q", len(out), line)
		}
		if strings.ContainsAny(line, "/~.") {
			return // no tour of the file system
		}
		prefix, words := s.Complete(line)
		for _, w := range words {
			if !strings.HasPrefix(w, prefix) {
				t.Errorf("%q completes %q", w, prefix)
			}
		}
	})
}
