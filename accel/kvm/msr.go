package kvm

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/sys"
)

// Model specific registers (Intel SDM volume 4, AMD APM volume 2; KVM's own
// in Linux Documentation/virt/kvm/x86/msr.rst).
const (
	msrTSC            = 0x10
	msrFeatureControl = 0x3a
	msrTSCAdjust      = 0x3b
	msrSpecCtrl       = 0x48
	msrPMC0           = 0xc1
	msrUmwaitControl  = 0xe1
	msrSysenterCS     = 0x174
	msrSysenterESP    = 0x175
	msrSysenterEIP    = 0x176
	msrMCGStatus      = 0x17a
	msrPerfEvtSel0    = 0x186
	msrMiscEnable     = 0x1a0
	msrMTRRPhysBase0  = 0x200
	msrPAT            = 0x277
	msrMTRRDefType    = 0x2ff
	msrFixedCtr0      = 0x309
	msrFixedCtrCtrl   = 0x38d
	msrPerfStatus     = 0x38e
	msrPerfGlobalCtrl = 0x38f
	msrMC0Status      = 0x401
	msrTSCDeadline    = 0x6e0
	msrBNDCFGS        = 0xd90
	msrXSS            = 0xda0
	msrXFD            = 0x1c4
	msrXFDErr         = 0x1c5
	msrKVMWallClock   = 0x4b564d00
	msrKVMSystemTime  = 0x4b564d01
	msrKVMAsyncPFEn   = 0x4b564d02
	msrKVMStealTime   = 0x4b564d03
	msrKVMPVEOI       = 0x4b564d04
	msrKVMPollControl = 0x4b564d05
	msrKVMAsyncPFInt  = 0x4b564d06
	msrOldWallClock   = 0x11
	msrOldSystemTime  = 0x12
	msrSTAR           = 0xc0000081
	msrLSTAR          = 0xc0000082
	msrCSTAR          = 0xc0000083
	msrSyscallMask    = 0xc0000084
	msrKernelGSBase   = 0xc0000102
	msrTSCAux         = 0xc0000103
	msrVMHSavePA      = 0xc0010117
)

const (
	patReset         = 0x0007040600070406
	miscFastStrings  = 1
	mtrrEnable       = 1 << 11
	mtrrWriteBack    = 6
	mtrrRanges       = 8 // variable ones, as many as KVM has
	pollControlReset = 1
)

// resetMSRs is what a vCPU's registers hold at power-on, in the order they
// are set. The KVM ones are cleared first of all: through them the kernel
// writes to guest memory.
//
// Feature control ends VMX operation: until then the kernel takes no other
// control registers.
//
// MTRRs are enabled and write-back, as firmware leaves them on all
// processors: Linux gives up PAT, and complains, when it finds them off.
var resetMSRs = []msrEntry{
	{index: msrKVMSystemTime},
	{index: msrKVMWallClock},
	{index: msrKVMAsyncPFEn},
	{index: msrKVMAsyncPFInt},
	{index: msrKVMStealTime},
	{index: msrKVMPVEOI},
	{index: msrKVMPollControl, data: pollControlReset},
	{index: msrFeatureControl},
	{index: msrTSCDeadline},
	{index: msrTSC},
	{index: msrTSCAdjust},
	{index: msrTSCAux},
	{index: msrSysenterCS},
	{index: msrSysenterESP},
	{index: msrSysenterEIP},
	{index: msrMiscEnable, data: miscFastStrings},
	{index: msrPAT, data: patReset},
	{index: msrMTRRDefType, data: mtrrEnable | mtrrWriteBack},
	{index: msrSpecCtrl},
	{index: msrUmwaitControl},
	{index: msrBNDCFGS},
	{index: msrXFD},
	{index: msrXFDErr},
	{index: msrXSS},
	{index: msrMCGStatus},
	{index: msrSTAR},
	{index: msrLSTAR},
	{index: msrCSTAR},
	{index: msrSyscallMask},
	{index: msrKernelGSBase},
	{index: msrVMHSavePA},
}

// alwaysThere are registers that KVM handles without listing them.
var alwaysThere = map[uint32]bool{msrPAT: true, msrMTRRDefType: true, msrMCGStatus: true}

// mustSet are registers without whose reset value no kernel boots right.
var mustSet = map[uint32]bool{msrTSC: true, msrPAT: true, msrSTAR: true, msrLSTAR: true, msrKernelGSBase: true}

// msrIndexList reads which registers the kernel saves and restores.
func msrIndexList(dev int) (map[uint32]bool, error) {
	for n := 256; ; n *= 2 {
		buf := make([]byte, 4+4*n)
		binary.NativeEndian.PutUint32(buf, uint32(n))
		_, err := sys.IoctlBytes(dev, kvmGetMSRIndexList, buf)
		if err == unix.E2BIG && n < 1<<14 {
			continue
		}
		if err != nil {
			return nil, err
		}
		list := map[uint32]bool{}
		for i := range min(n, int(binary.NativeEndian.Uint32(buf))) {
			list[binary.NativeEndian.Uint32(buf[4+4*i:])] = true
		}
		return list, nil
	}
}

// setMSRs sets registers in order. One that the kernel refuses is skipped
// unless nothing works without it; a guest is never offered what it cannot
// have.
func (v *VCPU) setMSRs(list []msrEntry) error {
	for len(list) > 0 {
		n, err := v.msrs(kvmSetMSRs, list)
		if err != nil {
			return v.failed("KVM_SET_MSRS", err)
		}
		if n >= len(list) {
			return nil
		}
		refused := list[n]
		if mustSet[refused.index] {
			return v.failed("KVM_SET_MSRS", &msrError{refused.index, refused.data})
		}
		v.vm.log.Debug().Int("cpu", v.cfg.Index).Uint32("msr", refused.index).Msg("kernel refuses MSR")
		list = list[n+1:]
	}
	return nil
}

// msrs makes KVM_GET_MSRS or KVM_SET_MSRS and returns how many were done.
func (v *VCPU) msrs(req uintptr, list []msrEntry) (int, error) {
	size := int(sys.Sizeof[msrEntry]())
	buf := make([]byte, 8, 8+len(list)*size)
	binary.NativeEndian.PutUint32(buf, uint32(len(list)))
	for i := range list {
		buf = append(buf, sys.Bytes(&list[i])...)
	}
	n, err := sys.IoctlBytes(v.fd, req, buf)
	for i := range list {
		copy(sys.Bytes(&list[i]), buf[8+i*size:])
	}
	return n, err
}

// powerOnMSRs is resetMSRs less what this kernel does not know.
func (v *VCPU) powerOnMSRs() []msrEntry {
	var list []msrEntry
	for _, e := range resetMSRs {
		if v.vm.msrs[e.index] || alwaysThere[e.index] {
			list = append(list, e)
		}
	}
	if v.leaf(leafFeatures).EDX&edxMTRR != 0 {
		for i := range uint32(mtrrRanges) {
			list = append(list, msrEntry{index: msrMTRRPhysBase0 + 2*i}, msrEntry{index: msrMTRRPhysBase0 + 2*i + 1})
		}
	}
	for _, index := range v.counterMSRs() {
		if v.vm.msrs[index] {
			list = append(list, msrEntry{index: index})
		}
	}
	if v.hasMCE() {
		for i := range uint32(v.vm.caps.mceBanks) {
			list = append(list, msrEntry{index: msrMC0Status + 4*i})
		}
	}
	return list
}

// counterMSRs are the registers of architectural performance monitoring, in the
// order that stops the counters first (Intel SDM volume 3, section 20.2).
func (v *VCPU) counterMSRs() []uint32 {
	const (
		maxCounters = 18 // before other registers begin
		maxFixed    = 16
	)
	pmu := v.leaf(leafPMU)
	version := pmu.EAX & 0xff
	if version == 0 {
		return nil
	}
	var list []uint32
	if version > 1 {
		list = append(list, msrPerfGlobalCtrl, msrFixedCtrCtrl)
		for i := range min(pmu.EDX&0x1f, maxFixed) {
			list = append(list, msrFixedCtr0+i)
		}
	}
	for i := range min(pmu.EAX>>8&0xff, maxCounters) {
		list = append(list, msrPerfEvtSel0+i, msrPMC0+i)
	}
	if version > 1 {
		list = append(list, msrPerfStatus)
	}
	return list
}

type msrError struct {
	index uint32
	data  uint64
}

func (e *msrError) Error() string {
	return "failed to set MSR 0x" + hex(uint64(e.index)) + " to 0x" + hex(e.data)
}

// Machine check banks, as QEMU gives a guest.
const (
	mceBanks = 10
	mcgCtlP  = 1 << 8
	mcgSerP  = 1 << 24
)

func (v *VCPU) hasMCE() bool {
	return v.vm.caps.mceBanks > 0 && v.leaf(leafFeatures).EDX&(edxMCE|edxMCA) == edxMCE|edxMCA
}

// setupMCE gives a vCPU that has machine checks its banks.
func (v *VCPU) setupMCE() error {
	if !v.hasMCE() {
		return nil
	}
	var supported uint64
	if _, err := sys.IoctlPtr(v.vm.dev, kvmGetMCECap, &supported); err != nil {
		return v.failed("KVM_X86_GET_MCE_CAP_SUPPORTED", err)
	}
	mcg := supported&(mcgCtlP|mcgSerP) | uint64(v.vm.caps.mceBanks)
	if _, err := sys.IoctlPtr(v.fd, kvmSetupMCE, &mcg); err != nil {
		return v.failed("KVM_X86_SETUP_MCE", err)
	}
	return nil
}
