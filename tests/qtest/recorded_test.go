package qtest

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// commandLine is one recorded command line with what QEMU 8.2.7 printed.
type commandLine struct {
	text           string
	stderr, stdout string
	rc             string
}

func loadCommandLines(t testing.TB) []commandLine {
	var all []commandLine
	var cur *commandLine
	for l := range strings.Lines(readFile(t, "testdata/cli-errors.txt")) {
		l = strings.TrimSuffix(l, "\n")
		if s, ok := strings.CutPrefix(l, "$ "); ok {
			cur = &commandLine{text: s}
		} else if cur == nil {
			continue
		} else if s, ok := strings.CutPrefix(l, "stderr| "); ok {
			cur.stderr += s + "\n"
		} else if s, ok := strings.CutPrefix(l, "stdout| "); ok {
			cur.stdout += s + "\n"
		} else if s, ok := strings.CutPrefix(l, "rc="); ok {
			cur.rc = s
			all = append(all, *cur)
			cur = nil
		}
	}
	return all
}

// session is a recorded QMP session.
type session struct {
	title, command string
	steps          []step
}

// step is what the client sends and the lines that come back. The first step
// of a session sends nothing.
type step struct {
	request string
	replies []string
}

func loadSessions(t testing.TB) []session {
	var all []session
	for l := range strings.Lines(readFile(t, "testdata/qmp-sessions.txt")) {
		l = strings.TrimSuffix(l, "\n")
		if s, ok := strings.CutPrefix(l, "########## "); ok {
			all = append(all, session{title: s, steps: []step{{}}})
			continue
		}
		if len(all) == 0 {
			continue
		}
		cur := &all[len(all)-1]
		if s, ok := strings.CutPrefix(l, "$ "); ok {
			cur.command = s
		} else if s, ok := strings.CutPrefix(l, "C: "); ok {
			cur.steps = append(cur.steps, step{request: s})
		} else if s, ok := strings.CutPrefix(l, "S: "); ok {
			last := &cur.steps[len(cur.steps)-1]
			last.replies = append(last.replies, s)
		}
	}
	return all
}

var escapes = regexp.MustCompile(`\\x[0-9a-f]{2}|\\n$|\\r`)

// wire turns a recorded request into bytes. One that has escapes is sent as it
// stands, any other with a newline.
func wire(s string) string {
	if !escapes.MatchString(s) {
		return s + "\n"
	}
	s = strings.NewReplacer(`\n`, "\n", `\r`, "\r").Replace(s)
	return regexp.MustCompile(`\\x[0-9a-f]{2}`).ReplaceAllStringFunc(s, func(x string) string {
		n := strings.IndexByte("0123456789abcdef", x[2])<<4 | strings.IndexByte("0123456789abcdef", x[3])
		return string([]byte{byte(n)})
	})
}

// mask hides what rightly differs between two runs: time stamps, the package
// of the version, process and thread ids.
func mask(s string) string {
	for _, m := range masks {
		s = m.re.ReplaceAllString(s, m.to)
	}
	return s
}

var masks = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`"(seconds|microseconds|thread-id|pid)": -?\d+`), `"$1": 0`},
	{regexp.MustCompile(`"package": "[^"]*"`), `"package": ""`},
	{regexp.MustCompile(`"8\.2\.7[^"]*\\r\\n"`), `"8.2.7\r\n"`},
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
