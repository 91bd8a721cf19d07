package nvram

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// This file is the machine's side of fw_cfg: what there is to read. The
// methods are called on a realized device with the VM lock held. Data is
// kept, not copied.

// AddBytes adds an item under a key. That there is one already is an error.
func (f *FwCfg) AddBytes(key uint16, data []byte) error {
	if k := key & keyMask; k >= keyFileFirst || key&keyWrite != 0 {
		return fmt.Errorf("fw_cfg: key 0x%x is not for items", key)
	}
	if f.items[key] != nil {
		return fmt.Errorf("fw_cfg: key 0x%x is taken", key)
	}
	f.put(key, data)
	return nil
}

// AddUint16 adds a 16-bit item.
func (f *FwCfg) AddUint16(key, v uint16) error {
	return f.AddBytes(key, binary.LittleEndian.AppendUint16(nil, v))
}

// AddUint32 adds a 32-bit item.
func (f *FwCfg) AddUint32(key uint16, v uint32) error {
	return f.AddBytes(key, binary.LittleEndian.AppendUint32(nil, v))
}

// AddUint64 adds a 64-bit item.
func (f *FwCfg) AddUint64(key uint16, v uint64) error {
	return f.AddBytes(key, binary.LittleEndian.AppendUint64(nil, v))
}

// AddString adds a string with a NUL behind it.
func (f *FwCfg) AddString(key uint16, s string) error { return f.AddBytes(key, append([]byte(s), 0)) }

func (f *FwCfg) put(key uint16, data []byte) { f.items[key] = &item{data: data} }

// AddFile adds a file.
func (f *FwCfg) AddFile(name string, data []byte) error {
	return f.addFile(name, &item{data: data})
}

// AddFileFunc adds a file whose contents are made anew each time a guest
// selects it. Its size must not change while a guest runs.
func (f *FwCfg) AddFileFunc(name string, contents func() []byte) error {
	return f.addFile(name, &item{data: contents(), refresh: contents})
}

// AddWritableFile adds a file that guests may write by DMA. written is called
// after each write, with the whole contents.
func (f *FwCfg) AddWritableFile(name string, data []byte, written func(data []byte)) error {
	return f.addFile(name, &item{data: data, written: written})
}

// SetFile changes a file's contents, or adds it.
func (f *FwCfg) SetFile(name string, data []byte) error {
	i, found := f.findFile(name)
	if !found {
		return f.AddFile(name, data)
	}
	f.files[i].data, f.files[i].refresh = data, nil
	f.indexFiles()
	return nil
}

// File gives a file's contents.
func (f *FwCfg) File(name string) ([]byte, bool) {
	i, found := f.findFile(name)
	if !found {
		return nil, false
	}
	return f.files[i].data, true
}

// Files lists the names of the files.
func (f *FwCfg) Files() []string {
	var out []string
	for _, file := range f.files {
		out = append(out, file.name)
	}
	return out
}

func (f *FwCfg) findFile(name string) (int, bool) {
	return slices.BinarySearchFunc(f.files, name, func(f file, n string) int { return strings.Compare(f.name, n) })
}

func (f *FwCfg) addFile(name string, it *item) error {
	i, found := f.findFile(name)
	switch {
	case found:
		return fmt.Errorf("duplicate fw_cfg file name: %s", name)
	case name == "" || len(name) > maxFileName:
		return fmt.Errorf("fw_cfg file name is not 1 to %d bytes: '%s'", maxFileName, name)
	case len(f.files) >= int(f.fileSlots):
		return fmt.Errorf("no fw_cfg slot left for file %s", name)
	}
	f.files = slices.Insert(f.files, i, file{name, it})
	f.indexFiles()
	return nil
}

// indexFiles gives the files their keys and writes the directory: a count,
// and for each file its size and key, all big-endian, and its name.
func (f *FwCfg) indexFiles() {
	dir := binary.BigEndian.AppendUint32(nil, uint32(len(f.files)))
	for i, file := range f.files {
		key := uint16(keyFileFirst + i)
		f.items[key] = file.item
		var name [dirEntryLen - 8]byte
		copy(name[:], file.name)
		dir = binary.BigEndian.AppendUint32(dir, uint32(len(file.data)))
		dir = binary.BigEndian.AppendUint16(dir, key)
		dir = append(append(dir, 0, 0), name[:]...)
	}
	f.put(KeyFileDir, dir)
}
