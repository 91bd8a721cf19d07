package hmp

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxCompletions is how many completions are listed, as in QEMU.
const maxCompletions = 256

// Complete tells how line, which ends at the cursor, may go on: prefix is the
// word that is being typed, and words are what it may become, sorted. A word
// that ends in a slash is a directory: more may follow.
func (s *Shell) Complete(line string) (prefix string, words []string) {
	args, ok := split(line)
	if !ok {
		return "", nil
	}
	if line != "" && isBlank(line[len(line)-1]) {
		args = append(args, "")
	}
	if len(args) == 0 {
		args = []string{""}
	}
	prefix = args[len(args)-1]
	for _, w := range s.candidates(s.Commands, args) {
		if strings.HasPrefix(w, prefix) && len(words) < maxCompletions {
			words = append(words, w)
		}
	}
	slices.Sort(words)
	return prefix, slices.Compact(words)
}

// candidates lists what the last of args could be, and maybe more.
func (s *Shell) candidates(table []Command, args []string) []string {
	if len(args) == 1 {
		return s.names(table)
	}
	cmd := find(table, args[0])
	switch {
	case cmd == nil || !s.available(cmd):
		return nil
	case cmd.Sub != nil:
		return s.candidates(cmd.Sub, args[1:])
	case cmd.Complete != nil:
		return cmd.Complete(args[1:])
	case cmd.answers("help"):
		return s.candidates(s.Commands, args[1:])
	}
	if a, ok := argument(cmd, len(args)-2); ok && a.kind == 'F' {
		return files(args[len(args)-1])
	}
	return nil
}

func (s *Shell) names(table []Command) []string {
	var out []string
	for i := range table {
		if s.available(&table[i]) && table[i].Run != nil {
			out = append(out, strings.Split(table[i].Name, "|")...)
		}
	}
	return out
}

// argument is the n-th argument of cmd that is no flag.
func argument(cmd *Command, n int) (spec, bool) {
	for _, a := range specs(cmd.Args) {
		if a.kind == '-' {
			continue
		}
		if n == 0 {
			return a, true
		}
		n--
	}
	return spec{}, false
}

// files lists the directory that the path begun stands in.
func files(begun string) []string {
	dir, _ := filepath.Split(begun)
	at := dir
	if at == "" {
		at = "."
	}
	entries, err := os.ReadDir(at)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		name := dir + e.Name()
		if st, err := os.Stat(name); err == nil && st.IsDir() {
			name += "/"
		}
		out = append(out, name)
	}
	return out
}
