package kvm

//lint:file-ignore U1000 structures of the kernel's are whole, used or not

import "github.com/gqemu/gqemu/internal/sys"

// What follows is linux/kvm.h and asm/kvm.h for x86-64, in Go's spelling.

const kvmio = 0xae

var (
	kvmGetAPIVersion      = sys.IO(kvmio, 0x00)
	kvmCreateVM           = sys.IO(kvmio, 0x01)
	kvmGetMSRIndexList    = sys.IOWRSize(kvmio, 0x02, 4)
	kvmCheckExtension     = sys.IO(kvmio, 0x03)
	kvmGetVCPUMmapSize    = sys.IO(kvmio, 0x04)
	kvmGetSupportedCPUID  = sys.IOWRSize(kvmio, 0x05, 8)
	kvmCreateVCPU         = sys.IO(kvmio, 0x41)
	kvmSetUserMemRegion   = sys.IOW[userspaceMemoryRegion](kvmio, 0x46)
	kvmSetTSSAddr         = sys.IO(kvmio, 0x47)
	kvmSetIdentityMapAddr = sys.IOW[uint64](kvmio, 0x48)
	kvmCreateIRQChip      = sys.IO(kvmio, 0x60)
	kvmIRQLine            = sys.IOW[irqLevel](kvmio, 0x61)
	kvmGetIRQChip         = sys.IOWR[irqchip](kvmio, 0x62)
	kvmSetIRQChip         = sys.IOR[irqchip](kvmio, 0x63)
	kvmRegCoalesced       = sys.IOW[coalescedZone](kvmio, 0x67)
	kvmUnregCoalesced     = sys.IOW[coalescedZone](kvmio, 0x68)
	kvmSetGSIRouting      = sys.IOWSize(kvmio, 0x6a, 8)
	kvmIRQFD              = sys.IOW[irqfd](kvmio, 0x76)
	kvmCreatePIT2         = sys.IOW[pitConfig](kvmio, 0x77)
	kvmIOEventFD          = sys.IOW[ioeventfd](kvmio, 0x79)
	kvmSetClock           = sys.IOW[clockData](kvmio, 0x7b)
	kvmGetClock           = sys.IOR[clockData](kvmio, 0x7c)
	kvmRun                = sys.IO(kvmio, 0x80)
	kvmGetRegs            = sys.IOR[regs](kvmio, 0x81)
	kvmSetRegs            = sys.IOW[regs](kvmio, 0x82)
	kvmGetSregs           = sys.IOR[sregs](kvmio, 0x83)
	kvmSetSregs           = sys.IOW[sregs](kvmio, 0x84)
	kvmTranslate          = sys.IOWR[translation](kvmio, 0x85)
	kvmInterrupt          = sys.IOW[uint32](kvmio, 0x86)
	kvmGetMSRs            = sys.IOWRSize(kvmio, 0x88, 8)
	kvmSetMSRs            = sys.IOWSize(kvmio, 0x89, 8)
	kvmGetFPU             = sys.IOR[fpu](kvmio, 0x8c)
	kvmSetFPU             = sys.IOW[fpu](kvmio, 0x8d)
	kvmGetLAPIC           = sys.IOR[lapicState](kvmio, 0x8e)
	kvmSetLAPIC           = sys.IOW[lapicState](kvmio, 0x8f)
	kvmSetCPUID2          = sys.IOWSize(kvmio, 0x90, 8)
	kvmGetMPState         = sys.IOR[uint32](kvmio, 0x98)
	kvmNMI                = sys.IO(kvmio, 0x9a)
	kvmGetStatsFD         = sys.IO(kvmio, 0xce)
	kvmSetMPState         = sys.IOW[uint32](kvmio, 0x99)
	kvmSetupMCE           = sys.IOW[uint64](kvmio, 0x9c)
	kvmGetMCECap          = sys.IOR[uint64](kvmio, 0x9d)
	kvmGetVCPUEvents      = sys.IOR[vcpuEvents](kvmio, 0x9f)
	kvmSetVCPUEvents      = sys.IOW[vcpuEvents](kvmio, 0xa0)
	kvmSetPIT2            = sys.IOW[pitState](kvmio, 0xa0)
	kvmGetDebugRegs       = sys.IOR[debugRegs](kvmio, 0xa1)
	kvmSetDebugRegs       = sys.IOW[debugRegs](kvmio, 0xa2)
	kvmEnableCap          = sys.IOW[enableCap](kvmio, 0xa3)
	kvmGetXsave           = sys.IOR[[4096]byte](kvmio, 0xa4)
	kvmSetXsave           = sys.IOW[[4096]byte](kvmio, 0xa5)
	kvmSignalMSI          = sys.IOW[msi](kvmio, 0xa5)
	kvmSetXCRs            = sys.IOW[xcrs](kvmio, 0xa7)
	kvmKVMClockCtrl       = sys.IO(kvmio, 0xad)
)

type capability int

const (
	capIRQChip           capability = 0
	capUserMemory        capability = 3
	capSetTSSAddr        capability = 4
	capExtCPUID          capability = 7
	capNRVCPUs           capability = 9
	capNRMemslots        capability = 10
	capMPState           capability = 14
	capCoalescedMMIO     capability = 15
	capDestroyRegion     capability = 21
	capUserNMI           capability = 22
	capIRQRouting        capability = 25
	capJoinRegions       capability = 30
	capMCE               capability = 31
	capIRQFD             capability = 32
	capPIT2              capability = 33
	capIOEventFD         capability = 36
	capSetIdentityMap    capability = 37
	capAdjustClock       capability = 39
	capVCPUEvents        capability = 41
	capDebugRegs         capability = 50
	capXsave             capability = 55
	capXCRs              capability = 56
	capMaxVCPUs          capability = 66
	capTSCDeadline       capability = 72
	capKVMClockCtrl      capability = 76
	capSignalMSI         capability = 77
	capReadonlyMem       capability = 81
	capIOEventFDNoLength capability = 100
	capX86SMM            capability = 117
	capSplitIRQChip      capability = 121
	capMaxVCPUID         capability = 128
	capImmediateExit     capability = 136
	capCoalescedPIO      capability = 162
	capXsave2            capability = 208
)

// Exit reasons.
const (
	exitUnknown       = 0
	exitException     = 1
	exitIO            = 2
	exitHLT           = 5
	exitMMIO          = 6
	exitIRQWindowOpen = 7
	exitShutdown      = 8
	exitFailEntry     = 9
	exitIntr          = 10
	exitSetTPR        = 11
	exitInternalError = 17
	exitIOAPICEOI     = 26
)

const internalErrorEmulation = 1

const (
	mpRunnable      = 0
	mpUninitialized = 1
	mpHalted        = 3
)

type userspaceMemoryRegion struct {
	slot, flags   uint32
	guestPhysAddr uint64
	size          uint64
	userspaceAddr uint64
}

const memReadonly = 1 << 1

type irqLevel struct{ irq, level uint32 }

type irqfd struct {
	fd, gsi, flags, resamplefd uint32
	_                          [16]byte
}

const irqfdDeassign = 1 << 0

type pitConfig struct {
	flags uint32
	_     [15]uint32
}

const pitSpeakerDummy = 1

type pitState struct {
	channels [3]struct {
		count                                     uint32
		latched                                   uint16
		countLatched, statusLatched, status       uint8
		readState, writeState, writeLatch, rwMode uint8
		mode, bcd, gate                           uint8
		loaded                                    int64
	}
	flags uint32
	_     [9]uint32
}

// irqchip is the state of one chip: a picState or an ioapicState.
type irqchip struct {
	id, _ uint32
	state [512]byte
}

type picState struct {
	lastIRR, irr, imr, isr                uint8
	priorityAdd, base, readISR, poll      uint8
	specialMask, initState, autoEOI       uint8
	rotate, nested, init4, elcr, elcrMask uint8
}

type ioapicState struct {
	base    uint64
	sel, id uint32
	irr, _  uint32
	table   [24]uint64
}

type ioeventfd struct {
	datamatch uint64
	addr      uint64
	len       uint32
	fd        int32
	flags     uint32
	_         [36]byte
}

const (
	ioeventfdDatamatch = 1 << 0
	ioeventfdPIO       = 1 << 1
	ioeventfdDeassign  = 1 << 2
)

type coalescedZone struct {
	addr      uint64
	size, pio uint32
}

type clockData struct {
	clock             uint64
	flags, _          uint32
	realtime, hostTSC uint64
	_                 [4]uint32
}

type regs struct {
	rax, rbx, rcx, rdx uint64
	rsi, rdi, rsp, rbp uint64
	r8, r9, r10, r11   uint64
	r12, r13, r14, r15 uint64
	rip, rflags        uint64
}

type segment struct {
	base                           uint64
	limit                          uint32
	selector                       uint16
	typ                            uint8
	present, dpl, db, s, l, g, avl uint8
	unusable, _                    uint8
}

type dtable struct {
	base  uint64
	limit uint16
	_     [3]uint16
}

type sregs struct {
	cs, ds, es, fs, gs, ss  segment
	tr, ldt                 segment
	gdt, idt                dtable
	cr0, cr2, cr3, cr4, cr8 uint64
	efer                    uint64
	apicBase                uint64
	interruptBitmap         [4]uint64
}

type translation struct {
	linear, physical           uint64
	valid, writeable, usermode uint8
	_                          [5]uint8
}

type fpu struct {
	fpr        [8][16]byte
	fcw, fsw   uint16
	ftwx, _    uint8
	lastOpcode uint16
	lastIP     uint64
	lastDP     uint64
	xmm        [16][16]byte
	mxcsr, _   uint32
}

type lapicState struct{ regs [0x400]byte }

type msrEntry struct {
	index, _ uint32
	data     uint64
}

type cpuidEntry struct {
	function, index, flags uint32
	eax, ebx, ecx, edx     uint32
	_                      [3]uint32
}

type vcpuEvents struct {
	exception struct {
		injected, nr, hasErrorCode, pending uint8
		errorCode                           uint32
	}
	interrupt struct{ injected, nr, soft, shadow uint8 }
	nmi       struct{ injected, pending, masked, _ uint8 }
	sipi      uint32
	flags     uint32
	smi       struct{ smm, pending, smmInsideNMI, latchedInit uint8 }
	triple    uint8
	_         [26]uint8
	hasPay    uint8
	payload   uint64
}

const (
	eventsNMIPending = 1 << 0
	eventsSIPI       = 1 << 1
	eventsShadow     = 1 << 2
	eventsSMM        = 1 << 3
)

type debugRegs struct {
	db              [4]uint64
	dr6, dr7, flags uint64
	_               [9]uint64
}

type enableCap struct {
	cap, flags uint32
	args       [4]uint64
	_          [64]byte
}

type msi struct {
	addrLo, addrHi uint32
	data           uint32
	flags          uint32
	devid          uint32
	_              [12]byte
}

type xcr struct {
	xcr, _ uint32
	value  uint64
}

type xcrs struct {
	n, flags uint32
	xcrs     [16]xcr
	_        [16]uint64
}

type routingEntry struct {
	gsi, typ, flags, _ uint32
	u                  [8]uint32
}

const (
	routingIRQChip = 1
	routingMSI     = 2
)

// Chips a routing entry names.
const (
	chipPICMaster = 0
	chipPICSlave  = 1
	chipIOAPIC    = 2
)
