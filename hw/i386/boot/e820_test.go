package boot

import (
	"slices"
	"testing"
)

func TestE820(t *testing.T) {
	low := []Range{{0, 0x9fc00, E820RAM}, {0x9fc00, 0x400, E820Reserved}, {0xf0000, 0x10000, E820Reserved}}
	for _, c := range []struct {
		name     string
		ram      RAM
		reserved []Range
		want     []Range // above 1 MiB
	}{
		{"128 MiB", RAM{Below4G: 128 * miB}, nil, []Range{{miB, 127 * miB, E820RAM}}},
		{"both sides of the hole", RAM{Below4G: 3 * giB, Above4G: giB}, nil,
			[]Range{{miB, 3*giB - miB, E820RAM}, {4 * giB, giB, E820RAM}}},
		{"moved up", RAM{Below4G: 3 * giB, Above4G: giB, Above4GBase: 1 << 40}, nil,
			[]Range{{miB, 3*giB - miB, E820RAM}, {1 << 40, giB, E820RAM}}},
		{"tables inside of RAM", RAM{Below4G: 32 * miB}, []Range{{30 * miB, miB, E820ACPI}},
			[]Range{{miB, 29 * miB, E820RAM}, {30 * miB, miB, E820ACPI}, {31 * miB, miB, E820RAM}}},
		{"reserved outside of RAM", RAM{Below4G: 2 * miB}, []Range{{0xfeffc000, 0x4000, E820Reserved}},
			[]Range{{miB, miB, E820RAM}, {0xfeffc000, 0x4000, E820Reserved}}},
		{"overlap across the end of RAM", RAM{Below4G: 4 * miB}, []Range{{3 * miB, 2 * miB, E820Reserved}},
			[]Range{{miB, 2 * miB, E820RAM}, {3 * miB, 2 * miB, E820Reserved}}},
		{"later wins, neighbours join", RAM{Below4G: 8 * miB},
			[]Range{{2 * miB, 2 * miB, E820Reserved}, {3 * miB, 2 * miB, E820NVS}, {5 * miB, miB, E820NVS}},
			[]Range{{miB, miB, E820RAM}, {2 * miB, miB, E820Reserved}, {3 * miB, 3 * miB, E820NVS}, {6 * miB, 2 * miB, E820RAM}}},
		{"empty range", RAM{Below4G: 2 * miB}, []Range{{miB, 0, E820Reserved}}, []Range{{miB, miB, E820RAM}}},
	} {
		got, err := E820(c.ram, c.reserved)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if want := slices.Concat(low, c.want); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %x\nwant %x", c.name, got, want)
		}
	}
}

// The RAM the guest is told of is within 1 MiB of what it was given.
func TestE820KeepsRAM(t *testing.T) {
	for _, ram := range []RAM{{Below4G: 128 * miB}, {Below4G: 512 * miB}, {Below4G: 3 * giB, Above4G: giB}, {Below4G: 3 * giB, Above4G: 61 * giB}} {
		m, err := E820(ram, []Range{{0xe0000, 0x20000, E820Reserved}, {0xfeffc000, 0x4000, E820Reserved}})
		if err != nil {
			t.Fatal(err)
		}
		var sum uint64
		for _, r := range m {
			if r.Type == E820RAM {
				sum += r.Size
			}
		}
		if want := ram.Below4G + ram.Above4G; sum > want || want-sum > miB {
			t.Errorf("%x: %#x bytes of RAM in %x", ram, sum, m)
		}
	}
}

func TestE820Rejects(t *testing.T) {
	many := make([]Range, 130)
	for i := range many {
		many[i] = Range{uint64(2+2*i) * miB, miB, E820Reserved}
	}
	for name, c := range map[string]struct {
		ram      RAM
		reserved []Range
	}{
		"too much below":  {RAM{Below4G: 5 * giB}, nil},
		"above too low":   {RAM{Below4G: giB, Above4G: giB, Above4GBase: giB}, nil},
		"above wraps":     {RAM{Below4G: giB, Above4G: 1 << 63, Above4GBase: 1 << 63}, nil},
		"reserved wraps":  {RAM{Below4G: giB}, []Range{{1 << 63, 1<<63 + 1, E820Reserved}}},
		"no type":         {RAM{Below4G: giB}, []Range{{miB, miB, 0}}},
		"too many ranges": {RAM{Below4G: giB}, many},
	} {
		if m, err := E820(c.ram, c.reserved); err == nil {
			t.Errorf("%s: %x", name, m)
		}
	}
}
