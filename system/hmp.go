package system

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gqemu/gqemu/qapi"
)

type hmpArgs struct {
	CommandLine string `qapi:"command-line"`
	CPUIndex    *int64 `qapi:"cpu-index,optional"`
}

// registerHMP adds human-monitor-command.
func (v *VM) registerHMP() {
	qapi.Register(v.commands, "human-monitor-command",
		func(ctx context.Context, c *qapi.Call, a hmpArgs) (string, error) {
			if a.CPUIndex != nil && (*a.CPUIndex < 0 || *a.CPUIndex >= int64(len(v.machine.CPUs()))) {
				return "", qapi.Errorf("Parameter 'cpu-index' expects a CPU number")
			}
			return strings.ReplaceAll(v.hmp(ctx, c, a.CommandLine), "\n", "\r\n"), nil
		})
}

// hmpCommand is a command of the human monitor that takes no arguments. Text is
// what help says of it.
type hmpCommand struct {
	names string // alternatives, separated by '|'
	text  string
	run   func(*VM) string
}

// hmpCommands are the commands besides help and info, in help's order.
var hmpCommands = []hmpCommand{
	{"cont|c", "resume emulation", func(v *VM) string { return hmpResult(v.start()) }},
	{"quit|q", "quit the emulator", func(v *VM) string { v.quit(); return "" }},
	{"stop|s", "stop emulation", func(v *VM) string { return hmpResult(v.stop(StatePaused)) }},
	{"system_powerdown", "send system power down event", func(v *VM) string { v.requestPowerdown(); return "" }},
	{"system_reset", "reset the system", func(v *VM) string { v.requestReset(CauseHostReset); return "" }},
}

// hmpTopics are the topics of info.
var hmpTopics = []hmpCommand{
	{"kvm", "show KVM information", (*VM).infoKVM},
	{"name", "show the current VM name", (*VM).infoName},
	{"qtree", "show device tree", (*VM).infoQtree},
	{"status", "show the current VM status (running|paused)", (*VM).infoStatus},
	{"uuid", "show the current VM UUID", func(v *VM) string { return formatUUID(v.cfg.UUID) + "\n" }},
	{"version", "show the version of QEMU", (*VM).infoVersion},
}

// hmp runs one line of the human monitor. The VM lock is held.
func (v *VM) hmp(_ context.Context, _ *qapi.Call, line string) string {
	words := strings.Fields(line)
	if len(words) == 0 {
		return ""
	}
	switch words[0] {
	case "help", "?":
		if len(words) > 1 && words[1] == "info" {
			return hmpHelp("info ", hmpTopics)
		}
		return hmpHelp("", hmpCommands) + "info [subcommand] -- show various information about the system state\n"
	case "info":
		if len(words) == 1 {
			return hmpHelp("info ", hmpTopics)
		}
		return v.hmpRun("info ", hmpTopics, words[1:])
	}
	return v.hmpRun("", hmpCommands, words)
}

func (v *VM) hmpRun(prefix string, table []hmpCommand, words []string) string {
	for _, c := range table {
		if !slices.Contains(strings.Split(c.names, "|"), words[0]) {
			continue
		}
		if len(words) > 1 {
			return fmt.Sprintf("%s%s: extraneous characters at the end of line\nTry \"help %s%s\" for more information\n",
				prefix, c.names, prefix, words[0])
		}
		return c.run(v)
	}
	return fmt.Sprintf("unknown command: '%s%s'\n", prefix, words[0])
}

func hmpHelp(prefix string, table []hmpCommand) string {
	var b strings.Builder
	for _, c := range table {
		fmt.Fprintf(&b, "%s%s  -- %s\n", prefix, c.names, c.text)
	}
	return b.String()
}

func hmpResult(err error) string {
	if err != nil {
		return fmt.Sprintf("Error: %v\n", err)
	}
	return ""
}

func (v *VM) infoStatus() string {
	switch {
	case v.run.Running():
		return "VM status: running\n"
	case v.run.state == StatePaused:
		return "VM status: paused\n"
	}
	return fmt.Sprintf("VM status: paused (%s)\n", v.run.state)
}

func (v *VM) infoVersion() string {
	return fmt.Sprintf("%d.%d.%d%s\n", QEMUVersion.Major, QEMUVersion.Minor, QEMUVersion.Micro, v.env.Package)
}

func (v *VM) infoName() string {
	if v.cfg.Name.Guest == "" {
		return ""
	}
	return v.cfg.Name.Guest + "\n"
}

func (v *VM) infoKVM() string {
	if v.acc.Name() == "kvm" {
		return "kvm support: enabled\n"
	}
	return "kvm support: disabled\n"
}

func (v *VM) infoQtree() string {
	var b strings.Builder
	printBus(&b, v.host.SysBus, 0)
	return b.String()
}
