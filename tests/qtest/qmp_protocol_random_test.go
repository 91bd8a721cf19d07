package qtest

import (
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// argumentMaker makes arguments of commands out of the schema: mostly of the
// right form, with members left out, values at the edge and now and then what
// does not belong.
type argumentMaker struct {
	s *schema
	r *rand.Rand
	q bool // everything has the right form
}

// without names what a test leaves out, since it reaches out of the VM or takes
// all of the host's memory: commands, kinds of things, members.
var without = []string{
	"quit", "memsave", "pmemsave", "dump-guest-memory",
	"file", "pipe", "stdio", "fd", "serial", "parallel", "udp", "inet", "vsock", "pty", "console", "memory-backend-file",
	"prealloc", "path", "logfile", "set-action", "wait",
}

// words are names of things that are there, of things that are not, and odd
// ones.
var words = []string{
	"", "x", "v", "ring", "rng", "ram1", "nosuch", "/", "/machine", "/machine/peripheral/v", "/objects/ram1", "/machine/unattached",
	"virtio-rng-device", "memory-backend-ram", "isa-serial", "device", "object", "microvm-machine", "max", "type", "realized",
	"info qtree", "info nosuch", "x /1 0", "1", "-1", "on", "\x00", "\ue000\U0001f600", strings.Repeat("long", 2000),
}

var numbers = []any{0, 1, -1, 2, 7, 255, 256, 4096, 65535, 65536, 1 << 31, -(1 << 31), 1 << 53, -(1 << 63),
	uint64(1) << 63, ^uint64(0), 1.5, 1e300}

func pickOne[T any](m *argumentMaker, l []T) T { return l[m.r.IntN(len(l))] }

// wrong tells whether to put something here that does not belong.
func (m *argumentMaker) wrong() bool { return !m.q && m.r.IntN(25) == 0 }

func (m *argumentMaker) value(name string, depth int) any {
	if m.wrong() || depth > 6 {
		return pickOne(m, []any{nil, true, 5, "x", 1.5, []any{}, map[string]any{}, []any{nil}, map[string]any{"x": 1}})
	}
	t := m.s.byName[name]
	switch t.MetaType {
	case "enum":
		return pickOne(m, t.Values)
	case "array":
		l := make([]any, m.r.IntN(3))
		for i := range l {
			l[i] = m.value(t.ElementType, depth+1)
		}
		return l
	case "object":
		o := map[string]any{}
		m.members(o, t, depth)
		return o
	case "alternate":
		return m.value(pickOne(m, t.Members).Type, depth+1)
	}
	switch name {
	case "str":
		return pickOne(m, words)
	case "int", "number":
		return pickOne(m, numbers)
	case "bool":
		return m.r.IntN(2) == 0
	case "null":
		return nil
	}
	return pickOne(m, []any{nil, false, 1, "x", []any{1, "y"}, map[string]any{"x": []any{}}})
}

func (m *argumentMaker) members(o map[string]any, t *schemaEntry, depth int) {
	for _, mem := range t.Members {
		if slices.Contains(without, mem.Name) && mem.Optional || mem.Optional && m.r.IntN(2) == 0 || m.wrong() {
			continue
		}
		o[mem.Name] = m.value(mem.Type, depth+1)
	}
	if m.wrong() {
		o[pickOne(m, words)] = 1
	}
	if t.Tag == "" {
		return
	}
	v := pickOne(m, t.Variants)
	for slices.Contains(without, v.Case) {
		v = pickOne(m, t.Variants)
	}
	if _, ok := o[t.Tag].(string); ok {
		o[t.Tag] = v.Case
	}
	m.members(o, m.s.byName[v.Type], depth)
}

// TestRandomArguments: whatever arguments a command is given, it answers, and
// what goes wrong is an error of that command. QTEST_SEED chooses other ones.
func TestRandomArguments(t *testing.T) {
	t.Parallel()
	for _, machine := range []string{"none", "microvm,rtc=on", "q35"} {
		t.Run(machine, func(t *testing.T) {
			t.Parallel()
			m := Start(t, "-nodefaults", "-M", machine, "-m", "16", "-object", "memory-backend-ram,id=ram1,size=1M",
				"-chardev", "ringbuf,id=ring", "-object", "rng-builtin,id=rng")
			q := m.QMP
			if machine != "none" {
				q.Must("stop", nil, nil)
			}
			var reply json.RawMessage
			q.Must("query-qmp-schema", nil, &reply)
			s, err := readSchema(reply)
			if err != nil {
				t.Fatal(err)
			}
			seed, err := strconv.ParseUint(cmp.Or(os.Getenv("QTEST_SEED"), "1"), 0, 64)
			if err != nil {
				t.Fatal(err)
			}
			maker := &argumentMaker{s: s, r: rand.New(rand.NewPCG(seed, 0))}
			fine := 0
			for round := range 10 {
				maker.q = round%2 == 0
				for _, e := range s.entries {
					if e.MetaType != "command" || slices.Contains(without, e.Name) {
						continue
					}
					args := map[string]any{}
					maker.members(args, s.byName[e.ArgType], 0)
					if q.try(e.Name, args) == nil {
						fine++
					}
				}
				q.Events()
			}
			t.Logf("%d commands succeeded", fine)
			if fine < 50 {
				t.Error("hardly any arguments are right")
			}
		})
	}
}

// try performs a command and fails the test if there is no proper answer.
func (q *QMP) try(command string, args any) error {
	q.t.Helper()
	err := q.Execute(command, args, nil)
	if e, ok := err.(*QMPError); ok && (e.Desc == "" || strings.Contains(e.Desc, "internal error") || strings.Contains(e.Desc, "%!")) {
		q.t.Errorf("%s %v: %v", command, args, e)
	}
	return err
}
