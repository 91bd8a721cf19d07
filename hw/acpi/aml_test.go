package acpi

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func mustAssemble(t *testing.T, terms ...Term) []byte {
	t.Helper()
	b, err := Assemble(terms...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each term has the encoding that the grammar in ACPI 6.4 chapter 20 gives it.
func TestTermEncoding(t *testing.T) {
	for _, c := range []struct {
		name string
		term Term
		want string
	}{
		{"zero", Integer(0), "00"},
		{"one", Integer(1), "01"},
		{"byte", Integer(0xff), "0aff"},
		{"word", Integer(0x100), "0b0001"},
		{"dword", Integer(0x10000), "0c00000100"},
		{"qword", Integer(1 << 32), "0e0000000001000000"},
		{"string", String("AB"), "0d414200"},
		{"eisaid", EISAID("PNP0501"), "0c41d00501"},
		{"root", Path(`\`), "5c00"},
		{"short name", Path("A"), "415f5f5f"},
		{"parents", Path("^^AB12"), "5e5e41423132"},
		{"dual", Path(`\_SB.PWRB`), "5c2e5f53425f50575242"},
		{"multi", Path("A.B.C"), "2f03415f5f5f425f5f5f435f5f5f"},
		{"buffer", Buffer{1, 2}, "11050a020102"},
		{"package", Package(Integer(5), Integer(0)), "1205020a0500"},
		{"name", Name("_S5", Integer(1)), "085f53355f01"},
		{"store", Store(Path("ESEL"), Local(0)), "704553454c60"},
		{"and or", And(Arg(1), Or(Local(1), Integer(1), Discard), Local(7)), "7b697d61010067"},
		{"if else", If(LEqual(Local(0), Integer(1)), Return(Integer(0))), "a006936001a400"},
		{"else", Else(Notify(Path("PWRB"), Integer(0x80))), "a10886505752420a80"},
		{"while", While(LLess(Local(0), Arg(0)), Add(Local(0), Integer(1), Local(0))), "a2089560687260" + "0160"},
		{"logic", LAnd(LNot(Local(0)), LOr(Local(1), LGreater(Local(2), Integer(1)))), "909260916194" + "6201"},
		{"method", Method("FOO", 2, true), "1406464f4f5f0a"},
		{"region", OperationRegion("EREG", SystemIO, 0x510, 4), "5b8045524547010b10050a04"},
		{"field", Field("EREG", ByteAcc|FieldLock, FieldUnit{"", 8}, FieldUnit{"AAAA", 100}),
			"5b810e" + "45524547" + "11" + "0008" + "41414141" + "4406"},
		{"io", ResourceTemplate(IO{0x3f8, 0x3f8, 0, 8}), "110d0a0a" + "4701f803f8030008" + "7900"},
		{"irq", ResourceTemplate(IRQNoFlags(4)), "11080a05" + "221000" + "7900"},
		{"interrupt", ResourceTemplate(Interrupt{Consumer: true, Shared: true, ActiveLow: true, GSIs: []uint32{5, 0x2f}}),
			"11120a0f" + "890a000d02" + "05000000" + "2f000000" + "7900"},
		{"memory32", ResourceTemplate(Memory32Fixed{Base: 0xfeb00000, Len: 512}),
			"11110a0e" + "86090001" + "0000b0fe00020000" + "7900"},
		{"qword", ResourceTemplate(QWordMemory{Base: 1 << 32, Len: 1 << 30, Prefetchable: true}),
			"11330a30" + "8a2b00000c07" + "0000000000000000" + "0000000001000000" + "ffffff3f01000000" +
				"0000000000000000" + "0000004000000000" + "7900"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := hex.EncodeToString(mustAssemble(t, c.term))
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// decodePkgLength is the inverse of the encoder, written from the
// specification: the lead byte's top two bits count the bytes that follow.
func decodePkgLength(b []byte) (length uint64, size int) {
	follow := int(b[0] >> 6)
	if follow == 0 {
		return uint64(b[0] & 0x3f), 1
	}
	length = uint64(b[0] & 0xf)
	for i := range follow {
		length |= uint64(b[1+i]) << (4 + 8*i)
	}
	return length, 1 + follow
}

// A block's PkgLength spans exactly itself and the content, at every border
// between its four forms.
func TestBlockLengthCountsItself(t *testing.T) {
	sizes := []uint64{0, 1, 61, 62, 63, 64, 4092, 4093, 4094, 4095, 1<<20 - 4, 1<<20 - 3, 1 << 20, maxPkgLength - 4}
	for _, n := range sizes {
		b, err := appendBlockLength(nil, n)
		if err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		length, size := decodePkgLength(b)
		// With one byte fewer the sum would not have fitted.
		if limits := []uint64{0, 0, 1 << 6, 1 << 12, 1 << 20}; size > 1 && n+uint64(size)-1 < limits[size] {
			t.Errorf("content %d: a length of %d bytes is longer than needed", n, size)
		}
		if size != len(b) || length != n+uint64(size) {
			t.Errorf("content %d: % x decodes to %d in %d bytes", n, b, length, size)
		}
	}
	if _, err := appendBlockLength(nil, maxPkgLength-3); err == nil {
		t.Error("a block of 2^28 bytes was accepted")
	}
}

// A large block is really laid out as its length says.
func TestLargeBlock(t *testing.T) {
	for _, n := range []int{50, 5000, 1 << 20} {
		b := mustAssemble(t, Buffer(make([]byte, n)), Integer(1))
		length, _ := decodePkgLength(b[1:])
		if end := 1 + int(length); end != len(b)-1 || b[end] != opOne {
			t.Errorf("%d: block ends at %d of %d", n, end, len(b))
		}
	}
}

// What AML cannot say is an error, never wrong byte code.
func TestAssembleRejects(t *testing.T) {
	for _, c := range []struct {
		name string
		term Term
	}{
		{"empty name", Path("")},
		{"long segment", Path("ABCDE")},
		{"digit first", Path("1ABC")},
		{"lower case", Path("abcd")},
		{"empty segment", Path("A..B")},
		{"256 segments", Path(strings.Repeat("A.", 255) + "A")},
		{"NUL in string", String("a\x00b")},
		{"non-ASCII", String("é")},
		{"short EISA id", EISAID("PNP05")},
		{"EISA digit", EISAID("PNP05G1")},
		{"EISA vendor", EISAID("pnp0501")},
		{"local", Local(8)},
		{"argument", Arg(7)},
		{"method arguments", Method("A", 8, false)},
		{"package", Package(make([]Term, 256)...)},
		{"nil term", Scope("A", nil)},
		{"nil condition", If(nil)},
		{"ISA interrupt", ResourceTemplate(IRQNoFlags(16))},
		{"no interrupt", ResourceTemplate(Interrupt{})},
		{"window wraps", ResourceTemplate(QWordMemory{Base: 1<<64 - 1, Len: 2})},
		{"field too wide", Field("A", AnyAcc, FieldUnit{"B", 1 << 28})},
	} {
		if b, err := Assemble(c.term); err == nil {
			t.Errorf("%s: assembled to % x", c.name, b[:min(len(b), 16)])
		}
	}
}

// Assembling the same terms twice gives the same bytes: terms hold no state.
func TestAssembleIsPure(t *testing.T) {
	term := Scope("_SB", powerButton(), GED{PowerButton: true}.device())
	if a, b := mustAssemble(t, term), mustAssemble(t, term); !bytes.Equal(a, b) {
		t.Errorf("% x\n% x", a, b)
	}
}
