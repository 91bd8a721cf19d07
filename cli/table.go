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
			with("numa", "-numa node[,memdev=id][,cpus=firstcpu[-lastcpu]][,nodeid=node]\n"+
				"                describe the guest's memory nodes\n", into(&numaSpec, true)),
			with("add-fd", "-add-fd fd=fd,set=set[,opaque=opaque]\n"+
				"                add 'fd' to fd 'set'; /dev/fdset/SET opens it\n", into(&addFDSpec, false)),
			with("set", "-set group.id.arg=value\n"+
				"                set <arg> parameter for item <id> of type <group>\n", (*parser).set),
			with("global", "-global driver.property=value\n"+
				"-global driver=driver,property=property,value=value\n"+
				"                set a global default for a driver property\n", (*parser).global),
			with("boot", "-boot [order=drives][,once=drives][,menu=on|off]\n"+
				"      [,splash=sp_name][,splash-time=sp_time][,reboot-timeout=rb_time][,strict=on|off]\n"+
				"                what firmware boots from: c (hard disk), d (CD-ROM), n (network), a (floppy)\n", (*parser).boot),
			with("m", "-m [size=]megs[,slots=n,maxmem=size]\n"+
				"                configure guest RAM\n"+
				"                size: initial amount of guest memory\n"+
				"                slots: number of hotplug slots (default: none)\n"+
				"                maxmem: maximum amount of guest memory (default: none)\n", (*parser).memory),
			with("mem-path", "-mem-path FILE  provide backing storage for guest RAM\n",
				set(func(c *Config, a string) { c.MemPath = a })),
			flag("mem-prealloc", "-mem-prealloc   preallocate guest memory\n",
				set(func(c *Config, _ string) { c.MemPrealloc = true })),
			with("k", "", none),
			with("audiodev", "", (*parser).audiodev),
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
		{"", blockOptions()},
		{"Display options:", []optionSpec{
			flag("portrait", "", none),
			with("rotate", "", (*parser).rotate),
			flag("full-screen", "", none),
			with("g", "", otherTarget),
			with("display", "-display none   select display backend type; there is no other\n", (*parser).display),
			flag("nographic", "-nographic      redirect serial I/Os to console\n", (*parser).nographic),
			with("vga", "-vga [none]     select video card type\n",
				set(func(c *Config, a string) { c.VGA, c.HasVGA = a, true })),
		}},
		{"i386 target only:", i386Options()},
		{"Network options:", []optionSpec{
			with("netdev", "", network(&netdevSpec)),
			with("nic", "-nic none        there are no network backends; accepted for compatibility\n", network(&nicSpec)),
			with("net", "", network(&netSpec)),
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
			with("tpmdev", "", (*parser).tpmdev),
		}},
		{"Boot Image or Kernel specific:", []optionSpec{
			with("bios", "-bios file      set the filename for the BIOS\n", machineString("firmware")),
			with("kernel", "-kernel bzImage use 'bzImage' as kernel image\n", machineString("kernel")),
			with("append", "-append cmdline use 'cmdline' as kernel command line\n", machineString("append")),
			with("initrd", "-initrd file    use 'file' as initial ram disk\n", machineString("initrd")),
			with("dtb", "-dtb file       use 'file' as device tree image\n", machineString("dtb")),
			with("compat", "-compat [deprecated-input=accept|reject|crash][,deprecated-output=accept|hide]\n"+
				"                policy for handling deprecated management interfaces\n", (*parser).compat),
			with("fw_cfg", "-fw_cfg [name=]<name>,file=<file>\n"+
				"                add named fw_cfg entry with contents from file\n"+
				"-fw_cfg [name=]<name>,string=<str>\n"+
				"                add named fw_cfg entry with contents from string\n", into(&fwCfgSpec, true)),
		}},
		{"Debug/Expert options:", []optionSpec{
			with("serial", "-serial dev     redirect the serial port to char device 'dev'\n", (*parser).serial),
			with("parallel", "-parallel dev   redirect the parallel port to char device 'dev'\n", (*parser).parallel),
			with("monitor", "-monitor dev    redirect the monitor to char device 'dev'\n", (*parser).monitor),
			with("qmp", "-qmp dev        like -monitor but opens in 'control' mode\n", (*parser).qmp),
			with("qmp-pretty", "-qmp-pretty dev like -qmp but uses pretty JSON formatting\n", (*parser).qmpPretty),
			with("mon", "-mon [chardev=]name[,mode=readline|control][,pretty[=on|off]]\n", (*parser).mon),
			with("debugcon", "-debugcon dev   redirect the debug console to char device 'dev'\n", (*parser).debugcon),
			with("pidfile", "-pidfile file   write PID to 'file'\n",
				set(func(c *Config, a string) { c.Pidfile = a })),
			flag("S", "-S              freeze CPU at startup (use 'c' to start execution)\n",
				set(func(c *Config, _ string) { c.Paused = true })),
			flag("preconfig", "--preconfig     pause before the machine is initialized (experimental)\n",
				set(func(c *Config, _ string) { c.Preconfig = true })),
			with("overcommit", "-overcommit [mem-lock=on|off][cpu-pm=on|off]\n"+
				"                mem-lock: lock all memory in RAM\n"+
				"                cpu-pm: let the guest put the host's CPUs to sleep\n", (*parser).overcommit),
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
			with("watchdog-action", "-watchdog-action reset|shutdown|poweroff|inject-nmi|pause|debug|none\n"+
				"                action when watchdog fires [default=reset]\n", (*parser).watchdogAction),
			flag("enable-kvm", "-enable-kvm     like -accel kvm\n", sugar("accel", "kvm", "")),
			with("rtc", "-rtc [base=utc|localtime|<datetime>][,clock=host|rt|vm][,driftfix=none|slew]\n"+
				"                set the RTC base and clock, enable drift fix for clock ticks\n", into(&rtcSpec, false)),
			flag("only-migratable", "-only-migratable     allow only migratable devices\n",
				set(func(c *Config, _ string) { c.OnlyMigratable = true })),
			with("chroot", "-chroot dir     chroot to dir just before starting the VM (deprecated)\n", (*parser).chroot),
			with("runas", "-runas user     change to user id user just before starting the VM\n"+
				"                user can be numeric uid:gid instead\n", (*parser).runas),
			with("sandbox", "-sandbox on[,obsolete=allow|deny][,elevateprivileges=allow|deny|children]\n"+
				"          [,spawn=allow|deny][,resourcecontrol=allow|deny]\n"+
				"                filter the process's system calls\n", into(&sandboxSpec, true)),
			with("readconfig", "-readconfig <file>\n"+
				"                read config file\n", (*parser).readConfig),
			with("trace", "-trace [[enable=]<pattern>][,events=<file>][,file=<file>]\n"+
				"                specify tracing options\n", (*parser).trace),
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
			with("run-with", "-run-with [async-teardown=on|off][,chroot=dir]\n"+
				"                chroot=dir: chroot to dir just before starting the VM\n", (*parser).runWith),
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
		{"", otherOptions()},
	}
}

// blockOptions are QEMU's for disks, file systems and USB, which are not here.
func blockOptions() []optionSpec {
	at := func(name, index string) optionSpec {
		return with(name, "", drive(Opt{"index", index}, Opt{"media", "disk"}))
	}
	of := func(name string, kind ...Opt) optionSpec { return with(name, "", drive(kind...)) }
	return []optionSpec{
		of("fda", Opt{"if", "floppy"}, Opt{"index", "0"}), of("fdb", Opt{"if", "floppy"}, Opt{"index", "1"}),
		at("hda", "0"), at("hdb", "1"), at("hdc", "2"), at("hdd", "3"),
		of("cdrom", Opt{"media", "cdrom"}, Opt{"index", "2"}),
		with("blockdev", "", (*parser).blockdev),
		with("drive", "", into(&driveSpec, false)),
		of("mtdblock", Opt{"if", "mtd"}), of("sd", Opt{"if", "sd"}), of("pflash", Opt{"if", "pflash"}),
		flag("snapshot", "", none),
		with("fsdev", "", (*parser).fsdev),
		with("virtfs", "", (*parser).virtfs),
		with("iscsi", "", notBuilt),
		flag("usb", "", sugar("usb", "on", "")),
		with("usbdevice", "", (*parser).usbDevice),
	}
}

// i386Options are those that QEMU has for PCs only.
func i386Options() []optionSpec {
	return []optionSpec{
		flag("win2k-hack", "", none),
		flag("no-fd-bootchk", "-no-fd-bootchk  disable boot signature checking for floppy disks\n",
			set(func(c *Config, _ string) { c.NoFDBootCheck = true })),
		flag("no-acpi", "-no-acpi        disable ACPI\n",
			sugar("acpi", "off", "-no-acpi is deprecated, use '-machine acpi=off' instead")),
		flag("no-hpet", "-no-hpet        disable HPET\n",
			sugar("hpet", "off", "-no-hpet is deprecated, use '-machine hpet=off' instead")),
		with("acpitable", "", (*parser).acpitable),
		with("smbios", "", (*parser).smbios),
	}
}

// otherOptions are the rest of QEMU's: what they ask for is checked, and then
// of no effect or refused.
func otherOptions() []optionSpec {
	return []optionSpec{
		flag("singlestep", "", none),
		flag("s", "", func(p *parser, o Option) error { o.Arg = "tcp::1234"; return p.gdb(o) }),
		with("gdb", "", (*parser).gdb),
		with("dfilter", "", none),
		with("seed", "", (*parser).seed),
		with("L", "", none),
		with("xen-domid", "", otherTarget), flag("xen-attach", "", otherTarget), flag("xen-domid-restrict", "", otherTarget),
		with("loadvm", "", set(func(c *Config, a string) { c.LoadVM, c.HasLoadVM = a, true })),
		with("option-rom", "", (*parser).optionROM),
		with("icount", "", into(&icountSpec, true)),
		with("echr", "", (*parser).echr),
		with("incoming", "", set(func(c *Config, a string) { c.Incoming, c.HasIncoming = a, true })),
		with("prom-env", "", otherTarget), flag("old-param", "", otherTarget),
		flag("semihosting", "", otherTarget), with("semihosting-config", "", otherTarget),
		with("plugin", "", func(*parser, Option) error { return errf("plugin interface not enabled in this build") }),
		flag("async-teardown", "", func(p *parser, _ Option) error {
			p.warn("option is deprecated, use '-run-with async-teardown=on' instead", "")
			return nil
		}),
		with("dump-vmstate", "", lacking("dumps of the state for migration")),
		flag("enable-sync-profile", "", none), flag("perfmap", "", none), flag("jitdump", "", none),
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
