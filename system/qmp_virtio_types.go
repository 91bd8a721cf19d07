package system

// VirtioInfo is one entry of x-query-virtio.
type VirtioInfo struct {
	Path string `qapi:"path"`
	Name string `qapi:"name"`
}

// VirtioStatus is the result of x-query-virtio-status.
type VirtioStatus struct {
	Name                 string               `qapi:"name"`
	DeviceID             uint16               `qapi:"device-id"`
	VhostStarted         bool                 `qapi:"vhost-started"`
	DeviceEndian         string               `qapi:"device-endian"`
	GuestFeatures        VirtioDeviceFeatures `qapi:"guest-features"`
	HostFeatures         VirtioDeviceFeatures `qapi:"host-features"`
	BackendFeatures      VirtioDeviceFeatures `qapi:"backend-features"`
	NumVQs               int64                `qapi:"num-vqs"`
	Status               VirtioDeviceStatus   `qapi:"status"`
	ISR                  uint8                `qapi:"isr"`
	QueueSel             uint16               `qapi:"queue-sel"`
	VMRunning            bool                 `qapi:"vm-running"`
	Broken               bool                 `qapi:"broken"`
	Disabled             bool                 `qapi:"disabled"`
	UseStarted           bool                 `qapi:"use-started"`
	Started              bool                 `qapi:"started"`
	StartOnKick          bool                 `qapi:"start-on-kick"`
	DisableLegacyCheck   bool                 `qapi:"disable-legacy-check"`
	BusName              string               `qapi:"bus-name"`
	UseGuestNotifierMask bool                 `qapi:"use-guest-notifier-mask"`
	VhostDev             *VhostStatus         `qapi:"vhost-dev,optional"`
}

// VhostStatus is the part of a device that something outside serves.
type VhostStatus struct {
	NMemSections     int64                `qapi:"n-mem-sections"`
	NTmpSections     int64                `qapi:"n-tmp-sections"`
	NVQs             uint32               `qapi:"nvqs"`
	VQIndex          int64                `qapi:"vq-index"`
	Features         VirtioDeviceFeatures `qapi:"features"`
	AckedFeatures    VirtioDeviceFeatures `qapi:"acked-features"`
	BackendFeatures  VirtioDeviceFeatures `qapi:"backend-features"`
	ProtocolFeatures VhostDeviceProtocols `qapi:"protocol-features"`
	MaxQueues        uint64               `qapi:"max-queues"`
	BackendCap       uint64               `qapi:"backend-cap"`
	LogEnabled       bool                 `qapi:"log-enabled"`
	LogSize          uint64               `qapi:"log-size"`
}

// VirtioDeviceStatus is the device status field.
type VirtioDeviceStatus struct {
	Statuses []string `qapi:"statuses"`
	Unknown  *uint8   `qapi:"unknown-statuses,optional"`
}

// VhostDeviceProtocols are vhost-user's, which vDPA does not have.
type VhostDeviceProtocols struct {
	Protocols []string `qapi:"protocols"`
	Unknown   *uint64  `qapi:"unknown-protocols,optional"`
}

// VirtioDeviceFeatures are feature bits.
type VirtioDeviceFeatures struct {
	Transports  []string `qapi:"transports"`
	DevFeatures []string `qapi:"dev-features,optional"`
	Unknown     *uint64  `qapi:"unknown-dev-features,optional"`
}

// VirtQueueStatus is the result of x-query-virtio-queue-status.
type VirtQueueStatus struct {
	Name               string  `qapi:"name"`
	QueueIndex         uint16  `qapi:"queue-index"`
	InUse              uint32  `qapi:"inuse"`
	VringNum           uint32  `qapi:"vring-num"`
	VringNumDefault    uint32  `qapi:"vring-num-default"`
	VringAlign         uint32  `qapi:"vring-align"`
	VringDesc          uint64  `qapi:"vring-desc"`
	VringAvail         uint64  `qapi:"vring-avail"`
	VringUsed          uint64  `qapi:"vring-used"`
	LastAvailIdx       *uint16 `qapi:"last-avail-idx,optional"`
	ShadowAvailIdx     *uint16 `qapi:"shadow-avail-idx,optional"`
	UsedIdx            uint16  `qapi:"used-idx"`
	SignalledUsed      uint16  `qapi:"signalled-used"`
	SignalledUsedValid bool    `qapi:"signalled-used-valid"`
}

// VirtVhostQueueStatus is the result of x-query-virtio-vhost-queue-status.
type VirtVhostQueueStatus struct {
	Name      string `qapi:"name"`
	Kick      int64  `qapi:"kick"`
	Call      int64  `qapi:"call"`
	Desc      uint64 `qapi:"desc"`
	Avail     uint64 `qapi:"avail"`
	Used      uint64 `qapi:"used"`
	Num       int64  `qapi:"num"`
	DescPhys  uint64 `qapi:"desc-phys"`
	DescSize  uint32 `qapi:"desc-size"`
	AvailPhys uint64 `qapi:"avail-phys"`
	AvailSize uint32 `qapi:"avail-size"`
	UsedPhys  uint64 `qapi:"used-phys"`
	UsedSize  uint32 `qapi:"used-size"`
}

// VirtioRingDesc is a descriptor.
type VirtioRingDesc struct {
	Addr  uint64   `qapi:"addr"`
	Len   uint32   `qapi:"len"`
	Flags []string `qapi:"flags"`
}

// VirtioRingAvail is the available ring.
type VirtioRingAvail struct {
	Flags uint16 `qapi:"flags"`
	Idx   uint16 `qapi:"idx"`
	Ring  uint16 `qapi:"ring"`
}

// VirtioRingUsed is the used ring.
type VirtioRingUsed struct {
	Flags uint16 `qapi:"flags"`
	Idx   uint16 `qapi:"idx"`
}

// VirtioQueueElement is the result of x-query-virtio-queue-element.
type VirtioQueueElement struct {
	Name  string           `qapi:"name"`
	Index uint32           `qapi:"index"`
	Descs []VirtioRingDesc `qapi:"descs"`
	Avail VirtioRingAvail  `qapi:"avail"`
	Used  VirtioRingUsed   `qapi:"used"`
}

type virtioPathArgs struct {
	Path string `qapi:"path"`
}

type virtioQueueArgs struct {
	Path  string `qapi:"path"`
	Queue uint16 `qapi:"queue"`
}

type virtioElementArgs struct {
	Path  string  `qapi:"path"`
	Queue uint16  `qapi:"queue"`
	Index *uint16 `qapi:"index,optional"`
}
