package system

import (
	"context"
	"fmt"
	"strings"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/monitor/hmp"
	"github.com/gqemu/gqemu/qapi"
)

// human is what one human monitor, or one human-monitor-command, knows of its
// user. It implements monitor.Human; the VM lock is held in its methods.
type human struct {
	v       *VM
	shell   hmp.Shell
	session qapi.Session // of human-monitor-command, nil otherwise
	cpu     int          // index of the CPU that commands are about
	history []string
}

// newHuman makes the interpreter of a human monitor.
func (v *VM) newHuman() *human {
	h := &human{v: v}
	h.shell = hmp.Shell{
		Commands: h.commands(), Register: h.register, Options: h.options, Preconfig: v.preconfig,
		History: func() []string { return h.history },
	}
	return h
}

// Execute is part of monitor.Human.
func (h *human) Execute(ctx context.Context, line string, history []string) (output string, last bool) {
	h.history = history
	output = h.shell.Execute(ctx, line)
	return output, h.v.req.shutdown != "" && h.v.action.Shutdown != "pause"
}

// Complete is part of monitor.Human.
func (h *human) Complete(line string) (prefix string, words []string) { return h.shell.Complete(line) }

type hmpArgs struct {
	CommandLine string `qapi:"command-line"`
	CPUIndex    *int64 `qapi:"cpu-index,optional"`
}

// registerHMP adds human-monitor-command.
func (v *VM) registerHMP() {
	qapi.Register(v.commands, "human-monitor-command",
		func(ctx context.Context, c *qapi.Call, a hmpArgs) (string, error) {
			h := v.newHuman()
			h.session = c.Session
			if a.CPUIndex != nil {
				if *a.CPUIndex < 0 || *a.CPUIndex >= int64(len(v.machine.CPUs())) {
					return "", qapi.Errorf("Parameter 'cpu-index' expects a CPU number")
				}
				h.cpu = int(*a.CPUIndex)
			}
			return strings.ReplaceAll(h.shell.Execute(ctx, a.CommandLine), "\n", "\r\n"), nil
		}, qapi.Feature("savevm-monitor-nodes"))
}

// qmp runs the body of a QMP command, so that both monitors do and say the
// same. The result is as package qjson writes it.
func (h *human) qmp(c *hmp.Call, name string, args map[string]any) (any, error) {
	cmd := h.v.commands.Command(name)
	if cmd == nil {
		return nil, qapi.ClassErrorf(qapi.CommandNotFound, "The command %s has not been found", name)
	}
	if args == nil {
		args = map[string]any{}
	}
	return cmd.Run(c.Context, &qapi.Call{Command: cmd, Session: h.session}, args)
}

// does makes a command of one of QMP that takes no arguments and has no
// result that is shown.
func (h *human) does(name string) func(*hmp.Call) error {
	return func(c *hmp.Call) error {
		_, err := h.qmp(c, name, nil)
		return err
	}
}

// passes makes a command of one of QMP whose arguments have the names and
// types of the command's own.
func (h *human) passes(name string) func(*hmp.Call) error {
	return func(c *hmp.Call) error {
		_, err := h.qmp(c, name, c.Args)
		return err
	}
}

// member is a member of a result, nil where there is none.
func member(v any, name string) any {
	switch o := v.(type) {
	case qjson.Object:
		for _, m := range o {
			if m.Key == name {
				return m.Value
			}
		}
	case map[string]any:
		return o[name]
	}
	return nil
}

// list is a result that is a list.
func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// options parses an argument in QemuOpts form. As in QEMU, what is wrong with it
// goes to standard error, and the monitor says only where to find help.
func (h *human) options(name, text string) (map[string]string, error) {
	opts, err := cli.ParseOpts(name, text, func(text, hint string) {
		h.v.rep.Report(cli.Message{Severity: cli.SevWarning, Text: text, Hint: hint})
	})
	if err != nil {
		h.v.rep.Error(cli.Loc{}, err)
		return nil, err
	}
	m := map[string]string{}
	for _, o := range opts.WithID().List() {
		m[o.Name] = o.Value
	}
	return m, nil
}

// isHelp tells whether options ask for the list of them.
func isHelp(opts map[string]string) bool {
	for name := range opts {
		if cli.IsHelp(name) {
			return true
		}
	}
	return false
}

// onOff is a switch as info shows it.
func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func stringsOf(v any) []string {
	var out []string
	for _, e := range list(v) {
		out = append(out, fmt.Sprint(e))
	}
	return out
}
