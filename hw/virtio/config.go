package virtio

import (
	"bytes"
	"encoding/binary"
)

// configSpace is the device-specific configuration as the driver has seen it
// (virtio 1.2 section 2.5). Reads always ask the device.
type configSpace struct {
	size       int
	generation uint32
	// seen is the space from its start to the last byte that was read, as
	// it was when something was read last.
	seen []byte
}

// refresh reads what the driver has seen of the space, up to n bytes at
// least, and counts a generation if it is no longer the same.
func (s *State) refresh(n int) {
	c := &s.config
	had := len(c.seen)
	buf := make([]byte, max(n, had))
	if len(buf) == 0 {
		return
	}
	copy(buf, c.seen)
	if err := s.model.ReadConfig(0, buf); err != nil {
		// The Model has said what follows from that. The driver reads what
		// it read before.
		return
	}
	if !bytes.Equal(c.seen, buf[:had]) {
		c.generation++
	}
	c.seen = buf
}

// ConfigGeneration changes whenever the configuration space has changed
// since something was read of it (virtio 1.2 section 2.5.1).
func (s *State) ConfigGeneration() uint32 {
	s.refresh(0)
	return s.config.generation
}

// ReadConfig reads size bytes, 1, 2 or 4, of the configuration space. Past
// its end it reads all ones, as in QEMU.
func (s *State) ReadConfig(offset uint64, size int) uint64 {
	if !s.inConfig(offset, size) {
		return 1<<(8*size) - 1
	}
	end := int(offset) + size
	s.refresh(end)
	var b [8]byte
	if end <= len(s.config.seen) {
		copy(b[:], s.config.seen[offset:end])
	}
	return binary.LittleEndian.Uint64(b[:])
}

// WriteConfig hands a driver's write of size bytes to the device.
func (s *State) WriteConfig(offset, value uint64, size int) {
	if !s.inConfig(offset, size) {
		s.Illegal("write of %d bytes at %#x of a configuration space of %d", size, offset, s.config.size)
		return
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], value)
	// An error is the Model's to deal with; a driver has no way to see one.
	_ = s.model.WriteConfig(int(offset), b[:size])
}

func (s *State) inConfig(offset uint64, size int) bool {
	return offset < uint64(s.config.size) && size <= s.config.size-int(offset)
}

// SetConfigSize is called by a device whose configuration space has another
// size than it had. A driver is to read it anew, from the beginning.
func (s *State) SetConfigSize(n int) {
	c := &s.config
	c.size, c.seen = n, c.seen[:min(n, len(c.seen))]
	c.generation++
}

// ConfigChanged is called by the device when its configuration space has
// changed: the driver gets a configuration change notification.
func (s *State) ConfigChanged() {
	s.config.generation++
	if s.transport != nil && s.resetting == nil && s.status.Has(StatusDriverOK) {
		s.transport.InterruptConfig()
	}
}
