package cpu

import "strings"

// word is an index into features: one CPUID register whose bits are
// features. The order is the one in which QEMU reports them.
type word int

const (
	w1EDX word = iota
	w1ECX
	w7EBX
	w7ECX
	w7EDX
	w71EAX
	wExt1EDX
	wExt1ECX
	wExt7EDX
	wExt8EBX
	wExt21EAX
	wCentaurEDX
	wKVM
	wKVMHints
	wSVM
	wXSAVE
	w6EAX
	wXCR0Low
	wXCR0High
	wPT
	wSGXEAX
	wSGXEBX
	wSGX1EAX
	wXSSLow
	wXSSHigh
	w71EDX
	w72EDX
	numWords
)

// features holds the bits of all words.
type features [numWords]uint32

// register is one of the four that CPUID answers in.
type register int

const (
	regEAX register = iota
	regEBX
	regECX
	regEDX
)

func (r register) String() string { return [...]string{"EAX", "EBX", "ECX", "EDX"}[r] }

// wordInfo says where a word is and how QEMU calls its bits.
type wordInfo struct {
	function, index uint32
	indexed         bool // index is significant
	reg             register
	names           [32]string // "" for a bit without a property
	// noAuto are bits that host and max do not take by themselves.
	noAuto uint32
	// migratable are bits without a name that migratable=on keeps all the
	// same, unmigratable those with a name that it drops.
	migratable, unmigratable uint32
}

// named reads a list of 32 or fewer names from bit 0 on; "-" is a bit
// without.
func named(list string) (names [32]string) {
	for i, n := range strings.Fields(list) {
		if n != "-" {
			names[i] = n
		}
	}
	return names
}

// Feature words and their bits' names (Intel SDM volume 2A, CPUID; AMD APM
// volume 3, appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst), spelled
// as QEMU's properties are.
var words = [numWords]wordInfo{
	w1EDX: {function: 1, reg: regEDX, names: named(`
		fpu vme de pse tsc msr pae mce
		cx8 apic - sep mtrr pge mca cmov
		pat pse36 pn clflush - ds acpi mmx
		fxsr sse sse2 ss ht tm ia64 pbe`)},
	w1ECX: {function: 1, reg: regECX, names: named(`
		pni pclmulqdq dtes64 monitor ds-cpl vmx smx est
		tm2 ssse3 cid - fma cx16 xtpr pdcm
		- pcid dca sse4.1 sse4.2 x2apic movbe popcnt
		tsc-deadline aes xsave - avx f16c rdrand hypervisor`)},
	w7EBX: {function: 7, indexed: true, reg: regEBX, names: named(`
		fsgsbase tsc-adjust sgx bmi1 hle avx2 - smep
		bmi2 erms invpcid rtm - - mpx -
		avx512f avx512dq rdseed adx smap avx512ifma pcommit clflushopt
		clwb intel-pt avx512pf avx512er avx512cd sha-ni avx512bw avx512vl`)},
	w7ECX: {function: 7, indexed: true, reg: regECX, names: named(`
		- avx512vbmi umip pku - waitpkg avx512vbmi2 -
		gfni vaes vpclmulqdq avx512vnni avx512bitalg - avx512-vpopcntdq -
		la57 - - - - - rdpid -
		bus-lock-detect cldemote - movdiri movdir64b - sgxlc pks`)},
	w7EDX: {function: 7, indexed: true, reg: regEDX, names: named(`
		- - avx512-4vnniw avx512-4fmaps fsrm - - -
		avx512-vp2intersect - md-clear - - - serialize -
		tsx-ldtrk - - arch-lbr - - amx-bf16 avx512-fp16
		amx-tile amx-int8 spec-ctrl stibp flush-l1d arch-capabilities core-capability ssbd`)},
	w71EAX: {function: 7, index: 1, indexed: true, reg: regEAX, names: named(`
		- - - - avx-vnni avx512-bf16 - cmpccxadd
		- - fzrm fsrs fsrc - - -
		- - - - - amx-fp16 - avx-ifma`)},
	// The bits that AMD repeats from leaf 1 have their names there.
	wExt1EDX: {function: 0x80000001, reg: regEDX, names: named(`
		- - - - - - - -
		- - - syscall - - - -
		- - - - nx - mmxext -
		- fxsr-opt pdpe1gb rdtscp - lm 3dnowext 3dnow`)},
	wExt1ECX: {function: 0x80000001, reg: regECX, noAuto: ext1TopoExt, names: named(`
		lahf-lm cmp-legacy svm extapic cr8legacy abm sse4a misalignsse
		3dnowprefetch osvw ibs xop skinit wdt - lwp
		fma4 tce - nodeid-msr - tbm topoext perfctr-core
		perfctr-nb`)},
	wExt7EDX: {function: 0x80000007, reg: regEDX, unmigratable: 1 << 8, names: named(`
		- - - - - - - - invtsc`)},
	wExt8EBX: {function: 0x80000008, reg: regEBX, names: named(`
		clzero - xsaveerptr - - - - -
		- wbnoinvd - - ibpb - ibrs amd-stibp
		- stibp-always-on - - - - - -
		amd-ssbd virt-ssbd amd-no-ssb - amd-psfd`)},
	wExt21EAX: {function: 0x80000021, reg: regEAX, names: named(`
		no-nested-data-bp - lfence-always-serializing - - - null-sel-clr-base -
		auto-ibrs`)},
	wCentaurEDX: {function: 0xc0000001, reg: regEDX, names: named(`
		- - xstore xstore-en - - xcrypt xcrypt-en
		ace2 ace2-en phe phe-en pmm pmm-en`)},
	// Bits 0 and 3 are the old and the new kvmclock.
	wKVM: {function: leafKVMFeatures, reg: regEAX, names: named(`
		kvmclock kvm-nopiodelay kvm-mmu kvmclock kvm-asyncpf kvm-steal-time kvm-pv-eoi kvm-pv-unhalt
		- kvm-pv-tlb-flush - kvm-pv-ipi kvm-poll-control kvm-pv-sched-yield kvm-asyncpf-int kvm-msi-ext-dest-id
		- - - - - - - -
		kvmclock-stable-bit`)},
	wKVMHints: {function: leafKVMFeatures, reg: regEDX, noAuto: ^uint32(0), names: named(`kvm-hint-dedicated`)},
	wSVM: {function: 0x8000000a, reg: regEDX, names: named(`
		npt lbrv svm-lock nrip-save tsc-scale vmcb-clean flushbyasid decodeassists
		- - pause-filter - pfthreshold avic - v-vmsave-vmload
		vgif - - - - - - -
		- vnmi - - svme-addr-chk`)},
	wXSAVE: {function: 0xd, index: 1, indexed: true, reg: regEAX, names: named(`
		xsaveopt xsavec xgetbv1 xsaves xfd`)},
	w6EAX: {function: 6, reg: regEAX, names: named(`- - arat`)},
	wXCR0Low: {function: 0xd, indexed: true, reg: regEAX,
		migratable: xcr0X87 | xcr0SSE | xcr0YMM | xcr0MPX | xcr0AVX512 | xcr0PKRU},
	wXCR0High: {function: 0xd, indexed: true, reg: regEDX},
	wPT: {function: 0x14, indexed: true, reg: regECX, names: named(`
		- - - - - - - - - - - - - - - -
		- - - - - - - - - - - - - - - intel-pt-lip`)},
	wSGXEAX: {function: 0x12, indexed: true, reg: regEAX, names: named(`
		sgx1 sgx2 - - - - - - - - - sgx-edeccssa`)},
	wSGXEBX: {function: 0x12, indexed: true, reg: regEBX, names: named(`sgx-exinfo`)},
	wSGX1EAX: {function: 0x12, index: 1, indexed: true, reg: regEAX, names: named(`
		- sgx-debug sgx-mode64 - sgx-provisionkey sgx-tokenkey - sgx-kss
		- - sgx-aex-notify`)},
	wXSSLow:  {function: 0xd, index: 1, indexed: true, reg: regECX},
	wXSSHigh: {function: 0xd, index: 1, indexed: true, reg: regEDX},
	w71EDX: {function: 7, index: 1, indexed: true, reg: regEDX, names: named(`
		- - - - avx-vnni-int8 avx-ne-convert - -
		amx-complex - - - - - prefetchiti`)},
	w72EDX: {function: 7, index: 2, indexed: true, reg: regEDX, names: named(`
		- - - - - mcdt-no`)},
}

// aliases are further names of features.
var aliases = map[string]string{
	"sse3": "pni", "pclmuldq": "pclmulqdq", "ffxsr": "fxsr-opt", "i64": "lm", "xd": "nx",
	"sse4-1": "sse4.1", "sse4_1": "sse4.1", "sse4-2": "sse4.2", "sse4_2": "sse4.2",
	"tsc_adjust": "tsc-adjust", "svm_lock": "svm-lock", "nrip_save": "nrip-save", "tsc_scale": "tsc-scale",
	"vmcb_clean": "vmcb-clean", "pause_filter": "pause-filter", "ds_cpl": "ds-cpl", "fxsr_opt": "fxsr-opt",
	"lahf_lm": "lahf-lm", "cmp_legacy": "cmp-legacy", "nodeid_msr": "nodeid-msr",
	"perfctr_core": "perfctr-core", "perfctr_nb": "perfctr-nb",
	"kvm_nopiodelay": "kvm-nopiodelay", "kvm_mmu": "kvm-mmu", "kvm_asyncpf": "kvm-asyncpf",
	"kvm_asyncpf_int": "kvm-asyncpf-int", "kvm_steal_time": "kvm-steal-time", "kvm_pv_eoi": "kvm-pv-eoi",
	"kvm_pv_unhalt": "kvm-pv-unhalt", "kvm_poll_control": "kvm-poll-control",
}

// Bits that the code below speaks of.
const (
	f1HTT = 1 << 28

	f1PDCM       = 1 << 15
	f1X2APIC     = 1 << 21
	f1XSAVE      = 1 << 26
	f1OSXSAVE    = 1 << 27
	f1AVX        = 1 << 28
	f1Hypervisor = 1 << 31

	f7SGX     = 1 << 2
	f7MPX     = 1 << 14
	f7AVX512F = 1 << 16
	f7PT      = 1 << 25

	f7PKU     = 1 << 3
	f7OSPKE   = 1 << 4
	f7WAITPKG = 1 << 5
	f7LA57    = 1 << 16
	f7SGXLC   = 1 << 30

	f7ArchLBR  = 1 << 19
	f7AMXBF16  = 1 << 22
	f7AMXTile  = 1 << 24
	f7AMXInt8  = 1 << 25
	f7CoreCaps = 1 << 30

	f71AMXFP16    = 1 << 21
	f71AMXComplex = 1 << 8

	ext1LM        = 1 << 29
	ext1CmpLegacy = 1 << 1
	ext1SVM       = 1 << 2
	ext1TopoExt   = 1 << 22
	// ext1Aliases are the bits of leaf 1 that AMD repeats in 0x80000001.
	ext1Aliases = 0x0183f3ff

	fXSAVES = 1 << 3
	fXFD    = 1 << 4
	f6ARAT  = 1 << 2

	leafKVMSignature = 0x40000000
	leafKVMFeatures  = 0x40000001
)
