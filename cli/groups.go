package cli

import "slices"

// The option groups in QemuOpts form, as QEMU 8.2 declares them
// (query-command-line-options shows the same).

func str(name, help string) OptDesc { return OptDesc{name, OptString, help} }
func boolean(name string) OptDesc   { return OptDesc{name, OptBool, ""} }
func number(name string) OptDesc    { return OptDesc{name, OptNumber, ""} }
func size(name string) OptDesc      { return OptDesc{name, OptSize, ""} }

// throttling are the limits of I/O that several groups share.
func throttling() []OptDesc {
	var d []OptDesc
	each := func(suffix string, help map[string]string) {
		for _, unit := range []string{"iops", "bps"} {
			for _, dir := range []string{"total", "read", "write"} {
				d = append(d, OptDesc{"throttling." + unit + "-" + dir + suffix, OptNumber, help[unit+dir]})
			}
		}
	}
	each("", map[string]string{
		"iopstotal": "limit total I/O operations per second", "iopsread": "limit read operations per second",
		"iopswrite": "limit write operations per second", "bpstotal": "limit total bytes per second",
		"bpsread": "limit read bytes per second", "bpswrite": "limit write bytes per second",
	})
	each("-max", map[string]string{
		"iopstotal": "I/O operations burst", "iopsread": "I/O operations read burst",
		"iopswrite": "I/O operations write burst", "bpstotal": "total bytes burst",
		"bpsread": "total bytes read burst", "bpswrite": "total bytes write burst",
	})
	length := map[string]string{}
	for _, u := range []string{"iops", "bps"} {
		for _, dir := range []string{"total", "read", "write"} {
			length[u+dir] = "length of the " + u + "-" + dir + "-max burst period, in seconds"
		}
	}
	each("-max-length", length)
	return append(d, OptDesc{"throttling.iops-size", OptNumber, "when limiting by iops max size of an I/O in bytes"})
}

var (
	deviceSpec = OptsSpec{Name: "device", Implied: "driver"}
	objectSpec = OptsSpec{Name: "object", Implied: "qom-type"}
	accelSpec  = OptsSpec{Name: "accel", Implied: "accel"}

	globalSpec = OptsSpec{Name: "global", Desc: []OptDesc{
		str("driver", ""), str("property", ""), str("value", ""),
	}}
	monSpec = OptsSpec{Name: "mon", Implied: "chardev", Desc: []OptDesc{
		str("mode", ""), str("chardev", ""), boolean("pretty"),
	}}
	memorySpec = OptsSpec{Name: "memory", Implied: "size", Merge: true, Desc: []OptDesc{
		size("size"), number("slots"), size("maxmem"),
	}}
	nameSpec = OptsSpec{Name: "name", Implied: "guest", Merge: true, Desc: []OptDesc{
		str("guest", "Sets the name of the guest.\n"+
			"This name will be displayed in the SDL window caption.\n"+
			"The name will also be used for the VNC server"),
		str("process", "Sets the name of the QEMU process, as shown in top etc"),
		{"debug-threads", OptBool, "When enabled, name the individual threads; defaults off.\n" +
			"NOTE: The thread names are for debugging and not a\n" +
			"stable API."},
	}}
	msgSpec = OptsSpec{Name: "msg", Desc: []OptDesc{
		boolean("timestamp"),
		{"guest-name", OptBool, "Prepends guest name for error messages but only if " +
			"-name guest is set otherwise option is ignored\n"},
	}}
	actionSpec = OptsSpec{Name: "action", Merge: true, Desc: []OptDesc{
		str("shutdown", ""), str("reboot", ""), str("panic", ""), str("watchdog", ""),
	}}
	bootSpec = OptsSpec{Name: "boot-opts", Implied: "order", Merge: true, Desc: []OptDesc{
		str("order", ""), str("once", ""), boolean("menu"), str("splash", ""), number("splash-time"),
		number("reboot-timeout"), boolean("strict"),
	}}
	driveSpec      = OptsSpec{Name: "drive"}
	numaSpec       = OptsSpec{Name: "numa", Implied: "type"}
	netdevSpec     = OptsSpec{Name: "netdev", Implied: "type"}
	nicSpec        = OptsSpec{Name: "nic", Implied: "type"}
	netSpec        = OptsSpec{Name: "net", Implied: "type"}
	tpmdevSpec     = OptsSpec{Name: "tpmdev", Implied: "type"}
	acpiSpec       = OptsSpec{Name: "acpi", Implied: "data"}
	smbiosSpec     = OptsSpec{Name: "smbios"}
	overcommitSpec = OptsSpec{Name: "overcommit", Desc: []OptDesc{boolean("mem-lock"), boolean("cpu-pm")}}
	rtcSpec        = OptsSpec{Name: "rtc", Merge: true, Desc: []OptDesc{str("base", ""), str("clock", ""), str("driftfix", "")}}
	runWithSpec    = OptsSpec{Name: "run-with", Desc: []OptDesc{boolean("async-teardown"), str("chroot", "")}}
	optionROMSpec  = OptsSpec{Name: "option-rom", Implied: "romfile", Desc: []OptDesc{number("bootindex"), str("romfile", "")}}
	traceSpec      = OptsSpec{Name: "trace", Implied: "enable", Desc: []OptDesc{str("enable", ""), str("events", ""), str("file", "")}}
	sandboxSpec    = OptsSpec{Name: "sandbox", Implied: "enable", Desc: []OptDesc{
		boolean("enable"), str("obsolete", ""), str("elevateprivileges", ""), str("spawn", ""), str("resourcecontrol", ""),
	}}
	fwCfgSpec = OptsSpec{Name: "fw_cfg", Implied: "name", Desc: []OptDesc{
		str("name", "Sets the fw_cfg name of the blob to be inserted"),
		str("file", "Sets the name of the file from which the fw_cfg blob will be loaded"),
		str("string", "Sets content of the blob to be inserted from a string"),
		str("gen_id", "Sets id of the object generating the fw_cfg blob to be inserted"),
	}}
	addFDSpec = OptsSpec{Name: "add-fd", Desc: []OptDesc{
		{"fd", OptNumber, "file descriptor of which a duplicate is added to fd set"},
		{"set", OptNumber, "ID of the fd set to add fd to"},
		{"opaque", OptString, "free-form string used to describe fd"},
	}}
	icountSpec = OptsSpec{Name: "icount", Implied: "shift", Merge: true, Desc: []OptDesc{
		str("shift", ""), boolean("align"), boolean("sleep"), str("rr", ""), str("rrfile", ""), str("rrsnapshot", ""),
	}}
	fsBase = []OptDesc{str("fsdriver", ""), str("path", "")}
	fsRest = []OptDesc{
		str("security_model", ""), str("writeout", ""), boolean("readonly"), str("multidevs", ""), str("socket", ""),
		number("sock_fd"), number("fmode"), number("dmode"),
	}
	fsdevSpec  = OptsSpec{Name: "fsdev", Implied: "fsdriver", Desc: slices.Concat(fsBase, fsRest, throttling())}
	virtfsSpec = OptsSpec{Name: "virtfs", Implied: "fsdriver", Desc: slices.Concat(fsBase, []OptDesc{str("mount_tag", "")}, fsRest)}

	smpSpec = OptsSpec{Name: "smp-opts", Implied: "cpus", Merge: true, Desc: []OptDesc{
		number("cpus"), number("drawers"), number("books"), number("sockets"), number("dies"),
		number("clusters"), number("cores"), number("threads"), number("maxcpus"),
	}}
	chardevSpec = OptsSpec{Name: "chardev", Implied: "backend", Desc: []OptDesc{
		str("backend", ""), str("path", ""), str("input-path", ""), str("host", ""), str("port", ""),
		str("fd", ""), str("localaddr", ""), str("localport", ""), number("to"), boolean("ipv4"),
		boolean("ipv6"), boolean("wait"), boolean("server"), boolean("delay"), boolean("nodelay"),
		number("reconnect"), boolean("telnet"), boolean("tn3270"), str("tls-creds", ""),
		str("tls-authz", ""), boolean("websocket"), number("width"), number("height"), number("cols"),
		number("rows"), boolean("mux"), boolean("signal"), str("name", ""), number("debug"), size("size"),
		str("chardev", ""), boolean("append"), str("logfile", ""), boolean("logappend"), boolean("mouse"),
		boolean("clipboard"), boolean("tight"), boolean("abstract"),
	}}
)

// optGroups are all groups by QEMU's order of declaration, which
// query-command-line-options reverses.
var optGroups = []*OptsSpec{
	&driveSpec, &chardevSpec, &deviceSpec, &netdevSpec, &nicSpec, &netSpec, &rtcSpec, &globalSpec, &monSpec,
	&traceSpec, &optionROMSpec, &accelSpec, &memorySpec, &smpSpec, &bootSpec, &addFDSpec, &objectSpec, &tpmdevSpec,
	&overcommitSpec, &msgSpec, &nameSpec, &numaSpec, &icountSpec, &fwCfgSpec, &actionSpec, &runWithSpec, &acpiSpec,
	&smbiosSpec, &fsdevSpec, &virtfsSpec, &sandboxSpec,
}

// OptionGroups lists the option groups in QemuOpts form, in the order of
// query-command-line-options. The caller must not change them.
func OptionGroups() []*OptsSpec {
	out := slices.Clone(optGroups)
	slices.Reverse(out)
	return out
}
