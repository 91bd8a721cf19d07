package virtio

import "strings"

// Status is the device status field (virtio 1.2 section 2.1).
type Status uint8

// The bits of Status.
const (
	StatusAcknowledge Status = 1 << iota
	StatusDriver
	StatusDriverOK
	StatusFeaturesOK
	_
	_
	StatusNeedsReset // the device's to set
	StatusFailed
)

// statusRule is one bit that a driver may set, and the bits that must be set
// before or with it.
type statusRule struct {
	bit    Status
	legacy Status // needed in the legacy interface
	modern Status // needed in the modern one
}

// statusRules is the whole of what drivers may do, besides writing 0. Bits
// come one by one or several at a time, as some firmware does.
var statusRules = []statusRule{
	{bit: StatusAcknowledge},
	{bit: StatusDriver, legacy: StatusAcknowledge, modern: StatusAcknowledge},
	{
		bit:    StatusFeaturesOK,
		legacy: StatusAcknowledge | StatusDriver,
		modern: StatusAcknowledge | StatusDriver,
	},
	{
		bit:    StatusDriverOK,
		legacy: StatusAcknowledge | StatusDriver,
		modern: StatusAcknowledge | StatusDriver | StatusFeaturesOK,
	},
	{bit: StatusFailed},
}

// next is what becomes of s when a driver writes v, which is not 0. The
// device's own bit stays whatever v has in its place. ok is false for a move
// that is not allowed; then s stays.
func (s Status) next(v Status, legacy bool) (n Status, ok bool) {
	known := StatusNeedsReset
	for _, r := range statusRules {
		known |= r.bit
		need := r.modern
		if legacy {
			need = r.legacy
		}
		if v&r.bit != 0 && v&need != need {
			return s, false
		}
	}
	if v&^known != 0 || s&^v&^StatusNeedsReset != 0 {
		return s, false
	}
	return v&^StatusNeedsReset | s&StatusNeedsReset, true
}

// Has tells whether all bits of b are set.
func (s Status) Has(b Status) bool { return s&b == b }

func (s Status) String() string {
	names := []struct {
		bit  Status
		name string
	}{
		{StatusAcknowledge, "ACKNOWLEDGE"}, {StatusDriver, "DRIVER"}, {StatusFeaturesOK, "FEATURES_OK"},
		{StatusDriverOK, "DRIVER_OK"}, {StatusNeedsReset, "DEVICE_NEEDS_RESET"}, {StatusFailed, "FAILED"},
	}
	var out []string
	for _, n := range names {
		if s&n.bit != 0 {
			out = append(out, n.name)
		}
	}
	if out == nil {
		return "RESET"
	}
	return strings.Join(out, "|")
}
