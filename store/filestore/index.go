package filestore

import (
	"slices"
	"sort"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// ref is where a trace is, and when it was.
type ref struct {
	time, record int64
	offset       uint32 // of its record's checksum in the file
	size         uint32 // bytes of JSON
	file         uint32 // number of files before it in the index, those that were dropped too
}

const chunkTraces = 1024

type chunk [chunkTraces]ref

// span is a run of consecutive positions. There is one, and one more after each
// hole, so that a hole costs nothing however wide it is.
type span struct {
	first   cts.Position
	ordinal int // number of traces before it
}

// view is an immutable snapshot of the index. Slices are shared with later views,
// which only add behind what this one shows.
//
// A trace of the log is known by its ordinal, the number of readable traces of the log
// before it; one that is sealed is known by its segment and its row there. Segments come before all of the log.
type view struct {
	epoch    uint64       // ordinals of views with the same epoch mean the same traces
	segments []*sealed    // in order of position
	sealed   int64        // traces in them
	sealedTo cts.Position // the first position that is not in segments
	oldest   cts.Position

	chunks []*chunk
	marks  []*markChunk // of the traces of each chunk
	lead   int          // traces at the beginning of the first chunk that are sealed
	count  int          // traces
	spans  []span
	holes  []*cts.CorruptionError // lost positions, in order, of segments and log
	files  []*wal.File
	gone   uint32       // files that were dropped
	last   cts.Position // the last position, of a trace or a hole
	synced cts.Position // the last position that is synced
	mark   wal.Mark     // of what is synced
	bytes  int64        // of the log files
}

// index is the view that is being built. It is used by one goroutine.
type index struct {
	view
	staged int // traces behind the last that are not part of it yet
}

// at returns the ref of a trace.
func (v *view) at(ordinal int) *ref {
	ordinal += v.lead
	return &v.chunks[ordinal/chunkTraces][ordinal%chunkTraces]
}

// marksAt returns the chunk that has the marks of a trace, and its place there.
func (v *view) marksAt(ordinal int) (c *markChunk, at int) {
	ordinal += v.lead
	return v.marks[ordinal/chunkTraces], ordinal % chunkTraces
}

// fileOf returns the file that a trace is in.
func (v *view) fileOf(r ref) *wal.File { return v.files[r.file-v.gone] }

// position returns the position of a trace.
func (v *view) position(ordinal int) cts.Position {
	i := len(v.spans) - 1
	if i > 0 {
		i = sort.Search(len(v.spans), func(i int) bool { return v.spans[i].ordinal > ordinal }) - 1
	}
	return v.spans[i].first + cts.Position(ordinal-v.spans[i].ordinal)
}

// behind returns the ordinal of the first trace behind a position, count if there
// is none.
func (v *view) behind(pos cts.Position) int {
	i := sort.Search(len(v.spans), func(i int) bool { return v.spans[i].first > pos }) - 1
	if i < 0 {
		return 0
	}
	end := v.count
	if i+1 < len(v.spans) {
		end = v.spans[i+1].ordinal
	}
	ordinal := uint64(v.spans[i].ordinal) + uint64(pos-v.spans[i].first) + 1
	return int(min(ordinal, uint64(end)))
}

// find returns the ordinal of the trace at a position.
func (v *view) find(pos cts.Position) (int, bool) {
	ordinal := v.behind(pos) - 1
	if ordinal < 0 || v.position(ordinal) != pos {
		return 0, false
	}
	return ordinal, true
}

// add appends the trace at the position, which is behind all others. None is staged.
func (x *index) add(pos cts.Position, r ref) {
	x.span(pos)
	if x.lead+x.count == len(x.chunks)*chunkTraces {
		x.chunks, x.marks = append(x.chunks, new(chunk)), append(x.marks, new(markChunk))
	}
	*x.at(x.count) = r
	x.count++
	x.last = pos
}

// span begins a new span if the position does not follow on the last trace.
func (x *index) span(pos cts.Position) {
	if len(x.spans) == 0 || pos != x.last+1 || x.lastIsHole() {
		x.spans = append(x.spans, span{first: pos, ordinal: x.count})
	}
}

// stage puts a trace behind all others, without making it part of the index. The offset
// of its ref is one from where settle will say.
func (x *index) stage(r ref, m *marks) {
	at := x.lead + x.count + x.staged
	if at == len(x.chunks)*chunkTraces {
		x.chunks, x.marks = append(x.chunks, new(chunk)), append(x.marks, new(markChunk))
	}
	x.chunks[at/chunkTraces][at%chunkTraces] = r
	x.marks[at/chunkTraces].put(at%chunkTraces, m)
	x.staged++
}

// settle makes the first n traces that were staged part of the index, at the positions
// behind the last one: they are in a file from an offset on.
func (x *index) settle(n int, slot uint32, offset uint32) {
	if n == 0 {
		return
	}
	x.span(x.last + 1)
	for i := range n {
		r := x.at(x.count + i)
		r.offset, r.file = r.offset+offset, slot
	}
	x.count, x.staged, x.last = x.count+n, x.staged-n, x.last+cts.Position(n)
}

func (x *index) lastIsHole() bool { return len(x.holes) > 0 && x.holes[len(x.holes)-1].Last == x.last }

// lose notes that the positions of the damage, which are behind all others, are
// lost.
func (x *index) lose(damage *cts.CorruptionError) {
	x.holes = appendLost(x.holes, damage)
	x.last = damage.Last
}

// slot returns the index of a file, which it adds if it is new.
func (x *index) slot(f *wal.File) uint32 {
	for i := len(x.files) - 1; i >= 0; i-- {
		if x.files[i] == f {
			return x.gone + uint32(i)
		}
	}
	x.files = append(x.files, f)
	return x.gone + uint32(len(x.files)-1)
}

// move notes that the traces from a position on are in another file now, at offsets
// changed by delta. Views that exist keep the old places.
func (x *index) move(from cts.Position, to *wal.File, delta int64) {
	slot := x.slot(to)
	first := x.behind(from - 1)
	if first == x.count {
		return
	}
	at := (x.lead + first) / chunkTraces
	chunks := append([]*chunk(nil), x.chunks...)
	for i := at; i < len(chunks); i++ {
		c := *chunks[i]
		chunks[i] = &c
	}
	x.chunks = chunks
	for i := first; i < x.count; i++ {
		r := x.at(i)
		r.file, r.offset = slot, uint32(int64(r.offset)+delta)
	}
}

// seal replaces the traces of the log up to a position, which are in the segment now,
// by the segment; nil when none of them was readable. It returns the log files that no
// trace of the index is in any more. What is behind the position is not touched: appends
// wait meanwhile.
func (x *index) seal(upTo cts.Position, s *sealed) (unused []*wal.File) {
	n := x.behind(upTo)
	x.epoch++
	x.dropSpans(n)
	lead := x.lead + n
	// Clones: nothing keeps the memory of what was dropped.
	x.chunks, x.marks = slices.Clone(x.chunks[lead/chunkTraces:]), slices.Clone(x.marks[lead/chunkTraces:])
	x.lead, x.count = lead%chunkTraces, x.count-n
	if s != nil {
		x.segments = append(slices.Clip(x.segments), s)
		x.sealed += int64(s.info.rows)
	}
	x.last, x.sealedTo = max(x.last, upTo), upTo+1
	return x.dropFiles(upTo)
}

// dropSpans takes the first n traces out of the spans.
func (x *index) dropSpans(n int) {
	spans := make([]span, 0, len(x.spans))
	for i, s := range x.spans {
		end := x.count
		if i+1 < len(x.spans) {
			end = x.spans[i+1].ordinal
		}
		if end <= n {
			continue
		}
		if s.ordinal < n {
			s.first, s.ordinal = s.first+cts.Position(n-s.ordinal), n
		}
		s.ordinal -= n
		spans = append(spans, s)
	}
	x.spans = spans
}

// dropFiles takes the files out of the index whose traces are all at or below a
// position.
func (x *index) dropFiles(upTo cts.Position) (unused []*wal.File) {
	n := 0
	for _, limit := range limits(x.files) { // ascending, then 0
		if limit == 0 || limit > upTo+1 {
			break
		}
		n++
	}
	unused = slices.Clone(x.files[:n])
	x.files, x.gone = slices.Clone(x.files[n:]), x.gone+uint32(n)
	return unused
}

// ends returns the first and the last position that has a trace, 0 if there is none.
func (v *view) ends() (first, last cts.Position) {
	if n := len(v.segments); n > 0 {
		first = cts.Position(v.segments[0].segment.Info().FirstPosition)
		last = cts.Position(v.segments[n-1].segment.Info().LastPosition)
	}
	if v.count > 0 {
		last = v.position(v.count - 1)
		if first == 0 {
			first = v.position(0)
		}
	}
	return first, last
}

// total returns how many traces the view shows.
func (v *view) total() int64 { return v.sealed + int64(v.count) }

// snapshot returns a view of what the index holds now.
func (x *index) snapshot() *view {
	v := x.view
	return &v
}
