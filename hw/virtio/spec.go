package virtio

// Feature bits that belong to the transport and the queues rather than to a
// kind of device (virtio 1.2 chapter 6, and section 6.3 for legacy ones).
// The others are a device's own: 0 to 23 and 50 up.
const (
	FeatureNotifyOnEmpty    = 24 // legacy
	FeatureLogAll           = 26 // vhost's own, never a guest's
	FeatureAnyLayout        = 27 // legacy
	FeatureIndirectDesc     = 28
	FeatureEventIdx         = 29
	FeatureVersion1         = 32
	FeatureAccessPlatform   = 33
	FeatureRingPacked       = 34
	FeatureInOrder          = 35
	FeatureOrderPlatform    = 36
	FeatureSRIOV            = 37
	FeatureNotificationData = 38
	FeatureNotifConfigData  = 39
	FeatureRingReset        = 40
	FeatureAdminVQ          = 41
)

const (
	// MaxQueues is how many queues a device may have; QEMU's
	// VIRTIO_QUEUE_MAX.
	MaxQueues = 1024
	// MaxQueueSize bounds a queue's size (virtio 1.2 section 2.6).
	MaxQueueSize = 32768
	// VendorQEMU is the vendor id of virtio-mmio, "QEMU".
	VendorQEMU = 0x554d4551
)

func bit(n uint) uint64 { return 1 << n }

// deviceFeatures are the bits that belong to the kind of device.
const deviceFeatures uint64 = 1<<24 - 1 | (1<<14-1)<<50

// transportFeatures are the other bits that a guest may be offered. What is
// missing here needs something of the transport that does not exist:
// NotificationData would break the match of an ioeventfd's data, RingReset
// needs a register and a call to the kernel.
const transportFeatures uint64 = 1<<FeatureNotifyOnEmpty | 1<<FeatureAnyLayout |
	1<<FeatureIndirectDesc | 1<<FeatureEventIdx | 1<<FeatureVersion1 |
	1<<FeatureAccessPlatform | 1<<FeatureRingPacked | 1<<FeatureInOrder | 1<<FeatureOrderPlatform

// switchedFeatures have a property that turns them off.
const switchedFeatures uint64 = 1<<FeatureNotifyOnEmpty | 1<<FeatureAnyLayout |
	1<<FeatureIndirectDesc | 1<<FeatureEventIdx | 1<<FeatureAccessPlatform |
	1<<FeatureRingPacked | 1<<FeatureRingReset

// legacyFeatures exist only in the legacy interface; QEMU does not show them
// to modern drivers. Bit 30 is its mark of a driver that misreads features.
const legacyFeatures uint64 = 1<<FeatureNotifyOnEmpty | 1<<FeatureAnyLayout | 1<<30

// offer is what a guest may see of a device's own features, given the
// feature properties and the kind of interface.
func offer(device, properties uint64, legacy bool) uint64 {
	f := device & (deviceFeatures | transportFeatures)
	f &^= switchedFeatures &^ properties
	if legacy {
		// A legacy driver reads 32 bits.
		return f & (1<<32 - 1)
	}
	return f &^ legacyFeatures
}
