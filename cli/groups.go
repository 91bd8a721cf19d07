package cli

// The option groups in QemuOpts form, as QEMU 8.2 declares them
// (query-command-line-options shows the same).

func str(name, help string) OptDesc { return OptDesc{name, OptString, help} }
func boolean(name string) OptDesc   { return OptDesc{name, OptBool, ""} }
func number(name string) OptDesc    { return OptDesc{name, OptNumber, ""} }
func size(name string) OptDesc      { return OptDesc{name, OptSize, ""} }

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
