package qtest

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cliDifference is a recorded command line that is answered differently on
// purpose, with what is answered.
type cliDifference struct {
	line   string // without the part all lines share
	stderr string // without the program's name at the front
	stdout string
	rc     string
	why    string
}

// cliShared begins most recorded lines.
const cliShared = "qemu-system-x86_64 -nodefaults -display none -accel qtest "

// TestRecordedCommandLines: every recorded command line within the subset
// prints what QEMU 8.2.7 prints, byte for byte, and ends with its exit status.
func TestRecordedCommandLines(t *testing.T) {
	t.Parallel()
	known := map[string]cliDifference{}
	for _, d := range cliDifferences {
		known[d.line] = d
	}
	used := map[string]bool{}
	for _, c := range loadCommandLines(t) {
		if slices.Contains(needHost, c.text) {
			continue
		}
		short := strings.TrimPrefix(c.text, cliShared)
		if d, ok := known[short]; ok {
			used[short] = true
			if (d.stderr == "" || ProgramName+": "+d.stderr == c.stderr) && d.stdout == c.stdout && d.rc == c.rc {
				t.Errorf("%s is listed as a difference and is none", short)
			}
			c.stdout, c.stderr, c.rc = d.stdout, "", d.rc
			if d.stderr != "" {
				c.stderr = ProgramName + ": " + d.stderr
			}
		}
		t.Run(short, func(t *testing.T) {
			t.Parallel()
			limit := patience
			if c.rc == "RUNNING" {
				limit = 700 * time.Millisecond
			}
			o := Run(t, limit, Args(c.text)[1:]...)
			rc := strconv.Itoa(o.Code)
			if o.Code < 0 {
				rc = "RUNNING"
			}
			if rc != c.rc || o.Stderr != c.stderr {
				t.Errorf("exit status %s, want %s\n have %q\n want %q", rc, c.rc, o.Stderr, c.stderr)
			}
			if rc != "RUNNING" && o.Stdout != c.stdout {
				t.Errorf("standard output\n have %q\n want %q", o.Stdout, c.stdout)
			}
		})
	}
	for _, d := range cliDifferences {
		if !used[d.line] {
			t.Errorf("%s is not in the recording", d.line)
		}
	}
}
