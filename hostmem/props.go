package hostmem

import (
	"errors"
	"fmt"

	"github.com/gqemu/gqemu/qom"
)

// RegisterTypes adds the backends' types.
func RegisterTypes(r *qom.Registry) {
	r.Register(qom.Type{Name: "user-creatable", Parent: "interface", Abstract: true})
	r.Register(qom.Type{
		Name: "memory-backend", Parent: "object", Abstract: true, Interfaces: []string{"user-creatable"},
		New: func() qom.Object { return new(Backend) },
		Properties: []*qom.Property{
			flag("merge", "Mark memory as mergeable", true, nil, (*Backend).setMerge, func(b *Backend) *bool { return &b.merge }),
			flag("dump", "Set to 'off' to exclude from core dump", true, nil, (*Backend).setDump, func(b *Backend) *bool { return &b.dump }),
			flag("prealloc", "Preallocate memory", false, nil, (*Backend).preallocate, func(b *Backend) *bool { return &b.prealloc }),
			preallocThreads(),
			{Name: "prealloc-context", Type: "link<thread-context>", Description: "Context to use for creating CPU threads for preallocation",
				Get: func(qom.Object) (any, error) { return "", nil }, Set: refuseContext},
			size("size", "Size of the memory region (ex: 500M)", checkSize, func(b *Backend) *uint64 { return &b.size }),
			{Name: "host-nodes", Type: "int", Description: "Binds memory to the list of NUMA host nodes",
				Get: func(qom.Object) (any, error) { return []any{}, nil }, Set: setNodes},
			qom.Enum("policy", "HostMemPolicy", []string{"default", "preferred", "bind", "interleave"},
				func(b *Backend) *string { return &b.policy }, "default",
				qom.Description("Set the NUMA policy"), qom.HideDefault()),
			flag("share", "Mark the memory as private to QEMU or shared", false, errFixed, nil, func(b *Backend) *bool { return &b.share }),
			flag("reserve", "Reserve swap space (or huge pages) if applicable", true, errFixed, nil, func(b *Backend) *bool { return &b.reserve }),
			flag("x-use-canonical-path-for-ramblock-id", "", false, nil, nil, func(b *Backend) *bool { return &b.canonicalPath }),
		},
	})
	r.Register(qom.Type{Name: "memory-backend-ram", Parent: "memory-backend"})
	r.Register(qom.Type{Name: "memory-backend-memfd", Parent: "memory-backend",
		Properties: []*qom.Property{
			flag("hugetlb", "Use huge pages", false, nil, nil, func(b *Backend) *bool { return &b.hugetlb }),
			size("hugetlbsize", "Huge pages size (ex: 2M, 1G)", checkHugeSize, func(b *Backend) *uint64 { return &b.hugetlbSize }),
			flag("seal", "Seal growing & shrinking", true, nil, nil, func(b *Backend) *bool { return &b.seal }),
		}})
	r.Register(qom.Type{Name: "memory-backend-file", Parent: "memory-backend",
		Properties: []*qom.Property{
			memPath(),
			size("align", "", checkPlace("align"), func(b *Backend) *uint64 { return &b.align }),
			size("offset", "Offset into the target file (ex: 1G)", checkPlace("offset"), func(b *Backend) *uint64 { return &b.offset }),
			flag("discard-data", "", false, nil, nil, func(b *Backend) *bool { return &b.discardData }),
			flag("readonly", "", false, fixed("cannot change property 'readonly' of %s."), nil, func(b *Backend) *bool { return &b.readonly }),
		}})
}

// refuseContext refuses all: there are no thread contexts.
func refuseContext(_ qom.Object, v qom.Value) error {
	id, err := v.Str("prealloc-context")
	if err != nil || id == "" {
		return err
	}
	return fmt.Errorf("Device '%s' not found", id)
}

// errBinding refuses what memory cannot be here.
var errBinding = errors.New("NUMA node binding of memory is not supported")

// setNodes notes that host nodes were named. Whether that can be depends on the
// policy, so Complete decides.
func setNodes(o qom.Object, v qom.Value) error {
	b := o.(*Backend)
	some := true
	switch l := v.Raw().(type) {
	case []any:
		some = len(l) > 0
	case []uint64:
		some = len(l) > 0
	}
	if b.ram != nil && some {
		return errBinding
	}
	b.nodes = some
	return nil
}

// check refuses a value; memory that is allocated keeps its shape.
type check func(b *Backend, n uint64) error

// fixed refuses every change once the memory is allocated. format has the type.
func fixed(format string) func(*Backend) error {
	return func(b *Backend) error {
		if b.ram != nil {
			return fmt.Errorf(format, b.TypeName())
		}
		return nil
	}
}

// errFixed is fixed with the words for what is no size.
func errFixed(b *Backend) error {
	if b.ram != nil {
		return fmt.Errorf("cannot change property value")
	}
	return nil
}

func checkSize(b *Backend, n uint64) error {
	// The space at the end is QEMU's.
	if err := fixed("cannot change property size of %s ")(b); err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("property 'size' of %s doesn't take value '0'", b.TypeName())
	}
	return nil
}

func checkHugeSize(b *Backend, n uint64) error {
	if err := errFixed(b); err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("Property '%s.hugetlbsize' doesn't take value '0'", b.TypeName())
	}
	return nil
}

func checkPlace(name string) check {
	return func(b *Backend, _ uint64) error { return fixed("cannot change property '" + name + "' of %s")(b) }
}

func size(name, desc string, ok check, f func(*Backend) *uint64) *qom.Property {
	p := qom.NewProperty(name, "int", nil,
		func(b *Backend) any { return *f(b) },
		func(b *Backend, v qom.Value) error {
			n, err := v.Size(name)
			if err == nil {
				err = ok(b, n)
			}
			if err == nil {
				*f(b) = n
			}
			return err
		}, nil)
	p.Description = desc
	return p
}

// flag is a boolean property. may, if not nil, refuses a change; apply, if not
// nil, makes allocated memory follow.
func flag(name, desc string, def bool, may func(*Backend) error, apply func(b *Backend, on bool) error,
	f func(*Backend) *bool) *qom.Property {
	p := qom.Field(name, f, def, qom.Description(desc), qom.HideDefault())
	p.Set = func(o qom.Object, v qom.Value) error {
		b := o.(*Backend)
		on, err := v.Bool(name)
		if err == nil && may != nil {
			err = may(b)
		}
		if err == nil && apply != nil && b.ram != nil {
			err = apply(b, on)
		}
		if err == nil {
			*f(b) = on
		}
		return err
	}
	return p
}

func preallocThreads() *qom.Property {
	p := qom.Field("prealloc-threads", func(b *Backend) *uint32 { return &b.preallocThreads }, 1,
		qom.Description("Number of CPU threads to use for prealloc"), qom.TypeName("int"), qom.HideDefault())
	set := p.Set
	p.Set = func(o qom.Object, v qom.Value) error {
		if n, err := v.Uint(p.Name, 32); err == nil && n == 0 {
			return fmt.Errorf("property 'prealloc-threads' of %s doesn't take value '0'", o.QOM().TypeName())
		}
		return set(o, v)
	}
	return p
}

func memPath() *qom.Property {
	p := qom.Field("mem-path", func(b *Backend) *string { return &b.path }, "", qom.TypeName("string"))
	set := p.Set
	p.Set = func(o qom.Object, v qom.Value) error {
		if err := fixed("cannot change property 'mem-path' of %s")(o.(*Backend)); err != nil {
			return err
		}
		return set(o, v)
	}
	return p
}
