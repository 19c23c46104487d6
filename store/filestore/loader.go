package filestore

import (
	"errors"
	"fmt"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// What is wrong with a damaged place. Each is compared by identity to join holes.
var (
	errUnframed = errors.New("bytes that are no frame")
	errChecksum = errors.New("checksum is wrong")
	errNotTrace = errors.New("intact bytes that are not a trace")
	errMissing  = errors.New("the log ends or goes on without them: bytes or a whole file are missing")
	errHeader   = errors.New("header of the log file is damaged, its traces are not")
)

// loader turns frames into an index, file after file. It is what opening, reading
// on and verifying have in common.
type loader struct {
	// trace is called for every readable trace with what its JSON begins with; the
	// JSON is valid until it returns.
	trace func(pos cts.Position, r ref, id string, json []byte)
	// lost is called for positions that are lost, with the damaged bytes, if any.
	lost func(damage *cts.CorruptionError, bytes []stretch)

	next    cts.Position // the position that must follow
	floor   cts.Position // lower positions are sealed: frames of them are passed over
	slot    uint32       // of the file, for refs
	suspect []stretch    // bytes that are no frame, until it is known whether traces were lost there
}

// stretch is a part of a log file.
type stretch struct {
	file     *wal.File
	from, to int64
}

func (s stretch) name() string { return logName + "/" + s.file.Name() }

// read reads a file from one offset to another. Frames at positions from the limit
// on were superseded by a later file; limit 0 is none.
func (l *loader) read(f *wal.File, slot uint32, from, to int64, limit cts.Position) error {
	l.slot = slot
	for it, err := range wal.Scan(f, f.Header.Store, f.Header.Number, from, to) {
		if err != nil {
			return fmt.Errorf("filestore: %s/%s: %w", logName, f.Name(), err)
		}
		first := cts.Position(it.First)
		switch {
		case it.Kind != wal.Invalid && first < l.floor && first+cts.Position(it.Count) <= l.floor:
			l.suspect = nil
		case it.Kind != wal.Invalid && first < l.floor && l.next == l.floor:
			l.frame(f, it)
		case it.Kind == wal.Invalid, first < l.next:
			l.suspect = append(l.suspect, stretch{f, it.Offset, it.End})
		case limit != 0 && first >= limit:
			return nil
		default:
			l.gap(first, logName+"/"+f.Name(), it.Offset)
			l.frame(f, it)
		}
	}
	return nil
}

// gap reports the positions that are missing before first.
func (l *loader) gap(first cts.Position, file string, offset int64) {
	if first > l.next {
		damage := &cts.CorruptionError{File: file, Offset: offset, First: l.next, Last: first - 1, Err: errMissing}
		if len(l.suspect) > 0 {
			damage.File, damage.Offset, damage.Err = l.suspect[0].name(), l.suspect[0].from, errUnframed
		}
		l.lost(damage, l.suspect)
		l.next = first
	}
	l.suspect = nil
}

// frame takes the records of a frame at the next position.
func (l *loader) frame(f *wal.File, it wal.Item) {
	name := logName + "/" + f.Name()
	payload := it.Offset + wal.FrameSize
	end := l.next + cts.Position(it.Count)
	sealed := cts.Position(0) // traces of the frame that are below the floor
	if first := cts.Position(it.First); first < l.next {
		sealed = l.next - first
		end -= sealed
	}
	for rec := range wal.Records(it.Payload) {
		if sealed > 0 {
			sealed--
			continue
		}
		if l.next == end {
			break
		}
		offset := payload + int64(rec.Offset)
		id, time, recordTime, err := "", int64(0), int64(0), errChecksum
		if rec.OK {
			if id, time, recordTime, err = cts.PeekJSON(rec.Data); err != nil {
				err = errNotTrace
			}
		}
		if err != nil {
			l.lost(&cts.CorruptionError{File: name, Offset: offset, First: l.next, Last: l.next, Err: err},
				[]stretch{{f, offset, offset + int64(wal.RecordSize(len(rec.Data)))}})
		} else {
			r := ref{time: time, record: recordTime, offset: uint32(offset), size: uint32(len(rec.Data)), file: l.slot}
			l.trace(l.next, r, id, rec.Data)
		}
		l.next++
	}
	if l.next < end {
		l.lost(&cts.CorruptionError{File: name, Offset: it.Offset, First: l.next, Last: end - 1, Err: errChecksum},
			[]stretch{{f, it.Offset, it.End}})
		l.next = end
	}
}

// end reports the positions below next, which are known to have been synced and
// were not found up to the offset of the last file.
func (l *loader) end(next cts.Position, file string, offset int64) {
	if next > l.next {
		l.gap(next, file, offset)
	}
}

// appendLost appends lost positions to a list of them. What directly follows on the
// last ones and has the same cause extends them. No element is changed.
func appendLost(list []*cts.CorruptionError, damage *cts.CorruptionError) []*cts.CorruptionError {
	n := len(list)
	if n == 0 || !extends(list[n-1], damage) {
		return append(list, damage)
	}
	joined := *list[n-1]
	joined.Last = damage.Last
	return append(list[:n-1:n-1], &joined)
}

// extends reports whether two losses are one, the second going on where the first
// ends.
func extends(a, b *cts.CorruptionError) bool {
	return a.First != 0 && a.File == b.File && a.Last+1 == b.First && errors.Is(a.Err, b.Err)
}

// limits returns for each file the position from which on its frames were
// superseded by a later one, 0 for none.
func limits(files []*wal.File) []cts.Position {
	limit := make([]cts.Position, len(files))
	lowest := cts.Position(0)
	for i := len(files) - 1; i >= 0; i-- {
		limit[i] = lowest
		if first := cts.Position(files[i].Header.First); first != 0 && (lowest == 0 || first < lowest) {
			lowest = first
		}
	}
	return limit
}

// firstOf returns the first position of a file whose header is damaged: that of its
// first frame. It is 0 if there is none.
func firstOf(f *wal.File, size int64) (uint64, error) {
	for it, err := range wal.Scan(f, f.Header.Store, f.Header.Number, wal.HeaderSize, size) {
		if err != nil {
			return 0, fmt.Errorf("filestore: %s/%s: %w", logName, f.Name(), err)
		}
		if it.Kind != wal.Invalid {
			return it.First, nil
		}
	}
	return 0, nil
}
