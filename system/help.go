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

// PrintHelp answers the requests for help that end the program. Nobody is left
// to tell of a failed write. cpuFlags are the names of the features that -cpu
// takes.
func PrintHelp(w io.Writer, rep *cli.Reporter, types *qom.Registry, accels []Accelerator, cpuFlags []string, reqs []cli.HelpRequest) {
	for _, r := range reqs {
		switch r.Topic {
		case "machine":
			machineHelp(w, types, r.Arg)
		case "accel":
			var names []string
			for _, a := range accels {
				if a.Name != "qtest" {
					names = append(names, a.Name)
				}
			}
			_ = cli.PrintNames(w, "Accelerators supported in QEMU binary:", "", names)
		case "device":
			if err := deviceHelp(w, types, r.Arg); err != nil {
				rep.Error(r.Loc, err)
			}
		case "object":
			objectHelp(w, types, r.Arg)
		case "cpu":
			cpuHelp(w, types, cpuFlags)
		}
	}
}

func machineHelp(w io.Writer, types *qom.Registry, name string) {
	list := types.List("machine", false)
	for _, t := range list {
		if c := machine.ClassOf(t); c != nil && name != "" && (c.Name == name || c.Alias == name) {
			_ = cli.PrintProperties(w, t.Name, helpProps(t.AllProperties()))
			return
		}
	}
	var infos []cli.MachineInfo
	for _, t := range list {
		if c := machine.ClassOf(t); c != nil {
			infos = append(infos, cli.MachineInfo{Name: c.Name, Alias: c.Alias, Description: c.Desc, Default: c.Default})
		}
	}
	_ = cli.PrintMachines(w, infos)
}

func deviceHelp(w io.Writer, types *qom.Registry, name string) error {
	if name != "" {
		t := types.Lookup(name)
		if t == nil {
			return fmt.Errorf("Device '%s' not found", name)
		}
		if t.Abstract || !t.IsA("device") {
			return fmt.Errorf("Parameter 'typename' expects a non-abstract device type")
		}
		_ = cli.PrintProperties(w, name, helpProps(deviceProperties(t)))
		return nil
	}
	var infos []cli.DeviceInfo
	for _, t := range types.List("device", false) {
		if c := qdev.ClassOf(t); !c.NotUserCreatable {
			infos = append(infos, cli.DeviceInfo{Name: t.Name, Bus: c.BusType, Description: c.Desc, Category: c.Category})
		}
	}
	_ = cli.PrintDevices(w, infos)
	return nil
}

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
	var names []string
	for _, t := range types.List("user-creatable", false) {
		names = append(names, t.Name)
	}
	_ = cli.PrintNames(w, "List of user creatable objects:", "  ", names)
}

// flagsWidth is how wide the lines of features are, in columns.
const flagsWidth = 75

func cpuHelp(w io.Writer, types *qom.Registry, flags []string) {
	fmt.Fprintln(w, "Available CPUs:")
	for _, t := range types.List("x86_64-cpu", false) {
		fmt.Fprintf(w, "x86 %-20s  %s\n", strings.TrimSuffix(t.Name, "-x86_64-cpu"), t.Description)
	}
	fmt.Fprintln(w, "\nRecognized CPUID flags:")
	n := 0
	for _, f := range flags {
		if n+len(f)+1 >= flagsWidth {
			fmt.Fprintln(w)
			n = 0
		}
		if n == 0 {
			fmt.Fprint(w, " ")
		}
		fmt.Fprint(w, " "+f)
		n += len(f) + 1
	}
	fmt.Fprint(w, "\n\n")
}
