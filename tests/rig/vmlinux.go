package rig

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Offsets in the bzImage's setup header; Linux
// Documentation/x86/boot.rst.
const (
	hdrSetupSects    = 0x1f1
	hdrMagic         = 0x202
	hdrVersion       = 0x206
	hdrPayloadOffset = 0x248
	hdrPayloadLength = 0x24c
	hdrPayloadSince  = 0x208 // boot protocol 2.08 has the payload fields
)

// decompressors are known by the first bytes of what they decompress.
var decompressors = []struct {
	magic string
	argv  []string // nil: gzip, done here
}{
	{"\x1f\x8b", nil},
	{"\xfd7zXZ\x00", []string{"xz", "-dc", "--single-stream"}},
	{"\x28\xb5\x2f\xfd", []string{"zstd", "-dcq"}},
	{"\x02\x21\x4c\x18", []string{"lz4", "-dcq"}},
}

// bzImagePayload returns the compressed kernel inside a bzImage, without the
// four bytes of length behind it.
func bzImagePayload(image []byte) ([]byte, error) {
	if len(image) < hdrPayloadLength+4 || string(image[hdrMagic:hdrMagic+4]) != "HdrS" {
		return nil, errors.New("not a bzImage")
	}
	if v := binary.LittleEndian.Uint16(image[hdrVersion:]); v < hdrPayloadSince {
		return nil, fmt.Errorf("boot protocol %#x has no payload fields", v)
	}
	sects := uint64(image[hdrSetupSects])
	if sects == 0 {
		sects = 4
	}
	start := (sects+1)*512 + uint64(binary.LittleEndian.Uint32(image[hdrPayloadOffset:]))
	length := uint64(binary.LittleEndian.Uint32(image[hdrPayloadLength:]))
	if length < 4 || start > uint64(len(image)) || length > uint64(len(image))-start {
		return nil, fmt.Errorf("payload at %#x of %#x bytes lies outside the image", start, length)
	}
	return image[start : start+length-4], nil
}

// extractVMLinux writes the ELF kernel inside the bzImage to a file.
func extractVMLinux(ctx context.Context, bzImage, out string) error {
	image, err := os.ReadFile(bzImage)
	if err != nil {
		return err
	}
	payload, err := bzImagePayload(image)
	if err != nil {
		return fmt.Errorf("%s: %w", bzImage, err)
	}
	kernel, err := decompress(ctx, payload)
	if err != nil {
		return fmt.Errorf("%s: %w", bzImage, err)
	}
	if err := checkPVH(kernel); err != nil {
		return fmt.Errorf("%s: %w", bzImage, err)
	}
	return replaceFile(out, kernel)
}

func decompress(ctx context.Context, payload []byte) ([]byte, error) {
	for _, d := range decompressors {
		if !bytes.HasPrefix(payload, []byte(d.magic)) {
			continue
		}
		if d.argv == nil {
			z, err := gzip.NewReader(bytes.NewReader(payload))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(z)
		}
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(ctx, d.argv[0], d.argv[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(payload), &out, &errs
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", d.argv[0], err, errs.String())
		}
		return out.Bytes(), nil
	}
	return nil, fmt.Errorf("unknown compression, first bytes % x", payload[:min(8, len(payload))])
}

// checkPVH makes sure the file can be entered by the PVH protocol, so that a
// kernel built otherwise is found out here and not in a silent guest.
func checkPVH(kernel []byte) error {
	const pvhEntryNote = 18 // XEN_ELFNOTE_PHYS32_ENTRY
	f, err := elf.NewFile(bytes.NewReader(kernel))
	if err != nil {
		return err
	}
	defer f.Close()
	align := func(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		notes, err := io.ReadAll(p.Open())
		if err != nil {
			return err
		}
		for len(notes) >= 12 {
			name, desc := f.ByteOrder.Uint32(notes), f.ByteOrder.Uint32(notes[4:])
			kind := f.ByteOrder.Uint32(notes[8:])
			size := 12 + align(name) + align(desc)
			if size > uint64(len(notes)) {
				break
			}
			if kind == pvhEntryNote && bytes.HasPrefix(notes[12:], []byte("Xen\x00")) {
				return nil
			}
			notes = notes[size:]
		}
	}
	return errors.New("the kernel has no PVH entry note")
}
