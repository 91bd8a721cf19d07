package system

import (
	"fmt"
	"io"
	"sort"
	"strings"

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
	val, err := p.Get(d)
	if err != nil {
		return
	}
	switch x := val.(type) {
	case string:
		line(w, indent, `%s = "%s"`, p.Name, x)
	case uint64:
		line(w, indent, "%s = %d (0x%x)", p.Name, x, x)
	case int64:
		if strings.HasPrefix(p.Type, "int") {
			line(w, indent, "%s = %d (0x%x)", p.Name, x, uint64(x)&0xffffffff)
		} else {
			line(w, indent, "%s = %d (0x%x)", p.Name, x, x)
		}
	default:
		line(w, indent, "%s = %v", p.Name, x)
	}
}

func sortedKeys(m map[string]int) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
