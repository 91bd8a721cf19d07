package vdpa

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/errno"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// OpenFunc makes a Backend of what the property vhostdev names. Errors have
// QEMU's texts.
type OpenFunc func(h *qdev.Host, vhostdev string) (Backend, error)

// Provider is an object that vhostdev= names by its path in the composition
// tree, as in vhostdev=/objects/d0.
type Provider interface {
	// OpenVDPA gives the device to one user, until he closes it; EBUSY while
	// there is one. The VM lock is held.
	OpenVDPA() (Backend, error)
}

// objectPrefix begins the paths of objects that users made.
const objectPrefix = "/objects/"

// openObject opens what is not a file but an object.
func openObject(h *qdev.Host, path string) (Backend, error) {
	var o qom.Object
	if h.Root != nil {
		o, _ = qom.Resolve(h.Root, path, "")
	}
	if o == nil {
		return nil, fmt.Errorf("Could not open '%s': there is no such object", path)
	}
	p, ok := o.(Provider)
	if !ok {
		return nil, fmt.Errorf("Could not open '%s': an object of type '%s' is not a vDPA device", path, o.QOM().TypeName())
	}
	b, err := p.OpenVDPA()
	if err != nil {
		return nil, &wordedError{fmt.Sprintf("Could not open '%s': %s", path, errno.Text(err)), err}
	}
	return b, nil
}

// fdsetPrefix stands before the number of a set of inherited descriptors.
const fdsetPrefix = "/dev/fdset/"

// Open opens a vhost-vdpa character device, takes one from a set of
// descriptors that the machine holds, or opens an object that simulates one.
func Open(h *qdev.Host, vhostdev string) (Backend, error) {
	if strings.HasPrefix(vhostdev, objectPrefix) {
		return openObject(h, vhostdev)
	}
	fd, err := openFD(h, vhostdev)
	if err != nil {
		return nil, err
	}
	k := &kernel{fd: fd, name: vhostdev}
	if strings.HasPrefix(vhostdev, fdsetPrefix) {
		k.release = h.ReleaseFD
	}
	return k, nil
}

// openBackend opens what the properties name. name is for error texts.
func (d *Device) openBackend(h *qdev.Host) (b Backend, name string, err error) {
	switch {
	case d.hasVhostdev && d.hasVhostfd:
		return nil, "", errors.New("vhost-vdpa-device: vhostdev= and vhostfd= are mutually exclusive")
	case d.hasVhostdev:
		b, err = d.open(h, d.vhostdev)
		return b, d.vhostdev, err
	case !d.hasVhostfd:
		return nil, "", errors.New("vhost-vdpa-device: vhostdev are missing")
	}
	fd := -1
	if h.TakeFD == nil {
		err = fmt.Errorf("File descriptor named '%s' has not been found", d.vhostfd)
	} else {
		fd, err = h.TakeFD(d.vhostfd)
	}
	name = "vhostfd=" + d.vhostfd
	if err != nil {
		return nil, name, &wordedError{"vhost-vdpa-device: unable to parse vhostfd: " + err.Error(), err}
	}
	return NewKernel(fd, name), name, nil
}

func openFD(h *qdev.Host, path string) (int, error) {
	if set, ok := strings.CutPrefix(path, fdsetPrefix); ok {
		if n, err := strconv.ParseInt(set, 10, 32); err != nil || n < 0 {
			return -1, fmt.Errorf("Could not parse fdset %s", path)
		}
		if h.OpenFD != nil {
			return h.OpenFD(path)
		}
		return -1, &wordedError{
			fmt.Sprintf("Could not dup FD for %s flags %x: %s", path, unix.O_RDWR, errno.Text(unix.ENOENT)), unix.ENOENT,
		}
	}
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, &wordedError{fmt.Sprintf("Could not open '%s': %s", path, errno.Text(err)), err}
	}
	return fd, nil
}
