package qjson

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
)

// feed runs all of in through a parser, in pieces of the given size, and
// describes what comes out.
func feed(p *Parser, in []byte, piece int) (out []string) {
	for len(in) > 0 {
		n := min(piece, len(in))
		chunk := in[:n]
		in = in[n:]
		for {
			v, rest, err := p.Next(chunk)
			if err == ErrIncomplete {
				break
			}
			if err != nil {
				out = append(out, "E "+err.Error())
			} else {
				out = append(out, string(Marshal(v)))
			}
			chunk = rest
		}
	}
	return out
}

// The stream is picked up after an error exactly where QEMU picks it up.
func TestParserResync(t *testing.T) {
	const cmd = `{"a": 1}`
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"{]" + cmd, []string{"E JSON parse error, expecting value", cmd}},
		{"{\xff" + cmd, []string{"E JSON parse error, stray '\xff'", cmd}},
		{"{\x01" + cmd, []string{"E JSON parse error, stray '\x01'", cmd}},
		{"\x00" + cmd, []string{"E JSON parse error, stray ''", cmd}},
		{"{'bad \xff" + cmd, []string{"E JSON parse error, stray ''bad \xff'", cmd}},
		{"{'a': 'b', 'id':'\n" + cmd, []string{"E JSON parse error, stray ''\n'", cmd}},
		{"%p\n" + cmd, []string{"E JSON parse error, stray '%'", cmd}},
		{"%%p\n" + cmd, []string{"E JSON parse error, stray '%'", cmd}},
		{"% \t x\f" + cmd, []string{"E JSON parse error, stray '%'", "E JSON parse error, stray '\f'", cmd}},
		{"-\nnulll\n" + cmd, []string{"E JSON parse error, stray '-\n'", cmd}},
		{"nulll\n" + cmd, []string{"E JSON parse error, invalid keyword 'nulll'", cmd}},
		{"\xef\xbb\xbf" + cmd, []string{"E JSON parse error, stray '\xef'", cmd}},
		{"{\"id\":01}" + cmd, []string{"E JSON parse error, stray '01'", "E JSON parse error, expecting value", cmd}},
		{"{\"id\":/*c*/1}" + cmd, []string{"E JSON parse error, stray '/'", "E JSON parse error, expecting value", cmd}},
		{"\f" + cmd, []string{"E JSON parse error, stray '\f'", cmd}},
		{"{}}" + cmd, []string{"{}", "E JSON parse error, expecting value", cmd}},
		{"[}", nil},
		{"[}]" + cmd, []string{"E JSON parse error, expecting value", cmd}},
		{"[1 2]" + cmd, []string{"E JSON parse error, expected separator in list", cmd}},
		{"{'a':1 2}" + cmd, []string{"E JSON parse error, expected separator in dict", cmd}},
		{"{'a' 2}" + cmd, []string{"E JSON parse error, missing : in object pair", cmd}},
		{"{'a':1,'a':2}" + cmd, []string{"E JSON parse error, duplicate key", cmd}},
		{"{1:2}" + cmd, []string{"E JSON parse error, key is not a string in object", cmd}},
		{"{\"a\":1,}" + cmd, []string{"E JSON parse error, expecting value", cmd}},
		{"0e1 " + cmd, []string{"0", "E JSON parse error, invalid keyword 'e'", "1", cmd}},
		{"1}" + cmd, []string{"1", "E JSON parse error, expecting value", cmd}},
		{"true false null 1.5 -0 'x'" + cmd, []string{"true", "false", "null", "1.5", "0", `"x"`, cmd}},
	} {
		for _, piece := range []int{1, 3, 1 << 20} {
			if got := feed(new(Parser), []byte(c.in), piece); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%q in pieces of %d:\n got %q\nwant %q", c.in, piece, got, c.want)
			}
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in   string
		want any // a value, or an Error
	}{
		{"{", Error("JSON parse error, premature EOI")},
		{"[1", Error("JSON parse error, premature EOI")},
		{`{"a`, Error(`JSON parse error, stray '"a'`)},
		{`{"a"`, Error("JSON parse error, premature EOI")},
		{`{"a":`, Error("JSON parse error, premature EOI")},
		{"-", Error("JSON parse error, stray '-'")},
		{"", Error("Expecting a JSON value")},
		{" \r\n", Error("Expecting a JSON value")},
		{`{"driver":"d"} x`, Error("Expecting at most one JSON value")},
		{`{} {}`, Error("Expecting at most one JSON value")},
		{`{} "`, Error("Expecting at most one JSON value")},
		{`% {}`, Error("JSON parse error, stray '%'")},
		{"12", int64(12)},
		{" [1] ", []any{int64(1)}},
		{"9223372036854775807", int64(math.MaxInt64)},
		{"9223372036854775808", uint64(1 << 63)},
		{"18446744073709551615", uint64(math.MaxUint64)},
		{"18446744073709551616", float64(1 << 64)},
		{"-9223372036854775808", int64(math.MinInt64)},
		{"-9223372036854775809", float64(-1 << 63)},
		{"1e999", math.Inf(1)},
		{"1E+2", float64(100)},
		{`'it\'s "so"'`, `it's "so"`},
		{`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t"},
		{`"\u00e9\uD83D\ude00"`, "é😀"},
		{`"\u0000"`, "\x00"},
		{"\"\xc0\x80\"", "\x00"},
		{`"\x"`, Error("JSON parse error, invalid escape sequence in string")},
		{`"\u12"`, Error(`JSON parse error, \u12" is not a valid Unicode character`)},
		{`"\u12g4 "`, Error(`JSON parse error, \u12g4 is not a valid Unicode character`)},
		{`"\uD800"`, Error(`JSON parse error, \uD800 is not a valid Unicode character`)},
		{`"\uD800\u0020"`, Error(`JSON parse error, \uD800 is not a valid Unicode character`)},
		{`"\uDC00"`, Error(`JSON parse error, \uDC00 is not a valid Unicode character`)},
		{`"\uFFFF"`, Error(`JSON parse error, \uFFFF is not a valid Unicode character`)},
		{"\"\xc1\x80\"", Error("JSON parse error, invalid UTF-8 sequence in string")},
		{"\"\xed\xa0\x80\"", Error("JSON parse error, invalid UTF-8 sequence in string")},
		{"\"\xf8\x88\x80\x80\x80\"", Error("JSON parse error, invalid UTF-8 sequence in string")},
		{"\"\xe2\x82\"", Error("JSON parse error, invalid UTF-8 sequence in string")},
		{"\"\x80\"", Error("JSON parse error, invalid UTF-8 sequence in string")},
		{strings.Repeat("k", 2000), Error("JSON parse error, invalid keyword '" + strings.Repeat("k", 1006))},
	} {
		got, err := Parse([]byte(c.in))
		if err != nil {
			got = err
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("Parse(%q) = %#v, want %#v", c.in, got, c.want)
		}
	}
}

// The bounds that QEMU sets hold, and the parser works after they were hit.
func TestParserLimits(t *testing.T) {
	const maxSize, maxCount = 300 << 10, 20000
	p := &Parser{tokenSize: maxSize, tokenCount: maxCount}
	deep := strings.Repeat("[", MaxNesting)
	if got := feed(p, []byte(deep+strings.Repeat("]", MaxNesting)), 100); len(got) != 1 || got[0][0] != '[' {
		t.Errorf("%d levels: %.100q", MaxNesting, got)
	}
	want := []string{"E JSON nesting depth limit exceeded", "1"}
	if got := feed(p, []byte(deep+"[ 1 "), 100); !reflect.DeepEqual(got, want) {
		t.Errorf("%d levels: %q", MaxNesting+1, got)
	}
	many := append([]byte("["), bytes.Repeat([]byte("1,"), maxCount/2)...)
	want = []string{"E JSON token count limit exceeded", "1"}
	if got := feed(p, append(many, " 1 "...), 1<<16); !reflect.DeepEqual(got, want) {
		t.Errorf("too many tokens: %q", got)
	}
	long := append([]byte(`"`), bytes.Repeat([]byte("x"), maxSize)...)
	want = []string{"E JSON token size limit exceeded", "1"}
	if got := feed(p, append(long, "\n1 "...), 1<<16); len(got) < 1 || got[0] != want[0] || got[len(got)-1] != want[1] {
		t.Errorf("too long a token: %q", got)
	}
	if len(p.text.chunks) > 1 || cap(p.tokens) > keepTokens {
		t.Errorf("%d pieces of text and %d tokens are kept", len(p.text.chunks), cap(p.tokens))
	}
}

func sorted(o Object) Object {
	o.Sort()
	return o
}

func TestMarshal(t *testing.T) {
	type name string
	for _, c := range []struct {
		in   any
		want string
	}{
		{nil, "null"},
		{map[string]any{}, "{}"},
		{[]any{}, "[]"},
		{[]any{true, int64(-1), uint64(math.MaxUint64), "x"}, `[true, -1, 18446744073709551615, "x"]`},
		{0.1, "0.10000000000000001"},
		{214.6125, "214.61250000000001"},
		{1e5, "100000"},
		{100.5, "100.5"},
		{1e17, "1e+17"},
		{1e16, "10000000000000000"},
		{1e-5, "1.0000000000000001e-05"},
		{-9223372036854775809.0, "-9.2233720368547758e+18"},
		{math.Copysign(0, -1), "-0"},
		{"é😀\x00\x7f\"\\\b\f\n\r\t", `"\u00E9\uD83D\uDE00\u0000\u007F\"\\\b\f\n\r\t"`},
		{"a\xffb\xe2\x82c", `"a\uFFFDb\uFFFDc"`},
		{[]string{"a"}, `["a"]`},
		{map[name]uint16{"k": 7}, `{"k": 7}`},
		{new(name), `""`},
		{map[string]any{"return": map[string]any{}, "id": 1}, `{"return": {}, "id": 1}`},
		{map[string]any{"error": 0, "id": 1}, `{"id": 1, "error": 0}`},
		{map[string]any{"class": 0, "desc": 1}, `{"class": 0, "desc": 1}`},
		{map[string]any{"data": 0, "event": 1, "timestamp": map[string]any{"microseconds": 1, "seconds": 2}},
			`{"timestamp": {"seconds": 2, "microseconds": 1}, "event": 1, "data": 0}`},
		{sorted(Object{{"running", true}, {"singlestep", false}, {"status", "paused"}}), `{"status": "paused", "singlestep": false, "running": true}`},
		{map[string]any{"major": 8, "minor": 2, "micro": 7}, `{"micro": 7, "minor": 2, "major": 8}`},
	} {
		if got := string(Marshal(c.in)); got != c.want {
			t.Errorf("Marshal(%#v) = %s, want %s", c.in, got, c.want)
		}
	}
}

func TestMarshalPretty(t *testing.T) {
	in := map[string]any{"return": map[string]any{}, "id": []any{int64(1), []any{}}}
	want := "{\n    \"return\": {\n    },\n    \"id\": [\n        1,\n        [\n        ]\n    ]\n}"
	if got := string(MarshalPretty(in)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// A parser takes any bytes, in any pieces, and afterwards still understands a
// value on a line of its own; what it read survives being written.
func FuzzParser(f *testing.F) {
	for _, s := range []string{`{"execute":"x","id":1}`, "{]\xff\x00'", `[1,-2.5e3,"\u00e9",true,null]`, `"\ud83d\ude00`, "-0", "nul"} {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		a := feed(new(Parser), in, int(piece)+1)
		p := new(Parser)
		if b := feed(p, in, len(in)+1); !reflect.DeepEqual(a, b) {
			t.Fatalf("pieces of %d: %q\nat once: %q", piece+1, a, b)
		}
		out := feed(p, []byte("\xff\n\"mark\""), 1)
		if len(out) == 0 || out[len(out)-1] != `"mark"` {
			t.Fatalf("not back in step: %q", out)
		}
		v, err := Parse(in)
		if err != nil {
			return
		}
		// As in QEMU, what is too large for a double is written as inf, and a
		// negative zero as -0, an integer.
		if w := Marshal(v); !bytes.Contains(w, []byte("inf")) && !bytes.Contains(w, []byte("-0")) {
			v2, err := Parse(w)
			if err != nil || string(Marshal(v2)) != string(w) {
				t.Fatalf("%s does not survive: %v %v", w, v2, err)
			}
			if _, err := Parse(MarshalPretty(v)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	in := []byte(`{"execute": "device_add", "arguments": {"driver": "virtio-net-pci", "netdev": "hostnet0", "id": "net0", "bus": "pci.1", "addr": "0x0"}, "id": "libvirt-42"}` + "\r\n")
	p := new(Parser)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := p.Next(in); err != nil {
			b.Fatal(err)
		}
		p.Next([]byte("\r\n"))
	}
}
