package cli

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gqemu/gqemu/internal/errno"
)

// recorded is one command line with what QEMU 8.2.7 printed.
type recorded struct {
	line           string
	argv           []string
	stderr, stdout []string
	rc             string
}

func loadRecorded(t testing.TB) []recorded {
	data, err := os.ReadFile("testdata/cli-errors.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	var cur *recorded
	for l := range strings.Lines(string(data)) {
		l = strings.TrimSuffix(l, "\n")
		if s, ok := strings.CutPrefix(l, "$ "); ok {
			cur = &recorded{line: s, argv: shellWords(s)}
		} else if cur == nil {
			continue
		} else if s, ok := strings.CutPrefix(l, "stderr| "); ok {
			cur.stderr = append(cur.stderr, s)
		} else if s, ok := strings.CutPrefix(l, "stdout| "); ok {
			cur.stdout = append(cur.stdout, s)
		} else if s, ok := strings.CutPrefix(l, "rc="); ok {
			cur.rc, _, _ = strings.Cut(s, " ")
			all = append(all, *cur)
			cur = nil
		}
	}
	return all
}

// shellWords splits at spaces outside single quotes.
func shellWords(s string) []string {
	var words []string
	var b strings.Builder
	in, quoted := false, false
	for _, c := range s {
		switch {
		case c == '\'':
			quoted, in = !quoted, true
		case c == ' ' && !quoted:
			if in {
				words = append(words, b.String())
			}
			b.Reset()
			in = false
		default:
			b.WriteRune(c)
			in = true
		}
	}
	if in {
		words = append(words, b.String())
	}
	return words
}

// qemuFilenames stands in for the chardev package's check of the compatibility
// syntax, as far as the recording goes.
func qemuFilenames(name string, _ bool) (string, bool) {
	switch {
	case name == "stdio", strings.HasPrefix(name, "unix:"):
		return "", true
	case strings.HasPrefix(name, "tcp:"):
		return "", strings.Contains(name[4:], ":")
	}
	return "'" + name + "' is not a valid char driver", false
}

func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// parsedAlone are lines that must be decided by Parse: their number may only
// grow.
const parsedAlone = 54

// TestRecorded holds Parse to the recording: what it decides, it decides as
// QEMU did, and what it leaves to later stages, it does not complain about.
func TestRecorded(t *testing.T) {
	decided := 0
	for _, r := range loadRecorded(t) {
		cfg, err := Env{CheckFilename: qemuFilenames, ReadFile: os.ReadFile, Errno: errno.Text}.Parse(r.argv)
		var stderr, stdout bytes.Buffer
		rep := cfg.Reporter(&stderr)
		rep.Flush(cfg.Messages)
		have := splitLines(stderr.String())
		if err == nil {
			if len(have) > len(r.stderr) || !slices.Equal(have, r.stderr[:len(have)]) {
				t.Errorf("%s\n  QEMU %q\n  here %q", r.line, r.stderr, have)
			}
			continue
		}
		decided++
		code := rep.Fail(err, &stdout)
		have = splitLines(stderr.String())
		if out := splitLines(stdout.String()); !slices.Equal(have, r.stderr) || !slices.Equal(out, r.stdout) ||
			r.rc != map[int]string{0: "0", 1: "1"}[code] {
			t.Errorf("%s\n  QEMU %s %q %q\n  here %d %q %q", r.line, r.rc, r.stderr, r.stdout, code, have, out)
		}
	}
	if decided < parsedAlone {
		t.Errorf("Parse decided %d lines, want at least %d", decided, parsedAlone)
	}
	t.Logf("%d lines decided by Parse", decided)
}
