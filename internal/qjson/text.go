package qjson

import "strings"

// chunkSize is how many bytes a piece of a [text] has.
const chunkSize = 64 << 10

// text collects bytes in pieces, so that growing to the largest size that is
// allowed takes that size and not twice or three times as much. The zero value
// is empty.
type text struct {
	chunks [][]byte // all but the last are full
	size   int
}

// add appends p.
func (t *text) add(p []byte) {
	t.size += len(p)
	for len(p) > 0 {
		c := t.last()
		n := min(chunkSize-len(*c), len(p))
		*c = append(*c, p[:n]...)
		p = p[n:]
	}
}

// addByte appends b.
func (t *text) addByte(b byte) {
	c := t.last()
	*c = append(*c, b)
	t.size++
}

// last is the chunk that has room.
func (t *text) last() *[]byte {
	n := len(t.chunks)
	if n == 0 || len(t.chunks[n-1]) == chunkSize {
		var c []byte
		if n > 0 {
			c = make([]byte, 0, chunkSize)
		}
		t.chunks = append(t.chunks, c) // the first one grows as it needs to
		n++
	}
	return &t.chunks[n-1]
}

// cut drops all bytes from n on.
func (t *text) cut(n int) {
	if n == t.size {
		return
	}
	t.chunks = t.chunks[:(n+chunkSize-1)/chunkSize]
	if last := len(t.chunks) - 1; last >= 0 {
		t.chunks[last] = t.chunks[last][:n-last*chunkSize]
	}
	t.size = n
}

// reset drops all bytes, and all memory but the first piece.
func (t *text) reset() {
	if len(t.chunks) > 1 {
		t.chunks = nil // with its backing array
	} else if len(t.chunks) == 1 {
		t.chunks[0] = t.chunks[0][:0]
	}
	t.size = 0
}

// pieces calls f with the bytes from start to end, in order, until it returns
// false.
func (t *text) pieces(start, end int, f func(p []byte) bool) {
	for start < end {
		c := t.chunks[start/chunkSize]
		off := start % chunkSize
		n := min(len(c)-off, end-start)
		if !f(c[off : off+n]) {
			return
		}
		start += n
	}
}

// slice is the bytes from start to end. They are valid until the next change.
func (t *text) slice(start, end int) []byte {
	if start == end {
		return nil
	}
	if start/chunkSize == (end-1)/chunkSize {
		off := start / chunkSize * chunkSize
		return t.chunks[start/chunkSize][start-off : end-off]
	}
	out := make([]byte, 0, end-start)
	t.pieces(start, end, func(p []byte) bool { out = append(out, p...); return true })
	return out
}

// plain is the bytes from start to end as a string, if all are ASCII without
// escapes.
func (t *text) plain(start, end int) (string, bool) {
	ok := true
	t.pieces(start, end, func(p []byte) bool { ok = isPlain(p); return ok })
	if !ok {
		return "", false
	}
	var b strings.Builder
	b.Grow(end - start)
	t.pieces(start, end, func(p []byte) bool { b.Write(p); return true })
	return b.String(), true
}
