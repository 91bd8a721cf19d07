package system

import (
	"errors"
	"strings"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/monitor/hmp"
)

var errFixedLog = errors.New("the log of this program cannot be changed")

// log says what is logged from now on.
func (h *human) log(c *hmp.Call) error {
	var items, trace []string
	if text := c.Args.Str("items"); text != "none" {
		var help, ok bool
		if items, trace, help, ok = cli.ParseLogItems(text); help || !ok {
			c.Print(logHelp())
			return nil
		}
	}
	if h.v.env.LogControl == nil {
		return errFixedLog
	}
	h.v.env.LogControl.SetItems(items, trace)
	return nil
}

// logfile says where the log goes from now on.
func (h *human) logfile(c *hmp.Call) error {
	if h.v.env.LogControl == nil {
		return errFixedLog
	}
	if err := h.v.env.LogControl.SetFile(c.Args.Str("filename")); err != nil {
		c.Printf("%v\n", err)
	}
	return nil
}

// logHelp is what -d lists, in the words of the monitor.
func logHelp() string {
	first, rest, _ := strings.Cut(cli.LogUsage(), "\n")
	rest = strings.Replace(rest, `"-d trace:help"`, `"log trace:help"`, 1)
	return first + "\nnone            remove all logs\n" + rest + "\n"
}
