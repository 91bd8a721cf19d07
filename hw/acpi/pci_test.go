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

func pciPC() PCConfig {
	cfg := pc()
	cfg.PCI = &PCIHost{
		ECAM: 0xb0000000, Memory: []Window{{0x8000000, 0xafffffff}, {0xc0000000, 0xfebfffff}},
		High: Window{1 << 32, 9<<32 - 1}, Slots: []uint32{0, 1 << 16, 2<<16 | 3, lpcAddr},
	}
	return cfg
}

// The MCFG is found from the RSDP and says where configuration space is.
func TestMCFG(t *testing.T) {
	mcfg := walk(t, buildPC(t, pciPC(), TablesBase))["MCFG"]
	if len(mcfg) != 60 || binary.LittleEndian.Uint64(mcfg[44:]) != 0xb0000000 || mcfg[54] != 0 || mcfg[55] != 0xff {
		t.Errorf("MCFG % x", mcfg)
	}
}

// ACPICA reads the host bridge as it was meant, and what it writes from that
// compiles back to the same bytes.
func TestPCIDSDTSurvivesIASL(t *testing.T) {
	if _, err := exec.LookPath("iasl"); err != nil {
		t.Skip("iasl (acpica-tools) is not installed")
	}
	dir := t.TempDir()
	want := walk(t, buildPC(t, pciPC(), TablesBase))["DSDT"]
	if err := os.WriteFile(filepath.Join(dir, "dsdt.aml"), want, 0o600); err != nil {
		t.Fatal(err)
	}
	iasl(t, dir, "-d", "dsdt.aml")
	source, err := os.ReadFile(filepath.Join(dir, "dsdt.dsl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`Name (_HID, EisaId ("PNP0A08")`, "Method (_OSC, 4, NotSerialized)",
		`ToUUID ("33db4d5b-1ff7-401c-9657-7441c03dd766") /* PCI Host Bridge Device */`,
		"WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode", "WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange",
		"DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite",
		"QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite",
		"OperationRegion (PIRQ, PCI_Config, 0x60, 0x0C)", "Device (S13)", "Device (LNKH)", "Device (GSIA)", "Return (IQST (PRQA))",
		"Name (_ADR, 0x00020003)",
	} {
		if !bytes.Contains(source, []byte(text)) {
			t.Errorf("the disassembly lacks %q", text)
		}
	}
	out := iasl(t, dir, "-oa", "-p", "again", "dsdt.dsl")
	if !strings.Contains(out, "0 Errors") {
		t.Errorf("iasl complains:\n%s", out)
	}
	got, err := os.ReadFile(filepath.Join(dir, "again.aml"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := normalise(got), normalise(want); !bytes.Equal(a, b) {
		t.Errorf("round trip differs: %d and %d bytes", len(a), len(b))
	}
}

// What cannot be said is refused.
func TestPCITermErrors(t *testing.T) {
	for name, term := range map[string]Term{
		"UUID":      UUID("33db4d5b"),
		"UUID text": UUID("33db4d5b-1ff7-401c-9657-7441c03dd76z"),
		"bus":       ResourceTemplate(WordBusNumber{1, 0}),
		"ports":     ResourceTemplate(WordIO{0, 1 << 16}),
		"memory":    ResourceTemplate(DWordMemory{Window{0, 1 << 32}, false}),
	} {
		if _, err := Assemble(term); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
