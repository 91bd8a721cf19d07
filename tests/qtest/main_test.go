package qtest

import (
	"slices"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// equal compares lists and shows both.
func equal(t testing.TB, what string, have, want []string) {
	t.Helper()
	if !slices.Equal(have, want) {
		t.Errorf("%s:\n have %q\n want %q", what, have, want)
	}
}

// microvm starts the machine most tests are about.
func microvm(t testing.TB, more ...string) *Machine {
	t.Helper()
	return Start(t, append([]string{"-nodefaults", "-M", "microvm"}, more...)...)
}
