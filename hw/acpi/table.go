package acpi

import (
	"encoding/binary"
	"fmt"
)

// OEM is what a table's header says of its maker. ID has at most 6 bytes and
// TableID at most 8; shorter ones are padded with NUL bytes. The zero value
// means QEMU's "BOCHS " and "BXPC    ".
type OEM struct {
	ID      string
	TableID string
}

const (
	defaultOEMID      = "BOCHS "
	defaultOEMTableID = "BXPC    "
	creatorID         = "BXPC"

	headerLen      = 36
	checksumOffset = 9
)

// resolve fills in the defaults and checks the lengths.
func (o OEM) resolve() (OEM, error) {
	if o.ID == "" {
		o.ID = defaultOEMID
	}
	if o.TableID == "" {
		o.TableID = defaultOEMTableID
	}
	if len(o.ID) > 6 {
		return o, fmt.Errorf("acpi: OEM id %q is longer than 6 bytes", o.ID)
	}
	if len(o.TableID) > 8 {
		return o, fmt.Errorf("acpi: OEM table id %q is longer than 8 bytes", o.TableID)
	}
	return o, nil
}

// table is a system description table under construction: the common header
// (ACPI 6.4 section 5.2.6) with length and checksum still open, then the body.
type table []byte

// newTable starts a table. The OEM must have been resolved.
func newTable(signature string, revision byte, oem OEM) table {
	t := make(table, headerLen)
	copy(t, signature)
	t[8] = revision
	copy(t[10:16], oem.ID)
	copy(t[16:24], oem.TableID)
	binary.LittleEndian.PutUint32(t[24:], 1) // OEM revision
	copy(t[28:32], creatorID)
	binary.LittleEndian.PutUint32(t[32:], 1) // creator revision
	return t
}

func (t *table) u8(v ...uint8) { *t = append(*t, v...) }
func (t *table) u16(v uint16)  { *t = binary.LittleEndian.AppendUint16(*t, v) }
func (t *table) u32(v uint32)  { *t = binary.LittleEndian.AppendUint32(*t, v) }
func (t *table) u64(v uint64)  { *t = binary.LittleEndian.AppendUint64(*t, v) }
func (t *table) zero(n int)    { *t = append(*t, make([]byte, n)...) }

// finish writes the length and the checksum and returns the finished bytes.
func (t table) finish() []byte {
	binary.LittleEndian.PutUint32(t[4:], uint32(len(t)))
	t[checksumOffset] = 0
	t[checksumOffset] = checksum(t)
	return t
}

// checksum is the byte that makes the sum of b and itself zero.
func checksum(b []byte) byte {
	var sum byte
	for _, v := range b {
		sum += v
	}
	return -sum
}

// GenericAddress is a register's place in ACPI's Generic Address Structure
// (ACPI 6.4 section 5.2.3.2). The zero value is an absent register.
type GenericAddress struct {
	Space      RegionSpace
	BitWidth   uint8
	BitOffset  uint8
	AccessSize uint8 // 0 unspecified, 1 byte, 2 word, 3 dword, 4 qword
	Address    uint64
}

// put writes the 12-byte structure at the start of b.
func (g GenericAddress) put(b []byte) {
	b[0], b[1], b[2], b[3] = byte(g.Space), g.BitWidth, g.BitOffset, g.AccessSize
	binary.LittleEndian.PutUint64(b[4:], g.Address)
}

// buildDSDT wraps AML in a DSDT of revision 2, which selects 64-bit integers.
func buildDSDT(oem OEM, aml []byte) []byte {
	t := newTable("DSDT", 2, oem)
	t = append(t, aml...)
	return t.finish()
}

// buildXSDT lists the guest-physical addresses of the tables the operating
// system shall find. The DSDT is not among them, the FADT points to it.
func buildXSDT(oem OEM, tables ...uint64) []byte {
	t := newTable("XSDT", 1, oem)
	for _, addr := range tables {
		t.u64(addr)
	}
	return t.finish()
}

const rsdpLen = 36

// buildRSDP makes the structure at which every search for ACPI starts (ACPI
// 6.4 section 5.2.5.3), of revision 2, pointing to the XSDT only.
func buildRSDP(oem OEM, xsdt uint64) []byte {
	b := make([]byte, rsdpLen)
	copy(b, "RSD PTR ")
	copy(b[9:15], oem.ID)
	b[15] = 2
	binary.LittleEndian.PutUint32(b[20:], rsdpLen)
	binary.LittleEndian.PutUint64(b[24:], xsdt)
	// The first sum covers what revision 1 knew, the second one everything.
	b[8] = checksum(b[:20])
	b[32] = checksum(b)
	return b
}
