package cli

import (
	"slices"
	"strings"
)

var displayMembers = slices.Concat(
	[]Member{{Name: "type", Kind: KindEnum, Enum: []string{"none"}}},
	optional(KindBool, "full-screen", "window-close", "show-cursor"),
	[]Member{{Name: "gl", Kind: KindEnum, Optional: true, Enum: []string{"off", "on", "core", "es"}}},
)

// displayHelp is the answer to `-display help`.
const displayHelp = "Available display backend types:\nnone\n\n" +
	"Some display backends support suboptions, which can be set with\n" +
	"   -display backend,option=value,option=value...\n" +
	"For a short list of the suboptions for each display, see the top-level -help output; " +
	"more detail is in the documentation.\n"

func (p *parser) display(o Option) error {
	if IsHelp(o.Arg) {
		return &Error{Stdout: displayHelp, Code: 0}
	}
	v, err := visitText(o.Arg, "type", displayMembers)
	if err != nil {
		return err
	}
	p.cfg.Display = v["type"].(string)
	gl, given := v["gl"].(string)
	p.cfg.OpenGL = given && gl != "off"
	return nil
}

var audioMembers = []Member{
	{Name: "id", Kind: KindString, Optional: true},
	{Name: "driver", Kind: KindEnum, Enum: []string{"none"}},
	{Name: "timer-period", Kind: KindUint32, Optional: true},
}

// audio accepts -audio none and nothing else: there is no sound.
func (p *parser) audio(o Option) error {
	tree, help, err := ParseKeyval(o.Arg, "driver")
	if err != nil {
		return err
	}
	if driver, _ := tree["driver"].(string); help || IsHelp(driver) {
		return &Error{Stdout: "Available audio drivers:\nnone\n", Code: 0}
	}
	_, err = visit(treeDialect{m: tree, keyval: true}, audioMembers)
	return err
}

// visitText reads a structured option that may be JSON or keyval.
func visitText(s, implied string, members []Member) (map[string]any, error) {
	if strings.HasPrefix(s, "{") {
		m, err := parseJSONObject(s)
		if err != nil {
			return nil, err
		}
		return visit(treeDialect{m: m}, members)
	}
	tree, help, err := ParseKeyval(s, implied)
	if err != nil {
		return nil, err
	}
	if help {
		return nil, errf("Help is not available for this option")
	}
	return visit(treeDialect{m: tree, keyval: true}, members)
}
