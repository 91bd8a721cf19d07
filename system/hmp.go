package system

import (
	"context"
	"fmt"
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

// hmp runs one line of the human monitor. The VM lock is held.
func (v *VM) hmp(_ context.Context, _ *qapi.Call, line string) string {
	words := strings.Fields(line)
	if len(words) == 0 {
		return ""
	}
	args := words[1:]
	switch words[0] {
	case "info":
		if len(args) == 0 {
			return "unknown command: 'info'\n"
		}
		return v.hmpInfo(args[0], args[1:])
	case "stop", "s":
		return hmpResult(v.stop(StatePaused))
	case "cont", "c":
		return hmpResult(v.start())
	case "quit", "q":
		v.quit()
	case "system_reset":
		v.requestReset(CauseHostReset)
	case "system_powerdown":
		v.requestPowerdown()
	default:
		return fmt.Sprintf("unknown command: '%s'\n", words[0])
	}
	return ""
}

func hmpResult(err error) string {
	if err != nil {
		return fmt.Sprintf("Error: %v\n", err)
	}
	return ""
}

func (v *VM) hmpInfo(topic string, _ []string) string {
	switch topic {
	case "status":
		if v.run.Running() {
			return "VM status: running\n"
		}
		if v.run.state == StatePaused {
			return "VM status: paused\n"
		}
		return fmt.Sprintf("VM status: paused (%s)\n", v.run.state)
	case "version":
		return fmt.Sprintf("%d.%d.%d%s\n", QEMUVersion.Major, QEMUVersion.Minor, QEMUVersion.Micro, v.env.Package)
	case "name":
		if v.cfg.Name.Guest == "" {
			return ""
		}
		return v.cfg.Name.Guest + "\n"
	case "uuid":
		return formatUUID(v.cfg.UUID) + "\n"
	case "kvm":
		if v.acc.Name() == "kvm" {
			return "kvm support: enabled\n"
		}
		return "kvm support: disabled\n"
	case "qtree":
		var b strings.Builder
		printBus(&b, v.host.SysBus, 0)
		return b.String()
	}
	return fmt.Sprintf("unknown command: 'info %s'\n", topic)
}
