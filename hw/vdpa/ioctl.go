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

// The calls. Those of the IOTLB are messages, not ioctls.
const (
	verbGetFeatures        Verb = "VHOST_GET_FEATURES"
	verbSetFeatures        Verb = "VHOST_SET_FEATURES"
	verbSetOwner           Verb = "VHOST_SET_OWNER"
	verbSetVringNum        Verb = "VHOST_SET_VRING_NUM"
	verbSetVringAddr       Verb = "VHOST_SET_VRING_ADDR"
	verbSetVringBase       Verb = "VHOST_SET_VRING_BASE"
	verbGetVringBase       Verb = "VHOST_GET_VRING_BASE"
	verbSetVringKick       Verb = "VHOST_SET_VRING_KICK"
	verbSetVringCall       Verb = "VHOST_SET_VRING_CALL"
	verbSetBackendFeatures Verb = "VHOST_SET_BACKEND_FEATURES"
	verbGetBackendFeatures Verb = "VHOST_GET_BACKEND_FEATURES"
	verbGetDeviceID        Verb = "VHOST_VDPA_GET_DEVICE_ID"
	verbGetStatus          Verb = "VHOST_VDPA_GET_STATUS"
	verbSetStatus          Verb = "VHOST_VDPA_SET_STATUS"
	verbGetConfig          Verb = "VHOST_VDPA_GET_CONFIG"
	verbSetConfig          Verb = "VHOST_VDPA_SET_CONFIG"
	verbSetVringEnable     Verb = "VHOST_VDPA_SET_VRING_ENABLE"
	verbGetVringNum        Verb = "VHOST_VDPA_GET_VRING_NUM"
	verbSetConfigCall      Verb = "VHOST_VDPA_SET_CONFIG_CALL"
	verbGetIOVARange       Verb = "VHOST_VDPA_GET_IOVA_RANGE"
	verbGetConfigSize      Verb = "VHOST_VDPA_GET_CONFIG_SIZE"
	verbGetVqsCount        Verb = "VHOST_VDPA_GET_VQS_COUNT"
	verbSuspend            Verb = "VHOST_VDPA_SUSPEND"
	verbUpdate             Verb = "VHOST_IOTLB_UPDATE"
	verbInvalidate         Verb = "VHOST_IOTLB_INVALIDATE"
	verbBatchBegin         Verb = "VHOST_IOTLB_BATCH_BEGIN"
	verbBatchEnd           Verb = "VHOST_IOTLB_BATCH_END"
)

// ioctls are the calls' numbers (linux/vhost.h).
var ioctls = map[Verb]uintptr{
	verbGetFeatures:        sys.IOR[uint64](vhostVirtio, 0x00),
	verbSetFeatures:        sys.IOW[uint64](vhostVirtio, 0x00),
	verbSetOwner:           sys.IO(vhostVirtio, 0x01),
	verbSetVringNum:        sys.IOW[vringState](vhostVirtio, 0x10),
	verbSetVringAddr:       sys.IOW[vringAddr](vhostVirtio, 0x11),
	verbSetVringBase:       sys.IOW[vringState](vhostVirtio, 0x12),
	verbGetVringBase:       sys.IOWR[vringState](vhostVirtio, 0x12),
	verbSetVringKick:       sys.IOW[vringFile](vhostVirtio, 0x20),
	verbSetVringCall:       sys.IOW[vringFile](vhostVirtio, 0x21),
	verbSetBackendFeatures: sys.IOW[uint64](vhostVirtio, 0x25),
	verbGetBackendFeatures: sys.IOR[uint64](vhostVirtio, 0x26),
	verbGetDeviceID:        sys.IOR[uint32](vhostVirtio, 0x70),
	verbGetStatus:          sys.IOR[uint8](vhostVirtio, 0x71),
	verbSetStatus:          sys.IOW[uint8](vhostVirtio, 0x72),
	verbGetConfig:          sys.IOR[[configHeader]byte](vhostVirtio, 0x73),
	verbSetConfig:          sys.IOW[[configHeader]byte](vhostVirtio, 0x74),
	verbSetVringEnable:     sys.IOW[vringState](vhostVirtio, 0x75),
	verbGetVringNum:        sys.IOR[uint16](vhostVirtio, 0x76),
	verbSetConfigCall:      sys.IOW[int32](vhostVirtio, 0x77),
	verbGetIOVARange:       sys.IOR[iovaRange](vhostVirtio, 0x78),
	verbGetConfigSize:      sys.IOR[uint32](vhostVirtio, 0x79),
	verbGetVqsCount:        sys.IOR[uint32](vhostVirtio, 0x80),
	verbSuspend:            sys.IO(vhostVirtio, 0x7d),
}
