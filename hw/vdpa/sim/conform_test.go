package sim

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gqemu/gqemu/hw/hwtest"
	"github.com/gqemu/gqemu/hw/vdpa"
	"github.com/gqemu/gqemu/hw/vdpa/vdpatest"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// kit is a tree to make objects in.
type kit struct {
	*hwtest.Machine
	objects qom.Object
}

func newKit(t testing.TB) *kit {
	t.Helper()
	k := &kit{}
	k.Machine = hwtest.New(t, func(r *qom.Registry) {
		if r.Lookup("user-creatable") == nil {
			r.Register(qom.Type{Name: "user-creatable", Parent: "interface", Abstract: true})
		}
		RegisterTypes(r)
	})
	var err error
	if k.objects, err = k.Types.New("container"); err != nil {
		t.Fatal(err)
	}
	k.Do(func() { err = qom.AddChild(k.Root, "objects", k.objects) })
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// make makes an object that goes with the test.
func (k *kit) make(typ, id string, props map[string]any) (qdev.UserCreatable, error) {
	k.T.Helper()
	obj, err := k.Types.New(typ)
	if err != nil {
		k.T.Fatal(err)
	}
	o := obj.(qdev.UserCreatable)
	k.Do(func() {
		for _, name := range []string{"size", "path", "readonly", "serial", "queue-size", "num-queues", "mac", "mtu",
			"mode", "peer", "server", "ifname", "queue-pairs"} {
			if v, ok := props[name]; ok && err == nil {
				err = qom.Set(o, name, qom.JSON(v))
			}
		}
		if err == nil {
			err = qom.AddChild(k.objects, id, o)
		}
		if err == nil {
			if err = o.Complete(k.Host); err != nil {
				qom.Unparent(o)
			}
		}
	})
	if err == nil {
		k.T.Cleanup(func() { k.Do(o.Release) })
	}
	return o, err
}

func (k *kit) mustMake(typ, id string, props map[string]any) qdev.UserCreatable {
	k.T.Helper()
	o, err := k.make(typ, id, props)
	if err != nil {
		k.T.Fatal(err)
	}
	return o
}

// target opens an object as vhost-vdpa-device does.
func (k *kit) target(id string) vdpatest.Target {
	return vdpatest.Target{Unsupported: blkUnsupported, KeepsKicks: true, Open: func() (be vdpa.Backend, err error) {
		k.Do(func() { be, err = vdpa.Open(k.Host, "/objects/"+id) })
		return be, err
	}}
}

func (k *kit) open(id string) vdpa.Backend {
	k.T.Helper()
	be, err := k.target(id).Open()
	if err != nil {
		k.T.Fatal(err)
	}
	return be
}

// The simulator passes the suite that the kernel's passes.
func TestConforms(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, props := range map[string]map[string]any{
		"memory": {"size": int64(2 << 20)},
		"file":   {"path": file},
		"queues": {"size": int64(2 << 20), "num-queues": int64(4)},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			k.mustMake("vdpa-sim-blk", "d0", props)
			t.Run("Calls", func(t *testing.T) { vdpatest.Calls(t, k.target("d0")) })
			t.Run("Block", func(t *testing.T) { vdpatest.Block(t, k.target("d0")) })
		})
	}
	k := newKit(t)
	k.mustMake("vdpa-sim-net", "n0", nil)
	target := k.target("n0")
	target.ConfigSticks = true
	t.Run("network", func(t *testing.T) {
		t.Run("Calls", func(t *testing.T) { vdpatest.Calls(t, target) })
		t.Run("Net", func(t *testing.T) { vdpatest.Net(t, target) })
	})
}
