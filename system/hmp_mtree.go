package system

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/monitor/hmp"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

func (h *human) infoMtree(c *hmp.Call) error {
	m := &mtree{Call: c, v: h.v, owners: c.Args.Bool("owner"), disabled: c.Args.Bool("disabled")}
	if c.Args.Bool("flatview") {
		m.flat()
	} else {
		m.trees()
	}
	return nil
}

// mtree prints memory regions in the layout of info mtree.
type mtree struct {
	*hmp.Call
	v                *VM
	owners, disabled bool
	targets          []*memory.Region // of aliases, to be printed on their own
}

// guestSpace is an address space with the names under which it is listed.
type guestSpace struct {
	*memory.Space
	names []string
}

// spaces lists the address spaces. QEMU has one for each CPU, which shows the
// same as that of devices.
func (m *mtree) spaces() []guestSpace {
	mem := guestSpace{m.v.host.Memory, []string{m.v.host.Memory.Name()}}
	for i := range m.v.machine.CPUs() {
		mem.names = append(mem.names, fmt.Sprintf("cpu-memory-%d", i))
	}
	return []guestSpace{mem, {m.v.host.IO, []string{m.v.host.IO.Name()}}}
}

func (m *mtree) trees() {
	for _, s := range m.spaces() {
		for _, name := range slices.Sorted(slices.Values(s.names)) {
			m.Printf("address-space: %s\n", name)
		}
		m.region(s.Root(), 1, 0)
		m.Print("\n")
	}
	for i := 0; i < len(m.targets); i++ {
		m.Printf("memory-region: %s\n", m.targets[i].Name())
		m.region(m.targets[i], 1, 0)
		m.Print("\n")
	}
}

// region prints a region and those in it. base is where its container begins.
func (m *mtree) region(r *memory.Region, level int, base uint64) {
	first := base + r.Addr()
	target, offset := r.Alias()
	if target != nil && !slices.Contains(m.targets, target) {
		m.targets = append(m.targets, target)
	}
	if r.Enabled() || m.disabled {
		m.Printf("%*s%016x-%016x (prio %d, %s): ", 2*level, "", first, first+r.Last(), r.Priority(), regionKind(r))
		if target != nil {
			m.Printf("alias %s @%s %016x-%016x", r.Name(), target.Name(), offset, offset+r.Last())
		} else {
			m.Print(r.Name())
		}
		if !r.Enabled() {
			m.Print(" [disabled]")
		}
		m.owner(r)
		m.Print("\n")
	}
	if target != nil {
		return
	}
	subs := r.Subregions()
	slices.SortStableFunc(subs, func(a, b *memory.Region) int {
		if a.Addr() == b.Addr() {
			return b.Priority() - a.Priority()
		}
		return 0 // by address already
	})
	for _, s := range subs {
		m.region(s, level+1, first)
	}
}

// regionKind is the kind of memory that a guest sees.
func regionKind(r *memory.Region) string {
	for {
		target, _ := r.Alias()
		if target == nil {
			break
		}
		r = target
	}
	switch {
	case r.RAM() == nil:
		return "i/o"
	case r.ReadOnly():
		return "rom"
	}
	return "ram"
}

// owner says what a region belongs to, with -o.
func (m *mtree) owner(r *memory.Region) {
	if !m.owners {
		return
	}
	o, _ := r.Object.(qom.Object)
	if o == nil || o.QOM().Parent() == nil {
		m.Print(" orphan")
		return
	}
	parent := o.QOM().Parent()
	label := "owner"
	if parent == m.v.host.Unattached {
		label = "parent"
	}
	d, isDevice := parent.(qdev.Device)
	if !isDevice {
		m.Printf(" %s:{obj path=%s}", label, qom.Path(parent))
	} else if id := d.Qdev().ID(); id != "" {
		m.Printf(" %s:{dev id=%s}", label, id)
	} else {
		m.Printf(" %s:{dev path=%s}", label, qom.Path(parent))
	}
}

// flat prints what is seen at each address.
func (m *mtree) flat() {
	for i, s := range m.spaces() {
		m.Printf("FlatView #%d\n", i)
		for _, name := range s.names {
			m.Printf(" AS \"%s\", root: %s\n", name, s.Root().Name())
		}
		sections := m.view(s.Space)
		root := s.Root().Name()
		if len(sections) == 0 {
			root = "(none)"
		}
		m.Printf(" Root memory region: %s\n", root)
		for _, sec := range sections {
			m.section(s.Space, sec)
		}
		if len(sections) == 0 {
			m.Print("  No rendered FlatView\n")
		}
		m.Print("\n")
	}
}

func (m *mtree) section(s *memory.Space, sec memory.Section) {
	kind := regionKind(sec.Region)
	if kind == "ram" && sec.ReadOnly {
		kind = "rom"
	}
	m.Printf("  %016x-%016x (prio %d, %s): %s", sec.Addr, sec.Last, sec.Region.Priority(), kind, sec.Region.Name())
	if sec.Offset != 0 {
		m.Printf(" @%016x", sec.Offset)
	}
	m.owner(sec.Region)
	if sec.IsRAM() && s == m.v.host.Memory && m.v.acc.Name() != "qtest" {
		m.Print(" " + strings.ToUpper(m.v.acc.Name()))
	}
	m.Print("\n")
}

// view is the sections of a space. In QEMU ports that nobody has belong to the
// space itself.
func (m *mtree) view(s *memory.Space) []memory.Section {
	sections := s.Sections()
	if s != m.v.host.IO {
		return sections
	}
	var out []memory.Section
	next := uint64(0)
	hole := func(last uint64) {
		out = append(out, memory.Section{Addr: next, Last: last, Region: s.Root(), Offset: next})
	}
	for _, sec := range sections {
		if sec.Addr > next {
			hole(sec.Addr - 1)
		}
		out = append(out, sec)
		next = sec.Last + 1
	}
	if next <= s.Root().Last() {
		hole(s.Root().Last())
	}
	return out
}

func (h *human) infoRAMBlock(c *hmp.Call) error {
	c.Printf("%24s %8s  %18s %18s %18s %18s %3s\n", "Block Name", "PSize", "Offset", "Used", "Total", "HVA", "RO")
	var offset uint64
	for _, b := range h.v.backends {
		ram := b.RAM()
		if ram == nil {
			continue
		}
		c.Printf("%24s %8s  0x%016x 0x%016x 0x%016x 0x%016x %3s\n", ram.Name(), "4 KiB", offset,
			ram.Size(), ram.Size(), uint64(ram.HostAddr()), "rw")
		offset += ram.Size()
	}
	return nil
}
