package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

func fileName(slot int) string { return fmt.Sprintf("file%02d", slot) }

// fileData is what a generation of a file holds: a header, which names it, and
// bytes that follow from the header. 0 to 256 KiB.
func fileData(slot int, gen uint64) []byte {
	rnd := rand.New(rand.NewPCG(uint64(slot), gen))
	data := make([]byte, 16+rnd.IntN(256<<10))
	binary.LittleEndian.PutUint64(data, uint64(slot))
	binary.LittleEndian.PutUint64(data[8:], gen)
	fill(data[16:], rnd)
	return data
}

// tableData is a block of the table: its number, its version, bytes, and a
// checksum.
func tableData(block int, version uint64) []byte {
	data := make([]byte, blockSize)
	binary.LittleEndian.PutUint64(data, uint64(block))
	binary.LittleEndian.PutUint64(data[8:], version)
	fill(data[16:blockSize-4], rand.New(rand.NewPCG(uint64(block), version)))
	binary.LittleEndian.PutUint32(data[blockSize-4:], crc32.ChecksumIEEE(data[:blockSize-4]))
	return data
}

func fill(b []byte, rnd *rand.Rand) {
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, rnd.Uint64())
		b = b[8:]
	}
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
}

// verifyVerb reads SAFE lines from the standard input and holds the file
// system against them: each file has at least the generation that was said,
// whole; each block of the table at least the version.
func verifyVerb(args []string) error {
	fs := flag.NewFlagSet("verify", flag.ContinueOnError)
	seed := fs.Uint64("seed", 1, "the writer's")
	if err := fs.Parse(args); err != nil || fs.NArg() != 1 {
		return errors.Join(err, errors.New("usage: verify [flags] DIR"))
	}
	gens, version, err := readSafe(os.Stdin)
	if err != nil {
		return err
	}
	files := 0
	for slot, gen := range gens {
		if gen == 0 {
			continue
		}
		if err := verifyFile(filepath.Join(fs.Arg(0), fileName(slot)), slot, gen); err != nil {
			return err
		}
		files++
	}
	blocks, err := verifyTable(filepath.Join(fs.Arg(0), "table"), *seed, version)
	if err != nil {
		return err
	}
	fmt.Printf("VERIFIED %d files, %d blocks up to version %d\n", files, blocks, version)
	return nil
}

func readSafe(r io.Reader) (gens [fileSlots]uint64, version uint64, err error) {
	for in := bufio.NewScanner(r); in.Scan(); {
		var slot int
		var n uint64
		if _, err := fmt.Sscanf(in.Text(), "SAFE table %d", &n); err == nil {
			version = max(version, n)
			continue
		}
		if _, err := fmt.Sscanf(in.Text(), "SAFE file %d %d", &slot, &n); err != nil {
			return gens, 0, fmt.Errorf("%q: %w", in.Text(), err)
		}
		if slot < 0 || slot >= fileSlots {
			return gens, 0, fmt.Errorf("%q: no such file", in.Text())
		}
		gens[slot] = max(gens[slot], n)
	}
	return gens, version, nil
}

func verifyFile(path string, slot int, gen uint64) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(data) < 16 {
		return fmt.Errorf("%s has %d bytes; generation %d was safe", path, len(data), gen)
	}
	got := binary.LittleEndian.Uint64(data[8:])
	if got < gen {
		return fmt.Errorf("%s is generation %d; %d was safe", path, got, gen)
	}
	if !bytes.Equal(data, fileData(slot, got)) {
		return fmt.Errorf("%s of generation %d differs from what was written; %d was safe", path, got, gen)
	}
	return nil
}

// verifyTable says how many blocks had to be there.
func verifyTable(path string, seed, version uint64) (int, error) {
	least := make([]uint64, tableBlocks)
	order := newTableOrder(seed)
	for v := uint64(1); v <= version; v++ {
		least[order.next()] = v
	}
	f, err := os.Open(path)
	if err != nil {
		if version == 0 && os.IsNotExist(err) {
			return 0, nil
		}
		return 0, err
	}
	defer f.Close()
	blocks := 0
	data := make([]byte, blockSize)
	for block, want := range least {
		if want == 0 {
			continue
		}
		blocks++
		if _, err := f.ReadAt(data, int64(block)*blockSize); err != nil {
			return 0, fmt.Errorf("block %d of the table, whose version %d was safe: %w", block, want, err)
		}
		got := binary.LittleEndian.Uint64(data[8:])
		if got < want {
			return 0, fmt.Errorf("block %d of the table is version %d; %d was safe", block, got, want)
		}
		if !bytes.Equal(data, tableData(block, got)) {
			return 0, fmt.Errorf("block %d of the table, version %d, differs from what was written", block, got)
		}
	}
	return blocks, nil
}
