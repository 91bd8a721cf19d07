package qtest

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDump: a core file holds guest memory; the VM stands meanwhile, and goes
// on.
func TestDump(t *testing.T) {
	t.Parallel()
	m := Start(t, "-M", "microvm", "-smp", "2", "-m", "8M")
	m.Write(0x5000, []byte("guest"))
	path := t.TempDir() + "/core"
	checkAll(t, m.QMP, []ask{
		{"query-dump", "", `{"status": "none", "completed": 0, "total": 0}`},
		{"query-dump-guest-memory-capability", "", `{"formats": ["elf"]}`},
		{"dump-guest-memory", `{"paging":false,"protocol":"x"}`, "GenericError: Invalid parameter 'protocol'"},
		{"dump-guest-memory", `{"paging":false,"protocol":"fd:x"}`, "GenericError: File descriptor named 'x' has not been found"},
		{"dump-guest-memory", `{"paging":false,"protocol":"file:x","begin":0}`, "GenericError: Parameter 'length' is missing"},
		{"dump-guest-memory", `{"paging":false,"protocol":"file:/dev/null","begin":0,"length":0}`, "GenericError: Invalid parameter 'length'"},
		{"dump-guest-memory", `{"paging":false,"protocol":"file:/dev/null","begin":4096,"length":-1}`, "GenericError: Invalid parameter 'length'"},
		{"dump-guest-memory", `{"paging":false,"protocol":"file:/dev/null","begin":1099511627776,"length":9}`,
			"GenericError: dump: no guest memory to dump"},
		{"dump-guest-memory", `{"paging":false,"protocol":"file:x","format":"kdump-zlib"}`, "GenericError: kdump-zlib is not available now"},
		{"dump-guest-memory", `{"paging":false,"protocol":"file:` + path + `"}`, `{}`},
		{"query-status", "", `{"status": "running", "singlestep": false, "running": true}`},
		{"query-dump", "", `{"status": "completed", "completed": 8388608, "total": 8388608}`},
	})
	for _, want := range []string{"STOP", "RESUME", "STOP", "RESUME"} { // one pair of the refusal before
		for {
			e := m.QMP.NextEvent()
			if e.Event == "DUMP_COMPLETED" {
				continue
			}
			if e.Event != want {
				t.Errorf("%s, want %s", e, want)
			}
			break
		}
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Type != elf.ET_CORE || len(f.Progs) < 2 || f.Progs[0].Type != elf.PT_NOTE || f.Progs[0].Filesz != 2*(20+336)+2*(20+440) {
		t.Errorf("%v, %+v", f.Type, f.Progs[0].ProgHeader)
	}
	b := make([]byte, 5)
	if _, err := f.Progs[1].ReadAt(b, 0x5000); err != nil && err != io.EOF || string(b) != "guest" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestDumpDetached: the reply comes at once, the event at the end; a part of
// memory is dumped.
func TestDumpDetached(t *testing.T) {
	t.Parallel()
	m := Start(t, "-M", "microvm", "-S")
	m.QMP.Must("dump-guest-memory", map[string]any{
		"paging": true, "protocol": "file:" + t.TempDir() + "/core", "detach": true, "begin": 4096, "length": 8192,
	}, nil)
	e := m.QMP.NextEvent()
	if want := `{"result": {"total": 8192, "status": "completed", "completed": 8192}}`; e.Event != "DUMP_COMPLETED" || !sameJSON(string(e.Data), want) {
		t.Errorf("%s", e)
	}
	if s := m.QMP.Status(); s != "prelaunch" {
		t.Errorf("the VM is %s", s)
	}
}

// TestSaveToFIFO: a FIFO without a reader holds up neither another command nor
// the end of the VM, nor does a reader that stalls.
func TestSaveToFIFO(t *testing.T) {
	t.Parallel()
	for _, c := range []string{
		`{"execute":"dump-guest-memory","arguments":{"paging":false,"protocol":"file:%s"}}`,
		`{"execute":"pmemsave","arguments":{"val":0,"size":8388608,"filename":"%s"}}`,
		`{"execute":"memsave","arguments":{"val":0,"size":8388608,"filename":"%s"}}`,
	} {
		fifo := t.TempDir() + "/fifo"
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		m := Start(t, "-M", "microvm", "-m", "8M")
		m.QMP.Send(fmt.Sprintf(c, fifo))
		m.Writeb(0x5000, 7) // takes the VM's lock
		r, err := os.OpenFile(fifo, os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := io.ReadFull(r, make([]byte, 4096)); err != nil {
			t.Error(err)
		}
		if v := m.Readb(0x5000); v != 7 {
			t.Errorf("%#x", v)
		}
		began := time.Now()
		m.Quit()
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("%s: the end took %s", c, d)
		}
	}
}
