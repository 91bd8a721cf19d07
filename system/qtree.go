package system

import (
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"

	"github.com/gqemu/gqemu/hw/pci"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// printBus writes a bus and all below it in the layout of `info qtree`: the
// latest device first.
func printBus(w io.Writer, b *qdev.Bus, indent int) {
	line(w, indent, "bus: %s", b.BusName())
	indent += 2
	line(w, indent, "type %s", b.TypeName())
	devices := b.Devices()
	for i := len(devices) - 1; i >= 0; i-- {
		printDevice(w, devices[i], indent)
	}
}

func line(w io.Writer, indent int, format string, args ...any) {
	fmt.Fprintf(w, "%*s%s\n", indent, "", fmt.Sprintf(format, args...))
}

func printDevice(w io.Writer, d qdev.Device, indent int) {
	s := d.Qdev()
	line(w, indent, `dev: %s, id "%s"`, s.TypeName(), s.ID())
	indent += 2
	in, out := s.GPIOCount()
	for _, n := range sortedKeys(in) {
		line(w, indent, `gpio-in "%s" %d`, n, in[n])
	}
	for _, n := range sortedKeys(out) {
		line(w, indent, `gpio-out "%s" %d`, n, out[n])
	}
	for t := s.Type(); t != nil && t.Name != "device"; t = t.ParentType() {
		for _, p := range inTree(t) {
			printProperty(w, d, p, indent)
		}
	}
	if sys, ok := d.(qdev.SysBusDevice); ok {
		for _, r := range sys.Sys().MMIO() {
			at := ^uint64(0)
			if r.Mapped() {
				at = r.Addr()
			}
			line(w, indent, "mmio %016x/%016x", at, r.Last()+1)
		}
	}
	if f, ok := d.(pci.Model); ok {
		for _, text := range f.PCI().Describe() {
			line(w, indent, "%s", text)
		}
	}
	for _, b := range s.Buses() {
		printBus(w, b, indent)
	}
}

// treeProperties has the properties that `info qtree` shows of types where
// they are not those of introspection in its order: QEMU's declarations come in
// one order and its hash table of properties in another, and aliases of a
// part's properties are in the latter only.
var treeProperties = map[string][]string{
	"isa-serial":        {"index", "iobase", "irq"},
	"vhost-vdpa-device": {"vhostdev", "queue-size"}, // the boot index is the instance's
	"virtio-mmio":       {"format_transport_address", "force-legacy", "ioeventfd"},
}

// inTree lists the properties of a type itself as the tree shows them.
func inTree(t *qom.Type) []*qom.Property {
	names, ok := treeProperties[t.Name]
	if !ok {
		return t.Properties
	}
	var out []*qom.Property
	for _, n := range names {
		out = append(out, t.Property(n))
	}
	return out
}

func printProperty(w io.Writer, d qdev.Device, p *qom.Property, indent int) {
	if p.Get == nil || p.Set == nil || strings.HasPrefix(p.Type, "link<") {
		return
	}
	// What people are shown may differ from what programs are.
	if shown := qom.FindProperty(d, "legacy-"+p.Name); shown != nil {
		if val, err := shown.Get(d); err == nil {
			line(w, indent, "%s = %v", p.Name, val)
		}
		return
	}
	val, err := p.Get(d)
	if err != nil {
		return
	}
	switch x := val.(type) {
	case string:
		line(w, indent, `%s = "%s"`, p.Name, x)
	case uint64:
		switch p.Type {
		case "size":
			line(w, indent, "%s = %d (%s)", p.Name, x, sizeText(x))
		case "uint64": // as QEMU's formatter has it
			line(w, indent, "%s = %d (0x%x)", p.Name, int64(x), x)
		default:
			line(w, indent, "%s = %d (0x%x)", p.Name, x, x)
		}
	case int64:
		line(w, indent, "%s = %d (0x%x)", p.Name, x, uint64(x))
	default:
		line(w, indent, "%s = %v", p.Name, x)
	}
}

// sizeText is a number of bytes with three digits and a unit, the largest of
// which there is at least one, give or take: 1000 KiB are 1 MiB.
func sizeText(n uint64) string {
	const units = " KMGTPE"
	f, u := float64(n), 0
	for f >= 1000 && u < len(units)-1 {
		f /= 1024
		u++
	}
	unit := "B"
	if u > 0 {
		unit = units[u:u+1] + "iB"
	}
	return strconv.FormatFloat(f, 'g', 3, 64) + " " + unit
}

func sortedKeys(m map[string]int) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
