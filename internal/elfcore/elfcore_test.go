package elfcore

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/gqemu/gqemu/accel"
)

// A reader of ELF files finds the memory and the notes, with the sizes that
// debuggers check.
func TestWrite(t *testing.T) {
	cpus := []accel.CoreState{accel.ResetCoreState(), accel.ResetCoreState()}
	cpus[1].RAX, cpus[1].R[7] = 0x1122, 0x3344
	segments := []Segment{{Phys: 0, Data: bytes.Repeat([]byte{1}, 8192)}, {Phys: 1 << 32, Virt: 7 << 32, Data: []byte("end")}}
	var b bytes.Buffer
	var n int64
	if err := Write(context.Background(), &b, cpus, segments, func(k int64) { n += k }); err != nil {
		t.Fatal(err)
	}
	if n != Total(segments) || n != 8195 {
		t.Errorf("progress %d of %d", n, Total(segments))
	}
	f, err := elf.NewFile(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Type != elf.ET_CORE || f.Machine != elf.EM_X86_64 || len(f.Progs) != 3 {
		t.Fatalf("%v %v, %d segments", f.Type, f.Machine, len(f.Progs))
	}
	for i, s := range segments {
		p := f.Progs[i+1]
		data, err := io.ReadAll(p.Open())
		if err != nil || p.Type != elf.PT_LOAD || p.Paddr != s.Phys || p.Vaddr != s.Virt || !bytes.Equal(data, s.Data) {
			t.Errorf("segment %d: %+v, %v", i, p.ProgHeader, err)
		}
	}
	notes, err := io.ReadAll(f.Progs[0].Open())
	if err != nil || f.Progs[0].Type != elf.PT_NOTE {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	var names []string
	for len(notes) > 0 {
		size, typ, name := le.Uint32(notes[4:]), le.Uint32(notes[8:]), string(notes[12:16])
		desc := notes[20 : 20+size]
		switch {
		case name == "CORE" && (typ != 1 || size != 336):
			t.Errorf("prstatus of type %d has %d bytes", typ, size)
		case name == "CORE" && len(names) == 1:
			if le.Uint32(desc[32:]) != 2 || le.Uint64(desc[112:]) != 0x3344 || le.Uint64(desc[112+10*8:]) != 0x1122 {
				t.Error("registers of CPU 1")
			}
		case name == "QEMU" && (size != 440 || le.Uint32(desc) != 1 || le.Uint32(desc[4:]) != 440):
			t.Errorf("QEMU's note has %d bytes", size)
		case name == "QEMU" && le.Uint64(desc[8+16*8:]) != 0xfff0:
			t.Error("rip")
		}
		names = append(names, name)
		notes = notes[20+size:]
	}
	if len(names) != 4 || names[1] != "CORE" || names[2] != "QEMU" {
		t.Errorf("notes %v", names)
	}
}

type full struct{}

var errFull = errors.New("full")

func (full) Write(p []byte) (int, error) {
	if len(p) > 4096 {
		return 0, errFull
	}
	return len(p), nil
}

// An error of the file and a cancelled context end the writing.
func TestWriteFails(t *testing.T) {
	s := []Segment{{Data: make([]byte, 8192)}}
	if err := Write(context.Background(), full{}, nil, s, func(int64) {}); !errors.Is(err, errFull) {
		t.Errorf("have %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Write(ctx, io.Discard, nil, s, func(int64) { t.Error("written") }); !errors.Is(err, context.Canceled) {
		t.Errorf("have %v", err)
	}
}
