package boot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Params is what to boot and where there is room for it.
type Params struct {
	Kernel  string // path of a bzImage or an ELF image with a PVH note
	Initrd  string // path, or empty for none
	Cmdline string
	RAM     RAM
	// Reserved are ranges of the address space that the memory map shall
	// not call RAM, such as those of the ACPI tables. Nothing is loaded
	// there.
	Reserved []Range
	// RSDP is the guest-physical address of the ACPI root pointer, 0 for
	// none.
	RSDP uint64
}

// kernel is one of the two formats.
type kernel interface {
	// occupied are the ranges that the running kernel needs at once, below
	// 4 GiB, sorted by address.
	occupied() []Range
	// initrdMax is the highest address that the RAM disk may use.
	initrdMax() uint64
	// cmdlineMax bounds the command line's length without the NUL.
	cmdlineMax() uint64
	// load writes the kernel and its boot data.
	load(mem Memory, b bootData) (Entry, error)
}

// bootData is what a kernel is told.
type bootData struct {
	cmdline string
	e820    []Range
	initrd  Range // Size 0 for none
	rsdp    uint64
}

// Image is a kernel that has been checked and given its place. It keeps the
// files open until [Image.Close], so that a reset of the machine finds them
// even when they have been removed. An Image must not be used from several
// goroutines at once.
type Image struct {
	kernel     kernel
	kernelName string
	initrd     source
	data       bootData
	files      []*os.File
}

// Open opens and checks the files of p. The error is an [*Error] when the
// user's input is to blame.
func Open(p Params) (*Image, error) {
	f, src, err := openKernel(p.Kernel)
	if err != nil {
		return nil, err
	}
	im := &Image{files: []*os.File{f}}
	open := func() (source, error) {
		f, src, err := openInitrd(p.Initrd)
		if err == nil {
			im.files = append(im.files, f)
		}
		return src, err
	}
	if p.Initrd == "" {
		open = nil
	}
	if err := im.prepare(src, open, p); err != nil {
		im.Close()
		return nil, err
	}
	return im, nil
}

// prepare recognises the kernel in src and lays everything out. openInitrd is
// nil when there is no RAM disk; it is called where QEMU opens the file, which
// decides which of several errors is reported.
func (im *Image) prepare(src source, openInitrd func() (source, error), p Params) error {
	ram, err := p.RAM.check()
	if err != nil {
		return err
	}
	if ram.Below4G == 0 {
		return errors.New("boot: a guest without RAM below 4 GiB")
	}
	e820, err := E820(ram, p.Reserved)
	if err != nil {
		return err
	}
	im.kernelName = src.name
	im.data = bootData{e820: e820, rsdp: p.RSDP}

	head, err := src.readAt(0, min(src.size, headLen))
	if err != nil {
		return kernelError(src.name, err)
	}
	initrd := func(limit uint64) error {
		if openInitrd == nil {
			return nil
		}
		im.initrd, err = openInitrd()
		if err != nil {
			return err
		}
		// QEMU's first check, which does not look at what else is in RAM.
		if limit = min(limit, ram.Below4G-1); im.initrd.size >= limit {
			return initrdTooLarge(limit, im.initrd.size)
		}
		return nil
	}
	if isELF(head) && !isBzImage(head) {
		im.kernel, err = openELF(src, head)
		if err == nil {
			err = initrd(im.kernel.initrdMax())
		}
	} else {
		im.kernel, err = openBzImage(src, head, p.Cmdline, openInitrd != nil, initrd)
	}
	if err != nil {
		return err
	}

	if err := im.checkRoom(ram); err != nil {
		return err
	}
	if openInitrd != nil {
		im.data.initrd, err = im.placeInitrd(min(im.kernel.initrdMax(), ram.Below4G-1))
		if err != nil {
			return err
		}
	}
	return im.SetCmdline(p.Cmdline)
}

// SetCmdline replaces the kernel's command line from the next [Image.Load] on.
func (im *Image) SetCmdline(cmdline string) error {
	if err := checkCmdline(cmdline, im.kernel.cmdlineMax()); err != nil {
		return err
	}
	im.data.cmdline = cmdline
	return nil
}

// SetRSDP sets the guest-physical address of the ACPI root pointer from the
// next [Image.Load] on, 0 for none.
func (im *Image) SetRSDP(addr uint64) { im.data.rsdp = addr }

// E820 is the memory map that the kernel is told.
func (im *Image) E820() []Range { return slices.Clone(im.data.e820) }

// Initrd is where the RAM disk goes; ok is false when there is none.
func (im *Image) Initrd() (r Range, ok bool) { return im.data.initrd, im.data.initrd.Addr != 0 }

// Payload is the compressed kernel inside of a bzImage, in whichever format
// the kernel was built with; ok is false for other kernels.
func (im *Image) Payload() (payload *io.SectionReader, ok bool) {
	bz, ok := im.kernel.(*bzImage)
	if !ok || bz.payload.Size == 0 {
		return nil, false
	}
	return io.NewSectionReader(bz.src, int64(bz.payload.Addr), int64(bz.payload.Size)), true
}

// Load writes everything to guest memory and returns the state in which the
// boot processor must start. It may be called again after a reset.
func (im *Image) Load(mem Memory) (Entry, error) {
	cmdline := append([]byte(im.data.cmdline), 0)
	if err := mem.WriteAt(cmdline, cmdlineAddr); err != nil {
		return Entry{}, fmt.Errorf("boot: command line: %w", err)
	}
	if r := im.data.initrd; r.Size > 0 {
		if err := im.initrd.copyTo(mem, 0, r.Size, r.Addr); err != nil {
			return Entry{}, wrapLine(err, "qemu: error reading initrd %s: %s", im.initrd.name, strerror(err))
		}
	}
	e, err := im.kernel.load(mem, im.data)
	if err != nil {
		return Entry{}, kernelError(im.kernelName, err)
	}
	return e, nil
}

// Close closes the files.
func (im *Image) Close() error {
	var errs []error
	for _, f := range im.files {
		errs = append(errs, f.Close())
	}
	im.files = nil
	return errors.Join(errs...)
}

// Load is [Open], [Image.Load] and [Image.Close] in one, for a guest that is
// booted only once.
func Load(mem Memory, p Params) (Entry, error) {
	im, err := Open(p)
	if err != nil {
		return Entry{}, err
	}
	e, err := im.Load(mem)
	return e, errors.Join(err, im.Close())
}
