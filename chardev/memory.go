package chardev

// defaultRing is the size in bytes of a ringbuf for which none was given, as in QEMU.
const defaultRing = 64 << 10

// maxRing bounds a ringbuf in bytes: its memory is taken at once.
const maxRing = 1 << 30

// null is the backend without a host side.
type null struct{}

func (null) run(*Chardev) {}
func (null) close()       {}

// ring keeps the last len(buf) bytes of output. Chardev.mu guards it.
type ring struct {
	buf        []byte
	prod, cons uint64 // positions in the stream; prod-cons is at most len(buf)
}

func openRingbuf(c *Chardev, cfg RingbufConfig) error {
	size := cfg.Size
	if size == 0 {
		size = defaultRing
	}
	if size < 0 || size&(size-1) != 0 {
		return errorf("size of ringbuf chardev must be power of two")
	}
	if size > maxRing {
		return errorf("size of ringbuf chardev must be at most 1 GiB")
	}
	c.be, c.open = &ring{buf: make([]byte, size)}, true
	return nil
}

func (*ring) run(*Chardev) {}
func (*ring) close()       {}

// sink overwrites the oldest bytes with p.
func (r *ring) sink(p []byte) {
	size := uint64(len(r.buf))
	if skip := len(p) - len(r.buf); skip > 0 {
		r.prod += uint64(skip)
		p = p[skip:]
	}
	for len(p) > 0 {
		n := copy(r.buf[r.prod&(size-1):], p)
		r.prod += uint64(n)
		p = p[n:]
	}
	if r.prod-r.cons > size {
		r.cons = r.prod - size
	}
}

// ReadRing takes up to max of the oldest bytes out of a ringbuf, as ringbuf-read does. Another
// backend is an error with QEMU's text.
func (c *Chardev) ReadRing(max int) ([]byte, error) {
	r, ok := c.be.(*ring)
	if !ok {
		return nil, errorf("%s is not a ringbuf device", c.id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(uint64(max), r.prod-r.cons)
	if max < 0 {
		n = 0
	}
	out := make([]byte, 0, n)
	for uint64(len(out)) < n {
		at := r.cons & uint64(len(r.buf)-1)
		part := r.buf[at:min(at+n-uint64(len(out)), uint64(len(r.buf)))]
		out = append(out, part...)
		r.cons += uint64(len(part))
	}
	return out, nil
}

// WriteRing puts p into a ringbuf as the frontend's output would get there: ringbuf-write.
func (c *Chardev) WriteRing(p []byte) error {
	if _, ok := c.be.(*ring); !ok {
		return errorf("%s is not a ringbuf device", c.id)
	}
	c.Write(p)
	return nil
}
