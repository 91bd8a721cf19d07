package nvram_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/nvram"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

const (
	port = nvram.FwCfgPort
	dma  = nvram.FwCfgDMAPort
)

type fwCfg struct {
	*hwtest.Machine
	f *nvram.FwCfg
}

func newFwCfg(t testing.TB, props ...string) fwCfg {
	t.Helper()
	m := hwtest.New(t, nvram.RegisterTypes)
	f := hwtest.Add(m, "fw_cfg_io", nil, func(f *nvram.FwCfg) error {
		for _, p := range props {
			k, v, _ := strings.Cut(p, "=")
			if err := qom.Set(f, k, qom.Keyval(v)); err != nil {
				return err
			}
		}
		return nil
	})
	return fwCfg{m, f}
}

func (f fwCfg) read(key uint16, n int) []byte {
	f.Outw(port, key)
	out := make([]byte, n)
	for i := range out {
		out[i] = f.Inb(port + 1)
	}
	return out
}

// run makes a DMA descriptor at 0x1000 and starts it. It gives the control
// word after it.
func (f fwCfg) run(control, length uint32, addr uint64) uint32 {
	const desc = 0x1000
	var b [16]byte
	binary.BigEndian.PutUint32(b[0:], control)
	binary.BigEndian.PutUint32(b[4:], length)
	binary.BigEndian.PutUint64(b[8:], addr)
	copy(f.RAM.Bytes()[desc:], b[:])
	f.Outl(dma, 0)
	var at [4]byte
	binary.BigEndian.PutUint32(at[:], desc)
	f.Outl(dma+4, binary.LittleEndian.Uint32(at[:]))
	return binary.BigEndian.Uint32(f.RAM.Bytes()[desc:])
}

// dirEntry is an entry of the file directory as guests parse it.
type dirEntry struct {
	name string
	size uint32
	key  uint16
}

func (f fwCfg) directory() []dirEntry {
	n := binary.BigEndian.Uint32(f.read(nvram.KeyFileDir, 4))
	var out []dirEntry
	for range n {
		var e [64]byte
		for i := range e {
			e[i] = f.Inb(port + 1)
		}
		name, _, _ := bytes.Cut(e[8:], []byte{0})
		out = append(out, dirEntry{string(name), binary.BigEndian.Uint32(e[0:]), binary.BigEndian.Uint16(e[4:])})
	}
	return out
}

// A guest finds the signature and the DMA bit, and zeroes where nothing is.
func TestFwCfgSignature(t *testing.T) {
	f := newFwCfg(t)
	if s := f.read(nvram.KeySignature, 6); string(s) != "QEMU\x00\x00" {
		t.Errorf("signature %q", s)
	}
	if id := f.read(nvram.KeyID, 4); !bytes.Equal(id, []byte{3, 0, 0, 0}) {
		t.Errorf("id %v", id)
	}
	if a, b := f.Inl(dma), f.Inl(dma+4); a != 0x554d4551 || b != 0x47464320 {
		t.Errorf("DMA signature %#x %#x", a, b)
	}
	for _, key := range []uint16{nvram.KeyKernelData, 0x3f, 0x7fff, 0xffff} {
		if v := f.read(key, 2); v[0] != 0 || v[1] != 0 {
			t.Errorf("key %#x reads %v", key, v)
		}
	}
	off := newFwCfg(t, "dma_enabled=off")
	if id := off.read(nvram.KeyID, 4); id[0] != 1 {
		t.Errorf("id %v without DMA", id)
	}
	if v := off.Inl(dma); v != 0xffffffff {
		t.Errorf("without DMA its port reads %#x", v)
	}
}

// Items have the byte order and the ends that guests expect.
func TestFwCfgItems(t *testing.T) {
	f := newFwCfg(t)
	for _, err := range []error{
		f.f.AddUint16(nvram.KeyNBCPUs, 0x0102),
		f.f.AddUint32(nvram.KeyIRQ0Override, 1),
		f.f.AddUint64(nvram.KeyRAMSize, 64<<20),
		f.f.AddString(nvram.KeyCmdlineData, "quiet"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if v := f.read(nvram.KeyNBCPUs, 2); !bytes.Equal(v, []byte{2, 1}) {
		t.Errorf("cpus %v", v)
	}
	if v := f.read(nvram.KeyRAMSize, 8); binary.LittleEndian.Uint64(v) != 64<<20 {
		t.Errorf("ram size %v", v)
	}
	if v := f.read(nvram.KeyIRQ0Override, 4); v[0] != 1 {
		t.Errorf("irq0 override %v", v)
	}
	if v := f.read(nvram.KeyCmdlineData, 8); string(v) != "quiet\x00\x00\x00" {
		t.Errorf("cmdline %q", v)
	}
	if err := f.f.AddUint16(nvram.KeyNBCPUs, 1); err == nil {
		t.Error("a key was taken twice")
	}
	if err := f.f.AddBytes(0x20, nil); err == nil {
		t.Error("a file's key was taken by an item")
	}
}

// The directory lists files by name, and their keys count up from 0x20.
func TestFwCfgFiles(t *testing.T) {
	f := newFwCfg(t)
	for _, name := range []string{"opt/b", "etc/acpi/tables", "opt/a"} {
		if err := f.f.AddFile(name, []byte("contents of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	f.Do(f.f.Reset)
	var names []string
	for i, e := range f.directory() {
		names = append(names, e.name)
		if e.key != uint16(0x20+i) {
			t.Errorf("%s has key %#x", e.name, e.key)
		}
		if e.size == 0 {
			continue
		}
		if got := f.read(e.key, int(e.size)); string(got) != "contents of "+e.name {
			t.Errorf("%s holds %q", e.name, got)
		}
	}
	want := "[bios-geometry bootorder etc/acpi/tables opt/a opt/b]"
	if got := fmt.Sprint(names); got != want {
		t.Errorf("files %s, want %s", got, want)
	}
}

// Mistakes of the machine are errors and change nothing.
func TestFwCfgFileErrors(t *testing.T) {
	f := newFwCfg(t, "x-file-slots=0x10")
	for i := range 16 {
		if err := f.f.AddFile(fmt.Sprint(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"3":                     "duplicate fw_cfg file name: 3",
		"":                      "fw_cfg file name is not 1 to 55 bytes: ''",
		"one/more":              "no fw_cfg slot left for file one/more",
		strings.Repeat("x", 56): "fw_cfg file name is not 1 to 55 bytes: '" + strings.Repeat("x", 56) + "'",
	} {
		if err := f.f.AddFile(name, nil); err == nil || err.Error() != want {
			t.Errorf("%q: %v", name, err)
		}
	}
	if n := len(f.directory()); n != 16 {
		t.Errorf("%d files", n)
	}
	for slots, want := range map[string]string{
		"15":     `fw_cfg_io: "file_slots" must be at least 0x10`,
		"0xffff": `fw_cfg_io: "file_slots" must not exceed 0x3fdf`,
	} {
		_, err := f.NewSysBus("fw_cfg_io", func(d qdev.Device) error { return qom.Set(d, "x-file-slots", qom.Keyval(slots)) })
		if err == nil || err.Error() != want {
			t.Errorf("%s slots: %v", slots, err)
		}
	}
}

// A file made by a function is made anew at each selection.
func TestFwCfgFileFunc(t *testing.T) {
	f := newFwCfg(t)
	n := byte('0')
	if err := f.f.AddFileFunc("count", func() []byte { n++; return []byte{n} }); err != nil {
		t.Fatal(err)
	}
	a, b := f.read(0x20, 1), f.read(0x20, 1)
	if string(a) != "2" || string(b) != "3" {
		t.Errorf("read %q, then %q", a, b)
	}
}

// bootorder has a line per device, is NUL-terminated, and is as of the last
// reset.
func TestFwCfgBootOrder(t *testing.T) {
	f := newFwCfg(t)
	f.Do(f.f.Reset)
	if got, ok := f.f.File("bootorder"); !ok || len(got) != 0 {
		t.Errorf("without devices: %q", got)
	}
	if err := f.Boot.Set(f.f, 1, "/disk@0"); err != nil {
		t.Fatal(err)
	}
	f.f.StrictBoot = true
	if got, _ := f.f.File("bootorder"); len(got) != 0 {
		t.Errorf("before the reset: %q", got)
	}
	f.Do(f.f.Reset)
	if got, _ := f.f.File("bootorder"); string(got) != "/fw_cfg_io/disk@0\nHALT\x00" {
		t.Errorf("bootorder %q", got)
	}
}

// DMA selects, reads over the item's end, skips, and reports success.
func TestFwCfgDMARead(t *testing.T) {
	f := newFwCfg(t)
	if err := f.f.AddFile("x", []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	ram := f.RAM.Bytes()[0x2000:0x2010]
	copy(ram, "................")
	if s := f.run(0x20<<16|8|2, 4, 0x2000); s != 0 || string(ram[:5]) != "0123." {
		t.Errorf("status %#x, read %q", s, ram)
	}
	if s := f.run(4, 2, 0); s != 0 {
		t.Errorf("skip: status %#x", s)
	}
	if s := f.run(2, 8, 0x2000); s != 0 || string(ram) != "6789\x00\x00\x00\x00........" {
		t.Errorf("status %#x, read %q", s, ram)
	}
	if s := f.run(0x20<<16|8|4, 0xffffffff, 0); s != 0 {
		t.Errorf("skipping far: status %#x", s)
	}
	if b := f.Inb(port + 1); b != 0 {
		t.Errorf("behind the end: %#x", b)
	}
}

// Wrong addresses set the error bit, and nothing else happens.
func TestFwCfgDMAErrors(t *testing.T) {
	f := newFwCfg(t)
	if err := f.f.AddFile("x", bytes.Repeat([]byte("x"), 100)); err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]uint32{
		"read to no RAM":          f.run(0x20<<16|8|2, 4, hwtest.RAMSize),
		"read over the RAM's end": f.run(0x20<<16|8|2, 100, hwtest.RAMSize-50),
		"read around the space":   f.run(0x20<<16|8|2, 100, ^uint64(0)-50),
		"zeroes without an end":   f.run(0x3f<<16|8|2, 0xffffffff, 0x3000),
		"write to a fixed file":   f.run(0x20<<16|8|16, 4, 0x2000),
		"write to nothing":        f.run(0x3f<<16|8|16, 4, 0x2000),
	} {
		if s != 1 {
			t.Errorf("%s: status %#x", what, s)
		}
	}
	f.Outl(dma, 0xffffffff)
	f.Outl(dma+4, 0xf0ffffff) // a descriptor in no RAM
}

// countedLock counts how often a lock is taken.
type countedLock struct {
	sync.Locker
	n int
}

func (l *countedLock) Lock() { l.Locker.Lock(); l.n++ }

// Whoever else needs the VM gets a turn while much memory is zeroed.
func TestFwCfgDMAFillSharesTheLock(t *testing.T) {
	f := newFwCfg(t)
	lock := &countedLock{Locker: f.Lock}
	f.Lock = lock
	ram := f.RAM.Bytes()
	ram[0x3000], ram[len(ram)-1] = 1, 1
	if s := f.run(0x3f<<16|8|2, hwtest.RAMSize-0x3000, 0x3000); s != 0 || ram[0x3000] != 0 || ram[len(ram)-1] != 0 {
		t.Errorf("status %#x, %d, %d", s, ram[0x3000], ram[len(ram)-1])
	}
	if lock.n != (hwtest.RAMSize-0x3000)/(8<<20) {
		t.Errorf("the lock was free %d times", lock.n)
	}
}

// A writable file takes writes that fit, and tells.
func TestFwCfgDMAWrite(t *testing.T) {
	f := newFwCfg(t)
	var got []string
	if err := f.f.AddWritableFile("w", make([]byte, 8), func(b []byte) { got = append(got, string(b)) }); err != nil {
		t.Fatal(err)
	}
	copy(f.RAM.Bytes()[0x2000:], "abcdefghij")
	if s := f.run(0x20<<16|8|16, 4, 0x2000); s != 0 {
		t.Errorf("status %#x", s)
	}
	if s := f.run(16, 5, 0x2000); s != 1 {
		t.Errorf("a write over the end: status %#x", s)
	}
	if s := f.run(16, 4, 0x2004); s != 0 {
		t.Errorf("status %#x", s)
	}
	if fmt.Sprintf("%q", got) != `["abcd\x00\x00\x00\x00" "abcdefgh"]` {
		t.Errorf("written: %q", got)
	}
}

// Clients find QEMU's names in the tree.
func TestFwCfgTree(t *testing.T) {
	f := newFwCfg(t)
	for _, name := range []string{"fwcfg[0]", "fwcfg.dma[0]"} {
		if qom.Child(f.f, name) == nil {
			t.Errorf("no %s", name)
		}
	}
	for name, want := range map[string]any{"dma_enabled": true, "x-file-slots": uint64(32), "acpi-mr-restore": true} {
		if got, err := qom.Get(f.f, name); err != nil || got != want {
			t.Errorf("%s = %v, %v", name, got, err)
		}
	}
}

func FuzzFwCfg(f *testing.F) {
	f.Add([]byte{5, 0, 0, 0x19, 0, 0, 0, 1, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 6, 8, 0, 0, 0, 0x10}, []byte("\x00\x20\x00\x0a\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x20\x00"))
	f.Fuzz(func(t *testing.T, data, ram []byte) {
		m := newFwCfg(t)
		_ = m.f.AddFile("a", []byte("some contents"))
		_ = m.f.AddWritableFile("b", make([]byte, 32), func([]byte) {})
		copy(m.RAM.Bytes()[0x1000:], ram[:min(len(ram), 4096)])
		m.RAM.Bytes()[0x1004] = 0 // less than 16 MiB, for more take their time
		m.Fuzz(m.IO, port, 12, data)
		// The descriptor that the fuzzer made.
		m.Outl(dma+4, 0x00100000)
	})
}
