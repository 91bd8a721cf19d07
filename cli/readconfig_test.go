package cli

import (
	"errors"
	"strings"
	"testing"
)

// What a configuration file asks for and is not here is refused, as it is on
// the command line.
func TestReadConfigMissingDevices(t *testing.T) {
	parse := func(file string) (*Config, error) {
		env := Env{ReadFile: func(string) ([]byte, error) { return []byte(file), nil }}
		return env.Parse([]string{"gqemu", "-readconfig", "f"})
	}
	for _, kind := range []string{"netdev", "nic", "net"} {
		c, err := parse("[" + kind + " \"n\"]\n type = \"user\"\n")
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Networks) != 1 || c.Networks[0].Kind != kind || c.Networks[0].Loc != (Loc{File: "f", Line: 2}) {
			t.Errorf("%s: %+v", kind, c.Networks)
			continue
		}
		if _, err := c.Networks[0].Check(); err == nil {
			t.Errorf("%s is accepted", kind)
		}
	}
	for _, kind := range []string{"fsdev", "tpmdev"} {
		_, err := parse("[" + kind + " \"x\"]\n")
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Messages[len(e.Messages)-1].Text, "not supported") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestEscapeChar: -echr takes a number in C's notation, and says so of what is
// none without an end to the program.
func TestEscapeChar(t *testing.T) {
	for arg, want := range map[string]int{"0x14": 0x14, "20": 20, "024": 20, "0": 0, "x": -1} {
		c, err := Env{}.Parse([]string{"gqemu", "-echr", arg})
		if err != nil {
			t.Fatal(err)
		}
		got := -1
		if c.EscapeChar != nil {
			got = int(*c.EscapeChar)
		}
		if got != want || (c.Output == "Bad argument to echr\n") != (want < 0) {
			t.Errorf("-echr %s: %d, %q", arg, got, c.Output)
		}
	}
}
