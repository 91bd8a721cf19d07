package qtest

import (
	"fmt"
	"strings"
	"testing"
)

// portsAndDevice is a q35 with two ports, one behind the other's back, and a
// function below the second.
var portsAndDevice = []string{
	"-device", "pcie-root-port,id=rp0,chassis=1,slot=1,addr=2", "-device", "ioh3420,id=rp1,chassis=2,slot=2,addr=3",
	"-device", "pvpanic-pci,id=pv,bus=rp1", "-device", "pvpanic-pci,id=top,addr=4",
}

// A guest finds the machine's functions and what was added, by ports and in
// memory alike.
func TestPCIEnumeration(t *testing.T) {
	t.Parallel()
	m := q35(t, portsAndDevice...)
	want := []string{
		"00:00.0 8086:29c0", "00:02.0 1b36:000c", "00:03.0 8086:3420", "02:00.0 1b36:0011", "00:04.0 1b36:0011", "00:1f.0 8086:2918",
	}
	list := func(p *PCI) (out []string) {
		for _, f := range p.Enumerate() {
			out = append(out, fmt.Sprintf("%v %04x:%04x", f, f.Get16(PCIVendor), f.Get16(PCIDevice)))
		}
		return out
	}
	p := m.PCI()
	equal(t, "by ports", list(p), want)
	p.EnableECAM(0xb0000000)
	equal(t, "in memory", list(p), want)
	// Vendor, cached in the test above by both ways, of a bus that is not.
	if v := p.At(9, 0, 0).Get32(0); v != 0xffffffff {
		t.Errorf("bus 9 answers %#x", v)
	}
	for id, exists := range map[uint16]bool{0x0001: true, 0x000d: true, 0x0003: false} {
		if at := p.At(0, 2, 0).ExtCapability(id); (at != 0) != exists {
			t.Errorf("extended capability %#x of a port is at %#x", id, at)
		}
	}
	// A conventional function has 256 bytes.
	if v := p.At(0, 0x1f, 0).Get32(0x100); v != 0xffffffff {
		t.Errorf("beyond a conventional function's space: %#x", v)
	}
}

// Registers are sized, placed and found behind windows.
func TestPCIRegions(t *testing.T) {
	t.Parallel()
	m := q35(t, portsAndDevice...)
	p := m.PCI()
	p.Enumerate()
	f := p.At(2, 0, 0)
	if r := p.At(0, 2, 0).Region(0); r.Size != 4096 || r.IO || r.Wide {
		t.Errorf("a port's register: %+v", r)
	}
	f.Place(0, 0xc0000000)
	if v := m.Readb(0xc0000000); v == 3 {
		t.Error("a function answers behind a closed window")
	}
	port := p.At(0, 3, 0)
	port.Set16(PCIMemBase, 0xc000)
	port.Set16(PCIMemLimit, 0xc000)
	port.Set16(PCICommand, PCICommandMemory)
	if v := m.Readb(0xc0000000); v != 3 {
		t.Errorf("behind an open window: %#x", v)
	}
	m.QMP.Must("system_reset", nil, nil)
	if v := m.Readb(0xc0000000); v == 3 || f.Exists() {
		t.Errorf("after a reset: %#x", v)
	}
}

// A port's slot interrupts by message, which masks hold back, and by line
// without.
func TestPCIPortInterrupt(t *testing.T) {
	t.Parallel()
	m := q35(t, portsAndDevice...)
	p := m.PCI()
	f := p.At(0, 2, 0)
	f.Place(0, 0xc0000000)
	x := f.MSIX()
	const addr, data = 0x100000, 0x1234
	x.Set(0, addr, data)
	x.Enable()
	slot := f.Capability(PCICapPCIe) + 0x18
	const interrupts, completed = 1<<5 | 1<<4, 1 << 4
	command := func() {
		f.Set16(slot+2, completed)
		f.Set16(slot, interrupts)
	}
	x.Mask(0, true)
	command()
	if v := m.Readl(addr); v != 0 || !x.IsPending(0) {
		t.Fatalf("masked: memory has %#x, pending %v", v, x.IsPending(0))
	}
	x.Mask(0, false)
	if v := m.Readl(addr); v != data || x.IsPending(0) {
		t.Errorf("unmasked: memory has %#x, pending %v", v, x.IsPending(0))
	}
	m.Writel(addr, 0)
	x.MaskAll(true)
	command()
	if v := m.Readl(addr); v != 0 {
		t.Errorf("all masked: memory has %#x", v)
	}
	x.MaskAll(false)
	if v := m.Readl(addr); v != data {
		t.Errorf("none masked: memory has %#x", v)
	}
	// The line: slot 2 pin A is PIRQG, pin 22 of the IOAPIC.
	f.Set16(slot+2, completed)
	f.Set16(x.At+2, 0)
	m.InterceptIn("/machine/q35/ioapic")
	command()
	m.Eventually("line 22 to rise", func() bool { return m.IRQ(22) })
	f.Set16(slot+2, completed)
	m.Eventually("line 22 to fall", func() bool { return !m.IRQ(22) })
}

// -kernel gives every function an address, an interrupt and a window before the
// kernel starts, at each reset anew.
func TestPCIBoot(t *testing.T) {
	t.Parallel()
	m := q35(t, append([]string{"-kernel", pvhKernel(t)}, portsAndDevice...)...)
	type region struct{ Address, Size int64 }
	type device struct {
		Bus, Slot int
		IRQ       *int
		QdevID    string `json:"qdev_id"`
		Regions   []region
		Bridge    *struct {
			Bus     struct{ Secondary, Subordinate int }
			Devices []device
		} `json:"pci_bridge"`
	}
	for range 2 {
		var buses []struct{ Devices []device }
		m.QMP.Must("query-pci", nil, &buses)
		seen := map[string]bool{}
		var check func(list []device, above *device)
		check = func(list []device, above *device) {
			for i, d := range list {
				seen[d.QdevID] = true
				for _, r := range d.Regions {
					if r.Address < 0xc0000000 || r.Address > 0xfec00000 || r.Address%r.Size != 0 {
						t.Errorf("%s: a region at %#x", d.QdevID, r.Address)
					}
				}
				if d.IRQ != nil && *d.IRQ != 10 && *d.IRQ != 11 {
					t.Errorf("%s: interrupt %d", d.QdevID, *d.IRQ)
				}
				if d.Bridge != nil {
					check(d.Bridge.Devices, &list[i])
				}
			}
		}
		check(buses[0].Devices, nil)
		if !seen["rp0"] || !seen["pv"] || !seen["top"] {
			t.Errorf("seen: %v", seen)
		}
		p := m.PCI()
		p.ECAM = 0xb0000000
		if !p.At(0, 0, 0).Exists() {
			t.Error("configuration space is not memory-mapped")
		}
		m.QMP.Must("system_reset", nil, nil)
	}
	if text := m.QMP.HMP("info pci"); !strings.Contains(text, "Bus  2, device   0, function 0:\n    Class 2176: PCI device 1b36:0011\n") {
		t.Errorf("info pci:\n%s", text)
	}
}

// What the recordings say of functions' properties and places.
func TestPCIRefusals(t *testing.T) {
	t.Parallel()
	refused(t, map[string]string{
		"-device pvpanic-pci,addr=0":    "-device pvpanic-pci,addr=0: PCI: slot 0 function 0 not available for pvpanic-pci, in use by mch,id=(null)",
		"-device pvpanic-pci,addr=1f.0": "-device pvpanic-pci,addr=1f.0: PCI: slot 31 function 0 not available for pvpanic-pci, in use by ICH9-LPC,id=(null)",
		"-device pvpanic-pci,addr=20":   "-device pvpanic-pci,addr=20: Property 'pvpanic-pci.addr' doesn't take value '20'",
		"-device mch":                   "-device mch: Parameter 'driver' expects a pluggable device type",
		"-device pcie-root-port,id=a,chassis=1,slot=1 -device pcie-root-port,id=b,chassis=1,slot=1": "-device pcie-root-port,id=b,chassis=1,slot=1: Can't add chassis slot, error -16",
		"-device pcie-root-port,x-speed=9": "-device pcie-root-port,x-speed=9: Parameter 'x-speed' does not accept value '9'",
		"-M microvm -device pvpanic-pci":   "-device pvpanic-pci: No 'PCI' bus found for device 'pvpanic-pci'",
	})
}

// Clients find the buses where QEMU has them, and nothing can be plugged into
// the root bus.
func TestPCIPaths(t *testing.T) {
	t.Parallel()
	m := q35(t, portsAndDevice...)
	for path, want := range map[string]string{
		"/machine/q35": "q35-pcihost", "/machine/q35/mch": "mch", "/machine/q35/pcie.0": "PCIE", "/machine/peripheral/rp0/rp0": "PCIE",
	} {
		var typ string
		m.QMP.Must("qom-get", map[string]any{"path": path, "property": "type"}, &typ)
		if typ != want {
			t.Errorf("%s is a %s, want %s", path, typ, want)
		}
	}
	var addr any
	m.QMP.Must("qom-get", map[string]any{"path": "/machine/peripheral/top", "property": "addr"}, &addr)
	if fmt.Sprint(addr) != "32" {
		t.Errorf("addr is %v", addr)
	}
	var legacy string
	m.QMP.Must("qom-get", map[string]any{"path": "/machine/peripheral/top", "property": "legacy-addr"}, &legacy)
	if legacy != "04.0" {
		t.Errorf("legacy-addr is %q", legacy)
	}
	err := m.QMP.Execute("device_add", map[string]any{"driver": "pvpanic-pci"}, nil)
	if err == nil || !strings.Contains(err.Error(), "Bus 'pcie.0' does not support hotplugging") {
		t.Errorf("device_add: %v", err)
	}
}
