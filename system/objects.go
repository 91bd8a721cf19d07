package system

import (
	"fmt"
	"slices"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/hostmem"
	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// useMemoryBackend takes the -object that -machine memory-backend= names as
// the guest's memory.
func (v *VM) useMemoryBackend() error {
	if !v.legacy.HasMemoryBackend {
		return nil
	}
	common := v.machine.Common()
	o := qom.Child(v.objects, v.legacy.MemoryBackend)
	b, ok := o.(*hostmem.Backend)
	switch {
	case !ok:
		return fmt.Errorf("Memory backend '%s' not found", v.legacy.MemoryBackend)
	case v.legacy.CustomRAMSize && b.Size() != common.MemorySize:
		return fmt.Errorf("Machine memory size does not match the size of the memory backend")
	case v.cfg.MemPath != "":
		return fmt.Errorf("'-mem-path' can't be used together with '-machine memory-backend'")
	}
	common.MemorySize = b.Size()
	return v.useRAM(b)
}

// createRAM makes the memory behind -m, where no backend was named.
func (v *VM) createRAM() error {
	common, id := v.machine.Common(), v.class.RAMID
	if v.mainRAM != nil || v.numa.backends() > 0 || id == "" || common.MemorySize == 0 {
		return nil
	}
	if qom.Child(v.objects, id) != nil {
		return &cli.DescError{
			Desc: fmt.Sprintf("object's id '%s' is reserved for the default RAM backend, "+
				"it can't be used for any other purposes", id),
			Hint: fmt.Sprintf("Change the object's 'id' to something else or disable automatic creation of the "+
				"default RAM backend by setting 'memory-backend=%s' with '-machine'.\n", id),
		}
	}
	typ := "memory-backend-ram"
	if v.cfg.MemPath != "" {
		typ = "memory-backend-file"
	}
	b, err := hostmem.New(v.env.Types, typ, common.MemorySize)
	if err == nil && v.cfg.MemPath != "" {
		err = qom.Set(b, "mem-path", qom.JSON(v.cfg.MemPath))
	}
	if err == nil {
		err = v.preallocate(b)
	}
	if err != nil {
		return err
	}
	if err := qom.AddChild(v.objects, id, b); err != nil {
		return err
	}
	v.backends = append(v.backends, b)
	if err := b.Complete(); err != nil {
		return err
	}
	return v.useRAM(b)
}

// preallocate does what -mem-prealloc says to a new memory backend.
func (v *VM) preallocate(b qom.Object) error {
	if !v.cfg.MemPrealloc {
		return nil
	}
	return qom.Set(b, "prealloc", qom.JSON(true))
}

func (v *VM) useRAM(b *hostmem.Backend) error {
	if err := b.Claim(); err != nil {
		return err
	}
	v.mainRAM = b
	v.machine.Common().Backend = b
	return nil
}

// createObjects makes the -object objects.
func (v *VM) createObjects() error {
	for i := range v.cfg.Objects {
		o := &v.cfg.Objects[i]
		if err := v.createObject(o); err != nil {
			return err
		}
	}
	return nil
}

// createObject makes an object. What goes wrong has no place on the command
// line in QEMU's messages: objects are made long after it was read.
func (v *VM) createObject(o *cli.ObjectOpt) error { return v.addObject(o.Type, o.ID, o.Props) }

// addObject makes an object of /objects, with properties whose values are
// JSON's. On failure nothing is left.
func (v *VM) addObject(typ, id string, props map[string]any) error {
	t := v.env.Types.Lookup(typ)
	switch {
	case t == nil:
		return fmt.Errorf("invalid object type: %s", typ)
	case !t.IsA("user-creatable"):
		return fmt.Errorf("object type '%s' isn't supported by object-add", typ)
	case t.Abstract:
		return fmt.Errorf("object type '%s' is abstract", typ)
	}
	obj, err := v.env.Types.New(typ)
	if err != nil {
		return err
	}
	if _, ok := obj.(*hostmem.Backend); ok {
		if err := v.preallocate(obj); err != nil {
			return err
		}
	}
	for _, name := range qjson.Keys(props) {
		if err := qom.Set(obj, name, qom.JSON(props[name])); err != nil {
			return err
		}
	}
	if err := qom.AddChild(v.objects, id, obj); err != nil {
		return err
	}
	switch o := obj.(type) {
	case *hostmem.Backend:
		if err = o.Complete(); err == nil {
			v.backends = append(v.backends, o)
		}
	case qdev.UserCreatable:
		err = o.Complete(v.host)
	}
	if err != nil {
		qom.Unparent(obj)
	}
	return err
}

// deleteObject undoes addObject, unless something uses the object.
func (v *VM) deleteObject(id string) error {
	o := qom.Child(v.objects, id)
	if o == nil {
		return fmt.Errorf("object '%s' not found", id)
	}
	inUse := fmt.Errorf("object '%s' is in use, can not be deleted", id)
	switch o := o.(type) {
	case *hostmem.Backend:
		if o.Claimed() {
			return inUse
		}
		if err := o.Release(); err != nil {
			return err
		}
		v.backends = slices.DeleteFunc(v.backends, func(b *hostmem.Backend) bool { return b == o })
	case qdev.UserCreatable:
		if o.InUse() {
			return inUse
		}
		o.Release()
	}
	qom.Unparent(o)
	return nil
}

// releaseObjects ends what -object and object-add made. The VM lock is held;
// no device is left.
func (v *VM) releaseObjects() {
	if v.objects == nil {
		return
	}
	for _, o := range qom.Children(v.objects) {
		if u, ok := o.(qdev.UserCreatable); ok {
			u.Release()
			qom.Unparent(o)
		}
	}
}
