package wal

// tail is the bytes of a file that are written and not synced. They are kept in
// chunks, so that taking in more never copies what is there; what one add took in is
// in one chunk.
type tail struct {
	chunks [][]byte
	free   [][]byte // empty chunks for later use
	size   int64
}

const (
	chunkBytes = 1 << 20
	keepChunks = 16 // empty ones of chunkBytes
)

// add takes in frames of that many bytes in all and returns them as they stand in the
// file that has the seed. They are valid until the tail is cleared.
func (t *tail) add(frames []Frame, size int64, seed uint32, synced int64) []byte {
	last := len(t.chunks) - 1
	if last < 0 || int64(cap(t.chunks[last])-len(t.chunks[last])) < size {
		t.chunks = append(t.chunks, t.chunk(size))
		last++
	}
	begin := len(t.chunks[last])
	t.chunks[last] = appendFrames(t.chunks[last], frames, seed, synced)
	t.size += size
	return t.chunks[last][begin:]
}

func (t *tail) chunk(size int64) []byte {
	if n := len(t.free) - 1; n >= 0 && size <= chunkBytes {
		c := t.free[n]
		t.free = t.free[:n]
		return c
	}
	return make([]byte, 0, max(size, chunkBytes))
}

// undo takes out what the last add took in.
func (t *tail) undo(size int64) {
	last := len(t.chunks) - 1
	t.chunks[last] = t.chunks[last][:int64(len(t.chunks[last]))-size]
	t.size -= size
}

// appendTo appends all bytes to dst.
func (t *tail) appendTo(dst []byte) []byte {
	for _, c := range t.chunks {
		dst = append(dst, c...)
	}
	return dst
}

// clear empties the tail and keeps some of its memory.
func (t *tail) clear() {
	for i, c := range t.chunks {
		if cap(c) == chunkBytes && len(t.free) < keepChunks {
			t.free = append(t.free, c[:0])
		}
		t.chunks[i] = nil
	}
	t.chunks, t.size = t.chunks[:0], 0
}
