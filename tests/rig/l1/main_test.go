package l1

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if !Inside() {
		fmt.Println("tests/rig/l1: not inside L1 (GQEMU_RIG_L1 is not set); run `rig test`")
		os.Exit(0)
	}
	if Binary() == "" {
		fmt.Println("tests/rig/l1: GQEMU_BINARY does not name the VMM to test")
		os.Exit(1)
	}
	os.Exit(m.Run())
}
