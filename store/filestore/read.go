package filestore

import (
	"errors"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// maxWindow is the most that is read at a time.
const maxWindow = 256 << 10

// bodyReader reads the JSON of traces. It has one buffer: what it returned is valid
// until the next call. Traces that are asked for in the order in which they are
// stored, or in the reverse, are read in ever larger windows.
type bodyReader struct {
	reader *Store // a store open without the lock: log files may be used again under it
	buf    []byte
	file   *wal.File // of buf
	start  int64     // of buf in it
	window int       // bytes to read next if the reading goes on in a row
}

var errUnreadable = errors.New("the file can't be read there")

// read returns the JSON of a trace, whose checksum it checks. What can't be read is
// a [*cts.CorruptionError].
func (r *bodyReader) read(v *view, ordinal int) ([]byte, error) {
	json, err := r.readLog(v, ordinal)
	if r.reader != nil && errors.Is(err, wal.ErrReused) {
		return r.reader.sealedMeanwhile(v.position(ordinal))
	}
	return json, err
}

func (r *bodyReader) readLog(v *view, ordinal int) ([]byte, error) {
	at := v.at(ordinal)
	f, offset, size := v.fileOf(*at), int64(at.offset), wal.RecordSize(int(at.size))
	if r.file != f || offset < r.start || offset+int64(size) > r.start+int64(len(r.buf)) {
		if err := r.fill(f, offset, size); err != nil {
			return nil, damage(v, ordinal, err)
		}
	}
	json, ok := wal.CheckRecord(r.buf[offset-r.start:][:size])
	if !ok {
		return nil, damage(v, ordinal, errChecksum)
	}
	return json, nil
}

// fill reads a window that holds the size bytes at offset, most of it behind them if
// the reading goes forward and before them if it goes back: neighbours in time are
// not quite in the order in which they are stored.
func (r *bodyReader) fill(f *wal.File, offset int64, size int) error {
	distance := offset - r.start
	if r.file != f || distance > maxWindow+int64(len(r.buf)) || distance < -maxWindow {
		r.window = 0
	} else {
		r.window = min(max(2*r.window, 4<<10), maxWindow)
	}
	before, behind := r.window/8, r.window
	if r.file == f && distance < 0 {
		before, behind = behind, before
	}
	from := max(0, offset-int64(before))
	want := int(offset-from) + size + behind
	if cap(r.buf) < want {
		r.buf = make([]byte, want+want/4)
	}
	n, err := f.ReadAt(r.buf[:want], from)
	if r.reader != nil {
		if herr := f.CheckHeader(); errors.Is(herr, wal.ErrReused) {
			r.buf = r.buf[:0]
			return herr
		}
	}
	r.buf, r.file, r.start = r.buf[:n], f, from
	if int64(n) < offset-from+int64(size) {
		r.buf = r.buf[:0]
		return errors.Join(errUnreadable, err)
	}
	return nil
}

// damage returns the error for a trace that can't be read.
func damage(v *view, ordinal int, err error) *cts.CorruptionError {
	at := v.at(ordinal)
	pos := v.position(ordinal)
	return &cts.CorruptionError{
		File: logName + "/" + v.fileOf(*at).Name(), Offset: int64(at.offset), First: pos, Last: pos, Err: err,
	}
}
