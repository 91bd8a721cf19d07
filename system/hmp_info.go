package system

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gqemu/gqemu/monitor/hmp"
)

// topics are the topics of info, in help's order: all of QEMU's, for programs
// that look for what is there. Those without Run are of parts that this program
// does not have.
func (h *human) topics() []hmp.Command {
	return []hmp.Command{
		{Name: "balloon", Help: "show balloon information", Run: h.infoBalloon},
		{Name: "block", Args: "nodes:-n,verbose:-v,device:B?", Params: "[-n] [-v] [device]",
			Help: "show info of one block device or all block devices (-n: show named nodes; -v: show details)", Run: nothing},
		{Name: "block-jobs", Help: "show progress of ongoing block device operations", Run: says("No active jobs\n")},
		{Name: "blockstats", Help: "show block device statistics", Run: nothing},
		{Name: "capture", Help: "show capture information", Run: nothing},
		{Name: "chardev", Help: "show the character devices", Preconfig: true, Run: h.infoChardev},
		{Name: "cpus", Help: "show infos for each CPU", Run: h.infoCPUs},
		{Name: "cryptodev", Help: "show the crypto devices", Run: nothing},
		{Name: "dirty_rate", Help: "show dirty rate information"},
		{Name: "dump", Help: "Display the latest dump status", Run: says("Status: none\n")},
		{Name: "history", Help: "show the command line history", Preconfig: true, Run: infoHistory},
		{Name: "hotpluggable-cpus", Help: "Show information about hotpluggable CPUs", Preconfig: true,
			Run: h.infoHotpluggableCPUs},
		{Name: "iothreads", Help: "show iothreads", Preconfig: true, Run: h.infoIOThreads},
		{Name: "irq", Help: "show the interrupts statistics (if available)", Run: h.infoIRQ},
		{Name: "jit", Help: "show dynamic compiler info"},
		{Name: "kvm", Help: "show KVM information", Run: h.infoKVM},
		{Name: "lapic", Params: "[apic-id]",
			Help: "show local apic state (apic-id: local apic to read, default is which of current CPU)"},
		{Name: "mem", Help: "show the active virtual memory mappings"},
		{Name: "memdev", Help: "show memory backends", Preconfig: true, Run: h.infoMemdev},
		{Name: "memory-devices", Help: "show memory devices", Run: nothing},
		{Name: "memory_size_summary",
			Help: "show the amount of initially allocated and present hotpluggable (if enabled) memory in bytes.",
			Run:  h.infoMemorySize},
		{Name: "mice", Help: "show which guest mouse is receiving events", Run: says("No mouse devices connected\n")},
		{Name: "migrate", Help: "show migration status", Run: h.infoMigrate},
		{Name: "migrate_capabilities", Help: "show current migration capabilities", Run: h.infoMigrateCapabilities},
		{Name: "migrate_parameters", Help: "show current migration parameters", Run: h.infoMigrateParameters},
		{Name: "mtree", Args: "flatview:-f,dispatch_tree:-d,owner:-o,disabled:-D", Params: "[-f][-d][-o][-D]",
			Help: "show memory tree (-f: dump flat view for address spaces;" +
				"-d: dump dispatch tree, valid with -f only);-o: dump region owners/parents;-D: dump disabled regions",
			Run: h.infoMtree},
		{Name: "name", Help: "show the current VM name", Preconfig: true, Run: h.infoName},
		{Name: "network", Help: "show the network state", Run: nothing},
		{Name: "numa", Help: "show NUMA information", Run: h.infoNUMA},
		{Name: "opcount", Help: "show dynamic compiler opcode counters"},
		{Name: "pci", Help: "show PCI info", Run: h.infoPCI},
		{Name: "pic", Help: "show PIC state", Run: h.infoPIC},
		{Name: "qdm", Help: "show qdev device model list", Run: h.infoQDM},
		{Name: "qom-tree", Args: "path:s?", Params: "[path]", Help: "show QOM composition tree", Preconfig: true,
			Run: h.infoQOMTree},
		{Name: "qtree", Help: "show device tree", Run: h.infoQtree},
		{Name: "ramblock", Help: "Display system ramblock information", Run: h.infoRAMBlock},
		{Name: "rdma", Help: "show RDMA state", Run: nothing},
		{Name: "registers", Args: "cpustate_all:-a,vcpu:i?", Params: "[-a|vcpu]",
			Help: "show the cpu registers (-a: show register info for all cpus; vcpu: specific vCPU to query; " +
				"show the current CPU's registers if no argument is specified)", Run: h.infoRegisters},
		{Name: "replay", Help: "show record/replay information", Run: says("Record/replay is not active\n")},
		{Name: "rocker", Params: "name", Help: "Show rocker switch"},
		{Name: "rocker-of-dpa-flows", Params: "name [tbl_id]", Help: "Show rocker OF-DPA flow tables"},
		{Name: "rocker-of-dpa-groups", Params: "name [type]", Help: "Show rocker OF-DPA groups"},
		{Name: "rocker-ports", Params: "name", Help: "Show rocker ports"},
		{Name: "roms", Help: "show roms", Run: nothing},
		{Name: "sev", Help: "show SEV information", Run: says("SEV is not enabled\n")},
		{Name: "sgx", Help: "show intel SGX information"},
		{Name: "snapshots", Help: "show the currently saved VM snapshots",
			Run: says("no block device can store vmstate for snapshot\n")},
		{Name: "stats", Params: "target [names] [provider]",
			Help: "show statistics for the given target (vm or vcpu); optionally filter by" +
				"name (comma-separated list, or * for all) and provider"},
		{Name: "status", Help: "show the current VM status (running|paused)", Preconfig: true, Run: h.infoStatus},
		{Name: "sync-profile", Params: "[-m] [-n] [max]",
			Help: "show synchronization profiling info, up to max entries (default: 10), sorted by total wait time. " +
				"(-m: sort by mean wait time; -n: do not coalesce objects with the same call site)"},
		{Name: "tlb", Help: "show virtual to physical memory mappings"},
		{Name: "tpm", Help: "show the TPM device", Run: nothing},
		{Name: "trace-events", Args: "name:s?,vcpu:i?", Params: "[name] [vcpu]",
			Help: "show available trace-events & their state (name: event name pattern; vcpu: vCPU to query, default is any)",
			Run:  h.infoTraceEvents},
		{Name: "usb", Help: "show guest USB devices", Run: func(*hmp.Call) error { return fmt.Errorf("USB support not enabled") }},
		{Name: "usbhost", Help: "show host USB devices"},
		{Name: "usernet", Help: "show user network stack connection states", Run: nothing},
		{Name: "uuid", Help: "show the current VM UUID", Preconfig: true, Run: h.infoUUID},
		{Name: "vcpu_dirty_limit", Help: "show dirty page limit information of all vCPU",
			Run: says("Dirty page limit not enabled!\n")},
		{Name: "version", Help: "show the version of QEMU", Preconfig: true, Run: h.infoVersion},
		{Name: "virtio", Help: "List all available virtio devices", Preconfig: true, Run: h.infoVirtio},
		{Name: "virtio-queue-element", Args: "path:s,queue:i,index:i?", Params: "path queue [index]",
			Help: "Display element of a given virtio queue", Preconfig: true, Run: h.infoVirtioElement},
		{Name: "virtio-queue-status", Args: "path:s,queue:i", Params: "path queue",
			Help: "Display status of a given virtio queue", Preconfig: true, Run: h.infoVirtioQueue},
		{Name: "virtio-status", Args: "path:s", Params: "path",
			Help: "Display status of a given virtio device", Preconfig: true, Run: h.infoVirtioStatus},
		{Name: "virtio-vhost-queue-status", Args: "path:s,queue:i", Params: "path queue",
			Help: "Display status of a given vhost queue", Preconfig: true, Run: h.infoVirtioVhostQueue},
		{Name: "vm-generation-id", Help: "Show Virtual Machine Generation ID",
			Run: func(*hmp.Call) error { return fmt.Errorf("VM Generation ID device not found") }},
	}
}

// nothing is a topic of which there is nothing to show.
func nothing(*hmp.Call) error { return nil }

// says is a topic about what there never is any of.
func says(text string) func(*hmp.Call) error {
	return func(c *hmp.Call) error {
		c.Print(text)
		return nil
	}
}

func infoHistory(c *hmp.Call) error {
	if c.Shell.History != nil {
		for i, l := range c.Shell.History() {
			c.Printf("%d: '%s'\n", i, l)
		}
	}
	return nil
}

func (h *human) infoStatus(c *hmp.Call) error {
	switch s := h.v.run.state; {
	case h.v.run.Running():
		c.Print("VM status: running\n")
	case s == StatePaused:
		c.Print("VM status: paused\n")
	default:
		c.Printf("VM status: paused (%s)\n", s)
	}
	return nil
}

func (h *human) infoVersion(c *hmp.Call) error {
	c.Printf("%d.%d.%d%s\n", QEMUVersion.Major, QEMUVersion.Minor, QEMUVersion.Micro, h.v.env.Package)
	return nil
}

func (h *human) infoName(c *hmp.Call) error {
	if name := h.v.cfg.Name.Guest; name != "" {
		c.Print(name + "\n")
	}
	return nil
}

func (h *human) infoUUID(c *hmp.Call) error {
	c.Print(formatUUID(h.v.cfg.UUID) + "\n")
	return nil
}

func (h *human) infoKVM(c *hmp.Call) error {
	state := "disabled"
	if h.v.acc.Name() == "kvm" {
		state = "enabled"
	}
	c.Printf("kvm support: %s\n", state)
	return nil
}

func (h *human) infoChardev(c *hmp.Call) error {
	r, err := h.qmp(c, "query-chardev", nil)
	for _, e := range list(r) {
		c.Printf("%v: filename=%v\n", member(e, "label"), member(e, "filename"))
	}
	return err
}

func (h *human) infoBalloon(c *hmp.Call) error {
	r, err := h.qmp(c, "query-balloon", nil)
	if err == nil {
		actual, _ := member(r, "actual").(int64)
		c.Printf("balloon: actual=%d\n", actual>>20)
	}
	return err
}

func (h *human) infoIOThreads(c *hmp.Call) error {
	r, err := h.qmp(c, "query-iothreads", nil)
	for _, e := range list(r) {
		c.Printf("%v:\n  thread_id=%v\n", member(e, "id"), member(e, "thread-id"))
		for _, name := range []string{"poll-max-ns", "poll-grow", "poll-shrink", "aio-max-batch"} {
			c.Printf("  %s=%v\n", name, member(e, name))
		}
	}
	return err
}

func (h *human) infoMemdev(c *hmp.Call) error {
	r, err := h.qmp(c, "query-memdev", nil)
	if err != nil {
		return err
	}
	for _, m := range list(r) {
		c.Printf("memory backend: %v\n  size:  %v\n", member(m, "id"), member(m, "size"))
		for _, name := range []string{"merge", "dump", "prealloc", "share", "reserve"} {
			if on := member(m, name); on != nil {
				c.Printf("  %s: %v\n", name, on)
			}
		}
		c.Printf("  policy: %v\n  host nodes: %s\n", member(m, "policy"), ranges(list(member(m, "host-nodes"))))
	}
	c.Print("\n")
	return nil
}

// ranges writes numbers as "0-2,5".
func ranges(nums []any) string {
	text := ""
	var first, last int64
	put := func() {
		if text != "" {
			text += ","
		}
		text += fmt.Sprint(first)
		if last > first {
			text += fmt.Sprintf("-%d", last)
		}
	}
	for i, e := range nums {
		var n int64
		switch x := e.(type) {
		case int64:
			n = x
		case uint64:
			n = int64(x)
		}
		if i > 0 && n == last+1 {
			last = n
			continue
		}
		if i > 0 {
			put()
		}
		first, last = n, n
	}
	if len(nums) > 0 {
		put()
	}
	return text
}

func (h *human) infoMemorySize(c *hmp.Call) error {
	r, err := h.qmp(c, "query-memory-size-summary", nil)
	if err == nil {
		c.Printf("base memory: %v\n", member(r, "base-memory"))
		if p := member(r, "plugged-memory"); p != nil {
			c.Printf("plugged memory: %v\n", p)
		}
	}
	return err
}

func (h *human) infoQtree(c *hmp.Call) error {
	printBus(c, h.v.host.SysBus, 0)
	return nil
}

func (h *human) infoQDM(c *hmp.Call) error { return deviceHelp(c, h.v.env.Types, "") }

func (h *human) infoTraceEvents(c *hmp.Call) error {
	name := c.Args.Str("name")
	if name == "" {
		name = "*"
	}
	r, err := h.qmp(c, "trace-event-get-state", map[string]any{"name": name})
	for _, e := range list(r) {
		state := 0
		if member(e, "state") == "enabled" {
			state = 1
		}
		c.Printf("%v : state %d\n", member(e, "name"), state)
	}
	return err
}

func (h *human) infoNUMA(c *hmp.Call) error {
	n := &h.v.numa
	c.Printf("%d nodes\n", len(n.nodes))
	for _, i := range slices.Sorted(maps.Keys(n.nodes)) {
		c.Printf("node %d cpus:", i)
		for cpu := range h.v.machine.CPUs() {
			if at, ok := n.cpus[cpu]; ok && at == i {
				c.Printf(" %d", cpu)
			}
		}
		c.Printf("\nnode %d size: %d MB\nnode %d plugged: 0 MB\n", i, n.nodes[i].memory>>20, i)
	}
	return nil
}
