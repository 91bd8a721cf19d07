package rig

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"strings"
)

// Modes of cpio entries: stat's file types.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
	modeChar = 0o020000
)

// cpioWriter builds an archive of the "newc" format, the one the kernel's
// initramfs is read from. Parent folders are made as needed. The same input
// gives the same bytes: there are no times in it.
type cpioWriter struct {
	buf  bytes.Buffer
	ino  uint32
	dirs map[string]bool
}

func newCpio() *cpioWriter { return &cpioWriter{dirs: map[string]bool{".": true, "/": true}} }

func (w *cpioWriter) entry(name string, mode, rmajor, rminor uint32, data []byte) {
	w.ino++
	fmt.Fprintf(&w.buf, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		w.ino, mode, 0, 0, 1, 0, len(data), 0, 0, rmajor, rminor, len(name)+1, 0)
	w.buf.WriteString(name)
	w.buf.WriteByte(0)
	w.pad()
	w.buf.Write(data)
	w.pad()
}

func (w *cpioWriter) pad() {
	for w.buf.Len()%4 != 0 {
		w.buf.WriteByte(0)
	}
}

func (w *cpioWriter) parents(name string) {
	if dir := path.Dir(name); !w.dirs[dir] {
		w.Dir(dir)
	}
}

func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// Dir adds a folder, once.
func (w *cpioWriter) Dir(name string) {
	name = clean(name)
	if w.dirs[name] || name == "" {
		return
	}
	w.parents(name)
	w.dirs[name] = true
	w.entry(name, modeDir|0o755, 0, 0, nil)
}

// File adds a file with the given permission bits.
func (w *cpioWriter) File(name string, perm uint32, data []byte) {
	name = clean(name)
	w.parents(name)
	w.entry(name, modeFile|perm, 0, 0, data)
}

// Copy adds a file of the host's.
func (w *cpioWriter) Copy(name string, perm uint32, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	w.File(name, perm, data)
	return nil
}

// Link adds a symbolic link.
func (w *cpioWriter) Link(name, target string) {
	name = clean(name)
	w.parents(name)
	w.entry(name, modeLink|0o777, 0, 0, []byte(target))
}

// Char adds a character device.
func (w *cpioWriter) Char(name string, perm, major, minor uint32) {
	name = clean(name)
	w.parents(name)
	w.entry(name, modeChar|perm, major, minor, nil)
}

// Bytes ends the archive and returns it.
func (w *cpioWriter) Bytes() []byte {
	w.entry("TRAILER!!!", 0, 0, 0, nil)
	for w.buf.Len()%512 != 0 {
		w.buf.WriteByte(0)
	}
	return w.buf.Bytes()
}
