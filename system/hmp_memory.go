package system

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/gqemu/gqemu/monitor/hmp"
)

// guestPage is the smallest unit of paging, in bytes.
const guestPage = 4096

// translate finds the guest physical address behind a virtual one, as the
// current CPU's page tables have it. Where no code runs, paging is off.
func (h *human) translate(addr uint64) (phys uint64, ok bool) {
	if t, has := h.vcpu().(interface{ Translate(uint64) (uint64, bool) }); has {
		return t.Translate(addr)
	}
	return addr, true
}

// read reads guest memory and tells whether all of it could be read.
func (h *human) read(p []byte, addr uint64, physical bool) bool {
	for len(p) > 0 {
		n := min(uint64(len(p)), guestPage-addr%guestPage)
		at, ok := addr, true
		if !physical {
			at, ok = h.translate(addr)
		}
		if !ok || !h.v.host.Memory.Access(at, p[:n], false) {
			return false
		}
		p = p[n:]
		addr += n
	}
	return true
}

// dump is x and xp.
func (h *human) dump(c *hmp.Call, physical bool) error {
	f, addr := c.Args.Format("fmt"), uint64(c.Args.Int("addr"))
	if h.vcpu() == nil && (f.Letter == 'i' || !physical) {
		c.Print("Can not dump without CPU\n")
		return nil
	}
	if f.Letter == 'i' {
		c.Print("Format 'i' is not available: there is no disassembler\n")
		return nil
	}
	if physical {
		h.dumpLines(c, f, addr, true)
		return nil
	}
	return h.v.paused(func() error {
		h.dumpLines(c, f, addr, false)
		return nil
	})
}

func (h *human) dumpLines(c *hmp.Call, f hmp.Format, addr uint64, physical bool) {
	total := f.Count * int64(f.Size)
	step := int64(16)
	if f.Size == 1 {
		step = 8
	}
	size := f.Size
	if f.Letter == 'c' {
		size = 1
	}
	var buf [16]byte
	for total > 0 && !c.Full() {
		p := buf[:min(total, step)]
		c.Printf("%016x:", addr)
		if !h.read(p, addr, physical) {
			c.Print(" Cannot access memory\n")
			return
		}
		for i := 0; i < len(p); i += size {
			c.Print(" " + cell(f.Letter, p[i:i+size]))
		}
		c.Print("\n")
		addr += uint64(len(p))
		total -= int64(len(p))
	}
}

// cell is one value of a dump, as wide as the widest of its size.
func cell(letter byte, p []byte) string {
	var b [8]byte
	copy(b[:], p)
	v, bits := binary.LittleEndian.Uint64(b[:]), 8*len(p)
	switch letter {
	case 'o':
		return fmt.Sprintf("%#*o", (bits+2)/3, v)
	case 'u':
		return fmt.Sprintf("%*d", (bits*10+32)/33, v)
	case 'd':
		return fmt.Sprintf("%*d", (bits*10+32)/33, int64(v))
	case 'c':
		return character(uint32(v))
	}
	return fmt.Sprintf("0x%0*x", bits/4, v)
}

// character is a character constant in C's notation.
func character(b uint32) string {
	switch {
	case b == '\'' || b == '\\':
		return `'\` + string(rune(b)) + `'`
	case b == '\n':
		return `'\n'`
	case b == '\r':
		return `'\r'`
	case b >= 0x20 && b < 0x7F:
		return "'" + string(rune(b)) + "'"
	}
	return fmt.Sprintf(`'\x%02x'`, b)
}

func (h *human) print(c *hmp.Call) error {
	n := c.Args.Int("val")
	switch c.Args.Format("fmt").Letter {
	case 'o':
		c.Printf("%#o\n", uint64(n))
	case 'u':
		c.Printf("%d\n", uint64(n))
	case 'c':
		c.Print(character(uint32(n)) + "\n")
	case 'x':
		prefix := "0x"
		if n == 0 {
			prefix = "" // as C's %#x
		}
		c.Printf("%s%x\n", prefix, uint64(n))
	default:
		c.Printf("%d\n", n)
	}
	return nil
}

// maxSum is how many bytes sum reads with the VM lock held.
const maxSum = 1 << 30

func (h *human) sum(c *hmp.Call) error {
	start, size := uint64(uint32(c.Args.Int("start"))), uint64(uint32(c.Args.Int("size")))
	if size > maxSum {
		return fmt.Errorf("at most %d bytes can be summed up", maxSum)
	}
	var sum uint16
	var buf [guestPage]byte
	for size > 0 {
		p := buf[:min(size, guestPage)]
		h.v.host.Memory.Access(start, p, false)
		for _, b := range p {
			// BSD sum, as QEMU has it.
			sum = sum>>1 | sum<<15
			sum += uint16(b)
		}
		start += uint64(len(p))
		size -= uint64(len(p))
	}
	c.Printf("%05d\n", sum)
	return nil
}

// portSize is the width of a port access and its letter.
func portSize(f hmp.Format) (size int, letter byte) {
	switch f.Size {
	case 2:
		return 2, 'w'
	case 4, 8:
		return 4, 'l'
	}
	return 1, 'b'
}

func (h *human) portRead(c *hmp.Call) error {
	addr := uint16(c.Args.Int("addr"))
	if c.Args.Has("index") {
		h.v.host.IO.Access(uint64(addr), []byte{byte(c.Args.Int("index"))}, true)
		addr++
	}
	size, letter := portSize(c.Args.Format("fmt"))
	var b [4]byte
	h.v.host.IO.Access(uint64(addr), b[:size], false)
	c.Printf("port%c[0x%04x] = 0x%0*x\n", letter, addr, size*2, binary.LittleEndian.Uint32(b[:]))
	return nil
}

func (h *human) portWrite(c *hmp.Call) error {
	size, _ := portSize(c.Args.Format("fmt"))
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], uint32(c.Args.Int("val")))
	h.v.host.IO.Access(uint64(uint16(c.Args.Int("addr"))), b[:size], true)
	return nil
}

func (h *human) gpa2hva(c *hmp.Call) error {
	addr := uint64(c.Args.Int("addr"))
	sec, ok := h.v.host.Memory.Find(addr)
	if !ok {
		c.Printf("No memory is mapped at address 0x%x\n", addr)
		return nil
	}
	if !sec.IsRAM() {
		c.Printf("Memory at address 0x%x is not RAM\n", addr)
		return nil
	}
	host := uint64(sec.Region.RAM().HostAddr()) + sec.Offset + addr - sec.Addr
	c.Printf("Host virtual address for 0x%x (%s) is 0x%x\n", addr, sec.Region.Name(), host)
	return nil
}

func (h *human) gva2gpa(c *hmp.Call) error {
	if h.vcpu() == nil {
		c.Print("No cpu\n")
		return nil
	}
	return h.v.paused(func() error {
		if phys, ok := h.translate(uint64(c.Args.Int("addr"))); ok {
			c.Printf("gpa: %#x\n", phys)
		} else {
			c.Print("Unmapped\n")
		}
		return nil
	})
}

func (h *human) memsave(c *hmp.Call) error {
	if h.vcpu() == nil {
		c.Print("No CPU available\n")
		return nil
	}
	c.Args["cpu-index"] = int64(h.cpu)
	_, err := h.qmp(c, "memsave", c.Args)
	return err
}

// dumpGuestMemory makes the arguments that QMP wants.
func (h *human) dumpGuestMemory(c *hmp.Call) error {
	format, kinds := "elf", 0
	for name, f := range map[string]string{
		"zlib": "kdump-zlib", "lzo": "kdump-lzo", "snappy": "kdump-snappy", "windmp": "win-dmp",
	} {
		if c.Args.Bool(name) {
			format = f
			kinds++
		}
	}
	if kinds > 1 {
		return fmt.Errorf("only one of '-z|-l|-s|-w' can be set")
	}
	if raw, ok := strings.CutPrefix(format, "kdump-"); ok && c.Args.Bool("raw") {
		format = "kdump-raw-" + raw
	}
	args := map[string]any{
		"paging": c.Args.Bool("paging"), "protocol": "file:" + c.Args.Str("filename"),
		"detach": c.Args.Bool("detach"), "format": format,
	}
	for _, name := range []string{"begin", "length"} {
		if c.Args.Has(name) {
			args[name] = c.Args.Int(name)
		}
	}
	_, err := h.qmp(c, "dump-guest-memory", args)
	return err
}
