package cli

import (
	"fmt"
	"strings"
)

// logItems are the names that -d knows, with QEMU's help texts.
var logItems = []struct{ name, help string }{
	{"out_asm", "show generated host assembly code for each compiled TB"},
	{"in_asm", "show target assembly code for each compiled TB"},
	{"op", "show micro ops for each compiled TB"},
	{"op_opt", "show micro ops after optimization"},
	{"op_ind", "show micro ops before indirect lowering"},
	{"int", "show interrupts/exceptions in short format"},
	{"exec", "show trace before each executed TB (lots of logs)"},
	{"cpu", "show CPU registers before entering a TB (lots of logs)"},
	{"fpu", "include FPU registers in the 'cpu' logging"},
	{"mmu", "log MMU-related activities"},
	{"pcall", "x86 only: show protected mode far calls/returns/exceptions"},
	{"cpu_reset", "show CPU state before CPU resets"},
	{"unimp", "log unimplemented functionality"},
	{"guest_errors", "log when the guest OS does something invalid (eg accessing a\nnon-existent register)"},
	{"page", "dump pages at beginning of user mode emulation"},
	{"nochain", "do not chain compiled TBs so that \"exec\" and \"cpu\" show\ncomplete traces"},
	{"strace", "log every user-mode syscall, its input, and its result"},
	{"tid", "open a separate log file per thread; filename must contain '%d'"},
	{"vpu", "include VPU registers in the 'cpu' logging"},
}

// LogUsage is what -d prints for an item it does not know.
func LogUsage() string {
	var b strings.Builder
	b.WriteString("Log items (comma separated):\n")
	for _, i := range logItems {
		fmt.Fprintf(&b, "%-15s %s\n", i.name, i.help)
	}
	fmt.Fprintf(&b, "%-15s %s\n", "trace:PATTERN", "enable trace events")
	b.WriteString("\nUse \"-d trace:help\" to get a list of trace events.\n")
	return b.String()
}

// ParseLogItems reads a list of log items; `all` is every item. ok is false if
// one is unknown or there is none (trace then has those before it), and help if `trace:help` was among them.
func ParseLogItems(s string) (items, trace []string, help, ok bool) {
	if s == "" {
		return nil, nil, false, false
	}
	for item := range strings.SplitSeq(s, ",") {
		if item == "all" {
			for _, i := range logItems {
				items = append(items, i.name)
			}
			continue
		}
		if p, found := strings.CutPrefix(item, "trace:"); found && p != "" {
			if IsHelp(p) {
				return nil, trace, true, true
			}
			trace = append(trace, p)
			continue
		}
		known := false
		for _, i := range logItems {
			known = known || i.name == item
		}
		if !known {
			return nil, trace, false, false
		}
		items = append(items, item)
	}
	return items, trace, false, true
}
