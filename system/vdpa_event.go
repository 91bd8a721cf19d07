package system

import (
	"time"

	"github.com/gqemu/gqemu/qapi"
)

// vdpaStateEvent is the event of gqemu's own by which a vDPA device tells that
// it broke or that it has recovered. Its prefix is the one that QEMU asks of
// others' extensions. It is one event rather than two because a guest can
// cause it at will: what a rate limit holds back and sends at last is then the
// state that holds.
const vdpaStateEvent = "__io.github.gqemu_VDPA_DEVICE_STATE"

// VDPADeviceStateEvent is the data of that event. State is what property x-state
// of the device is; it is no enumeration only because that would take the schema
// past the 64 KiB that go-qemu reads. The members after it are there when it is
// "broken", as far as they apply.
type VDPADeviceStateEvent struct {
	Device    *string `qapi:"device,optional"`
	Path      string  `qapi:"path"`
	State     string  `qapi:"state"`
	Verb      *string `qapi:"verb,optional"`
	Queue     *int64  `qapi:"queue,optional"`
	Errno     *int64  `qapi:"errno,optional"`
	ErrnoName *string `qapi:"errno-name,optional"`
	Error     *string `qapi:"error,optional"`
}

func registerVDPAEvent(r *qapi.Registry) {
	qapi.RegisterEvent[VDPADeviceStateEvent](r, vdpaStateEvent, qapi.RateLimit(time.Second, "path"))
}
