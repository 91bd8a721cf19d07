package kvm

import (
	"testing"
	"time"
)

// A vCPU that exits often is scheduled about every 7 ms, one that exits
// seldom never.
func TestPace(t *testing.T) {
	for gap, want := range map[time.Duration][2]int{
		20 * time.Microsecond: {135, 145}, time.Millisecond: {135, 145}, 3 * time.Millisecond: {105, 115},
		6 * time.Millisecond: {0, 0}, 50 * time.Millisecond: {0, 0},
	} {
		p := pace{}
		now, n := time.Unix(1, 0), 0
		for end := now.Add(time.Second); now.Before(end); now = now.Add(gap) {
			p.exits++
			if p.due(now) {
				n++
			}
		}
		if n < want[0] || n > want[1] {
			t.Errorf("exits every %v: scheduled %d times in a second, want %v", gap, n, want)
		}
	}
}
