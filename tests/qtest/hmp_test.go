package qtest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testHMP runs lines and compares what they print.
func testHMP(t *testing.T, q *QMP, lines [][2]string) {
	t.Helper()
	for _, l := range lines {
		if got := q.HMP(l[0]); got != l[1] {
			t.Errorf("%s: got %q, want %q", l[0], got, l[1])
		}
	}
}

// Memory, ports and expressions are shown as QEMU shows them, in all formats.
// What is left out of a format is as in the one before.
func TestHMPMemory(t *testing.T) {
	t.Parallel()
	m := Start(t, "-M", "microvm", "-m", "64", "-smp", "2")
	m.Write(0x1000, []byte("Hi'\\\n\r\x00\xff\x01\x23\x45\x67\x89\xab\xcd\xef\x10\x11"))
	testHMP(t, m.QMP, [][2]string{
		{"xp /9xb 0x1000", "0000000000001000: 0x48 0x69 0x27 0x5c 0x0a 0x0d 0x00 0xff\n0000000000001008: 0x01\n"},
		{"xp /8cb 0x1000", `0000000000001000: 'H' 'i' '\'' '\\' '\n' '\r' '\x00' '\xff'` + "\n"},
		{"xp /3xh 0x1008", "0000000000001008: 0x2301 0x6745 0xab89\n"},
		{"xp /2dw 0x1008", "0000000000001008: 1732584193 4023233417\n"},
		{"xp /1ug 0x1008", "0000000000001008: 17279655951921914625\n"},
		{"xp /1dg 0x1008", "0000000000001008: -1167088121787636991\n"},
		{"xp /2oh 0x1008", "0000000000001008: 021401 063505\n"},
		{"xp /3xg 0x1000", "0000000000001000: 0xff000d0a5c276948 0xefcdab8967452301\n0000000000001010: 0x0000000000001110\n"},
		{"x /2xb 0x1000", "0000000000001000: 0x48 0x69\n"}, // paging is off
		{"xp /1xb 0xe0000000", "00000000e0000000: Cannot access memory\n"},
		{"xp /1i 0", "Format 'i' is not available: there is no disassembler\n"},
		{"xp /0x 0", ""},
		{"p /x 10", "0xa\n"}, {"p/o 8", "010\n"}, {"p /c 65", "'A'\n"}, {"p /c 0xfffffff0", `'\xfffffff0'` + "\n"},
		{"p /d -1", "-1\n"}, {"p /u -1", "18446744073709551615\n"}, {"p /x 0", "0\n"},
		{"p $pc", "0xfffffff0\n"}, {"p $eip + 1", "0xfff1\n"}, {"p $cs", "0xf000\n"}, {"p $cs.base", "0xffff0000\n"},
		{"p $ds.limit", "0xffff\n"}, {"p $eflags", "0x2\n"}, {"p $r9", "0\n"}, {"p $sp", "0\n"},
		{"p $rip", "unknown register\nTry \"help p\" for more information\n"},
		{"sum 0x1000 4", "49298\n"},
		{"gva2gpa 0x1234", "gpa: 0x1234\n"},
		{"gpa2hva 0xe0000000", "No memory is mapped at address 0xe0000000\n"},
		{"gpa2hva 0xfec00000", "Memory at address 0xfec00000 is not RAM\n"},
		{"o /b 0x70 0x0f", ""}, {"o /b 0x71 0x5a", ""},
		{"i /b 0x70.0x0f", "portb[0x0071] = 0x5a\n"},
		{"cpu 1", ""}, {"cpu 2", "invalid CPU index\n"},
		{"info registers 2", "CPU#2 not available\n"},
	})
	if s := m.QMP.HMP("info registers -a"); !strings.HasPrefix(s, "\nCPU#0\nEAX=") || !strings.Contains(s, "HLT=0") ||
		!strings.Contains(s, "\n\nCPU#1\nEAX=") || !strings.Contains(s, "HLT=1") {
		t.Errorf("info registers -a: %s", s)
	}
	file := filepath.Join(m.Dir, "mem")
	testHMP(t, m.QMP, [][2]string{
		{`pmemsave 0x1000 2 "` + file + `"`, ""},
		{"memsave 0 16 x", "invalid char 'x' in expression\nTry \"help memsave\" for more information\n"},
	}[:1])
	if b, err := os.ReadFile(file); err != nil || string(b) != "Hi" {
		t.Errorf("%q, %v", b, err)
	}
}

// Devices, objects and chardevs come and go as with QMP, with the same errors.
func TestHMPObjects(t *testing.T) {
	t.Parallel()
	m := Start(t, "-M", "microvm")
	const tryAdd = "Try \"help device_add\" for more information\n"
	testHMP(t, m.QMP, [][2]string{
		{"device_add", "Error: Parameter 'driver' is missing\n"},
		{"device_add nosuch", "Error: 'nosuch' is not a valid device model name\n"},
		{"device_add nosuch,help", "Device 'nosuch' not found\n"},
		{"device_add virtio-rng-device,id=r", "Error: Bus 'virtio-mmio-bus.23' does not support hotplugging\n"},
		{"device_add virtio-rng-device,id=+", tryAdd},
		{"device_del", "device_del: string expected\nTry \"help device_del\" for more information\n"},
		{"device_del x", "Error: Device 'x' not found\n"},
		{"object_add", "object_add: string expected\nTry \"help object_add\" for more information\n"},
		{"object_add foo", "Error: Parameter 'qom-type' does not accept value 'foo'\n"},
		{"object_add rng-builtin,id=r", ""},
		{"object_add rng-builtin,id=r", "Error: attempt to add duplicate property 'r' to object (type 'container')\n"},
		{"object_add rng-random,help", "rng-random options:\n  filename=<string>\n"},
		{"object_del r", ""}, {"object_del r", "Error: object 'r' not found\n"},
		{"chardev-add foo", "Error: chardev: no id specified\n"},
		{"chardev-add null,id=x,zz=1", "Invalid parameter 'zz'\nError: Parsing chardev args failed\n"},
		{"chardev-add null,id=1a", "Parameter 'id' expects an identifier\n" +
			"Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.\nError: Parsing chardev args failed\n"},
		{"object_add rng-builtin,id=1a", "Error: " + "Parameter 'id' expects an identifier\n" +
			"Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.\n"},
		{"chardev-add ringbuf,id=x,size=16", ""},
		{"chardev-add null,id=x", "Error: attempt to add duplicate property 'x' to object (type 'container')\n"},
		{"ringbuf_write x \"a b\"", ""}, {"ringbuf_read x 10", "a b\n"},
		{"chardev-change x null", ""}, {"chardev-change y null", "Error: Chardev 'y' does not exist\n"},
		{"chardev-send-break x", ""},
		{"chardev-remove x", ""}, {"chardev-remove x", "Error: Chardev 'x' not found\n"},
		{"qom-get / type", "\"container\"\n"}, {"qom-get /machine nosuch", "Error: Property 'microvm-machine.nosuch' not found\n"},
		{"qom-list", "/\n"}, {"qom-list /nosuch", "Error: Device '/nosuch' not found\n"},
		{"qom-set /machine graphics off", ""}, {"qom-get /machine graphics", "false\n"},
		{"qom-set -j /machine graphics true", ""}, {"qom-get /machine graphics", "true\n"},
		{"set_link x on", "Error: Device 'x' not found\n"},
		{"set_link x maybe", "Expected 'on' or 'off'\nTry \"help set_link\" for more information\n"},
		{"netdev_add foo", "Error: Parameter 'id' is missing\n"}, {"netdev_del x", "Error: Device 'x' not found\n"},
		{"trace-event foo on", "unknown event \"foo\"\n"},
		{"watchdog_action foo", "Error: invalid parameter value: foo\n"}, {"watchdog_action reset", ""},
		{"balloon 5", "Error: No balloon device has been activated\n"},
		{"system_wakeup", "Error: wake-up from suspend is not supported by this guest\n"},
		{"screendump /tmp/x", "Error: There is no console to take a screendump from\n"},
		{"getfd x", "Error: No file descriptor supplied via SCM_RIGHTS\n"},
		{"exit_preconfig", "Error: The command is permitted only before machine initialization\n"},
		{"info qom-tree /nosuch", "Path '/nosuch' could not be resolved.\n"},
		{"info qom-tree /objects", "/objects (container)\n  /microvm.ram (memory-backend-ram)\n"},
		{"info virtio", "Error: No virtio devices found\n"},
		{"info jit", "Command \"info jit\" is not available.\n"},
	})
	if s := m.QMP.HMP("device_add help"); !strings.Contains(s, `name "virtio-rng-device", bus virtio-bus`) {
		t.Errorf("device_add help: %s", s)
	}
	var props []map[string]any
	m.QMP.Must("qom-list", map[string]any{"path": "/machine"}, &props)
	listed := m.QMP.HMP("qom-list /machine")
	for _, p := range props {
		if line := p["name"].(string) + " (" + p["type"].(string) + ")\n"; !strings.Contains(listed, line) {
			t.Errorf("qom-list has no %q", line)
		}
	}
}

// The run state changes by HMP as by QMP.
func TestHMPRunState(t *testing.T) {
	t.Parallel()
	m := Start(t, "-M", "microvm", "-S", "-name", "n1", "-uuid", "01234567-89ab-cdef-0123-456789abcdef")
	testHMP(t, m.QMP, [][2]string{
		{"info status", "VM status: paused (prelaunch)\n"},
		{"cont", ""}, {"info status", "VM status: running\n"},
		{"stop", ""}, {"info status", "VM status: paused\n"}, {"c", ""},
		{"info name", "n1\n"}, {"info uuid", "01234567-89ab-cdef-0123-456789abcdef\n"},
		{"info kvm", "kvm support: disabled\n"},
		{"info history", ""}, {"info numa", "0 nodes\n"}, {"info block", ""}, {"info network", ""}, {"info pci", ""},
		{"system_reset", ""}, {"system_powerdown", ""}, {"q", ""},
	})
	if code := m.Wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// The log begins, ends and moves while the VM runs.
func TestHMPLog(t *testing.T) {
	t.Parallel()
	m := Start(t, "-M", "microvm")
	file := filepath.Join(m.Dir, "log")
	bad := filepath.Join(m.Dir, "missing", "log")
	testHMP(t, m.QMP, [][2]string{
		{"logfile " + bad, "Error opening logfile " + bad + ": No such file or directory\n"},
		{"logfile " + file, ""},
		{"logfile a%sb", "Bad logfile template: a%sb\n"},
		{"log none", ""}, {"log guest_errors", ""},
	})
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	help := m.QMP.HMP("help log")
	if !strings.HasPrefix(help, "Log items (comma separated):\nnone            remove all logs\nout_asm") ||
		!strings.HasSuffix(help, "\nUse \"log trace:help\" to get a list of trace events.\n\n") || m.QMP.HMP("log nosuch") != help {
		t.Errorf("help log: %s", help)
	}
}

// What info lists of the machine is what QEMU lists, but for the firmware and
// its helper, which are not here.
func TestHMPDumps(t *testing.T) {
	t.Parallel()
	general := []string{"mtree", "mtree -f", "qom-tree", "memdev", "memory_size_summary", "cpus"}
	for _, c := range []struct {
		name, args string
		topics     []string
	}{
		{"microvm", "-M microvm", general},
		{"none", "-M none", general},
		{"microvm-rng", "-M microvm -device virtio-rng-device,id=rng0", []string{"qtree"}},
	} {
		m := Start(t, append(strings.Fields(c.args), "-nodefaults")...)
		for _, topic := range c.topics {
			file := strings.ReplaceAll(topic, " ", "")
			want, err := os.ReadFile(filepath.Join("testdata", "hmp", c.name+"."+file+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, c.name+": info "+topic, common(m.QMP.HMP("info "+topic)), common(string(want)))
		}
		m.Quit()
	}
}

var (
	firmware = regexp.MustCompile(`(?m)^.*(pc\.bios|isa-bios|kvmvapic|x2from@).*\n`)
	deviceNo = regexp.MustCompile(`device\[\d+\]`)
	thread   = regexp.MustCompile(`thread_id=\d+`)
	// The flat views around what is not here.
	around = regexp.MustCompile(`(?m)^  (0000000000000000-00000000000dffff|0000000000100000-0000000007ffffff` +
		`|0000000000000000-0000000007ffffff|00000000000000(72|80|7e)-[0-9a-f]*).*\n`)
)

// common leaves out what differs on purpose: QEMU's firmware and kvmvapic, with
// what comes apart around them.
func common(s string) []string {
	s = strings.ReplaceAll(s, "\r", "")
	s = strings.ReplaceAll(s, "\nmemory-region: pc.bios\n", "")
	flat := strings.Contains(s, "FlatView")
	s = firmware.ReplaceAllString(s, "")
	s = deviceNo.ReplaceAllString(s, "device[]")
	s = thread.ReplaceAllString(s, "thread_id=1")
	if flat {
		s = around.ReplaceAllString(s, "")
	}
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if strings.HasPrefix(s, "/machine") {
		slices.Sort(lines) // the devices have other numbers
	}
	return lines
}
