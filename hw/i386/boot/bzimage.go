package boot

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// headLen is as much of a kernel file as is looked at to find out what it is.
const headLen = 8192

// Offsets in the setup header, which are the same in boot_params (Linux,
// Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").
const (
	hdrStart        = 0x1f1
	hdrSetupSects   = 0x1f1
	hdrSyssize      = 0x1f4
	hdrVidMode      = 0x1fa
	hdrJumpLen      = 0x201
	hdrMagic        = 0x202
	hdrVersion      = 0x206
	hdrTypeOfLoader = 0x210
	hdrLoadFlags    = 0x211
	hdrCode32Start  = 0x214
	hdrRamdisk      = 0x218
	hdrRamdiskSize  = 0x21c
	hdrCmdlinePtr   = 0x228
	hdrInitrdMax    = 0x22c
	hdrXLoadFlags   = 0x236
	hdrCmdlineSize  = 0x238
	hdrPayload      = 0x248
	hdrPayloadLen   = 0x24c
	hdrPrefAddress  = 0x258
	hdrInitSize     = 0x260
	hdrEnd          = 0x290 // what boot_params has room for

	loadedHigh   = 1 << 0 // in loadflags
	xlfKernel64  = 1 << 0 // in xloadflags
	xlfAbove4G   = 1 << 1
	entry64      = 0x200 // from the start of the protected-mode code
	loaderIsQEMU = 0xb0  // assigned to QEMU, low nibble its version
	sectorLen    = 512

	// minProtocol is the first that has xloadflags.
	minProtocol = 0x20c
)

// bzImage is a Linux kernel with a setup header and a 64-bit entry point.
type bzImage struct {
	src       source
	header    []byte // file offsets 0 to hdrEnd
	setupLen  uint64 // the real-mode code, which is not used
	imageLen  uint64 // the protected-mode code
	loadAddr  uint64
	initSize  uint64 // what the kernel needs from loadAddr on to unpack itself
	maxInitrd uint64
	maxCmd    uint64
	video     uint16
	hasVideo  bool
	payload   Range // in the file
}

func isBzImage(head []byte) bool {
	return len(head) >= hdrVersion+2 && bytes.Equal(head[hdrMagic:hdrMagic+4], []byte("HdrS"))
}

// openBzImage checks the header. The order of the checks is QEMU's where QEMU
// has them: an error of the RAM disk comes before one of the kernel's length.
func openBzImage(src source, head []byte, cmdline string, hasInitrd bool, initrd func(limit uint64) error) (*bzImage, error) {
	le := binary.LittleEndian
	header := make([]byte, max(len(head), hdrEnd))
	copy(header, head)
	k := &bzImage{src: src, header: header[:hdrEnd:hdrEnd]}

	protocol := uint16(0)
	if isBzImage(head) {
		protocol = le.Uint16(k.header[hdrVersion:])
	}
	xload := le.Uint16(k.header[hdrXLoadFlags:])
	switch {
	case protocol >= minProtocol && xload&xlfAbove4G != 0:
		// Such a kernel finds its RAM disk anywhere, whatever it says of
		// the highest address; boot_params has 32 bits for it here.
		k.maxInitrd = 1<<32 - 1
	case protocol >= 0x203:
		k.maxInitrd = uint64(le.Uint32(k.header[hdrInitrdMax:]))
	default:
		k.maxInitrd = 0x37ffffff
	}
	var err error
	if k.video, k.hasVideo, err = videoMode(cmdline); err != nil {
		return nil, err
	}
	if hasInitrd && protocol < 0x200 {
		return nil, linef("qemu: linux kernel too old to load a ram disk")
	}
	if err := initrd(k.maxInitrd); err != nil {
		return nil, err
	}

	sects := uint64(k.header[hdrSetupSects])
	if sects == 0 {
		sects = 4
	}
	k.setupLen = (sects + 1) * sectorLen
	if protocol == 0 || k.setupLen > src.size {
		return nil, linef("qemu: invalid kernel header")
	}
	k.imageLen = src.size - k.setupLen
	if protocol < minProtocol || xload&xlfKernel64 == 0 || k.header[hdrLoadFlags]&loadedHigh == 0 {
		return nil, k.refuse("it has no 64-bit entry point (boot protocol %d.%02d)", protocol>>8, protocol&0xff)
	}
	if need := uint64(le.Uint32(k.header[hdrSyssize:])) * 16; k.imageLen < need || k.imageLen <= entry64 {
		return nil, k.refuse("the file is truncated (%d bytes, need %d)", src.size, k.setupLen+max(need, entry64+1))
	}
	k.maxCmd = uint64(le.Uint32(k.header[hdrCmdlineSize:]))
	k.loadAddr = le.Uint64(k.header[hdrPrefAddress:])
	k.initSize = max(uint64(le.Uint32(k.header[hdrInitSize:])), k.imageLen)
	if k.loadAddr >= 4*giB || k.loadAddr+k.initSize > 4*giB {
		return nil, k.refuse("it wants to be at %#x", k.loadAddr)
	}
	return k, k.findPayload()
}

// findPayload checks where the header says that the compressed kernel is.
func (k *bzImage) findPayload() error {
	le := binary.LittleEndian
	off, n := uint64(le.Uint32(k.header[hdrPayload:])), uint64(le.Uint32(k.header[hdrPayloadLen:]))
	if off+n > k.imageLen {
		return k.refuse("the file is truncated (its payload ends at %d of %d)", k.setupLen+off+n, k.src.size)
	}
	k.payload = Range{Addr: k.setupLen + off, Size: n}
	return nil
}

func (k *bzImage) refuse(format string, args ...any) error {
	return linef("qemu: could not load kernel '%s': %s", k.src.name, fmt.Sprintf(format, args...))
}

func (k *bzImage) occupied() []Range {
	return []Range{{k.loadAddr, k.initSize, E820RAM}}
}

func (k *bzImage) initrdMax() uint64  { return k.maxInitrd }
func (k *bzImage) cmdlineMax() uint64 { return k.maxCmd }

func (k *bzImage) load(mem Memory, b bootData) (Entry, error) {
	if err := k.src.copyTo(mem, k.setupLen, k.imageLen, k.loadAddr); err != nil {
		return Entry{}, err
	}
	if err := mem.WriteAt(k.zeroPage(b), zeroPageAddr); err != nil {
		return Entry{}, err
	}
	return enter64(mem, k.loadAddr+entry64)
}

// Offsets in boot_params outside of the setup header (Linux,
// Documentation/arch/x86/zero-page.rst).
const (
	bpRSDP        = 0x070
	bpE820Entries = 0x1e8
	bpE820Table   = 0x2d0
	bpLen         = 0x1000
)

// zeroPage builds boot_params: the kernel's own setup header, whose length
// the jump at its start tells, with what the loader has to fill in.
func (k *bzImage) zeroPage(b bootData) []byte {
	le := binary.LittleEndian
	p := make([]byte, bpLen)
	end := min(hdrMagic+int(k.header[hdrJumpLen]), hdrEnd)
	copy(p[hdrStart:end], k.header[hdrStart:end])

	p[hdrTypeOfLoader] = loaderIsQEMU
	if k.hasVideo {
		le.PutUint16(p[hdrVidMode:], k.video)
	}
	le.PutUint32(p[hdrCode32Start:], uint32(k.loadAddr))
	le.PutUint32(p[hdrCmdlinePtr:], cmdlineAddr)
	le.PutUint32(p[hdrRamdisk:], uint32(b.initrd.Addr))
	le.PutUint32(p[hdrRamdiskSize:], uint32(b.initrd.Size))
	le.PutUint64(p[bpRSDP:], b.rsdp)
	p[bpE820Entries] = uint8(len(b.e820))
	copy(p[bpE820Table:], EncodeE820(b.e820))
	return p
}
