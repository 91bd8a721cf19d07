package boot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// ram is guest memory in pages that exist once they were written. It fails
// writes outside of its RAM and counts what came through which door.
type ram struct {
	below4G uint64
	pages   map[uint64]*[4096]byte
	written uint64 // bytes by WriteAt
}

func newRAM(below4G uint64) *ram {
	return &ram{below4G: below4G, pages: map[uint64]*[4096]byte{}}
}

func (m *ram) WriteAt(p []byte, addr uint64) error {
	if addr+uint64(len(p)) < addr || addr+uint64(len(p)) > m.below4G {
		return fmt.Errorf("write of %d bytes at %#x is outside of RAM", len(p), addr)
	}
	m.written += uint64(len(p))
	for i := 0; i < len(p); {
		at := addr + uint64(i)
		page := m.pages[at/4096]
		if page == nil {
			page = new([4096]byte)
			m.pages[at/4096] = page
		}
		i += copy(page[at%4096:], p[i:])
	}
	return nil
}

func (m *ram) read(addr, n uint64) []byte {
	p := make([]byte, n)
	for i := uint64(0); i < n; {
		at := addr + i
		c := min(4096-at%4096, n-i)
		if page := m.pages[at/4096]; page != nil {
			copy(p[i:i+c], page[at%4096:])
		}
		i += c
	}
	return p
}

// flatRAM is guest memory with direct access.
type flatRAM struct {
	b       []byte
	written uint64
}

func (m *flatRAM) WriteAt(p []byte, addr uint64) error {
	w, err := m.Slice(addr, uint64(len(p)))
	m.written += uint64(copy(w, p))
	return err
}

func (m *flatRAM) Slice(addr, n uint64) ([]byte, error) {
	if addr > uint64(len(m.b)) || n > uint64(len(m.b))-addr {
		return nil, fmt.Errorf("%d bytes at %#x are outside of RAM", n, addr)
	}
	return m.b[addr : addr+n], nil
}

// fakeBzImage is a kernel file with a header like that of Debian's kernel:
// protocol 2.15, 64-bit entry, preferred address 16 MiB, and imageLen bytes of
// protected-mode code.
func fakeBzImage(imageLen int) []byte {
	le := binary.LittleEndian
	const sects = 3
	b := make([]byte, (sects+1)*sectorLen+imageLen)
	b[hdrSetupSects] = sects
	le.PutUint32(b[hdrSyssize:], uint32(imageLen/16))
	le.PutUint16(b[0x1fe:], 0xaa55)
	b[0x200], b[hdrJumpLen] = 0xeb, 0x6a
	copy(b[hdrMagic:], "HdrS")
	le.PutUint16(b[hdrVersion:], 0x20f)
	b[hdrLoadFlags] = loadedHigh
	le.PutUint32(b[hdrInitrdMax:], 0x7fffffff)
	le.PutUint32(b[0x230:], 0x200000) // kernel_alignment
	le.PutUint16(b[hdrXLoadFlags:], xlfKernel64|xlfAbove4G)
	le.PutUint32(b[hdrCmdlineSize:], 2047)
	le.PutUint32(b[hdrPayload:], 0x100)
	le.PutUint32(b[hdrPayloadLen:], 0x200)
	le.PutUint64(b[hdrPrefAddress:], 16*miB)
	le.PutUint32(b[hdrInitSize:], 8*miB)
	image := b[(sects+1)*sectorLen:]
	for i := range image {
		image[i] = byte(i*7 + i>>8)
	}
	return b
}

const fakeImageLen = 40000 &^ 15

// fakeELF is a 64-bit kernel with a text segment at 16 MiB, a data segment
// with 0x3000 bytes more in memory at 18 MiB, and a PVH note for entry
// 0x1000040 behind another note.
func fakeELF() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0x2000)
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 2)
	le.PutUint16(b[18:], elfMachineX64)
	le.PutUint64(b[24:], 0x1000000)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 3)
	ph := func(i int, typ uint32, off, addr, fileLen, memLen uint64) {
		p := b[64+56*i:]
		le.PutUint32(p, typ)
		le.PutUint64(p[8:], off)
		le.PutUint64(p[16:], 0xffffffff80000000+addr)
		le.PutUint64(p[24:], addr)
		le.PutUint64(p[32:], fileLen)
		le.PutUint64(p[40:], memLen)
		le.PutUint64(p[48:], 4)
	}
	ph(0, elfPTLoad, 0x1000, 16*miB, 0x800, 0x800)
	ph(1, elfPTLoad, 0x1800, 18*miB, 0x800, 0x3800)
	notes := note("GNU\x00", 3, []byte("build-id"))
	notes = append(notes, note("Xen\x00", xenNotePhys32Entry, le.AppendUint64(nil, 0x1000040))...)
	ph(2, elfPTNote, 0x400, 0x400, uint64(len(notes)), uint64(len(notes)))
	copy(b[0x400:], notes)
	for i := 0x1000; i < len(b); i++ {
		b[i] = byte(i*5 + i>>8)
	}
	return b
}

func note(name string, typ uint32, desc []byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, uint32(len(name)))
	b = le.AppendUint32(b, uint32(len(desc)))
	b = le.AppendUint32(b, typ)
	b = append(b, name...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	b = append(b, desc...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// file writes b to a temporary file.
func file(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// fill is a file content that differs from page to page.
func fill(n int) []byte {
	b := bytes.Repeat([]byte("initrd-"), n/7+1)[:n]
	for i := 0; i < n; i += 4096 {
		b[i] = byte(i >> 12)
	}
	return b
}

func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
