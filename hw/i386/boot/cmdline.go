package boot

import (
	"fmt"
	"strconv"
	"strings"
)

// Transport is a virtio-mmio transport as the kernel's virtio_mmio.device=
// parameter describes it.
type Transport struct {
	Base uint64 // guest-physical address of the registers
	IRQ  uint32
}

const transportLen = 512

// VirtIOMMIOArgs are the kernel parameters for transports that no firmware
// table describes, one per transport and in the order given, each with a
// space in front so that they can be appended to a command line.
func VirtIOMMIOArgs(transports []Transport) string {
	var b strings.Builder
	for _, t := range transports {
		fmt.Fprintf(&b, " virtio_mmio.device=%d@%#x:%d", transportLen, t.Base, t.IRQ)
	}
	return b.String()
}

// videoMode finds the vga= parameter, which is meant for the boot loader. The
// result is a value for the setup header's vid_mode, ok false when there is
// none.
func videoMode(cmdline string) (mode uint16, ok bool, err error) {
	_, value, found := strings.Cut(cmdline, "vga=")
	if !found {
		return 0, false, nil
	}
	switch {
	case strings.HasPrefix(value, "normal"):
		return 0xffff, true, nil
	case strings.HasPrefix(value, "ext"):
		return 0xfffe, true, nil
	case strings.HasPrefix(value, "ask"):
		return 0xfffd, true, nil
	}
	value, _, _ = strings.Cut(value, " ")
	n, perr := parseC(value)
	if perr != nil {
		return 0, false, linef("qemu: invalid 'vga=' kernel parameter.")
	}
	return uint16(n), true, nil
}

// parseC reads an unsigned number as C's strtoul does with base 0: decimal,
// 0x hexadecimal or 0 octal. Go's base 0 accepts more than that.
func parseC(s string) (uint64, error) {
	switch {
	case strings.HasPrefix(s, "0x"), strings.HasPrefix(s, "0X"):
		return strconv.ParseUint(s[2:], 16, 32)
	case strings.HasPrefix(s, "0"):
		return strconv.ParseUint(s, 8, 32)
	}
	return strconv.ParseUint(s, 10, 32)
}

// checkCmdline refuses a command line that the kernel would not see in full.
// limit counts the bytes without the NUL.
func checkCmdline(cmdline string, limit uint64) error {
	if strings.IndexByte(cmdline, 0) >= 0 {
		return &Error{Msg: "kernel command line contains a NUL byte"}
	}
	limit = min(limit, cmdlineMax-1)
	if n := uint64(len(cmdline)); n > limit {
		return &Error{Msg: fmt.Sprintf("kernel command line is too long (max: %d, need %d)", limit, n)}
	}
	return nil
}
