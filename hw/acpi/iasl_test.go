package acpi

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// iasl runs ACPICA's compiler in dir. It is in Debian's acpica-tools.
func iasl(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("iasl", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("iasl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ACPICA, whose interpreter Linux uses, reads our DSDT, and what it writes
// from that compiles back to the same bytes.
func TestDSDTSurvivesIASL(t *testing.T) {
	if _, err := exec.LookPath("iasl"); err != nil {
		t.Skip("iasl (acpica-tools) is not installed")
	}
	dir := t.TempDir()
	want := walk(t, build(t, microvm(), TablesBase))["DSDT"]
	if err := os.WriteFile(filepath.Join(dir, "dsdt.aml"), want, 0o600); err != nil {
		t.Fatal(err)
	}
	iasl(t, dir, "-d", "dsdt.aml")
	source, err := os.ReadFile(filepath.Join(dir, "dsdt.dsl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`Name (_HID, "ACPI0013"`, "Method (_EVT, 1, Serialized)", "Notify (PWRB, 0x80)",
		`Name (_HID, EisaId ("PNP0501")`, `Device (VR23)`, "Memory32Fixed (ReadWrite",
	} {
		if !bytes.Contains(source, []byte(text)) {
			t.Errorf("the disassembly lacks %q", text)
		}
	}
	// -oa switches the optimiser off, which would shorten names.
	out := iasl(t, dir, "-oa", "-p", "again", "dsdt.dsl")
	if !strings.Contains(out, "0 Errors, 0 Warnings") {
		t.Errorf("iasl complains:\n%s", out)
	}
	got, err := os.ReadFile(filepath.Join(dir, "again.aml"))
	if err != nil {
		t.Fatal(err)
	}
	// The compiler writes its own name into the header, and checksums into
	// resource templates; neither is part of what the table says.
	if a, b := normalise(got), normalise(want); !bytes.Equal(a, b) {
		t.Errorf("round trip differs\ngot  % x\nwant % x", a, b)
	}
}

func normalise(dsdt []byte) []byte {
	b := bytes.Clone(dsdt[headerLen:])
	for i := 0; i+1 < len(b); i++ {
		if b[i] == tagEnd && (i+2 == len(b) || bytes.IndexByte([]byte{opName, opExt, opScope, 0}, b[i+2]) >= 0) {
			b[i+1] = 0
		}
	}
	return b
}

// The fixed tables, too, are ones that ACPICA can read without complaint.
func TestTablesSurviveIASL(t *testing.T) {
	if _, err := exec.LookPath("iasl"); err != nil {
		t.Skip("iasl (acpica-tools) is not installed")
	}
	cfg := microvm()
	for _, rev := range []byte{5, 6} {
		cfg.FADTRevision = rev
		for sig, b := range walk(t, build(t, cfg, TablesBase)) {
			dir := t.TempDir()
			if sig == "RSDP" || sig == "DSDT" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, "t.aml"), b, 0o600); err != nil {
				t.Fatal(err)
			}
			out := iasl(t, dir, "-d", "t.aml")
			source, err := os.ReadFile(filepath.Join(dir, "t.dsl"))
			if err != nil {
				t.Fatal(err)
			}
			text := out + string(source)
			for _, bad := range []string{"Error", "Invalid", "Incorrect", "Unknown"} {
				if strings.Contains(text, bad) {
					t.Errorf("%s revision %d: iasl says %q:\n%s", sig, rev, bad, text)
					break
				}
			}
		}
	}
}
