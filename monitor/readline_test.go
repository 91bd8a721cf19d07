package monitor

import (
	"strings"
	"testing"
	"time"

	"github.com/gqemu/gqemu/chardev"
)

// typeKeys sends keys to the editor and returns what the terminal gets.
func typeKeys(r *readline, keys string) string {
	var out strings.Builder
	for i := range len(keys) {
		echo, _, _ := r.key(keys[i])
		out.WriteString(echo)
	}
	return out.String()
}

func left(n int) string  { return strings.Repeat("\x1b[D", n) }
func right(n int) string { return strings.Repeat("\x1b[C", n) }

// Each key has the effect on the terminal that it has with QEMU.
func TestReadlineKeys(t *testing.T) {
	type step struct{ keys, want string }
	for name, steps := range map[string][]step{
		"insert and delete": {
			{"abc", "a\x1b[K" + left(1) + "ab\x1b[K" + left(2) + "abc\x1b[K"},
			{"\x01", left(3)},
			{"X", "Xabc\x1b[K" + left(3)},
			{"\x05", right(3)},
			{"Y", left(4) + "XabcY\x1b[K"},
			{"\x1b[D\x1b[D", left(2)},
			{"\x04", left(3) + "XabY\x1b[K" + left(1)},
			{"\x7f", left(3) + "XaY\x1b[K" + left(1)},
			{"\x15", left(2) + "Y\x1b[K" + left(1)},
			{"\x15", ""},
		},
		"words and the screen": {
			{"foo bar baz", anyOutput},
			{"\x17", left(11) + "foo bar \x1b[K"},
			{"\x17", left(8) + "foo \x1b[K"},
			{"\x0b", ""},
			{"\x0c", "\x1b[2J\x1b[1;1H(qemu) foo \x1b[K"},
			{"\x17\x17", left(4) + "\x1b[K"},
		},
		"other cursor keys": {
			{"abc def", anyOutput}, {"\x1b[D\x1b[D", left(2)},
			{"\x15", left(5) + "ef\x1b[K" + left(2)},
			{"\x1b[1~", ""}, {"Z", "Zef\x1b[K" + left(2)}, {"\x1b[4~", right(2)}, {"\x1b[3~", ""},
			{"\x1bOH", left(3)}, {"Q", "QZef\x1b[K" + left(3)}, {"\x1bOF", right(3)},
			{"\x1b[C\x03\x06\x02\x1bx\x1b[H\x1b[99999999999999999999~\x9bA", ""}, {"\x9bD", left(1)},
		},
		"history": {
			{"\x1b[A\x1b[B", ""}, {"\r", "\r\n"}, {"\x1b[A", ""},
			{"p 1\rp 2\rp 1\r", anyOutput},
			{"\x1b[A", "p 1\x1b[K"}, {"\x1b[A", left(3) + "p 2\x1b[K"}, {"\x1b[A", ""},
			{"\x1b[B", left(3) + "p 1\x1b[K"}, {"\x1b[B", left(3) + "\x1b[K"}, {"\x1b[B", ""},
			{"\x10", "p 1\x1b[K"}, {"\x0e", left(3) + "\x1b[K"},
		},
		"completion": {
			{"in", anyOutput}, {"\t", left(2) + "info \x1b[K"}, {"his\x1b[D", anyOutput},
			{"\t", left(7) + "info history s\x1b[K" + left(1)}, // before the cursor
			{"\x15\x04", anyOutput}, {"d\t", "d\x1b[K" + left(1) + "dir/\x1b[K"},
			{"\x15\t", left(4) + "\x1b[K" + "\r\ndir/      history   info      version   \r\n(qemu) "},
			{"nosuch\x1b[K", anyOutput}, {"\t", ""},
		},
	} {
		r := newReadline(fakeHuman{}.Complete)
		for i, s := range steps {
			if got := typeKeys(&r, s.keys); got != s.want && s.want != anyOutput {
				t.Errorf("%s, step %d, %q: got %q, want %q", name, i, s.keys, got, s.want)
			}
		}
	}
}

const anyOutput = "any"

// A list of completions has as many columns as fit.
func TestCompletionColumns(t *testing.T) {
	words := []string{"system_powerdown", "system_reset", "system_wakeup"}
	r := newReadline(func(line string) (string, []string) { return line, words })
	typeKeys(&r, "s")
	want := "\r\nsystem_powerdown  system_reset      system_wakeup     \r\n(qemu) system_\x1b[K"
	if got := typeKeys(&r, "\t"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r = newReadline(func(line string) (string, []string) {
		return line, []string{strings.Repeat("a", 90), strings.Repeat("b", 30)}
	})
	want = "\r\n" + strings.Repeat("a", 90) + "\r\n" + strings.Repeat("b", 30) + strings.Repeat(" ", 50) + "\r\n(qemu) "
	if got := typeKeys(&r, "\t"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The history has a bound, and a line that comes again moves to its end.
func TestHistoryBound(t *testing.T) {
	r := newReadline(nil)
	for i := range 3 * maxHistory {
		typeKeys(&r, strings.Repeat("x", i+1)+"\r")
	}
	typeKeys(&r, strings.Repeat("x", 3*maxHistory-5)+"\r")
	l := r.lines()
	if len(l) != maxHistory || len(l[maxHistory-1]) != 3*maxHistory-5 || len(l[0]) != 2*maxHistory+1 {
		t.Errorf("%d lines, %d and %d bytes", len(l), len(l[0]), len(l[len(l)-1]))
	}
}

// A monitor keeps the history when its client goes, and commands see it.
func TestHumanHistory(t *testing.T) {
	w := newHumanWire(t)
	w.fe.Event(chardev.EventOpened)
	w.awaitText(banner + prompt)
	w.send("info version\r")
	w.awaitSuffix("8.2.7\r\n" + prompt)
	w.fe.Event(chardev.EventClosed)
	w.fe.Event(chardev.EventOpened)
	w.send("info hi\t\r")
	w.awaitSuffix("info version,info history \r\n" + prompt)
}

// After the command that ends the emulator no other is asked for.
func TestHumanQuit(t *testing.T) {
	w := newHumanWire(t)
	w.fe.Event(chardev.EventOpened)
	w.awaitText(banner + prompt)
	w.send("quit\r")
	w.awaitSuffix("quit\x1b[K\r\n")
	w.send("x")
	w.awaitSuffix("quit\x1b[K\r\nx\x1b[K")
}

// awaitSuffix waits until what the monitor has written ends in want.
func (w *wire) awaitSuffix(want string) {
	w.t.Helper()
	stop := time.NewTimer(patience)
	defer stop.Stop()
	for !strings.HasSuffix(w.text(), want) {
		select {
		case <-w.news:
		case <-stop.C:
			w.t.Fatalf("got %q, want %q at its end", w.text(), want)
		}
	}
}

// FuzzReadline: whatever is typed, the editor keeps to its bounds, and the
// cursor to the line.
func FuzzReadline(f *testing.F) {
	for _, s := range []string{"abc\x01X\x05Y\x1b[D\x04\x7f\x15", "foo bar\x17\x0c\r", "p 1\rp 2\r\x1b[A\x1b[A\x1b[B\x10\x0e",
		"in\thi\t\t\r", "\x1b[3~\x1bOH\x1bOF\x9b4~", "d\t\t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, keys string) {
		r := newReadline(fakeHuman{}.Complete)
		for i := range len(keys) {
			r.key(keys[i])
			if r.cursor < 0 || r.cursor > len(r.buf) || len(r.buf) > maxLine || r.shownCursor != r.cursor ||
				string(r.shown) != string(r.buf) {
				t.Fatalf("%q: cursor %d, %d shown, %d bytes", keys[:i+1], r.cursor, r.shownCursor, len(r.buf))
			}
		}
	})
}
