package acpi

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// microvm is the configuration behind testdata/two-rng.
func microvm() MicrovmConfig {
	return MicrovmConfig{
		MADT: MADT{
			CPUs:    []CPU{{APICID: 0}, {APICID: 1}},
			IOAPICs: []IOAPIC{{0, 0xfec00000, 0}, {1, 0xfec10000, 24}},
		},
		GED:      GED{SelectorAddr: 0xfea00000, RegsAddr: 0xfea00200, GSI: 9, PowerButton: true},
		FwCfg:    0x510,
		FwCfgDMA: true,
		Serial:   []ISAPort{{0x3f8, 4}},
		RTC:      &ISAPort{0x70, 8},
		VirtIO: []VirtIOMMIO{
			{Index: 22, Addr: 0xfeb02c00, GSI: 46},
			{Index: 23, Addr: 0xfeb02e00, GSI: 47},
		},
	}
}

// oneIOAPIC is the configuration behind testdata/one-ioapic.
func oneIOAPIC() MicrovmConfig {
	cfg := microvm()
	cfg.OEM = OEM{"ACME", "TABLE"}
	cfg.MADT.CPUs = []CPU{{APICID: 0}, {1, true}, {2, true}}
	cfg.MADT.IOAPICs = cfg.MADT.IOAPICs[:1]
	cfg.Serial, cfg.RTC = nil, nil
	cfg.VirtIO = []VirtIOMMIO{{Index: 7, Addr: 0xfeb00e00, GSI: 23}}
	return cfg
}

func build(t *testing.T, cfg MicrovmConfig, addr uint64) Tables {
	t.Helper()
	tables, err := BuildMicrovm(cfg, addr)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// walk follows the pointers from the RSDP as an operating system does,
// checking every checksum and length, and returns the tables by signature.
func walk(t *testing.T, set Tables) map[string][]byte {
	t.Helper()
	le := binary.LittleEndian
	at := func(addr uint64, n int) []byte {
		t.Helper()
		off := addr - set.Addr
		if addr < set.Addr || off+uint64(n) > uint64(len(set.Data)) {
			t.Fatalf("pointer %#x+%d is outside of %#x+%d", addr, n, set.Addr, len(set.Data))
		}
		return set.Data[off : off+uint64(n)]
	}
	sum := func(what string, b []byte) {
		t.Helper()
		if checksum(b) != 0 {
			t.Errorf("%s: the bytes do not sum to zero", what)
		}
	}
	found := map[string][]byte{}
	get := func(addr uint64) []byte {
		t.Helper()
		b := at(addr, int(le.Uint32(at(addr, headerLen)[4:])))
		sum(string(b[:4]), b)
		found[string(b[:4])] = b
		return b
	}
	rsdp := at(set.RSDP, rsdpLen)
	if string(rsdp[:8]) != "RSD PTR " {
		t.Fatalf("no RSDP at %#x", set.RSDP)
	}
	found["RSDP"] = rsdp
	sum("RSDP revision 1", rsdp[:20])
	sum("RSDP", rsdp)
	xsdt := get(le.Uint64(rsdp[24:]))
	for b := xsdt[headerLen:]; len(b) > 0; b = b[8:] {
		table := get(le.Uint64(b))
		if string(table[:4]) == "FACP" {
			dsdt := le.Uint64(table[fadtXDSDT:])
			if low := le.Uint32(table[fadtDSDT:]); dsdt < 1<<32 && uint64(low) != dsdt {
				t.Errorf("DSDT %#x, X_DSDT %#x", low, dsdt)
			}
			get(dsdt)
		}
	}
	return found
}

// The tables say, byte for byte, what QEMU's say for the same machine, except
// for where they lie.
func TestMicrovmTablesMatchQEMU(t *testing.T) {
	for name, cfg := range map[string]MicrovmConfig{"two-rng": microvm(), "one-ioapic": oneIOAPIC()} {
		t.Run(name, func(t *testing.T) {
			found := walk(t, build(t, cfg, TablesBase))
			for _, sig := range []string{"DSDT", "FACP", "APIC", "XSDT"} {
				want, err := os.ReadFile(filepath.Join("testdata", name, sig+".aml"))
				if err != nil {
					t.Fatal(err)
				}
				got := bytes.Clone(found[sig])
				switch sig { // neutralise addresses, the same on both sides
				case "FACP":
					copy(got[fadtDSDT:], want[fadtDSDT:fadtDSDT+4])
					copy(got[fadtXDSDT:], want[fadtXDSDT:fadtXDSDT+8])
				case "XSDT":
					if len(got) == len(want) {
						copy(got[headerLen:], want[headerLen:])
					}
				case "APIC":
					// QEMU 7.2 says revision 1 where 8.2 says 3, for
					// the same contents.
					want[8] = 3
					want[checksumOffset] = got[checksumOffset]
				}
				got = table(got).finish()
				if !bytes.Equal(got, want) {
					t.Errorf("%s differs\ngot  % x\nwant % x", sig, got, want)
				}
			}
			want, err := os.ReadFile(filepath.Join("testdata", name, "rsdp.bin"))
			if err != nil {
				t.Fatal(err)
			}
			if got := found["RSDP"]; !bytes.Equal(got[9:24], want[9:24]) {
				t.Errorf("RSDP differs\ngot  % x\nwant % x", got, want)
			}
		})
	}
}

// The set is linked correctly wherever it goes, above 4 GiB included, where
// the 32-bit DSDT pointer must be left empty.
func TestTablesAreRelocatable(t *testing.T) {
	for _, addr := range []uint64{TablesBase, 0xf0010, 0x7ffe0000, 5 << 30} {
		set := build(t, microvm(), addr)
		found := walk(t, set)
		if len(found) != 5 {
			t.Errorf("%#x: found %d tables", addr, len(found))
		}
		if low := binary.LittleEndian.Uint32(found["FACP"][fadtDSDT:]); addr > 1<<32 && low != 0 {
			t.Errorf("DSDT = %#x for a table above 4 GiB", low)
		}
	}
}

// With the default base, a scan of the BIOS area in steps of 16 finds the
// RSDP, and everything stays below 1 MiB even with the most processors.
func TestTablesFitBIOSArea(t *testing.T) {
	cfg := microvm()
	cfg.MADT.CPUs = make([]CPU, 288)
	for i := range cfg.MADT.CPUs {
		cfg.MADT.CPUs[i] = CPU{APICID: uint32(i)}
	}
	cfg.VirtIO = nil
	for i := range 24 {
		cfg.VirtIO = append(cfg.VirtIO, VirtIOMMIO{Index: i, Addr: 0xfeb00000 + uint32(i)*512, GSI: 24 + uint32(i)})
	}
	set := build(t, cfg, TablesBase)
	walk(t, set)
	if set.RSDP%16 != 0 || set.RSDP < 0xe0000 || set.Addr+uint64(len(set.Data)) > 0x100000 {
		t.Errorf("RSDP %#x, tables %#x+%#x", set.RSDP, set.Addr, len(set.Data))
	}
}

// Processors that an 8-bit APIC id cannot name get x2APIC entries, and then
// so does the NMI pin.
func TestMADTUsesX2APICAbove254(t *testing.T) {
	b, err := MADT{CPUs: []CPU{{APICID: 0}, {APICID: 254}, {APICID: 255}, {300, true}}}.build(OEM{})
	if err != nil {
		t.Fatal(err)
	}
	var types []byte
	le := binary.LittleEndian
	for e := b[44:]; len(e) > 0; e = e[e[1]:] {
		types = append(types, e[0])
		if e[0] == madtLocalX2APIC && le.Uint32(e[12:]) == 3 {
			if le.Uint32(e[4:]) != 300 || le.Uint32(e[8:]) != 0 {
				t.Errorf("x2APIC entry % x", e[:16])
			}
		}
	}
	if want := []byte{0, 0, 9, 9, 10}; !bytes.Equal(types, want) {
		t.Errorf("entry types %d, want %d", types, want)
	}
}

// Overrides are written as they are given.
func TestMADTOverrides(t *testing.T) {
	b, err := MADT{CPUs: []CPU{{APICID: 0}}, Overrides: []SourceOverride{{0, 2, 0}, {9, 9, 0xd}}}.build(OEM{})
	if err != nil {
		t.Fatal(err)
	}
	want := []byte{2, 10, 0, 0, 2, 0, 0, 0, 0, 0, 2, 10, 0, 9, 9, 0, 0, 0, 0xd, 0}
	if !bytes.Contains(b, want) {
		t.Errorf("% x not in % x", want, b)
	}
}

// Revision 6 of the FADT adds the hypervisor's identity.
func TestFADTRevision6(t *testing.T) {
	cfg := microvm()
	cfg.FADTRevision, cfg.I8042 = 6, true
	f := walk(t, build(t, cfg, TablesBase))["FACP"]
	cfg.NoRTC = true
	if g := walk(t, build(t, cfg, TablesBase))["FACP"]; g[fadtBootArch] != 2|1<<5 || f[fadtBootArch+1] != 0 {
		t.Errorf("boot architecture flags %#x without an RTC", g[fadtBootArch:fadtBootArch+2])
	}
	if len(f) != 276 || f[8] != 6 || string(f[268:272]) != "QEMU" || f[fadtBootArch] != 2 {
		t.Errorf("% x", f)
	}
}

// A configuration that ACPI cannot express is refused.
func TestBuildMicrovmRejects(t *testing.T) {
	for name, change := range map[string]func(*MicrovmConfig){
		"OEM id":          func(c *MicrovmConfig) { c.OEM.ID = "1234567" },
		"OEM table id":    func(c *MicrovmConfig) { c.OEM.TableID = "123456789" },
		"no processor":    func(c *MicrovmConfig) { c.MADT.CPUs = nil },
		"FADT revision":   func(c *MicrovmConfig) { c.FADTRevision = 4 },
		"transport twice": func(c *MicrovmConfig) { c.VirtIO = append(c.VirtIO, c.VirtIO[0]) },
		"transport 100":   func(c *MicrovmConfig) { c.VirtIO[0].Index = 100 },
		"ten ports":       func(c *MicrovmConfig) { c.Serial = make([]ISAPort, 10) },
		"serial IRQ":      func(c *MicrovmConfig) { c.Serial[0].IRQ = 16 },
		"too many processors": func(c *MicrovmConfig) {
			c.MADT.CPUs = make([]CPU, 20000)
		},
	} {
		cfg := microvm()
		change(&cfg)
		if _, err := BuildMicrovm(cfg, TablesBase); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, addr := range []uint64{8, 1<<64 - 16} {
		if _, err := BuildMicrovm(microvm(), addr); err == nil {
			t.Errorf("address %#x: accepted", addr)
		}
	}
}

// A transport with an edge-triggered line differs from QEMU's in one bit of
// its interrupt descriptor (ACPI 6.4 section 6.4.3.6).
func TestEdgeTriggeredTransport(t *testing.T) {
	cfg := microvm()
	level := walk(t, build(t, cfg, TablesBase))["DSDT"]
	cfg.VirtIO[1].Edge = true
	edge := walk(t, build(t, cfg, TablesBase))["DSDT"]
	if len(level) != len(edge) {
		t.Fatalf("%d bytes, %d with an edge", len(level), len(edge))
	}
	gsi := []byte{tagExtendedIRQ, 6, 0, 1 | 1<<1, 1, byte(cfg.VirtIO[1].GSI), 0, 0, 0}
	if bytes.Count(edge, gsi) != 1 || bytes.Contains(level, gsi) {
		t.Error("no descriptor of an edge")
	}
	diff := 0
	for i := headerLen; i < len(level); i++ {
		if level[i] != edge[i] {
			diff++
		}
	}
	if diff != 1 {
		t.Errorf("%d bytes differ", diff)
	}
}
