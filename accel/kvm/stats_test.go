package kvm

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/gqemu/gqemu/accel"
)

var errShort = errors.New("short")

func reader(b []byte) func([]byte, int64) error {
	return func(p []byte, at int64) error {
		if at < 0 || at > int64(len(b)) || copy(p, b[at:]) < len(p) {
			return errShort
		}
		return nil
	}
}

// statsFile is a file with a counter and a histogram, as the kernel lays it out.
func statsFile() []byte {
	le := binary.LittleEndian
	b := make([]byte, 24)
	le.PutUint32(b[4:], 16)       // name size
	le.PutUint32(b[8:], 3)        // descriptors
	le.PutUint32(b[16:], 24)      // where they are
	le.PutUint32(b[20:], 24+3*32) // where the values are
	desc := func(flags uint32, exponent int16, size uint16, offset, bucket uint32, name string) {
		d := make([]byte, 32)
		le.PutUint32(d, flags)
		le.PutUint16(d[4:], uint16(exponent))
		le.PutUint16(d[6:], size)
		le.PutUint32(d[8:], offset)
		le.PutUint32(d[12:], bucket)
		copy(d[16:], name)
		b = append(b, d...)
	}
	desc(0, 0, 1, 0, 0, "exits")
	desc(3|2<<4, -9, 2, 8, 5, "wait_hist")
	desc(9, 0, 1, 0, 0, "unheard_of")
	for _, v := range []uint64{7, 1, 2} {
		b = le.AppendUint64(b, v)
	}
	return b
}

func TestParseStats(t *testing.T) {
	list, err := parseStats(reader(statsFile()))
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if s := list[0]; s.Name != "exits" || s.Kind != accel.StatCumulative || len(s.Values) != 1 || s.Values[0] != 7 {
		t.Errorf("%+v", s)
	}
	if s := list[1]; s.Kind != accel.StatLinearHistogram || s.Unit != accel.UnitSeconds || s.Exponent != -9 || s.BucketSize != 5 ||
		len(s.Values) != 2 || s.Values[1] != 2 {
		t.Errorf("%+v", s)
	}
}

// A file that is cut off or says absurd things is an error.
func FuzzParseStats(f *testing.F) {
	f.Add(statsFile())
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseStats(reader(b))
		if err != nil && list != nil {
			t.Error("both a list and an error")
		}
	})
}
