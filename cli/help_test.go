package cli

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var propLine = regexp.MustCompile(`^  (\S+?)=<(.*?>?)>(?: +- (.*?)(?: ?\(default: (.*)\))?)?$`)

// TestPrintProperties: the listings of QEMU 8.2.7, taken apart and shuffled,
// are printed back byte for byte.
func TestPrintProperties(t *testing.T) {
	for _, name := range []string{"device-vhost-vdpa-device", "device-isa-serial", "machine-microvm",
		"object-memory-backend-memfd", "object-rng-builtin"} {
		data, err := os.ReadFile("testdata/help-" + name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		lines := splitLines(string(data))
		title, _, _ := strings.Cut(lines[0], " options:")
		if name == "object-rng-builtin" {
			title = "rng-builtin"
		}
		var props []Prop
		for _, l := range lines[1:] {
			f := propLine.FindStringSubmatch(l)
			if f == nil {
				t.Fatalf("%s: %q", name, l)
			}
			props = append(props, Prop{f[1], f[2], strings.TrimSuffix(f[3], " "), f[4]})
		}
		slices.Reverse(props)
		var b bytes.Buffer
		if err := PrintProperties(&b, title, props); err != nil || b.String() != string(data) {
			t.Errorf("%s: %v\n%s", name, err, b.String())
		}
	}
}

// TestPrintDevices: a listing of QEMU 8.2.7, printed back.
func TestPrintDevices(t *testing.T) {
	data, err := os.ReadFile("testdata/help-device.txt")
	if err != nil {
		t.Fatal(err)
	}
	entry := regexp.MustCompile(`^name "(.*?)"(?:, bus (.*?))?(?:, alias "(.*?)")?(?:, desc "(.*?)")?$`)
	var devs []DeviceInfo
	for _, l := range splitLines(string(data)) {
		if f := entry.FindStringSubmatch(l); f != nil {
			devs = append(devs, DeviceInfo{Name: f[1], Bus: f[2], Alias: f[3], Description: f[4], Category: "Controller/Bridge/Hub"})
		}
	}
	slices.Reverse(devs)
	devs = append(devs, DeviceInfo{Name: "z", Alias: "y", Category: ""})
	var b bytes.Buffer
	want := strings.TrimSuffix(string(data), "\n") + "\n\nUncategorized devices:\nname \"z\", alias \"y\"\n"
	want = strings.Replace(want, "\n\n\n", "\n\n", 1)
	if err := PrintDevices(&b, devs); err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// TestPrintLists holds the short listings to QEMU's layout.
func TestPrintLists(t *testing.T) {
	var b bytes.Buffer
	err := PrintMachines(&b, []MachineInfo{
		{Name: "microvm", Description: "microvm (i386)"},
		{Name: "pc-q35-8.2", Alias: "q35", Description: "Standard PC", Default: true, Deprecated: true}})
	if want := "Supported machines are:\n" +
		"microvm              microvm (i386)\n" +
		"q35                  Standard PC (alias of pc-q35-8.2)\n" +
		"pc-q35-8.2           Standard PC (default) (deprecated)\n"; err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
	b.Reset()
	err = PrintNames(&b, "Available chardev backend types: ", "  ", []string{"null", "pty"})
	if err != nil || b.String() != "Available chardev backend types: \n  null\n  pty\n" {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// TestVersion: the text of QEMU 8.2.7, with room for a package.
func TestVersion(t *testing.T) {
	data, err := os.ReadFile("testdata/help-version.txt")
	if err != nil {
		t.Fatal(err)
	}
	if VersionText("") != string(data) {
		t.Error(VersionText(""))
	}
	if v, _, _ := strings.Cut(VersionText("gqemu-1"), "\n"); v != "QEMU emulator version 8.2.7 (gqemu-1)" {
		t.Error(v)
	}
}

// TestHelpIsComplete: every option with a help text of its own is in -help
// under the name it is typed with, and no name occurs twice.
func TestHelpIsComplete(t *testing.T) {
	text := HelpText("q", "")
	seen := map[string]bool{}
	for _, o := range table() {
		if seen[o.name] {
			t.Errorf("%s is there twice", o.name)
		}
		seen[o.name] = true
		if o.help != "" && (!strings.Contains(o.help, "-"+o.name) || !strings.HasSuffix(o.help, "\n") || !strings.Contains(text, o.help)) {
			t.Errorf("help of -%s: %q", o.name, o.help)
		}
	}
}
