package acpi

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func pc() PCConfig {
	return PCConfig{
		MADT: MADT{
			CPUs:      []CPU{{APICID: 0}, {APICID: 1}},
			IOAPICs:   []IOAPIC{{0, 0xfec00000, 0}},
			Overrides: []SourceOverride{{0, 2, 0}, {9, 9, 0xd}},
		},
		FADT: FixedFADT{
			SCI: 9, SMICommand: 0xb2, Enable: 2, Disable: 3, PM1Event: 0x600, PM1Control: 0x604, PMTimer: 0x608,
			GPE0: 0x620, GPE0Len: 16, ResetPort: 0xcf9, ResetValue: 0xf, Century: 0x32, I8042: true,
		},
		FwCfg: 0x510, FwCfgDMA: true,
		Serial: []ISAPort{{0x3f8, 4}, {0x2f8, 3}},
		RTC:    &ISAPort{0x70, 8},
	}
}

func buildPC(t *testing.T, cfg PCConfig, addr uint64) Tables {
	t.Helper()
	set, err := BuildPC(cfg, addr)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// All tables are found from the RSDP with their sums right, and the FACS lies
// on a boundary of its length.
func TestPCTablesAreLinked(t *testing.T) {
	for _, addr := range []uint64{TablesBase, 0x7fff0000} {
		set := buildPC(t, pc(), addr)
		found := walk(t, set)
		for _, sig := range []string{"RSDP", "XSDT", "FACP", "APIC", "DSDT"} {
			if found[sig] == nil {
				t.Errorf("no %s", sig)
			}
		}
		facs := uint64(binary.LittleEndian.Uint32(found["FACP"][fadtFACS:]))
		if facs%facsLen != 0 || facs < addr {
			t.Fatalf("FACS at %#x", facs)
		}
		if b := set.Data[facs-addr:]; string(b[:4]) != "FACS" || binary.LittleEndian.Uint32(b[4:]) != facsLen {
			t.Errorf("FACS % x", b[:8])
		}
	}
	for _, addr := range []uint64{TablesBase + 16, 1 << 32} {
		if _, err := BuildPC(pc(), addr); err == nil {
			t.Errorf("tables at %#x", addr)
		}
	}
}

// ACPICA reads the tables as they are meant.
func TestPCTablesInIASL(t *testing.T) {
	if _, err := exec.LookPath("iasl"); err != nil {
		t.Skip("iasl (acpica-tools) is not installed")
	}
	dir := t.TempDir()
	found := walk(t, buildPC(t, pc(), TablesBase))
	for sig, want := range map[string][]string{
		"DSDT": {`EisaId ("PNP0303")`, `EisaId ("PNP0F13")`, `Device (COM2)`, `EisaId ("PNP0B00")`, `Name (_S5, Package`},
		"FACP": {
			"SCI Interrupt : 0009", "SMI Command Port : 000000B2", "ACPI Enable Value : 02", "ACPI Disable Value : 03",
			"PM1A Event Block Address : 00000600", "PM1A Control Block Address : 00000604", "PM Timer Block Address : 00000608",
			"GPE0 Block Address : 00000620", "PM1 Event Block Length : 04", "PM1 Control Block Length : 02",
			"PM Timer Block Length : 04", "GPE0 Block Length : 10", "RTC Century Index : 32", "8042 Present on ports 60/64 (V2) : 1",
			"Reset Register Supported (V2) : 1", "Control Method Power Button (V1) : 0", "Hardware Reduced (V5) : 0",
			"Value to cause reset : 0F", "Address : 0000000000000CF9", "Bit Width : 80",
		},
		"APIC": {"Interrupt : 00000002", "Source : 09"},
	} {
		if err := os.WriteFile(filepath.Join(dir, sig+".aml"), found[sig], 0o600); err != nil {
			t.Fatal(err)
		}
		iasl(t, dir, "-d", sig+".aml")
		text, err := os.ReadFile(filepath.Join(dir, sig+".dsl"))
		if err != nil {
			t.Fatal(err)
		}
		plain := strings.Join(strings.Fields(string(text)), " ")
		for _, w := range want {
			if !strings.Contains(plain, w) {
				t.Errorf("%s lacks %q", sig, w)
			}
		}
		if bytes.Contains(text, []byte("Invalid")) || bytes.Contains(text, []byte("should be")) {
			t.Errorf("iasl has doubts:\n%s", text)
		}
	}
}
