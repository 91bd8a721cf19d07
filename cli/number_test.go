package cli

import "testing"

// TestParseSize holds sizes to QEMU 8.2's rules: suffixes are decimal only,
// fractions need one, and trailing text outweighs a bad value.
func TestParseSize(t *testing.T) {
	const syntax, outside = "syntax", "range"
	for _, c := range []struct {
		in   string
		want uint64
		bad  string
	}{
		{"0", 0, ""}, {"512", 512, ""}, {"512b", 512, ""}, {"512m", 512 << 20, ""}, {"512M", 512 << 20, ""},
		{"1k", 1024, ""}, {"1.5G", 3 << 29, ""}, {"1.k", 1024, ""}, {".5k", 512, ""}, {" 1", 1, ""}, {"+1k", 1024, ""},
		{"1E", 1 << 60, ""}, {"1e", 1 << 60, ""}, {"0.1k", 102, ""}, {"1.9999k", 2048, ""},
		{"08", 8, ""}, {"0x10", 16, ""}, {"0x1b", 27, ""}, {"0xffffffffffffffff", 1<<64 - 1, ""},
		{"18446744073709551615", 1<<64 - 1, ""},
		{"", 0, syntax}, {"abc", 0, syntax}, {"1.5", 0, syntax}, {"1.5b", 0, syntax}, {"0x10M", 0, syntax},
		{"1e3", 0, syntax}, {"1kk", 0, syntax}, {"1 k", 0, syntax}, {".", 0, syntax}, {"0x", 0, syntax},
		{"0x1.8", 0, syntax}, {"inf", 0, syntax}, {"-1x", 0, syntax}, {"-1.5", 0, syntax},
		{"-1", 0, outside}, {"-0", 0, outside}, {"-.5", 0, outside}, {"16E", 0, outside},
		{"18446744073709551616", 0, outside}, {"0x10000000000000000", 0, outside},
		{"100000Pjunk", 0, syntax}, {"1.0", 1, ""},
	} {
		have, err := ParseSize(c.in)
		bad := ""
		if err != nil {
			bad = map[bool]string{false: syntax, true: outside}[SizeOutOfRange(err)]
		}
		if have != c.want || bad != c.bad {
			t.Errorf("ParseSize(%q) = %d %q, want %d %q", c.in, have, bad, c.want, c.bad)
		}
	}
}

// TestIntegers holds numbers to C's notation.
func TestIntegers(t *testing.T) {
	for in, want := range map[string]uint64{"0x10": 16, "010": 8, "10": 10, "-1": 1<<64 - 1, " +7": 7, "0": 0} {
		if n, err := parseUint64(in); err != nil || n != want {
			t.Errorf("parseUint64(%q) = %d, %v", in, n, err)
		}
	}
	for in, want := range map[string]error{"": errSyntax, "08": errSyntax, "0x": errSyntax, "1k": errSyntax,
		"18446744073709551616": errRange} {
		if _, err := parseUint64(in); err != want {
			t.Errorf("parseUint64(%q) fails with %v, want %v", in, err, want)
		}
	}
	for in, want := range map[string]int64{"-9223372036854775808": -1 << 63, "9223372036854775807": 1<<63 - 1} {
		if n, err := parseInt64(in); err != nil || n != want {
			t.Errorf("parseInt64(%q) = %d, %v", in, n, err)
		}
	}
	for _, in := range []string{"-9223372036854775809", "9223372036854775808"} {
		if _, err := parseInt64(in); err != errRange {
			t.Errorf("parseInt64(%q) fails with %v", in, err)
		}
	}
}

// TestWellFormedID holds ids to QEMU's alphabet.
func TestWellFormedID(t *testing.T) {
	for id, want := range map[string]bool{"a": true, "Z9-._": true, "": false, "1a": false, "_x": false,
		"a/b": false, "a b": false, "é": false, "@a": false, "[": false, "#net0": false} {
		if WellFormedID(id) != want {
			t.Errorf("WellFormedID(%q) = %v", id, !want)
		}
	}
}

// TestParseUUID takes exactly the 36-character form.
func TestParseUUID(t *testing.T) {
	u, err := ParseUUID("00112233-4455-6677-8899-aAbBcCdDeEfF")
	if err != nil || u != [16]byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff} {
		t.Errorf("%x %v", u, err)
	}
	for _, s := range []string{"", "abc", "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeeff0",
		"00112233x4455-6677-8899-aabbccddeeff", "g0112233-4455-6677-8899-aabbccddeeff"} {
		if _, err := ParseUUID(s); err == nil {
			t.Errorf("ParseUUID(%q) passes", s)
		}
	}
}
