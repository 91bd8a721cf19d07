package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// What is written:
//
//   - files: one of fileSlots is written anew under another name, made safe by
//     fsync, renamed and made safe by an fsync of the folder;
//   - the table, one file of tableBlocks blocks, is overwritten in place in an
//     order that the seed gives, and made safe by fsync now and then;
//   - noise: files that are appended to, cut and deleted, and never made safe.
//
// Each thing that is safe is said on a line of its own, after the system call
// that made it so has returned:
//
//	SAFE file SLOT GENERATION
//	SAFE table VERSION
const (
	fileSlots   = 24
	tableBlocks = 2048
	blockSize   = 4096
	noiseFiles  = 8
	// stepBlocks is how many blocks of the table are written in one step.
	stepBlocks = 24
)

// writer is the state of one run of writes.
type writer struct {
	dir   string
	rnd   *rand.Rand // what is done; not the table's order
	table *os.File
	order tableOrder
	gens  [fileSlots]uint64
	bytes int64
}

// tableOrder is the order in which the table's blocks are written.
type tableOrder struct{ rnd *rand.Rand }

func newTableOrder(seed uint64) tableOrder { return tableOrder{rand.New(rand.NewPCG(seed, 1))} }

func (o tableOrder) next() int { return o.rnd.IntN(tableBlocks) }

func writeVerb(args []string) error {
	fs := flag.NewFlagSet("write", flag.ContinueOnError)
	seed := fs.Uint64("seed", 1, "what is done, and with what data")
	mib := fs.Int64("mib", 64, "how much to write in all")
	if err := fs.Parse(args); err != nil || fs.NArg() != 1 {
		return errors.Join(err, errors.New("usage: write [flags] DIR"))
	}
	w := &writer{dir: fs.Arg(0), rnd: rand.New(rand.NewPCG(*seed, 0)), order: newTableOrder(*seed)}
	var err error
	if w.table, err = os.OpenFile(w.path("table"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644); err != nil {
		return err
	}
	defer w.table.Close()
	for version := uint64(0); w.bytes < *mib<<20; {
		if err := w.file(); err != nil {
			return err
		}
		if version, err = w.blocks(version); err != nil {
			return err
		}
		if err := w.noise(); err != nil {
			return err
		}
	}
	fmt.Printf("WRITTEN %d MiB\n", w.bytes>>20)
	return nil
}

func (w *writer) path(name string) string { return filepath.Join(w.dir, name) }

// file writes one file anew.
func (w *writer) file() error {
	slot := w.rnd.IntN(fileSlots)
	w.gens[slot]++
	gen := w.gens[slot]
	data := fileData(slot, gen)
	next := w.path("new")
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	// In pieces, so that some are of parts of a block.
	for rest := data; len(rest) > 0 && err == nil; {
		n := min(len(rest), 1+w.rnd.IntN(128<<10))
		_, err = f.Write(rest[:n])
		rest = rest[n:]
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, w.path(fileName(slot))); err != nil {
		return err
	}
	if err := syncDir(w.dir); err != nil {
		return err
	}
	w.bytes += int64(len(data))
	fmt.Printf("SAFE file %d %d\n", slot, gen)
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// blocks overwrites some of the table's blocks; version is the last that was
// written.
func (w *writer) blocks(version uint64) (uint64, error) {
	for range stepBlocks {
		version++
		block := w.order.next()
		if _, err := w.table.WriteAt(tableData(block, version), int64(block)*blockSize); err != nil {
			return version, err
		}
		w.bytes += blockSize
	}
	if err := w.table.Sync(); err != nil {
		return version, err
	}
	if version == stepBlocks { // the table is a new file
		if err := syncDir(w.dir); err != nil {
			return version, err
		}
	}
	fmt.Printf("SAFE table %d\n", version)
	return version, nil
}

// noise keeps the allocator and the journal busy.
func (w *writer) noise() error {
	path := w.path(fmt.Sprintf("noise%d", w.rnd.IntN(noiseFiles)))
	switch w.rnd.IntN(4) {
	case 0:
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return err
		}
	case 1:
		if err := os.Truncate(path, w.rnd.Int64N(256<<10)); err != nil && !os.IsNotExist(err) {
			return err
		}
	default:
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		n, err := f.Write(make([]byte, 1+w.rnd.IntN(256<<10)))
		w.bytes += int64(n)
		return errors.Join(err, f.Close())
	}
	return nil
}
