package cli

// optionSpec is one row of the option table. To add an option, add a row here
// and its handler in handlers.go.
type optionSpec struct {
	name   string
	hasArg bool
	// apply is the second pass for one occurrence.
	apply func(p *parser, o Option) error
	// help is printed by -help as it stands; "" for a second name.
	help string
}

// section is a heading of -help with its options.
type section struct {
	title   string
	options []optionSpec
}

// flag and with are rows without and with an argument.
func flag(name, help string, apply func(p *parser, o Option) error) optionSpec {
	return optionSpec{name: name, apply: apply, help: help}
}

func with(name, help string, apply func(p *parser, o Option) error) optionSpec {
	return optionSpec{name: name, hasArg: true, apply: apply, help: help}
}

// set is the handler of an option that only stores something.
func set(f func(c *Config, arg string)) func(*parser, Option) error {
	return func(p *parser, o Option) error {
		f(p.cfg, o.Arg)
		return nil
	}
}

// sections is the option table, in the order of -help.
func sections() []section {
	return []section{
		{"Standard options:", []optionSpec{
			flag("h", "", (*parser).help),
			flag("help", "-h or -help     display this help and exit\n", (*parser).help),
			flag("version", "-version        display version information and exit\n", (*parser).version),
			with("machine", "-machine [type=]name[,prop[=value][,...]]\n"+
				"                selects the machine ('-machine help' for list)\n"+
				"                property accel=accel1[:accel2[:...]] selects accelerator\n"+
				"                supported accelerators are kvm and qtest\n"+
				"                kernel-irqchip=on|off|split controls the interrupt controllers in KVM\n"+
				"                memory-backend='backend-id' names the object to use as main memory\n",
				(*parser).machine),
			with("M", "", (*parser).machine),
			with("cpu", "-cpu cpu        select CPU ('-cpu help' for list)\n",
				set(func(c *Config, a string) { c.CPU, c.HasCPU = a, true })),
			with("accel", "-accel [accel=]accelerator[,prop[=value][,...]]\n"+
				"                select accelerator (kvm or qtest; use 'help' for a list)\n"+
				"                kernel-irqchip=on|off|split controls the interrupt controllers in KVM\n",
				(*parser).accel),
			with("smp", "-smp [[cpus=]n][,maxcpus=maxcpus][,sockets=sockets][,dies=dies][,cores=cores][,threads=threads]\n"+
				"                set the number of initial CPUs to 'n' [default=1]\n"+
				"                maxcpus= maximum number of total CPUs\n"+
				"                sockets= number of sockets on the machine board\n"+
				"                dies= number of dies in one socket\n"+
				"                cores= number of cores in one die\n"+
				"                threads= number of threads in one core\n", (*parser).smp),
			with("global", "-global driver.property=value\n"+
				"-global driver=driver,property=property,value=value\n"+
				"                set a global default for a driver property\n", (*parser).global),
			with("m", "-m [size=]megs[,slots=n,maxmem=size]\n"+
				"                configure guest RAM\n"+
				"                size: initial amount of guest memory\n"+
				"                slots: number of hotplug slots (default: none)\n"+
				"                maxmem: maximum amount of guest memory (default: none)\n", (*parser).memory),
			with("audio", "-audio none     there is no sound; accepted for compatibility\n", (*parser).audio),
			with("device", "-device driver[,prop[=value][,...]]\n"+
				"                add device (based on driver)\n"+
				"                prop=value,... sets driver properties\n"+
				"                use '-device help' to print all possible drivers\n"+
				"                use '-device driver,help' to print all possible properties\n", (*parser).device),
			with("name", "-name string1[,process=string2][,debug-threads=on|off]\n"+
				"                set the name of the guest to string1 and the process name to string2\n"+
				"                debug-threads=on gives the threads names\n", (*parser).name),
			with("uuid", "-uuid %08x-%04x-%04x-%04x-%012x\n"+
				"                specify machine UUID\n", (*parser).uuid),
		}},
		{"Display options:", []optionSpec{
			with("display", "-display none   select display backend type; there is no other\n", (*parser).display),
			flag("nographic", "-nographic      redirect serial I/Os to console\n", (*parser).nographic),
			with("vga", "-vga [none]     select video card type\n",
				set(func(c *Config, a string) { c.VGA, c.HasVGA = a, true })),
		}},
		{"Character device options:", []optionSpec{
			with("chardev", "-chardev help\n"+
				"-chardev null,id=id[,mux=on|off][,logfile=PATH][,logappend=on|off]\n"+
				"-chardev socket,id=id[,host=host],port=port[,to=to][,ipv4=on|off][,ipv6=on|off][,nodelay=on|off]\n"+
				"         [,server=on|off][,wait=on|off][,reconnect=seconds] (tcp)\n"+
				"-chardev socket,id=id,path=path[,server=on|off][,wait=on|off][,reconnect=seconds]\n"+
				"         [,abstract=on|off][,tight=on|off] (unix)\n"+
				"-chardev file,id=id,path=path[,append=on|off]\n"+
				"-chardev pty,id=id\n"+
				"-chardev stdio,id=id[,mux=on|off][,signal=on|off]\n", (*parser).chardev),
		}},
		{"Boot Image or Kernel specific:", []optionSpec{
			with("bios", "-bios file      set the filename for the BIOS\n", machineString("firmware")),
			with("kernel", "-kernel bzImage use 'bzImage' as kernel image\n", machineString("kernel")),
			with("append", "-append cmdline use 'cmdline' as kernel command line\n", machineString("append")),
			with("initrd", "-initrd file    use 'file' as initial ram disk\n", machineString("initrd")),
		}},
		{"Debug/Expert options:", []optionSpec{
			with("serial", "-serial dev     redirect the serial port to char device 'dev'\n", (*parser).serial),
			with("monitor", "-monitor dev    redirect the monitor to char device 'dev'\n", (*parser).monitor),
			with("qmp", "-qmp dev        like -monitor but opens in 'control' mode\n", (*parser).qmp),
			with("qmp-pretty", "-qmp-pretty dev like -qmp but uses pretty JSON formatting\n", (*parser).qmpPretty),
			with("mon", "-mon [chardev=]name[,mode=readline|control][,pretty[=on|off]]\n", (*parser).mon),
			with("pidfile", "-pidfile file   write PID to 'file'\n",
				set(func(c *Config, a string) { c.Pidfile = a })),
			flag("S", "-S              freeze CPU at startup (use 'c' to start execution)\n",
				set(func(c *Config, _ string) { c.Paused = true })),
			with("d", "-d item1,...    enable logging of specified items (use '-d help' for a list of log items)\n",
				func(p *parser, o Option) error { p.logItems, p.hasLogItems = o.Arg, true; return nil }),
			with("D", "-D logfile      output log to logfile (default stderr)\n",
				set(func(c *Config, a string) { c.Log.File = a })),
			flag("no-reboot", "-no-reboot      exit instead of rebooting\n", (*parser).noReboot),
			flag("no-shutdown", "-no-shutdown    stop before shutdown\n", (*parser).noShutdown),
			with("action", "-action reboot=reset|shutdown\n"+
				"                   action when guest reboots [default=reset]\n"+
				"-action shutdown=poweroff|pause\n"+
				"                   action when guest shuts down [default=poweroff]\n"+
				"-action panic=pause|shutdown|exit-failure|none\n"+
				"                   action when guest panics [default=shutdown]\n"+
				"-action watchdog=reset|shutdown|poweroff|inject-nmi|pause|debug|none\n"+
				"                   action when watchdog fires [default=reset]\n", (*parser).action),
			flag("daemonize", "-daemonize      daemonize after initializing\n",
				set(func(c *Config, _ string) { c.Daemonize = true })),
			flag("nodefaults", "-nodefaults     don't create default devices\n",
				set(func(c *Config, _ string) { c.NoDefaults = true })),
			flag("no-user-config", "-no-user-config\n"+
				"                do not load default user-provided config files at startup\n",
				set(func(c *Config, _ string) { c.NoUserConfig = true })),
			with("msg", "-msg [timestamp[=on|off]][,guest-name=[on|off]]\n"+
				"                control error message format\n"+
				"                timestamp=on enables timestamps (default: off)\n"+
				"                guest-name=on enables guest name prefix but only if\n"+
				"                              -name guest option is set (default: off)\n", (*parser).msg),
			with("qtest", "", set(func(c *Config, a string) { c.Qtest = a })),
			with("qtest-log", "", set(func(c *Config, a string) { c.QtestLog, c.HasQtestLog = a, true })),
		}},
		{"Generic object creation:", []optionSpec{
			with("object", "-object TYPENAME[,PROP1=VALUE1,...]\n"+
				"                create a new object of type TYPENAME setting properties\n"+
				"                in the order they are specified.  Note that the 'id'\n"+
				"                property must be set.  These objects are placed in the\n"+
				"                '/objects' path.\n", (*parser).object),
		}},
	}
}

// table is the options of all sections.
func table() []optionSpec {
	var t []optionSpec
	for _, s := range sections() {
		t = append(t, s.options...)
	}
	return t
}
