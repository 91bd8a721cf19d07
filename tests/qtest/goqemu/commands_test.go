package goqemu

import (
	"testing"

	"github.com/digitalocean/go-qemu/qemu"
	"github.com/digitalocean/go-qemu/qmp"
	"github.com/digitalocean/go-qemu/qmp/raw"
)

// call is a method of go-qemu's and the error it returns, "" for none.
type call struct {
	name string
	run  func() error
	want string
}

func (c call) check(t *testing.T) {
	t.Helper()
	have := ""
	if err := c.run(); err != nil {
		have = err.Error()
	}
	if have != c.want {
		t.Errorf("%s: %q, want %q", c.name, have, c.want)
	}
}

// get makes a method that returns something into one that returns an error.
func get[T any](f func() (T, error)) func() error {
	return func() error {
		_, err := f()
		return err
	}
}

// TestDomainMethods: every method of package qemu that asks for something is
// answered, or refused in QEMU's words.
func TestDomainMethods(t *testing.T) {
	t.Parallel()
	_, d, _ := domain(t, "-smp", "2")
	cpus, err := d.CPUs()
	if err != nil || len(cpus) != 2 || cpus[1].CPU != 1 {
		t.Errorf("CPUs: %+v, %v", cpus, err)
	}
	for _, c := range []call{
		{"BlockDevices", get(d.BlockDevices), ""},
		{"BlockDevice", get(func() (qemu.BlockDevice, error) { return d.BlockDevice("x") }), qemu.ErrBlockDeviceNotFound.Error()},
		{"BlockJobs", get(d.BlockJobs), ""},
		{"BlockStats", get(d.BlockStats), ""},
		{"PCIDevices", get(d.PCIDevices), ""},
		{"ScreenDump", func() error { _, err := d.ScreenDump(); return err }, "There is no console to take a screendump from"},
		{"Run", func() error { _, err := d.Run(qmp.Command{Execute: "query-memdev"}); return err }, ""},
	} {
		c.check(t)
	}
}

// TestRawMethods: every generated method within the subset.
func TestRawMethods(t *testing.T) {
	t.Parallel()
	_, _, mon := domain(t, "-chardev", "null,id=com1", "-serial", "chardev:com1")
	r := raw.NewMonitor(mon)
	yes := true
	size := int64(16)
	dir := t.TempDir()
	for _, c := range []call{
		{"QueryBlock", get(r.QueryBlock), ""},
		{"QueryBlockJobs", get(r.QueryBlockJobs), ""},
		{"QueryBlockstats", func() error { _, err := r.QueryBlockstats(&yes); return err }, ""},
		{"QueryChardev", get(r.QueryChardev), ""},
		{"QueryChardevBackends", get(r.QueryChardevBackends), ""},
		{"QueryCommandLineOptions", func() error { _, err := r.QueryCommandLineOptions(nil); return err }, ""},
		{"QueryCommands", get(r.QueryCommands), ""},
		{"QueryCPUDefinitions", get(r.QueryCPUDefinitions), ""},
		{"QueryCPUModelExpansion", func() error {
			_, err := r.QueryCPUModelExpansion(raw.CPUModelExpansionTypeFull, raw.CPUModelInfo{Name: "qemu64"})
			return err
		}, ""},
		{"QueryCpus", get(r.QueryCpus), ""},
		{"QueryDump", get(r.QueryDump), ""},
		{"QueryDumpGuestMemoryCapability", get(r.QueryDumpGuestMemoryCapability), ""},
		{"QueryFdsets", get(r.QueryFdsets), ""},
		{"QueryHotpluggableCpus", get(r.QueryHotpluggableCpus), "machine does not support hot-plugging CPUs"},
		{"QueryIothreads", get(r.QueryIothreads), ""},
		{"QueryKVM", get(r.QueryKVM), ""},
		{"QueryMachines", get(r.QueryMachines), ""},
		{"QueryMemdev", get(r.QueryMemdev), ""},
		{"QueryMemoryDevices", get(r.QueryMemoryDevices), ""},
		{"QueryMemorySizeSummary", get(r.QueryMemorySizeSummary), ""},
		{"QueryMigrate", get(r.QueryMigrate), ""},
		// go-qemu's enumeration is older than QEMU 8.2's, too.
		{"QueryMigrateCapabilities", get(r.QueryMigrateCapabilities), `unknown enum value "multifd" for MigrationCapability`},
		{"QueryMigrateParameters", get(r.QueryMigrateParameters), ""},
		{"QueryName", get(r.QueryName), ""},
		{"QueryNamedBlockNodes", get(r.QueryNamedBlockNodes), ""},
		{"QueryPCI", get(r.QueryPCI), ""},
		{"QueryQMPSchema", get(r.QueryQMPSchema), ""},
		{"QueryRxFilter", func() error { _, err := r.QueryRxFilter(nil); return err }, ""},
		{"QueryStatus", get(r.QueryStatus), ""},
		{"QueryTarget", get(r.QueryTarget), ""},
		{"QueryUUID", get(r.QueryUUID), ""},
		{"QueryVersion", get(r.QueryVersion), ""},
		{"QueryVMGenerationID", get(r.QueryVMGenerationID), "VM Generation ID device not found"},
		{"QueryBalloon", get(r.QueryBalloon), "No balloon device has been activated"},

		{"QomList", func() error { _, err := r.QomList("/machine"); return err }, ""},
		{"QomListTypes", func() error { _, err := r.QomListTypes(nil, &yes); return err }, ""},
		{"QomGet", func() error { _, err := r.QomGet("/machine", "type"); return err }, ""},
		{"QomSet", func() error { return r.QomSet("/machine", "usb", false) }, ""},
		{"DeviceListProperties", func() error { _, err := r.DeviceListProperties("vhost-vdpa-device"); return err }, ""},
		{"DeviceAdd", func() error { return r.DeviceAdd("nosuch", nil, nil) }, "'nosuch' is not a valid device model name"},
		{"DeviceDel", func() error { return r.DeviceDel("nosuch") }, "Device 'nosuch' not found"},
		{"ObjectAdd", func() error { return r.ObjectAdd("iothread", "t0", nil) }, ""},
		{"ObjectDel", func() error { return r.ObjectDel("t0") }, ""},
		{"ObjectAdd with props", func() error { // as before QEMU 6.0
			var props any = map[string]any{"poll-grow": 1}
			return r.ObjectAdd("iothread", "t0", &props)
		}, "Parameter 'props' is unexpected"},
		{"NetdevAdd", func() error { return r.NetdevAdd("tap", "n0") }, "network backend 'tap' is not compiled into this binary"},
		{"NetdevDel", func() error { return r.NetdevDel("n0") }, "Device 'n0' not found"},
		{"SetLink", func() error { return r.SetLink("n0", true) }, "Device 'n0' not found"},

		{"ChardevAdd", func() error { _, err := r.ChardevAdd("r0", raw.ChardevBackendRingbuf{Size: &size}); return err }, ""},
		{"RingbufWrite", func() error { return r.RingbufWrite("r0", "hello", nil) }, ""},
		{"RingbufRead", func() error { _, err := r.RingbufRead("r0", 5, nil); return err }, ""},
		{"ChardevChange", func() error { _, err := r.ChardevChange("com1", raw.ChardevBackendNull{}); return err }, ""},
		{"ChardevSendBreak", func() error { return r.ChardevSendBreak("com1") }, ""},
		{"ChardevRemove", func() error { return r.ChardevRemove("r0") }, ""},

		{"AddFD", func() error { _, err := r.AddFD(nil, nil); return err }, "No file descriptor supplied via SCM_RIGHTS"},
		{"RemoveFD", func() error { return r.RemoveFD(5, nil) }, "File descriptor named 'fdset-id:5' not found"},
		{"Getfd", func() error { return r.Getfd("x") }, "No file descriptor supplied via SCM_RIGHTS"},
		{"Closefd", func() error { return r.Closefd("x") }, "File descriptor named 'x' not found"},
		{"AddClient", func() error { return r.AddClient("vnc", "x", nil, nil) }, "File descriptor named 'x' has not been found"},

		{"Memsave", func() error { return r.Memsave(0, 16, dir+"/v", nil) }, ""},
		{"Pmemsave", func() error { return r.Pmemsave(0, 16, dir+"/p") }, ""},
		{"DumpGuestMemory", func() error {
			begin, length := int64(0), int64(4096)
			return r.DumpGuestMemory(false, "file:"+dir+"/d", nil, &begin, &length, nil)
		}, ""},
		{"Screendump", func() error { return r.Screendump(dir + "/s") }, "There is no console to take a screendump from"},
		{"InjectNmi", r.InjectNmi, ""},
		{"RtcResetReinjection", r.RtcResetReinjection, ""},
		{"Balloon", func() error { return r.Balloon(1 << 20) }, "No balloon device has been activated"},
		{"TraceEventGetState", func() error { _, err := r.TraceEventGetState("*", nil); return err }, ""},
		{"TraceEventSetState", func() error { return r.TraceEventSetState("x*", true, nil, nil) }, ""},
		{"WatchdogSetAction", func() error { return r.WatchdogSetAction(raw.WatchdogActionNone) }, ""},

		{"Migrate", func() error { return r.Migrate("nosuch:", nil, nil, nil) }, "unknown migration protocol: nosuch:"},
		{"MigrateCancel", r.MigrateCancel, ""},
		{"MigrateIncoming", func() error { return r.MigrateIncoming("defer") }, "'-incoming' was not specified on the command line"},
		{"MigrateStartPostcopy", r.MigrateStartPostcopy,
			"Enable postcopy with migrate_set_capability before the start of migration"},
		{"MigrateSetCapabilities", func() error {
			return r.MigrateSetCapabilities([]raw.MigrationCapabilityStatus{{Capability: raw.MigrationCapabilityEvents, State: true}})
		}, ""},

		{"HumanMonitorCommand", func() error { _, err := r.HumanMonitorCommand("info status", nil); return err }, ""},
		{"Stop", r.Stop, ""},
		{"Cont", r.Cont, ""},
		{"SystemReset", r.SystemReset, ""},
		{"SystemWakeup", r.SystemWakeup, "wake-up from suspend is not supported by this guest"},
		{"SystemPowerdown", r.SystemPowerdown, ""},
		{"QueryMice", get(r.QueryMice), "The command query-mice has not been found"},
		{"Quit", r.Quit, ""},
	} {
		c.check(t)
	}
}
