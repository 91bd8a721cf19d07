package main

import "testing"

// The program goes on after its pages were given back.
func TestTrim(t *testing.T) {
	for range 3 {
		if err := trim(); err != nil {
			t.Fatal(err)
		}
	}
	stop := trimLater()
	stop()
}
