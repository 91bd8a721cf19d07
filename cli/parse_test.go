package cli

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func mustParse(t *testing.T, args ...string) *Config {
	t.Helper()
	cfg, err := Parse(append([]string{"/usr/bin/gqemu"}, args...))
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return cfg
}

// TestMainJob parses the command line the project exists for.
func TestMainJob(t *testing.T) {
	c := mustParse(t, "-M", "microvm", "-m", "512m", "-smp", "2", "-kernel", "vmlinuz", "-initrd", "initrd",
		"-append", "console=ttyS0,x", "-nodefaults", "-display", "none", "-serial", "stdio",
		"-qmp", "unix:qmp.sock,server=on,wait=off", "-device", "vhost-vdpa-device,vhostdev=/dev/vhost-vdpa-0")
	if c.Prog != "gqemu" || c.Machine.Type != "microvm" || !c.Machine.HasType || c.Kernel != "vmlinuz" ||
		c.Initrd != "initrd" || c.Append != "console=ttyS0,x" || !c.NoDefaults || c.Display != "none" {
		t.Errorf("%+v", c)
	}
	if want := []SerialOpt{{Loc{CmdLine: "-serial stdio"}, "stdio"}}; !reflect.DeepEqual(c.Serials, want) {
		t.Errorf("serials %+v", c.Serials)
	}
	loc := Loc{CmdLine: "-qmp unix:qmp.sock,server=on,wait=off"}
	if want := []ChardevOpt{{Loc: loc, ID: "compat_monitor0", HasID: true, Filename: "unix:qmp.sock,server=on,wait=off"}}; !reflect.DeepEqual(c.Chardevs, want) {
		t.Errorf("chardevs %+v", c.Chardevs)
	}
	if len(c.Monitors) != 1 {
		t.Fatalf("monitors %+v", c.Monitors)
	}
	if o, err := c.Monitors[0].Options(); err != nil || o != (MonitorOptions{"compat_monitor0", "compat_monitor0", true, false}) {
		t.Errorf("%+v %v", o, err)
	}
	if len(c.Devices) != 1 || !reflect.DeepEqual(c.Devices[0].Dict(), map[string]any{"driver": "vhost-vdpa-device", "vhostdev": "/dev/vhost-vdpa-0"}) {
		t.Errorf("devices %+v", c.Devices)
	}
	if err := c.DefaultDevices(MachineDefaults{}); err != nil || len(c.Serials) != 1 {
		t.Errorf("-nodefaults: %v, %v", err, c.Serials)
	}
}

// TestLibvirtProbe parses the line with which libvirt probes an emulator.
func TestLibvirtProbe(t *testing.T) {
	c := mustParse(t, "-S", "-no-user-config", "-nodefaults", "-nographic", "-machine", "none,accel=kvm:tcg",
		"-qmp", "unix:/run/q.monitor,server=on,wait=off", "-pidfile", "/run/q.pid", "-daemonize")
	if !c.Paused || !c.NoUserConfig || !c.NoDefaults || !c.Nographic || !c.Daemonize || c.Pidfile != "/run/q.pid" ||
		c.Machine.Type != "none" || c.Machine.Props["graphics"] != "off" || c.Machine.Props["accel"] != "kvm:tcg" {
		t.Errorf("%+v", c)
	}
	if err := c.DefaultDevices(MachineDefaults{}); err != nil {
		t.Errorf("-nodefaults -nographic -daemonize: %v", err)
	}
}

// TestLibqtest parses what libqtest passes.
func TestLibqtest(t *testing.T) {
	c := mustParse(t, "-qtest", "unix:/tmp/s1", "-qtest-log", "/dev/null", "-chardev", "socket,path=/tmp/s2,id=char0",
		"-mon", "chardev=char0,mode=control", "-display", "none", "-audio", "none", "-vga", "none",
		"-device", "{'driver': 'x', 'id': 'y'}", "-accel", "qtest")
	if c.Qtest != "unix:/tmp/s1" || !c.HasQtestLog || c.QtestLog != "/dev/null" || c.VGA != "none" {
		t.Errorf("%+v", c)
	}
	if d, _ := c.Devices[0].Driver(); d != "x" || !c.Devices[0].IsJSON() {
		t.Errorf("%+v", c.Devices)
	}
	if o, err := c.Monitors[0].Options(); err != nil || o != (MonitorOptions{"", "char0", true, false}) {
		t.Errorf("%+v %v", o, err)
	}
	if len(c.Accels) != 1 || c.Accels[0].Name != "qtest" {
		t.Errorf("%+v", c.Accels)
	}
}

// TestDeviceOrder: QEMU creates devices in QemuOpts form before those in JSON.
func TestDeviceOrder(t *testing.T) {
	c := mustParse(t, "-device", `{"driver":"a"}`, "-device", "b", "-device", `{"driver":"c"}`, "-device", "d,id=a.b")
	var order []string
	for _, d := range c.Devices {
		n, _ := d.Driver()
		order = append(order, n)
	}
	if !slices.Equal(order, []string{"b", "d", "a", "c"}) {
		t.Errorf("%q", order)
	}
}

// TestObjects: both forms give the same typed properties.
func TestObjects(t *testing.T) {
	c := mustParse(t, "-object", "memory-backend-file,id=a,size=1M,mem-path=/x,share=on,host-nodes=0-2,host-nodes=5,prealloc-threads=0x4",
		"-object", `{"qom-type":"memory-backend-file","id":"b","size":1048576,"mem-path":"/x","share":true,"host-nodes":[0,1,2,5],"prealloc-threads":4}`)
	want := map[string]any{"size": uint64(1 << 20), "mem-path": "/x", "share": true, "host-nodes": []uint64{0, 1, 2, 5}, "prealloc-threads": uint64(4)}
	for i, o := range c.Objects {
		if o.Type != "memory-backend-file" || o.ID != string(rune('a'+i)) || o.IsJSON != (i == 1) || !reflect.DeepEqual(o.Props, want) {
			t.Errorf("%+v", o)
		}
	}
	for arg, text := range map[string]string{
		"nosuch,id=a":                     "Parameter 'qom-type' does not accept value 'nosuch'",
		"id=a":                            "Parameter 'qom-type' is missing",
		"memory-backend-ram,id=a,size=-1": "Parameter 'size' expects a size value",
		"memory-backend-ram,id=a,size=1,policy=x":                            "Parameter 'policy' does not accept value 'x'",
		"memory-backend-ram,id=a,size=1,share=x":                             "Parameter 'share' expects 'on' or 'off'",
		"memory-backend-ram,id=a,size=1,prealloc-threads=-1":                 "Parameter 'prealloc-threads' expects a uint64 value",
		"memory-backend-ram,id=a,size=1,prealloc-threads=4294967296":         "Parameter 'prealloc-threads' expects uint32_t",
		"memory-backend-ram,id=a,size=1,host-nodes=3-1":                      "Parameter 'host-nodes' expects a uint64 value or range",
		"memory-backend-ram,id=a,size=1,host-nodes=0-70000":                  "Parameter 'host-nodes' expects a uint64 value or range",
		"memory-backend-ram,id=a,size=1,host-nodes=65536":                    "Parameter 'host-nodes' expects uint16_t",
		`{"qom-type":"memory-backend-ram","id":"a","size":"1M"}`:             "Parameter 'size' expects uint64",
		`{"qom-type":"memory-backend-ram","id":"a","size":1,"share":"on"}`:   "Invalid parameter type for 'share', expected: boolean",
		`{"qom-type":"memory-backend-ram","id":1,"size":1}`:                  "Invalid parameter type for 'id', expected: string",
		`{"qom-type":"memory-backend-ram","id":"a","size":1,"host-nodes":1}`: "Invalid parameter type for 'host-nodes', expected: array",
		`{"qom-type":"memory-backend-ram","id":"a","size":1,"foo":1}`:        "Parameter 'foo' is unexpected",
		`{"qom-type":"memory-backend-ram","size":1}`:                         "Parameter 'id' is missing",
		`{"id":"a"}`: "Parameter 'qom-type' is missing",
	} {
		_, err := Parse([]string{"q", "-object", arg})
		if errText(err) != text {
			t.Errorf("-object %s: %v", arg, err)
		}
	}
}

// TestAction: the last word wins, shorthand or not.
func TestAction(t *testing.T) {
	if a := mustParse(t).Action; a != (Action{"reset", "poweroff", "shutdown", "reset"}) {
		t.Errorf("default %+v", a)
	}
	if a := mustParse(t, "-no-reboot", "-no-shutdown", "-action", "panic=exit-failure,watchdog=inject-nmi").Action; a != (Action{"shutdown", "pause", "exit-failure", "inject-nmi"}) {
		t.Errorf("%+v", a)
	}
	if a := mustParse(t, "-no-reboot", "-action", "reboot=reset").Action; a.Reboot != "reset" {
		t.Errorf("%+v", a)
	}
	// The group is one, and an error in it is reported where it began.
	_, err := Parse([]string{"q", "-no-reboot", "-action", "panic=x"})
	if e, ok := err.(*Error); !ok || e.Messages[0].Loc.CmdLine != "-no-reboot" || e.Messages[0].Text != "Parameter 'panic' does not accept value 'x'" {
		t.Errorf("%v", err)
	}
}

// TestGlobal covers both forms.
func TestGlobal(t *testing.T) {
	c := mustParse(t, "-global", "a.b=c=d,e", "-global", "driver=x,property=y,value=z,,1", "-global", "a.b.c=1")
	for i := range c.Globals {
		c.Globals[i].Loc = Loc{}
	}
	if want := []Global{{Driver: "a", Property: "b", Value: "c=d,e"}, {Driver: "x", Property: "y", Value: "z,1"},
		{Driver: "a", Property: "b.c", Value: "1"}}; !reflect.DeepEqual(c.Globals, want) {
		t.Errorf("%+v", c.Globals)
	}
	for arg, text := range map[string]string{
		"driver=x":                       "options 'driver', 'property', and 'value' are required",
		"driver=a.b":                     "options 'driver', 'property', and 'value' are required",
		"a.=1":                           "Invalid parameter 'a.'",
		strings.Repeat("d", 64) + ".p=1": "Invalid parameter '" + strings.Repeat("d", 64) + ".p'",
	} {
		if _, err := Parse([]string{"q", "-global", arg}); errText(err) != text {
			t.Errorf("-global %s: %v", arg, err)
		}
	}
}

// TestOrderOfErrors: options are looked up before any argument is parsed, and
// arguments are parsed from left to right.
func TestOrderOfErrors(t *testing.T) {
	for _, c := range []struct{ args, text string }{
		{"-m abc -nosuch", "invalid option"},
		{"-uuid x -m abc", "failed to parse UUID string: wrong format"},
		{"-m abc -uuid x", "Parameter 'size' expects a non-negative number below 2^64"},
		{"-version -m", "requires an argument"},
		{"-append x -action reboot=x", "-append only allowed with -kernel option"},
		{"-action reboot=x -d nosuch", "Parameter 'reboot' does not accept value 'x'"},
		{"-device help -action reboot=x", "Parameter 'reboot' does not accept value 'x'"},
		{"-chardev null,id=compat_monitor0 -qmp stdio", "Duplicate ID 'compat_monitor0' for chardev; parse error: stdio"},
		{"-display gtk", "Parameter 'type' does not accept value 'gtk'"},
		{"-display none,foo=1", "Parameter 'foo' is unexpected"},
		{"-audio alsa", "Parameter 'driver' does not accept value 'alsa'"},
		{"-M a,b", "Expected '=' after parameter 'b'"},
		{"-=", "invalid option"}, {"--", "invalid option"}, {"-", "invalid option"}, {"---S", "invalid option"},
		{"-m=512", "invalid option"}, {"-SS", "invalid option"}, {"--help=x", "invalid option"},
	} {
		_, err := Parse(append([]string{"q"}, strings.Fields(c.args)...))
		var e *Error
		if errText(err) != c.text || !errors.As(err, &e) || e.Code != 1 {
			t.Errorf("%s: %v", c.args, err)
		}
	}
	if _, err := Parse([]string{"q", "-" + imageArg, "x"}); errText(err) != "invalid option" {
		t.Errorf("the scanner's own name is an option: %v", err)
	}
}

// TestHelpRequests: who is asked what, and what wins.
func TestHelpRequests(t *testing.T) {
	for _, c := range []struct {
		args string
		want HelpRequest
	}{
		{"-machine help", HelpRequest{Topic: "machine"}},
		{"-M microvm,help", HelpRequest{Topic: "machine", Arg: "microvm"}},
		{"-M microvm -M ?", HelpRequest{Topic: "machine", Arg: "microvm"}},
		{"-accel help -nodefaults", HelpRequest{Topic: "accel"}},
		{"-accel help -m abc", HelpRequest{Topic: "accel"}},
		{"-object help", HelpRequest{Topic: "object"}},
		{"-object memory-backend-ram,help", HelpRequest{Topic: "object", Arg: "memory-backend-ram"}},
		{"-device help -cpu ?", HelpRequest{Topic: "cpu"}},
		{"-device a -device b,help -device ?", HelpRequest{Topic: "device", Arg: "b"}},
		{"-device help", HelpRequest{Topic: "device"}},
		{"-d trace:help", HelpRequest{Topic: "trace"}},
	} {
		cfg, err := Parse(append([]string{"q"}, strings.Fields(c.args)...))
		if err != nil || len(cfg.Help) != 1 {
			t.Errorf("%s: %v, %+v", c.args, err, cfg.Help)
			continue
		}
		h := cfg.Help[0]
		h.Loc = Loc{}
		if h != c.want {
			t.Errorf("%s: %+v", c.args, h)
		}
	}
	for args, want := range map[string]struct {
		code int
		out  string
	}{
		"-version":           {0, "QEMU emulator version 8.2.7\n"},
		"-h":                 {0, "usage: q [options]\n"},
		"--help -m abc":      {0, "usage: q [options]\n"},
		"-smp help":          {0, "smp-opts options:\n  books=<num>\n"},
		"-m 1,help":          {1, "memory options:\n  maxmem=<size>\n"},
		"-chardev null,help": {1, "chardev options:\n  abstract=<bool (on/off)>\n"},
		"-d help":            {1, "Log items (comma separated):\n"},
		"-display help":      {0, "none\n"},
	} {
		_, err := Parse(append([]string{"q"}, strings.Fields(args)...))
		var e *Error
		if !errors.As(err, &e) || e.Code != want.code || len(e.Messages) != 0 || !strings.Contains(e.Stdout, want.out) {
			t.Errorf("%s: %+v", args, err)
		}
	}
}

// TestMsg: -msg and -name shape the messages that follow them, and no others.
func TestMsg(t *testing.T) {
	cfg, err := Parse([]string{"q", "-device", "a,b", "-name", "g", "-msg", "timestamp=on,guest-name=on", "-device", "c,nod", "-m", "x"})
	var b bytes.Buffer
	rep := cfg.Reporter(&b)
	rep.Now = func() time.Time { return time.Unix(0, 1500).In(time.FixedZone("", 3600)) }
	rep.Flush(cfg.Messages)
	code := rep.Fail(err, &b)
	want := "q: -device a,b: warning: short-form boolean option 'b' deprecated\nPlease use b=on instead\n" +
		"1970-01-01T00:00:00.000001Z g q: -device c,nod: warning: short-form boolean option 'nod' deprecated\nPlease use d=off instead\n" +
		"1970-01-01T00:00:00.000001Z g q: -m x: Parameter 'size' expects a non-negative number below 2^64\n" +
		"Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.\n"
	if code != 1 || b.String() != want {
		t.Errorf("%d\n%s", code, b.String())
	}
	// Each -msg stands for itself.
	if m := mustParse(t, "-msg", "timestamp=on", "-msg", "guest-name=on").Msg; m != (Msg{false, true}) {
		t.Errorf("%+v", m)
	}
	b.Reset()
	r := Reporter{W: &b, Prog: "q"}
	r.Error(Loc{File: "x.cfg", Line: 3}, errors.New("bad"))
	r.Warn(Loc{}, "odd")
	if b.String() != "q:x.cfg:3: bad\nq: warning: odd\n" {
		t.Error(b.String())
	}
}

// TestDefaultDevices: what QEMU adds where nothing was asked for.
func TestDefaultDevices(t *testing.T) {
	for _, c := range []struct {
		args     string
		m        MachineDefaults
		serials  []string
		monitors int
		err      string
	}{
		{"", MachineDefaults{}, []string{"null"}, 0, ""},
		{"", MachineDefaults{NoSerial: true}, nil, 0, ""},
		{"-nodefaults -nographic", MachineDefaults{}, nil, 0, ""},
		{"-nographic", MachineDefaults{}, []string{"mon:stdio"}, 0, ""},
		{"-nographic -qmp stdio", MachineDefaults{}, []string{"stdio"}, 1, ""},
		{"-nographic -serial null", MachineDefaults{}, []string{"null"}, 1, ""},
		{"-nographic -serial mon:null", MachineDefaults{}, []string{"mon:null"}, 0, ""},
		{"-nographic -monitor none", MachineDefaults{}, []string{"stdio"}, 0, ""},
		{"-nographic -device isa-serial", MachineDefaults{}, nil, 1, ""},
		{"-nographic -global isa-serial.x=1 -mon c", MachineDefaults{}, nil, 1, ""},
		{"-nographic -daemonize", MachineDefaults{}, nil, 0, "-nographic cannot be used with -daemonize"},
		{"-nographic -daemonize -serial null -monitor none", MachineDefaults{NoParallel: true}, []string{"null"}, 0, ""},
	} {
		cfg := mustParse(t, strings.Fields(c.args)...)
		err := cfg.DefaultDevices(c.m)
		var serials []string
		for _, s := range cfg.Serials {
			serials = append(serials, s.Filename)
		}
		if errText(err) != c.err || err == nil && (!slices.Equal(serials, c.serials) || len(cfg.Monitors) != c.monitors) {
			t.Errorf("%s: %q, %d monitors, %v", c.args, serials, len(cfg.Monitors), err)
		}
	}
}

// TestNoShortFormWarning: in the older syntax of chardevs QEMU says nothing of
// short-form booleans, as it does in -chardev.
func TestNoShortFormWarning(t *testing.T) {
	if c := mustParse(t, "-monitor", "unix:/x,server,nowait"); len(c.Messages) != 0 {
		t.Errorf("%+v", c.Messages)
	}
	if c := mustParse(t, "-chardev", "socket,id=c,path=/x,server,nowait"); len(c.Messages) != 2 {
		t.Errorf("%+v", c.Messages)
	}
}

// TestVGA holds -vga to QEMU's names and texts.
func TestVGA(t *testing.T) {
	std := func(n string) bool { return n == "std" }
	for arg, want := range map[string]string{
		"none": "none", "std": "std", "std,retrace=dumb": "std", "std,retrace=precise,retrace=dumb": "std",
		"nosuch": "unknown vga type: nosuch", "": "unknown vga type: ", "std,x": "unknown vga type: std,x",
		"std,retrace=x": "unknown vga type: std,retrace=x", "qxl": "QXL VGA not available",
	} {
		have, err := CheckVGA(arg, std)
		if err != nil {
			have = err.Error()
		}
		if have != want {
			t.Errorf("-vga %s: %s", arg, have)
		}
	}
}

// TestMonitorOptions are checks that QEMU makes when monitors are made.
func TestMonitorOptions(t *testing.T) {
	for arg, text := range map[string]string{
		"mode=control":                  "Parameter 'chardev' is missing",
		"c,mode=x":                      "Parameter 'mode' does not accept value 'x'",
		"c,id=m,mode=control,pretty=on": "",
	} {
		cfg := mustParse(t, "-mon", arg)
		if _, err := cfg.Monitors[0].Options(); errText(err) != text {
			t.Errorf("-mon %s: %v", arg, err)
		}
	}
}

// FuzzParse: no command line panics, and an error always has an exit status
// and something to print.
func FuzzParse(f *testing.F) {
	for _, r := range loadRecorded(f) {
		f.Add(strings.Join(r.argv[1:], "\n"))
	}
	f.Add("-msg\ntimestamp\n-name\nx\n-d\ntrace:a\n-nographic\n-cpu\nmax,+a,a")
	f.Fuzz(func(t *testing.T, s string) {
		argv := append([]string{"q"}, strings.Split(s, "\n")...)
		cfg, err := Env{CheckFilename: qemuFilenames}.Parse(argv)
		if cfg == nil {
			t.Fatal("no Config")
		}
		var out, b bytes.Buffer
		rep := cfg.Reporter(&b)
		rep.Flush(cfg.Messages)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%T", err)
			}
			if rep.Fail(err, &out); b.Len()+out.Len() == 0 {
				t.Fatalf("%q fails without a word", argv)
			}
			return
		}
		// The later checks, on whatever got this far.
		legacy, err := cfg.Machine.LegacyOptions()
		if err == nil {
			_, _, _ = cfg.AccelList(legacy, "kvm", func(string) bool { return true })
		}
		_ = cfg.DefaultDevices(MachineDefaults{})
		if _, err := ParseMemory(cfg.Machine.Props["memory"], 1<<27); err == nil && len(cfg.Help) > 0 {
			t.Fatal("-m was merged in spite of a question")
		}
		if smp, err := ParseSMP(cfg.Machine.Props["smp"]); err == nil {
			if top, _, err := microvm.Resolve(smp); err == nil && top.Sockets*top.Dies*top.Clusters*top.Cores*top.Threads != top.MaxCPUs {
				t.Fatalf("%+v", top)
			}
		}
		_, _, _ = SplitCPU(cfg.CPU)
		_, _ = CheckVGA(cfg.VGA, func(string) bool { return true })
		for i := range cfg.Devices {
			cfg.Devices[i].Driver()
		}
		for i := range cfg.Monitors {
			_, _ = cfg.Monitors[i].Options()
		}
	})
}
