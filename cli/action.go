package cli

// Action is what happens on a guest's events: -action, -no-reboot and
// -no-shutdown, with QEMU's defaults filled in.
type Action struct {
	Reboot   string // "reset" or "shutdown"
	Shutdown string // "poweroff" or "pause"
	Panic    string // "pause", "shutdown", "exit-failure" or "none"
	Watchdog string // "reset", "shutdown", "poweroff", "pause", "debug", "none" or "inject-nmi"
}

// DefaultAction is the behaviour without any option.
func DefaultAction() Action {
	return Action{Reboot: "reset", Shutdown: "poweroff", Panic: "shutdown", Watchdog: "reset"}
}

var actionMembers = []Member{
	{Name: "reboot", Kind: KindEnum, Optional: true, Enum: []string{"reset", "shutdown"}},
	{Name: "shutdown", Kind: KindEnum, Optional: true, Enum: []string{"poweroff", "pause"}},
	{Name: "panic", Kind: KindEnum, Optional: true, Enum: []string{"pause", "shutdown", "exit-failure", "none"}},
	{Name: "watchdog", Kind: KindEnum, Optional: true,
		Enum: []string{"reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi"}},
}

// Set changes a by the members of args that are there, as -action and the
// command set-action do. On error a is as before.
func (a *Action) Set(args map[string]any) error {
	p, err := visit(treeDialect{m: args}, actionMembers)
	if err != nil {
		return err
	}
	for name, field := range map[string]*string{
		"reboot": &a.Reboot, "shutdown": &a.Shutdown, "panic": &a.Panic, "watchdog": &a.Watchdog,
	} {
		if s, ok := p[name].(string); ok {
			*field = s
		}
	}
	return nil
}
