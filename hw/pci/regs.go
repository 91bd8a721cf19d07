package pci

// Offsets in configuration space (PCI 3.0 section 6.1; bridges: PCI-to-PCI
// Bridge Architecture 1.2 section 3.2).
const (
	regVendor        = 0x00
	regDevice        = 0x02
	regCommand       = 0x04
	regStatus        = 0x06
	regRevision      = 0x08
	regClassProg     = 0x09
	regClass         = 0x0a
	regCacheLine     = 0x0c
	regHeaderType    = 0x0e
	regBAR0          = 0x10
	regSubVendor     = 0x2c
	regSubsystem     = 0x2e
	regROM           = 0x30
	regCapPtr        = 0x34
	regIntLine       = 0x3c
	regIntPin        = 0x3d
	regPrimary       = 0x18
	regSecondary     = 0x19
	regSubordinate   = 0x1a
	regSecLatency    = 0x1b
	regIOBase        = 0x1c
	regIOLimit       = 0x1d
	regSecStatus     = 0x1e
	regMemBase       = 0x20
	regMemLimit      = 0x22
	regPrefBase      = 0x24
	regPrefLimit     = 0x26
	regPrefBaseHigh  = 0x28
	regPrefLimitHigh = 0x2c
	regIOBaseHigh    = 0x30
	regIOLimitHigh   = 0x32
	regBridgeControl = 0x3e

	headerLen = 0x40
	regExtCap = 0x100
)

// Bits of command and status.
const (
	cmdIO          = 1 << 0
	cmdMemory      = 1 << 1
	cmdMaster      = 1 << 2
	cmdSERR        = 1 << 8
	cmdIntxDisable = 1 << 10
	cmdWritable    = cmdIO | cmdMemory | cmdMaster | cmdSERR | cmdIntxDisable

	statusIntx    = 1 << 3
	statusCapList = 1 << 4
	statusErrors  = 0xf900 // parity, aborts and system error, cleared by ones

	headerBridge        = 1
	headerMultifunction = 0x80

	ctlSecondaryReset = 1 << 6
)

// Sizes of configuration space in bytes.
const (
	ConfigSize        = 256
	ExpressConfigSize = 4096
)
