package system

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/monitor/hmp"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

func (h *human) infoQOMTree(c *hmp.Call) error {
	var at qom.Object = h.v.machine
	if path := c.Args.Str("path"); path != "" {
		o, ambiguous := qom.Resolve(h.v.root, path, "")
		switch {
		case ambiguous:
			c.Printf("Warning: Path '%s' is ambiguous.\n", path)
			return nil
		case o == nil:
			c.Printf("Path '%s' could not be resolved.\n", path)
			return nil
		}
		at = o
	}
	printComposition(c, at, 0)
	return nil
}

// printComposition writes an object and those below it, by name.
func printComposition(c *hmp.Call, o qom.Object, indent int) {
	c.Printf("%*s/%s (%s)\n", indent, "", o.QOM().Name(), o.QOM().TypeName())
	children := qom.Children(o)
	slices.SortFunc(children, func(a, b qom.Object) int { return strings.Compare(a.QOM().Name(), b.QOM().Name()) })
	for _, child := range children {
		printComposition(c, child, indent+2)
	}
}

func (h *human) qomList(c *hmp.Call) error {
	path := c.Args.Str("path")
	if path == "" {
		c.Print("/\n")
		return nil
	}
	r, err := h.qmp(c, "qom-list", map[string]any{"path": path})
	for _, p := range list(r) {
		c.Printf("%v (%v)\n", member(p, "name"), member(p, "type"))
	}
	return err
}

func (h *human) qomGet(c *hmp.Call) error {
	r, err := h.qmp(c, "qom-get", c.Args)
	if err == nil {
		c.Printf("%s\n", qjson.MarshalPretty(r))
	}
	return err
}

func (h *human) qomSet(c *hmp.Call) error {
	path, property, text := c.Args.Str("path"), c.Args.Str("property"), c.Args.Str("value")
	if !c.Args.Bool("json") {
		o, ambiguous := qom.Resolve(h.v.root, path, "")
		switch {
		case ambiguous:
			return fmt.Errorf("Path '%s' is ambiguous", path)
		case o == nil:
			return &qdev.NotFoundError{ID: path}
		}
		return qom.Set(o, property, qom.String(text))
	}
	value, err := qjson.Parse([]byte(text))
	if err != nil {
		return err
	}
	_, err = h.qmp(c, "qom-set", map[string]any{"path": path, "property": property, "value": value})
	return err
}
