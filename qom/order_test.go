package qom

import (
	"fmt"
	"slices"
	"testing"
)

func reversed(t *nameTable) []string {
	l := t.order()
	slices.Reverse(l)
	return l
}

// The order of /machine/peripheral, as QEMU 8.2.7 listed it after each step.
func TestOrderAsRecorded(t *testing.T) {
	var nt nameTable
	for _, n := range []string{"rp0", "rp1", "rp2", "cold0", "cold1", "r0"} {
		nt.add(n)
	}
	want := []string{"cold1", "rp1", "r0", "cold0", "rp2", "rp0"}
	if got := reversed(&nt); !slices.Equal(got, want) {
		t.Errorf("have %v, want %v", got, want)
	}
	nt.add("r9")
	if got := reversed(&nt); !slices.Equal(got, append(want, "r9")) {
		t.Errorf("have %v, want %v", got, append(want, "r9"))
	}
	nt.remove("r0")
	nt.remove("r9")
	want = []string{"cold1", "rp1", "cold0", "rp2", "rp0"}
	if got := reversed(&nt); !slices.Equal(got, want) {
		t.Errorf("have %v, want %v", got, want)
	}
}

// Names are neither lost nor doubled while a table grows and shrinks.
func TestOrderKeepsNames(t *testing.T) {
	var nt nameTable
	have := map[string]bool{}
	for i := range 3000 {
		n := fmt.Sprintf("n%d", i)
		nt.add(n)
		have[n] = true
		if i%3 == 0 || i > 1500 {
			n := fmt.Sprintf("n%d", i/2)
			if have[n] {
				nt.remove(n)
				delete(have, n)
			}
		}
		if i%50 == 0 || i > 2990 {
			got := nt.order()
			if len(got) != len(have) || nt.names != len(have) {
				t.Fatalf("%d: %d names, counted %d, want %d", i, len(got), nt.names, len(have))
			}
			for _, n := range got {
				if !have[n] {
					t.Fatalf("%d: %s is gone", i, n)
				}
			}
		}
	}
	nt.remove("nosuch")
}
