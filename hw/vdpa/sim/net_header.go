package sim

// Fields of struct virtio_net_hdr (virtio 1.2 section 5.1.6).
const (
	headNeedsCsum = 1 // of flags, the first byte
	headDataValid = 2

	gsoNone  = 0 // of gso_type, the second
	gsoTCPv4 = 1
	gsoTCPv6 = 4
	gsoECN   = 0x80
)

// sendOffloads are the features by which a driver leaves work to the device,
// receiveOffloads those by which the device may leave work to the driver.
const (
	sendOffloads    uint64 = 1<<netCsum | 1<<netHostTSO4 | 1<<netHostTSO6 | 1<<netHostECN
	receiveOffloads uint64 = 1<<netGuestCsum | 1<<netGuestTSO4 | 1<<netGuestTSO6 | 1<<netGuestECN
)

// checkHeader tells whether a header asks for nothing that was not negotiated.
// The note that a checksum is right is taken away where it means nothing.
func checkHeader(h *[netHeader]byte, csum, tso4, tso6, ecn bool) bool {
	if !csum {
		if h[0]&headNeedsCsum != 0 {
			return false
		}
		h[0] &^= headDataValid
	}
	if h[0]&^(headNeedsCsum|headDataValid) != 0 {
		return false
	}
	switch gso := h[1]; gso &^ gsoECN {
	case gsoNone:
		return gso&gsoECN == 0
	case gsoTCPv4:
		return tso4 && (gso&gsoECN == 0 || ecn)
	case gsoTCPv6:
		return tso6 && (gso&gsoECN == 0 || ecn)
	}
	return false
}
