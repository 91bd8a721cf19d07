package qtest

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// qmpDifference is a recorded request that is answered differently on
// purpose, with the answer.
type qmpDifference struct {
	request string
	reply   string
	why     string
}

// TestRecordedSessions: every recorded QMP session within the subset is
// answered as by QEMU 8.2.7, byte for byte, the order of members included.
func TestRecordedSessions(t *testing.T) {
	t.Parallel()
	known := map[string]qmpDifference{}
	for _, d := range qmpDifferences {
		known[d.request] = d
	}
	used := map[string]bool{}
	for i, s := range loadSessions(t) {
		for j := range s.steps {
			if d, ok := known[s.steps[j].request]; ok && j > 0 {
				used[d.request] = true
				s.steps[j].replies = []string{d.reply}
			}
		}
		t.Run(fmt.Sprintf("%02d %s", i, s.title), func(t *testing.T) {
			t.Parallel()
			replay(t, s)
		})
	}
	for _, d := range qmpDifferences {
		if !used[d.request] {
			t.Errorf("%s (%s) is not in the recording", d.request, d.why)
		}
	}
}

// cutReply is the end of a long reply as the recording shows it: the length in
// bytes of the whole.
var cutReply = regexp.MustCompile(`\.\.\. \[(\d+) bytes\]$`)

// sameReply compares a reply with a recorded one. Of a long one the beginning
// and the length are recorded.
func sameReply(have, want string) bool {
	if m := cutReply.FindStringSubmatchIndex(want); m != nil {
		return strings.HasPrefix(have, want[:m[0]]) && strconv.Itoa(len(have)) == want[m[2]:m[3]]
	}
	return mask(have) == mask(want)
}

func replay(t *testing.T, s session) {
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer inW.Close()
	defer outR.Close()
	p := Spawn(t, Config{Args: Args(s.command)[1:], Stdin: inR, Stdout: outW})
	inR.Close()
	outW.Close()
	out := bufio.NewReaderSize(outR, 1<<20)
	quit := false
	for _, st := range s.steps {
		if st.request != "" || st.replies == nil {
			if _, err := inW.WriteString(wire(st.request)); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range st.replies {
			_ = outR.SetReadDeadline(time.Now().Add(patience)) // pipes have deadlines
			l, err := out.ReadString('\n')
			if err != nil {
				t.Fatalf("C: %.200s\n waiting for %.200s: %v after %q\n%s", st.request, want, err, l, p.Stderr())
			}
			have, ok := strings.CutSuffix(l, "\r\n")
			if !ok {
				t.Errorf("no CR LF at the end of %.200q", l)
			}
			if !sameReply(have, want) {
				t.Errorf("C: %.200s\n have %.2000s\n want %.2000s", st.request, have, want)
			}
		}
		quit = st.request == `{"execute":"quit"}`
	}
	// Nothing may follow.
	limit := 30 * time.Millisecond
	if quit {
		limit = patience
	}
	_ = outR.SetReadDeadline(time.Now().Add(limit)) // pipes have deadlines
	if l, err := out.ReadString('\n'); err == nil {
		t.Errorf("surplus %q", l)
	}
	if quit {
		if code := p.Wait(); code != 0 || p.Stderr() != "" {
			t.Errorf("exit status %d, standard error %q", code, p.Stderr())
		}
	}
}
