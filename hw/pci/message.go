package pci

import (
	"encoding/binary"

	"github.com/gqemu/gqemu/accel"
)

// Interrupt messages go where local APICs listen (Intel SDM volume 3, section
// 11.11.1).
const (
	msiBase = 0xfee00000
	msiMask = 0xfff00000
)

// send writes a message as the function's bus master would: it is lost if the
// guest does not let the function access memory.
func (f *Function) send(m accel.MSI) {
	if !f.Master() {
		return
	}
	h := f.Host()
	if m.Addr&^uint64(^uint32(0)) == 0 && m.Addr&msiMask == msiBase {
		if err := h.Interrupts.SendMSI(m); err != nil {
			h.Log.Error().Err(err).Str("device", f.TypeName()).Msg("sending an interrupt message")
		}
		return
	}
	// A guest may have it written to memory and look there.
	data := binary.LittleEndian.AppendUint32(nil, m.Data)
	if err := h.Memory.WriteAt(data, m.Addr); err != nil {
		h.Log.Debug().Err(err).Str("device", f.TypeName()).Msg("interrupt message to nowhere")
	}
}

// Interrupt sends message vector by MSI-X or MSI, whichever the guest has
// enabled, and tells whether either is.
func (f *Function) Interrupt(vector int) bool {
	switch {
	case f.MSIXEnabled():
		f.NotifyMSIX(vector)
	case f.MSIEnabled():
		f.NotifyMSI(vector)
	default:
		return false
	}
	return true
}
