package main

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/gqemu/gqemu/"

// allowed says which of our packages each may import, tests aside. A prefix
// ending in "/" stands for all packages below. This is the arrows of
// docs/architecture.md.
var allowed = map[string]string{
	"internal/":        "internal/sys",
	"internal/fdset":   "internal/errno",
	"qom":              "",
	"memory":           "internal/sys internal/errno",
	"clock":            "",
	"accel":            "memory",
	"chardev":          "internal/crash internal/sys internal/errno",
	"qapi":             "internal/qjson",
	"monitor":          "chardev qapi internal/crash internal/qjson",
	"monitor/hmp":      "",
	"cli":              "internal/qjson",
	"qdev":             "accel chardev clock memory qom",
	"hostmem":          "internal/errno internal/sys memory qom",
	"entropy":          "internal/errno qdev qom",
	"internal/elfcore": "accel",
	"accel/kvm":        "accel clock memory internal/crash internal/sys internal/errno",
	// The qtest server drives the machine's devices for its client.
	"accel/qtest":      "accel chardev memory qdev qom",
	"hw/machine":       "accel memory qdev qom",
	"hw/i386/boot":     "internal/errno",
	"hw/i386/cpu":      "accel hw/intc hw/machine memory qdev qom",
	"hw/i386":          "accel memory qdev qom hw/",
	"hw/":              "accel chardev clock memory qdev qom internal/sys internal/errno hw/isa hw/pci hw/virtio hw/virtio/",
	"hw/vdpa/sim":      "hw/vdpa hw/virtio hw/virtio/vring memory qdev qom internal/sys internal/errno",
	"hw/vdpa/vdpatest": "hw/vdpa memory internal/sys",
	"hw/virtio/rng":    "clock entropy hw/virtio hw/virtio/ qdev qom",
	"hw/hwtest":        "accel chardev clock memory qdev qom",
	"system":           "accel accel/qtest chardev cli clock hostmem hw/machine hw/i386/boot hw/i386/cpu hw/pci hw/virtio memory monitor monitor/hmp qapi qdev qom internal/crash internal/elfcore internal/errno internal/fdset internal/qjson",
	"cmd/gqemu":        "accel accel/kvm accel/qtest chardev cli entropy hostmem hw/ qdev qom system internal/errno internal/sandbox",
	"tests/qtest":      "",
	"tests/qtest/":     "tests/qtest",
	"tests/rig/":       "tests/rig tests/rig/ accel/kvm",
	"tests/rig":        "tests/rig/",
}

func rule(pkg string) (string, bool) {
	if r, ok := allowed[pkg]; ok {
		return r, true
	}
	for p := pkg; ; {
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			return "", false
		}
		p = p[:i]
		if r, ok := allowed[p+"/"]; ok {
			return r, true
		}
	}
}

// TestImportsRunDownwards holds the tree to the arrows of
// docs/architecture.md.
func TestImportsRunDownwards(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "../../...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		pkg := strings.TrimPrefix(words[0], module)
		may, known := rule(pkg)
		if !known {
			t.Errorf("package %s is not in the table: say what it may import", pkg)
			continue
		}
		for _, imp := range words[1:] {
			imp, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			ok := false
			for _, a := range strings.Fields(may) {
				ok = ok || imp == a || strings.HasSuffix(a, "/") && strings.HasPrefix(imp, a)
			}
			if !ok {
				t.Errorf("%s imports %s", pkg, imp)
			}
		}
	}
}
