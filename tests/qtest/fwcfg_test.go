package qtest

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"
)

// TestFwCfgKeys: the numbered items say what the command line says.
func TestFwCfgKeys(t *testing.T) {
	t.Parallel()
	const uuid = "46648900-9e1b-4b5c-8a5e-1234567890ab"
	m := microvm(t, "-m", "192m", "-smp", "2,maxcpus=4", "-uuid", uuid)
	f := &FwCfg{m, 0x10000}
	if s := f.Item(FwCfgSignature, 4); string(s) != "QEMU" {
		t.Errorf("signature %q", s)
	}
	if id := f.U32(FwCfgID); id != 3 {
		t.Errorf("id %#x, want 3: ports and DMA", id)
	}
	want, _ := hex.DecodeString("466489009e1b4b5c8a5e1234567890ab")
	if u := f.Item(FwCfgUUID, 16); !bytes.Equal(u, want) {
		t.Errorf("UUID %x, want %x", u, want)
	}
	if n := f.U64(FwCfgRAMSize); n != 192<<20 {
		t.Errorf("RAM size %d", n)
	}
	if n := f.U16(FwCfgNoGraphic); n != 0 && n != 1 {
		t.Errorf("nographic %d", n)
	}
	if n := f.U16(FwCfgNbCPUs); n != 2 {
		t.Errorf("CPUs %d, want 2", n)
	}
	if n := f.U16(FwCfgMaxCPUs); n != 4 {
		t.Errorf("maximum of CPUs %d, want 4", n)
	}
	// An item that is not there and the space behind one that is read zero.
	if b := f.Item(0x3fff, 4); !bytes.Equal(b, make([]byte, 4)) {
		t.Errorf("no item: %x", b)
	}
	if b := f.Item(FwCfgSignature, 8); string(b) != "QEMU\x00\x00\x00\x00" {
		t.Errorf("behind an item: %q", b)
	}
	if s := string(be(m.Inl(FwCfgDMA))) + string(be(m.Inl(FwCfgDMA+4))); s != "QEMU CFG" {
		t.Errorf("DMA signature %q", s)
	}
}

// be lists the bytes of a little-endian read.
func be(v uint32) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)} }

// TestFwCfgFiles: the directory is sorted by name, sizes are right, and a file
// reads the same by port and by DMA.
func TestFwCfgFiles(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	f := &FwCfg{m, 0x100000}
	files := f.Files()
	var names []string
	for i, e := range files {
		names = append(names, e.Name)
		if e.Key != uint16(0x20+i) {
			t.Errorf("%s has key %#x, want %#x", e.Name, e.Key, 0x20+i)
		}
		byDMA := f.DMARead(e.Key, int(e.Size))
		n := min(int(e.Size), 600)
		if byPort := f.Item(e.Key, n); !bytes.Equal(byPort, byDMA[:n]) {
			t.Errorf("%s: by port %x, by DMA %x", e.Name, byPort, byDMA)
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("not sorted: %q", names)
	}
	for _, n := range []string{"bootorder", "etc/e820"} {
		if !slices.Contains(names, n) {
			t.Errorf("no %s in %q", n, names)
		}
	}
}

// TestFwCfgDMA: skip, errors, and requests that point nowhere.
func TestFwCfgDMA(t *testing.T) {
	t.Parallel()
	m := microvm(t)
	f := &FwCfg{m, 0x10000}
	if c := f.DMA(FwCfgSignature<<16|fwCfgDMASelect|fwCfgDMASkip, 2, 0); c != 0 {
		t.Errorf("skip: control %#x", c)
	}
	if c := f.DMA(fwCfgDMARead, 2, 0x20000); c != 0 {
		t.Errorf("read on: control %#x", c)
	}
	if b := m.Read(0x20000, 2); string(b) != "MU" {
		t.Errorf("after a skip of 2: %q", b)
	}
	m.Write(0x20000, []byte("xx"))
	if c := f.DMA(FwCfgSignature<<16|fwCfgDMASelect|fwCfgDMAWrite, 2, 0x20000); c&fwCfgDMAError == 0 {
		t.Errorf("writing a read-only item: control %#x", c)
	}
	if b := f.Item(FwCfgSignature, 4); string(b) != "QEMU" {
		t.Errorf("the signature has become %q", b)
	}
	if c := f.DMA(FwCfgSignature<<16|fwCfgDMASelect|fwCfgDMARead, 4, 0xffff_ffff_ffff_fff0); c&fwCfgDMAError == 0 {
		t.Errorf("reading to nowhere: control %#x", c)
	}
	if c := f.DMA(FwCfgSignature<<16|fwCfgDMASelect|fwCfgDMARead, 0xffff_ffff, 0x20000); c != 0 {
		t.Logf("4 GiB of an item: control %#x", c)
	}
	// A request that is not in memory is dropped.
	m.Outl(FwCfgDMA, 0xffffffff)
	m.Outl(FwCfgDMA+4, 0xf0ffffff)
	if b := f.Item(FwCfgSignature, 4); string(b) != "QEMU" {
		t.Errorf("after a lost request: %q", b)
	}
}

// TestE820: the memory map lists the RAM on both sides of the hole.
func TestE820(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ mem, want string }{
		{"128m", "0000000000000000" + "0000000800000000" + "01000000"},
		{"4g", "0000000000000000" + "000000c000000000" + "01000000" + "0000000001000000" + "0000004000000000" + "01000000"},
	} {
		f := &FwCfg{microvm(t, "-m", c.mem), 0x10000}
		if have := hex.EncodeToString(f.File("etc/e820")); have != c.want {
			t.Errorf("-m %s: %s, want %s", c.mem, have, c.want)
		}
	}
}

// TestBootOrderEmpty: with no bootindex given there is nothing to boot from.
func TestBootOrderEmpty(t *testing.T) {
	t.Parallel()
	f := &FwCfg{microvm(t), 0x10000}
	if l := f.BootOrder(); l != nil {
		t.Errorf("%q", l)
	}
}
