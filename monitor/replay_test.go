package monitor

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gqemu/gqemu/chardev"
)

// exchange is one message of a recorded session and what QEMU said to it.
type exchange struct {
	send string
	want []string
}

type recording struct {
	title    string
	options  string
	greeting []string
	steps    []exchange
}

// recordings reads testdata/sessions.txt: sessions of QEMU 8.2.7 on machine
// "none". "C: " is what was sent, an LF added unless it has escapes; "S: " is
// a line that came.
func recordings(t testing.TB) []recording {
	data, err := os.ReadFile("testdata/sessions.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []recording
	for _, line := range strings.Split(string(data), "\n") {
		if title, ok := strings.CutPrefix(line, "########## "); ok {
			all = append(all, recording{title: title})
			continue
		}
		kind, text, _ := strings.Cut(line, " ")
		r := &all[len(all)-1]
		switch {
		case kind == "$":
			r.options = text
		case kind == "C:":
			r.steps = append(r.steps, exchange{send: unescape(t, text)})
		case kind == "S:" && len(r.steps) == 0:
			r.greeting = append(r.greeting, text)
		case kind == "S:":
			s := &r.steps[len(r.steps)-1]
			s.want = append(s.want, text)
		case line != "":
			t.Fatalf("what is %q?", line)
		}
	}
	return all
}

var escapes = regexp.MustCompile(`\\x[0-9a-f]{2}|\\r|\\n$`)

func unescape(t testing.TB, s string) string {
	if !escapes.MatchString(s) {
		return s + "\n"
	}
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var stamp = regexp.MustCompile(`("(?:micro)?seconds": )\d+`)

func mask(line string) string { return stamp.ReplaceAllString(line, "${1}0") }

// A client sees what it would see of QEMU, to the byte but for the time.
func TestRecordedSessions(t *testing.T) {
	for _, r := range recordings(t) {
		for _, piece := range []int{1 << 20, 1} {
			t.Run(r.title+"/"+strconv.Itoa(piece), func(t *testing.T) {
				vm, set := newVM(t)
				vm.preconfig = strings.Contains(r.options, "--preconfig")
				w := newWire(t)
				if err := set.Add(w, Options{Pretty: strings.Contains(r.options, "-qmp-pretty")}); err != nil {
					t.Fatal(err)
				}
				w.fe.Event(chardev.EventOpened)
				w.expect(r.greeting...)
				for _, s := range r.steps {
					for in := s.send; in != ""; {
						n := min(piece, len(in))
						w.send(in[:n])
						in = in[n:]
					}
					for _, want := range s.want {
						got, ok := w.tryLine(patience)
						if !ok || mask(got) != mask(want) {
							t.Fatalf("%q\n got %s\nwant %s", s.send, got, want)
						}
					}
				}
				set.Close()
				if rest := w.text(); rest != "" {
					t.Errorf("after the end: %q", rest)
				}
			})
		}
	}
}

// The recorder abbreviated these two.
func TestLongInput(t *testing.T) {
	_, set := newVM(t)
	w := connect(t, set)
	w.ask(strings.Repeat("[", 1025), `{"error": {"class": "GenericError", "desc": "JSON nesting depth limit exceeded"}}`)
	name := strings.Repeat("a", 200000)
	w.ask(`{"execute":"`+name+`"}`, `{"error": {"class": "CommandNotFound", "desc": "The command `+name+` has not been found"}}`)
	w.ask(`{"execute":"query-name","id":"probe"}`, `{"return": {}, "id": "probe"}`)
}
