package system

import (
	"testing"

	"github.com/gqemu/gqemu/accel"
)

const longMode = `RAX=0000000000000001 RBX=0000000000000002 RCX=0000000000000003 RDX=0000000000000004
RSI=0000000000000005 RDI=0000000000000006 RBP=ffffffff81000007 RSP=ffffffff82000008
R8 =0000000000000008 R9 =0000000000000009 R10=000000000000000a R11=000000000000000b
R12=000000000000000c R13=000000000000000d R14=000000000000000e R15=000000000000000f
RIP=ffffffff81001234 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
ES =0018 0000000000000000 ffffffff 00c09300 DPL=0 DS   [-WA]
CS =0010 0000000000000000 ffffffff 00a09b00 DPL=0 CS64 [-RA]
FS =0000 00007f0012345678 ffffffff 00c00000
GS =0000 ffff888012345678 0000ffff 00c00000
LDT=0000 0000000000000000 ffffffff 00c00000
TR =0040 fffffe0000003000 00004087 00008b00 DPL=0 TSS64-busy
GDT=     fffffe0000001000 0000007f
CR0=80050033 CR2=0000000000000000 CR3=0000000002a0a000 CR4=000006b0
DR0=0000000000000000 DR1=0000000000000000
FPR0=0000000000000000 0000 FPR1=0000000000000000 0000
`

// Expressions know QEMU's names of registers in every mode, and no others.
func TestFindRegister(t *testing.T) {
	for name, want := range map[string]uint64{
		"eax": 1, "ebx": 2, "ecx": 3, "edx": 4, "esi": 5, "edi": 6,
		"ebp": 0xffffffff81000007, "fp": 0xffffffff81000007, "esp": 0xffffffff82000008, "sp": 0xffffffff82000008,
		"r8": 8, "r9": 9, "r10": 10, "r15": 15, "eip": 0xffffffff81001234, "pc": 0xffffffff81001234, "eflags": 0x246,
		"cs": 0x10, "es.limit": 0xffffffff, "gs.base": 0xffff888012345678, "fs.base": 0x7f0012345678, "gs.limit": 0xffff,
	} {
		if n, ok := findRegister(longMode, name); !ok || uint64(n) != want {
			t.Errorf("%s: %#x, %v; want %#x", name, uint64(n), ok, want)
		}
	}
	for _, name := range []string{"", "rax", "rip", "efl", "cr0", "cr3", "dr0", "ldt", "tr", "cs.", "xmm0", "fpr0", "EAX"} {
		if n, ok := findRegister(longMode, name); ok {
			t.Errorf("%s: %#x", name, n)
		}
	}
	on := powerOn(accel.CPUConfig{Index: 1})
	for name, want := range map[string]int64{"pc": 0xfffffff0, "eip": 0xfff0, "cs.base": 0xffff0000, "r12": 0, "eflags": 2} {
		if n, ok := findRegister(on, name); !ok || n != want {
			t.Errorf("after power-on %s: %#x, %v", name, n, ok)
		}
	}
}

// Numbers of host nodes are written as ranges.
func TestRanges(t *testing.T) {
	for want, nums := range map[string][]any{
		"": nil, "0": {int64(0)}, "0-2,5": {int64(0), int64(1), uint64(2), int64(5)}, "1,3": {int64(1), int64(3)},
	} {
		if got := ranges(nums); got != want {
			t.Errorf("%v: %q, want %q", nums, got, want)
		}
	}
}
