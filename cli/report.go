package cli

import (
	"errors"
	"io"
	"strings"
	"time"
)

// Reporter prints diagnostics in QEMU's form:
//
//	[TIME ][GUEST ]PROGRAM: [LOCATION: ][warning: ]TEXT
//
// It is not safe for concurrent use. Write errors are ignored: there is
// nowhere left to report them.
type Reporter struct {
	W    io.Writer
	Prog string
	// Timestamp and Guest come from -msg timestamp=on and guest-name=on.
	Timestamp bool
	Guest     string
	// Now is the clock for time stamps; nil means time.Now.
	Now func() time.Time
}

// Reporter returns one that prints to w with the -msg settings that hold at the
// end of the command line.
func (c *Config) Reporter(w io.Writer) *Reporter {
	r := &Reporter{W: w, Prog: c.Prog, Timestamp: c.Msg.Timestamp}
	if c.Msg.GuestName {
		r.Guest = c.Name.Guest
	}
	return r
}

// Report prints m with the settings it was made under.
func (r *Reporter) Report(m Message) {
	_, _ = io.WriteString(r.W, r.Format(m))
}

// Format returns what Report prints.
func (r *Reporter) Format(m Message) string {
	if m.Verbatim {
		return m.Text + "\n"
	}
	var b strings.Builder
	if m.Timestamp {
		now := r.Now
		if now == nil {
			now = time.Now
		}
		b.WriteString(now().UTC().Format("2006-01-02T15:04:05.000000Z"))
		b.WriteByte(' ')
	}
	if m.Guest != "" {
		b.WriteString(m.Guest)
		b.WriteByte(' ')
	}
	b.WriteString(m.Loc.prefix(r.Prog))
	if m.Severity == SevWarning {
		b.WriteString("warning: ")
	}
	b.WriteString(m.Text)
	b.WriteByte('\n')
	b.WriteString(m.Hint)
	return b.String()
}

// Flush prints all of ms.
func (r *Reporter) Flush(ms []Message) {
	for _, m := range ms {
		r.Report(m)
	}
}

// Error prints err at loc, with its hint if it has one.
func (r *Reporter) Error(loc Loc, err error) {
	r.Report(r.message(SevError, loc, err))
}

// Warn prints a warning at loc.
func (r *Reporter) Warn(loc Loc, text string) {
	r.Report(r.message(SevWarning, loc, errors.New(text)))
}

func (r *Reporter) message(s Severity, loc Loc, err error) Message {
	m := Message{Severity: s, Loc: loc, Text: err.Error(), Timestamp: r.Timestamp, Guest: r.Guest}
	var h interface{ ErrorHint() string }
	if errors.As(err, &h) {
		m.Hint = h.ErrorHint()
	}
	return m
}

// Fail prints err as returned by Parse, its standard output part to stdout, and
// returns the exit status.
func (r *Reporter) Fail(err error, stdout io.Writer) int {
	var e *Error
	if !errors.As(err, &e) {
		r.Error(Loc{}, err)
		return 1
	}
	r.Flush(e.Messages)
	_, _ = io.WriteString(stdout, e.Stdout)
	return e.Code
}
