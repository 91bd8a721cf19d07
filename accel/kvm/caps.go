package kvm

import (
	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/internal/sys"
)

// caps is what this kernel's KVM can do beyond what is required.
type caps struct {
	maxVCPUs    int
	memslots    int
	maxVCPUID   int
	xsaveSize   int // of KVM_SET_XSAVE's structure; 0 without XSAVE
	xcrs        bool
	readonly    bool // read-only memory slots
	anyLength   bool // ioeventfds that match any length
	tscDeadline bool
	clock       bool // KVM_GET_CLOCK and KVM_SET_CLOCK
	clockCtrl   bool
	smm         bool
	// coalescedPIO tells that port writes can be coalesced, in the ring at page
	// coalescedPage of a vCPU's shared mapping.
	coalescedPIO  bool
	coalescedPage int
	mceBanks      int // machine check banks; 0 without machine checks
}

type need struct {
	cap  capability
	name string
}

// required lists what gqemu does not run without, with the kernels' names.
var required = []need{
	{capUserMemory, "KVM_CAP_USER_MEMORY"},
	{capDestroyRegion, "KVM_CAP_DESTROY_MEMORY_REGION_WORKS"},
	{capJoinRegions, "KVM_CAP_JOIN_MEMORY_REGIONS_WORKS"},
	{capSetTSSAddr, "KVM_CAP_SET_TSS_ADDR"},
	{capSetIdentityMap, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
	{capExtCPUID, "KVM_CAP_EXT_CPUID"},
	{capIRQChip, "KVM_CAP_IRQCHIP"},
	{capMPState, "KVM_CAP_MP_STATE"},
	{capVCPUEvents, "KVM_CAP_VCPU_EVENTS"},
	{capDebugRegs, "KVM_CAP_DEBUGREGS"},
	{capIOEventFD, "KVM_CAP_IOEVENTFD"},
	{capIRQFD, "KVM_CAP_IRQFD"},
	{capIRQRouting, "KVM_CAP_IRQ_ROUTING"},
	{capSignalMSI, "KVM_CAP_SIGNAL_MSI"},
	{capImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"},
}

// checkExtension is 0 for what the kernel cannot do or does not know.
func checkExtension(fd int, c capability) int {
	n, err := sys.Ioctl(fd, kvmCheckExtension, uintptr(c))
	if err != nil {
		return 0
	}
	return n
}

func (c *caps) read(dev int, chip accel.IRQChip) error {
	needs := required
	switch chip {
	case accel.IRQChipOff:
		needs = append(needs[:len(needs):len(needs)], need{capUserNMI, "KVM_CAP_USER_NMI"})
	case accel.IRQChipSplit:
		needs = append(needs[:len(needs):len(needs)], need{capSplitIRQChip, "KVM_CAP_SPLIT_IRQCHIP"})
	case accel.IRQChipOn:
		needs = append(needs[:len(needs):len(needs)], need{capPIT2, "KVM_CAP_PIT2"})
	}
	for _, n := range needs {
		if checkExtension(dev, n.cap) <= 0 {
			return missing(n.name)
		}
	}
	has := func(x capability) bool { return checkExtension(dev, x) > 0 }
	*c = caps{
		maxVCPUs:    checkExtension(dev, capMaxVCPUs),
		memslots:    checkExtension(dev, capNRMemslots),
		maxVCPUID:   checkExtension(dev, capMaxVCPUID),
		xcrs:        has(capXCRs),
		readonly:    has(capReadonlyMem),
		anyLength:   has(capIOEventFDNoLength),
		tscDeadline: has(capTSCDeadline),
		clock:       has(capAdjustClock),
		clockCtrl:   has(capKVMClockCtrl),
		smm:         has(capX86SMM),
		mceBanks:    min(checkExtension(dev, capMCE), mceBanks),
	}
	c.coalescedPage = checkExtension(dev, capCoalescedMMIO)
	c.coalescedPIO = c.coalescedPage > 0 && has(capCoalescedPIO)
	if c.maxVCPUs == 0 {
		// linux/kvm.h: old kernels tell a recommended number, or imply 4.
		if c.maxVCPUs = checkExtension(dev, capNRVCPUs); c.maxVCPUs == 0 {
			c.maxVCPUs = 4
		}
	}
	if c.memslots == 0 {
		c.memslots = 32
	}
	if has(capXsave) {
		c.xsaveSize = max(4096, checkExtension(dev, capXsave2))
	}
	return nil
}
