package system

import (
	"fmt"
	"io"
	"strings"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/hw/machine"
	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// PrintHelp answers the requests for help that end the program.
func PrintHelp(w io.Writer, rep *cli.Reporter, types *qom.Registry, accels []Accelerator, reqs []cli.HelpRequest) {
	for _, r := range reqs {
		switch r.Topic {
		case "machine":
			machineHelp(w, types, r.Arg)
		case "accel":
			fmt.Fprintln(w, "Accelerators supported in QEMU binary:")
			for _, a := range accels {
				if a.Name != "qtest" {
					fmt.Fprintln(w, a.Name)
				}
			}
		case "device":
			if err := deviceHelp(w, types, r.Arg); err != nil {
				rep.Error(r.Loc, err)
			}
		case "object":
			objectHelp(w, types, r.Arg)
		case "cpu":
			cpuHelp(w, types)
		}
	}
}

func machineHelp(w io.Writer, types *qom.Registry, name string) {
	list := types.List("machine", false)
	for _, t := range list {
		if c := machine.ClassOf(t); c != nil && name != "" && (c.Name == name || c.Alias == name) {
			// Nobody is left to tell of a failed write.
			_ = cli.PrintProperties(w, t.Name, helpProps(t.AllProperties()))
			return
		}
	}
	fmt.Fprintln(w, "Supported machines are:")
	for _, t := range list {
		c := machine.ClassOf(t)
		if c == nil {
			continue
		}
		if c.Alias != "" {
			fmt.Fprintf(w, "%-20s %s (alias of %s)\n", c.Alias, c.Desc, c.Name)
		}
		fmt.Fprintf(w, "%-20s %s\n", c.Name, c.Desc)
	}
}

func deviceHelp(w io.Writer, types *qom.Registry, name string) error {
	if name != "" {
		t := types.Lookup(name)
		if t == nil || !t.IsA("device") {
			return fmt.Errorf("Device '%s' not found", name)
		}
		if t.Abstract {
			return fmt.Errorf("Parameter 'driver' expects a non-abstract device type")
		}
		_ = cli.PrintProperties(w, name, helpProps(deviceProperties(t)))
		return nil
	}
	byCategory := map[string][]*qom.Type{}
	for _, t := range types.List("device", false) {
		if c := qdev.ClassOf(t); !c.NotUserCreatable {
			byCategory[c.Category] = append(byCategory[c.Category], t)
		}
	}
	first := true
	for _, cat := range deviceCategories {
		list := byCategory[cat]
		if len(list) == 0 {
			continue
		}
		if !first {
			fmt.Fprintln(w)
		}
		first = false
		title := cat
		if title == "" {
			title = "Uncategorized"
		}
		fmt.Fprintf(w, "%s devices:\n", title)
		for _, t := range list {
			c := qdev.ClassOf(t)
			fmt.Fprintf(w, "name %q", t.Name)
			if c.BusType != "" {
				fmt.Fprintf(w, ", bus %s", c.BusType)
			}
			if c.Desc != "" {
				fmt.Fprintf(w, ", desc %q", c.Desc)
			}
			fmt.Fprintln(w)
		}
	}
	return nil
}

// deviceCategories are the headings of -device help, in QEMU's order.
var deviceCategories = []string{"Controller/Bridge/Hub", "USB", "Storage", "Network", "Input", "Display", "Sound",
	"Misc", "CPU", "Watchdog", ""}

func helpProps(props []*qom.Property) []cli.Prop {
	var out []cli.Prop
	for _, p := range props {
		if p.Set == nil {
			continue
		}
		prop := cli.Prop{Name: p.Name, Type: p.Type, Description: p.Description}
		if p.Default != nil {
			prop.Default = string(qjson.Marshal(p.Default))
		}
		out = append(out, prop)
	}
	return out
}

func objectHelp(w io.Writer, types *qom.Registry, name string) {
	if t := types.Lookup(name); t != nil && t.IsA("user-creatable") && !t.Abstract {
		_ = cli.PrintProperties(w, name, helpProps(t.AllProperties()))
		return
	}
	fmt.Fprintln(w, "List of user creatable objects:")
	for _, t := range types.List("user-creatable", false) {
		fmt.Fprintf(w, "  %s\n", t.Name)
	}
}

func cpuHelp(w io.Writer, types *qom.Registry) {
	fmt.Fprintln(w, "Available CPUs:")
	for _, t := range types.List("x86_64-cpu", false) {
		fmt.Fprintf(w, "x86 %-20s  %s\n", strings.TrimSuffix(t.Name, "-x86_64-cpu"), t.Description)
	}
}
