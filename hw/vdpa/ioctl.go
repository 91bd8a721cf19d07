package vdpa

import "github.com/gqemu/gqemu/internal/sys"

// The structures of linux/vhost_types.h.
type (
	vringState struct{ index, num uint32 }
	vringFile  struct {
		index uint32
		fd    int32
	}
	vringAddr struct {
		index, _                    uint32 // no flags
		desc, used, avail, logGuest uint64
	}
	iovaRange struct{ first, last uint64 }
	// iotlbMsg is struct vhost_msg_v2 with its struct vhost_iotlb_msg; 72
	// bytes.
	iotlbMsg struct {
		typ, _            uint32 // address space 0
		iova, size, uaddr uint64
		perm, op          uint8
		_                 [38]byte
	}
)

// The messages' constants.
const (
	iotlbMsgV2 = 2

	iotlbUpdate     = 2
	iotlbInvalidate = 3
	iotlbBatchBegin = 5
	iotlbBatchEnd   = 6
)

const vhostVirtio = 0xaf

// configHeader is the length of struct vhost_vdpa_config before its data.
const configHeader = 8

// The calls of Backend. Those of the IOTLB are messages, not ioctls.
const (
	VerbGetFeatures        Verb = "VHOST_GET_FEATURES"
	VerbSetFeatures        Verb = "VHOST_SET_FEATURES"
	VerbSetOwner           Verb = "VHOST_SET_OWNER"
	VerbSetVringNum        Verb = "VHOST_SET_VRING_NUM"
	VerbSetVringAddr       Verb = "VHOST_SET_VRING_ADDR"
	VerbSetVringBase       Verb = "VHOST_SET_VRING_BASE"
	VerbGetVringBase       Verb = "VHOST_GET_VRING_BASE"
	VerbSetVringKick       Verb = "VHOST_SET_VRING_KICK"
	VerbSetVringCall       Verb = "VHOST_SET_VRING_CALL"
	VerbSetBackendFeatures Verb = "VHOST_SET_BACKEND_FEATURES"
	VerbGetBackendFeatures Verb = "VHOST_GET_BACKEND_FEATURES"
	VerbGetDeviceID        Verb = "VHOST_VDPA_GET_DEVICE_ID"
	VerbGetStatus          Verb = "VHOST_VDPA_GET_STATUS"
	VerbSetStatus          Verb = "VHOST_VDPA_SET_STATUS"
	VerbGetConfig          Verb = "VHOST_VDPA_GET_CONFIG"
	VerbSetConfig          Verb = "VHOST_VDPA_SET_CONFIG"
	VerbSetVringEnable     Verb = "VHOST_VDPA_SET_VRING_ENABLE"
	VerbGetVringNum        Verb = "VHOST_VDPA_GET_VRING_NUM"
	VerbSetConfigCall      Verb = "VHOST_VDPA_SET_CONFIG_CALL"
	VerbGetIOVARange       Verb = "VHOST_VDPA_GET_IOVA_RANGE"
	VerbGetConfigSize      Verb = "VHOST_VDPA_GET_CONFIG_SIZE"
	VerbGetVqsCount        Verb = "VHOST_VDPA_GET_VQS_COUNT"
	VerbSuspend            Verb = "VHOST_VDPA_SUSPEND"
	VerbResume             Verb = "VHOST_VDPA_RESUME"
	VerbUpdate             Verb = "VHOST_IOTLB_UPDATE"
	VerbInvalidate         Verb = "VHOST_IOTLB_INVALIDATE"
	VerbBatchBegin         Verb = "VHOST_IOTLB_BATCH_BEGIN"
	VerbBatchEnd           Verb = "VHOST_IOTLB_BATCH_END"
)

// ioctls are the calls' numbers (linux/vhost.h).
var ioctls = map[Verb]uintptr{
	VerbGetFeatures:        sys.IOR[uint64](vhostVirtio, 0x00),
	VerbSetFeatures:        sys.IOW[uint64](vhostVirtio, 0x00),
	VerbSetOwner:           sys.IO(vhostVirtio, 0x01),
	VerbSetVringNum:        sys.IOW[vringState](vhostVirtio, 0x10),
	VerbSetVringAddr:       sys.IOW[vringAddr](vhostVirtio, 0x11),
	VerbSetVringBase:       sys.IOW[vringState](vhostVirtio, 0x12),
	VerbGetVringBase:       sys.IOWR[vringState](vhostVirtio, 0x12),
	VerbSetVringKick:       sys.IOW[vringFile](vhostVirtio, 0x20),
	VerbSetVringCall:       sys.IOW[vringFile](vhostVirtio, 0x21),
	VerbSetBackendFeatures: sys.IOW[uint64](vhostVirtio, 0x25),
	VerbGetBackendFeatures: sys.IOR[uint64](vhostVirtio, 0x26),
	VerbGetDeviceID:        sys.IOR[uint32](vhostVirtio, 0x70),
	VerbGetStatus:          sys.IOR[uint8](vhostVirtio, 0x71),
	VerbSetStatus:          sys.IOW[uint8](vhostVirtio, 0x72),
	VerbGetConfig:          sys.IOR[[configHeader]byte](vhostVirtio, 0x73),
	VerbSetConfig:          sys.IOW[[configHeader]byte](vhostVirtio, 0x74),
	VerbSetVringEnable:     sys.IOW[vringState](vhostVirtio, 0x75),
	VerbGetVringNum:        sys.IOR[uint16](vhostVirtio, 0x76),
	VerbSetConfigCall:      sys.IOW[int32](vhostVirtio, 0x77),
	VerbGetIOVARange:       sys.IOR[iovaRange](vhostVirtio, 0x78),
	VerbGetConfigSize:      sys.IOR[uint32](vhostVirtio, 0x79),
	VerbGetVqsCount:        sys.IOR[uint32](vhostVirtio, 0x80),
	VerbSuspend:            sys.IO(vhostVirtio, 0x7d),
	VerbResume:             sys.IO(vhostVirtio, 0x7e),
}
