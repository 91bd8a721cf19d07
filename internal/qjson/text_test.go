package qjson

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
)

// Tokens that lie across pieces of the buffer are read as others are.
func TestLongTokens(t *testing.T) {
	for _, n := range []int{chunkSize - 3, chunkSize - 2, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize - 2, 3 * chunkSize} {
		for _, tail := range []string{"", "\\n", "\u00e9", "\\u00e9"} {
			in := strings.Repeat("x", n-len(tail)) + tail
			got, err := Parse([]byte(`["` + in + `", 'y', 12]`))
			if err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			want := strings.NewReplacer("\\n", "\n", "\\u00e9", "\u00e9").Replace(in)
			if l := got.([]any); len(l) != 3 || l[0] != want || l[1] != "y" || l[2] != int64(12) {
				t.Errorf("a string of %d bytes that ends in %q is not what was read", n, tail)
			}
		}
		digits := strings.Repeat("1", n) + ".5"
		if v, err := Parse([]byte(" [1, " + digits + "]")); err != nil || len(v.([]any)) != 2 {
			t.Errorf("a number of %d digits: %v", n, err)
		}
		// White space is not kept.
		if v, err := Parse([]byte("[1" + strings.Repeat(" ", n) + ",2]")); err != nil || len(v.([]any)) != 2 {
			t.Errorf("%d spaces: %v", n, err)
		}
	}
}

// What is too large is refused at the bound, having taken no more memory than
// that.
func TestTokenSizeLimitBoundsMemory(t *testing.T) {
	const slack = 2 << 20
	for _, c := range []struct {
		name, begin, unit string
		limit             int
	}{
		{"string", `{"execute":"`, strings.Repeat("a", chunkSize), MaxTokenSize},
		{"number", `[`, "11111111", 4 << 20},
		{"many strings", `[`, `"` + strings.Repeat("a", 4096) + `",`, 16 << 20},
	} {
		p := &Parser{tokenSize: c.limit}
		piece := bytes.Repeat([]byte(c.unit), 4096/len(c.unit)+1)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := p.Next([]byte(c.begin))
		fed := len(c.begin)
		for err == ErrIncomplete && fed < c.limit+8<<20 {
			_, _, err = p.Next(piece)
			fed += len(piece)
		}
		runtime.ReadMemStats(&after)
		if err == nil || err.Error() != "JSON token size limit exceeded" || fed < c.limit {
			t.Errorf("%s: %v after %d bytes", c.name, err, fed)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(c.limit)+slack {
			t.Errorf("%s: allocated %d MiB", c.name, got>>20)
		}
		if len(p.text.chunks) > 1 {
			t.Errorf("%s: %d pieces are kept", c.name, len(p.text.chunks))
		}
	}
}
