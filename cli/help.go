package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Version is the version of QEMU whose behaviour this is.
const Version = "8.2.7"

// VersionText is what -version prints. pkg is added in parentheses unless "".
func VersionText(pkg string) string {
	if pkg != "" {
		pkg = " (" + pkg + ")"
	}
	return "QEMU emulator version " + Version + pkg + "\n" +
		"Copyright (c) 2003-2023 Fabrice Bellard and the QEMU Project developers\n"
}

// HelpText is what -help prints: the options there are, in QEMU's layout.
func HelpText(prog, pkg string) string {
	var b strings.Builder
	b.WriteString(VersionText(pkg))
	fmt.Fprintf(&b, "usage: %s [options]\n", prog)
	for _, s := range sections() {
		if s.title != "" {
			fmt.Fprintf(&b, "\n%s\n", s.title)
		}
		for _, o := range s.options {
			b.WriteString(o.help)
		}
	}
	b.WriteString("\nWhen using -nographic, press 'ctrl-a h' to get some help.\n")
	return b.String()
}

// Prop describes one property for a help listing.
type Prop struct {
	Name        string
	Type        string // `bool`, `uint16`, `link<memory-backend>`
	Description string // "" for none
	Default     string // as JSON; "" for none
}

// column is where the description of a property begins.
const column = 24

// PrintProperties lists the properties of a type as `-device TYPE,help`,
// `-object TYPE,help` and `-machine TYPE,help` do, sorted as QEMU sorts them.
// It returns the first write error.
func PrintProperties(w io.Writer, typeName string, props []Prop) error {
	if len(props) == 0 {
		_, err := fmt.Fprintf(w, "There are no options for %s.\n", typeName)
		return err
	}
	lines := make([]string, 0, len(props))
	for _, p := range props {
		l := fmt.Sprintf("  %s=<%s>", p.Name, p.Type)
		if p.Description != "" || p.Default != "" {
			l = fmt.Sprintf("%-*s - %s", column, l, p.Description)
		}
		if p.Default != "" {
			l += " (default: " + p.Default + ")"
		}
		lines = append(lines, l)
	}
	slices.Sort(lines)
	_, err := fmt.Fprintf(w, "%s options:\n%s\n", typeName, strings.Join(lines, "\n"))
	return err
}

// DeviceInfo describes one device type for `-device help`.
type DeviceInfo struct {
	Name, Bus, Alias, Description string // "" for none, except Name
	// Category is the heading it stands under, "" for none.
	Category string
}

// categories are the headings of `-device help`, in their order.
var categories = [...]string{"Controller/Bridge/Hub", "USB", "Storage", "Network", "Input", "Display",
	"Sound", "Misc", "CPU", "Watchdog", ""}

// PrintDevices lists device types as `-device help` does, by category and name.
func PrintDevices(w io.Writer, devs []DeviceInfo) error {
	devs = slices.Clone(devs)
	slices.SortFunc(devs, func(a, b DeviceInfo) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	for _, title := range categories {
		first := true
		for _, d := range devs {
			if d.Category != title {
				continue
			}
			if first {
				if b.Len() > 0 {
					b.WriteByte('\n')
				}
				b.WriteString(cmp.Or(title, "Uncategorized") + " devices:\n")
				first = false
			}
			fmt.Fprintf(&b, "name \"%s\"", d.Name)
			if d.Bus != "" {
				b.WriteString(", bus " + d.Bus)
			}
			if d.Alias != "" {
				fmt.Fprintf(&b, ", alias \"%s\"", d.Alias)
			}
			if d.Description != "" {
				fmt.Fprintf(&b, ", desc \"%s\"", d.Description)
			}
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// MachineInfo describes one machine type for `-machine help`.
type MachineInfo struct {
	Name, Alias, Description string
	Default, Deprecated      bool
}

// PrintMachines lists machine types as `-machine help` does, in the order given.
func PrintMachines(w io.Writer, ms []MachineInfo) error {
	var b strings.Builder
	b.WriteString("Supported machines are:\n")
	for _, m := range ms {
		if m.Alias != "" {
			fmt.Fprintf(&b, "%-20s %s (alias of %s)\n", m.Alias, m.Description, m.Name)
		}
		suffix := ""
		if m.Default {
			suffix += " (default)"
		}
		if m.Deprecated {
			suffix += " (deprecated)"
		}
		fmt.Fprintf(&b, "%-20s %s%s\n", m.Name, m.Description, suffix)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// PrintNames lists names under a heading, each after indent: the form of
// `-accel help` ("Accelerators supported in QEMU binary:", no indent),
// `-chardev help` ("Available chardev backend types: ", two spaces) and
// `-object help` ("List of user creatable objects:", two spaces). The order is
// the caller's.
func PrintNames(w io.Writer, heading, indent string, names []string) error {
	var b strings.Builder
	b.WriteString(heading + "\n")
	for _, n := range names {
		b.WriteString(indent + n + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
