package filestore

import (
	"fmt"
	"slices"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// group is the batches that are written and synced together.
type group struct {
	batches []*batch
	frames  []wal.Frame
	fresh   map[string]arrival // its traces, by id
	size    int64              // bytes of its frames
	room    int64              // of the queue that its batches hold
	staged  int                // traces that are in the index, not shown yet
	flush   bool               // one of them asks for a sync
	rotate  bool               // one of them asks for a new log file besides
}

// arrival is a trace of a group that is not published yet.
type arrival struct {
	pos  cts.Position
	json []byte
}

func newGroup() *group { return &group{fresh: map[string]arrival{}} }

// reset empties the group.
func (g *group) reset() {
	clear(g.batches)
	clear(g.frames)
	clear(g.fresh)
	*g = group{batches: g.batches[:0], frames: g.frames[:0], fresh: g.fresh}
}

// gather places the batches that wait into the next group. It reports whether more may
// come.
func (c *committer) gather() (open bool) {
	g := c.next
	first := len(g.batches) == 0
	if g.flush || first && c.flying != nil && c.store.keeper.full() {
		return true // what is under way is answered before anybody waits for the keeper
	}
	room := groupBytes - g.room
	if room <= 0 {
		return true
	}
	c.taken, open = c.store.queue.take(c.taken[:0], room, first)
	if len(c.taken) == 0 {
		return open
	}
	if first {
		c.refused = c.store.keeper.admit()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.taken {
		g.batches = append(g.batches, b)
		g.room += b.size
		g.flush, g.rotate = g.flush || b.flush, g.rotate || b.rotate
		if b.err = c.refused; b.err == nil {
			b.err = c.place(b)
		}
	}
	clear(c.taken)
	return open
}

// place gives the traces of a batch their positions and makes a frame of those that
// are new. Of a batch that it refuses nothing stays behind. c.mu is held.
func (c *committer) place(b *batch) error {
	b.frame, b.first = b.items[:0], c.position // never longer than what was looked at
	err := c.placeItems(b)
	if err == nil {
		b.compact()
		size := int64(wal.FrameSize + len(b.payload))
		if limit := c.store.opts.MaxBytes; limit > 0 && len(b.frame) > 0 && c.bytes()+size > limit {
			err = fmt.Errorf("filestore: %w: segments and log may have %d bytes", cts.ErrStoreFull, limit)
		}
	}
	if err != nil {
		for _, it := range b.frame {
			delete(c.next.fresh, it.id)
		}
		c.position, b.frame = b.first, nil
		return err
	}
	c.addFrame(b)
	return nil
}

// addFrame makes the frame of a batch that was placed.
func (c *committer) addFrame(b *batch) {
	if len(b.frame) == 0 {
		return
	}
	g := c.next
	g.frames = append(g.frames, wal.Frame{First: uint64(b.first), Count: uint32(len(b.frame)), Payload: b.payload, Sum: b.sum})
	g.size += int64(wal.FrameSize + len(b.payload))
}

// bytes returns what segments and log will have when everything that was placed is
// written. c.mu is held.
func (c *committer) bytes() int64 {
	n := c.segmentBytes + c.logBytes() + wal.HeaderSize + c.next.size
	if c.flying != nil {
		n += c.flying.size
	}
	return n
}

func (c *committer) placeItems(b *batch) error {
	for i, it := range b.items {
		pos, stored, err := c.lookUp(b, it)
		if err != nil {
			return err
		}
		if pos == 0 {
			c.next.fresh[it.id] = arrival{pos: c.position, json: b.text(it)}
			c.position++
			b.frame = append(b.frame, it)
			continue
		}
		same, err := sameTrace(stored, b.text(it))
		if err != nil {
			return err
		}
		if !same {
			return &cts.ConflictError{Index: i, ID: it.id}
		}
		b.known.Existing++
		if b.known.First == 0 || pos < b.known.First {
			b.known.First = pos
		}
		b.known.Last = max(b.known.Last, pos)
	}
	return nil
}

// placeAgain gives the batches of the next group other positions, after the group before
// it was not written. Batches that lean on a trace that is not stored now have no trace to
// lean on: they fail like it.
func (c *committer) placeAgain(cause error) {
	g := c.next
	g.frames, g.size = g.frames[:0], 0
	clear(g.fresh)
	for _, b := range g.batches {
		switch {
		case b.leans: // also those that are in conflict with what is not stored now
			b.err, b.frame = cause, nil
			continue
		case b.err != nil:
			continue
		}
		b.first = c.position
		for _, it := range b.frame {
			g.fresh[it.id] = arrival{pos: c.position, json: b.text(it)}
			c.position++
		}
		c.addFrame(b)
	}
}

// lookUp returns position and JSON of the trace that has the id of an item, or
// position 0.
func (c *committer) lookUp(b *batch, it item) (cts.Position, []byte, error) {
	if a, ok := c.arriving(it.id); ok {
		b.leans = true
		return a.pos, a.json, nil
	}
	var found [1]cts.Position
	for _, pos := range c.ids.find(it.id, found[:0]) { // only this goroutine adds, and who drops holds c.mu
		ordinal, ok := c.index.find(pos)
		if !ok {
			continue
		}
		var r bodyReader
		json, err := r.read(&c.index.view, ordinal)
		if err != nil {
			return 0, nil, cantCompare(it.id, err)
		}
		if id, _, _, err := cts.PeekJSON(json); err == nil && id == it.id {
			return pos, json, nil
		}
	}
	return c.lookUpSealed(it.id, it.sifted)
}

func cantCompare(id string, err error) error {
	return fmt.Errorf("filestore: a trace with id %q is there and can't be compared: %w", id, err)
}

// lookUpSealed is lookUp among the segments that have anything behind the position that
// the id was sifted up to. A segment of which not even the ids can be read is passed over,
// as one is that is not there any more: its traces are lost, and those of today are not
// refused for that.
func (c *committer) lookUpSealed(id string, sifted cts.Position) (pos cts.Position, json []byte, err error) {
	for _, s := range slices.Backward(c.index.segments) {
		if s.info.last < sifted {
			break
		}
		var row uint32
		found := false
		if err := s.guarded(func() (err error) { row, found, err = s.find(id); return err }); err != nil || !found {
			continue
		}
		err := s.guarded(func() error {
			if err := s.prepare(); err != nil {
				return err
			}
			pos = s.position(row)
			r, err := newTraceReader(s)
			if err == nil {
				json, err = r.jsonOf(row)
			}
			return err
		})
		if err != nil {
			return 0, nil, cantCompare(id, err)
		}
		if pos != 0 {
			return pos, json, nil
		}
	}
	return 0, nil, nil
}

// arriving returns a trace that is not published yet.
func (c *committer) arriving(id string) (a arrival, ok bool) {
	a, ok = c.next.fresh[id]
	if !ok && c.flying != nil {
		a, ok = c.flying.fresh[id]
	}
	return a, ok
}

// prepare puts the traces of a group that is flying into the index, where nobody sees
// them yet.
func (c *committer) prepare(g *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stage(g)
}

// stage is prepare, of a group that may be prepared already. c.mu is held.
func (c *committer) stage(g *group) {
	if g.staged > 0 {
		return
	}
	c.ids.mu.Lock()
	defer c.ids.mu.Unlock()
	offset := 0 // in what is written of the group
	for _, b := range g.batches {
		if b.err != nil || len(b.frame) == 0 {
			continue
		}
		payload := offset + wal.FrameSize
		for i := range b.frame {
			it := &b.frame[i]
			record := payload + it.json - wal.RecordSize(0)
			c.index.stage(ref{time: it.time, record: it.record, offset: uint32(record), size: uint32(it.end - it.json)}, &it.marks)
			c.ids.put(it.id, b.first+cts.Position(i))
		}
		g.staged += len(b.frame)
		offset = payload + len(b.payload)
	}
}

// unstage takes the traces of a group that was not written out of the index.
func (c *committer) unstage(g *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids.cut(g.staged)
	c.index.staged -= g.staged
	g.staged = 0
}
