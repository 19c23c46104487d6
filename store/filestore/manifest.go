package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
)

const (
	manifestName = "MANIFEST"
	manifestHead = "cts manifest"
	maxManifest  = 64 << 20
)

// manifest is what the file MANIFEST says: which segments the store has, and where
// the log begins. It is replaced atomically, so a segment is seen whole or not at all.
type manifest struct {
	id         uuid.UUID
	generation uint64       // of the manifest, from 1 on
	number     uint64       // the highest number that a segment file was given
	oldest     cts.Position // the first position retained; lower ones were dropped
	next       cts.Position // the first position that is not in the segments
	segments   []segmentInfo
	lost       []*cts.CorruptionError // positions below next that are lost
}

// segmentInfo is one segment in the manifest.
type segmentInfo struct {
	number               uint64
	first, last          cts.Position // the range that it stands for, positions that were lost included
	rows                 int
	bytes                int64
	minTime, maxTime     int64
	minRecord, maxRecord int64
}

// segmentName returns the name of a segment file within the store.
func segmentName(number uint64) string {
	return fmt.Sprintf("%s/%08d%s", segmentsName, number, segmentSuffix)
}

// text returns the content of MANIFEST:
//
//	cts manifest
//	version 1
//	store 01907a3c-5b1e-7c40-8a51-2f0e6d9c4b17
//	generation 12
//	number 7
//	oldest 1
//	next 70001
//	segment 6 1 35000 35000 5242880 1767225600000 1767225700000 1767225600003 1767225700009
//	segment 7 35001 70000 34999 5242880 1767225690000 1767225800000 1767225690001 1767225800001
//	lost 35017 35017 log/00000002.log 4711 checksum
//	crc32c 0f1e2d3c
//
// A segment has its number, first and last position, rows, bytes of the file, lowest
// and highest time, lowest and highest record_time; a loss its first and last
// position, the file and the offset where they were, and the cause. The last line is
// the CRC-32C of the lines before.
func (m *manifest) text() []byte {
	b := fmt.Appendf(nil, "%s\nversion %d\nstore %s\ngeneration %d\nnumber %d\noldest %d\nnext %d\n",
		manifestHead, formatVersion, m.id, m.generation, m.number, m.oldest, m.next)
	for _, s := range m.segments {
		b = fmt.Appendf(b, "segment %d %d %d %d %d %d %d %d %d\n", s.number, s.first, s.last, s.rows, s.bytes,
			s.minTime, s.maxTime, s.minRecord, s.maxRecord)
	}
	for _, l := range m.lost {
		b = fmt.Appendf(b, "lost %d %d %s %d %s\n", l.First, l.Last, l.File, l.Offset, causeName(l.Err))
	}
	return fmt.Appendf(b, "crc32c %08x\n", crc32c(b))
}

// causes are the names of what can be wrong with a lost trace.
var causes = []struct {
	name string
	err  error
}{
	{"unframed", errUnframed},
	{"checksum", errChecksum},
	{"no-trace", errNotTrace},
	{"missing", errMissing},
	{"segment", errSegment},
	{"unreadable", errUnreadable},
}

func causeName(err error) string {
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	return causes[0].name
}

// causeOf returns the cause with a name, nil if there is none.
func causeOf(name string) error {
	for _, c := range causes {
		if c.name == name {
			return c.err
		}
	}
	return nil
}

// parseManifest reads the content of MANIFEST. Of a newer version it returns a
// [cts.ErrVersion].
func parseManifest(b []byte) (*manifest, error) {
	at := bytes.LastIndex(b, []byte("crc32c "))
	if at < 0 || string(b[at:]) != fmt.Sprintf("crc32c %08x\n", crc32c(b[:at])) {
		return nil, errors.New("its checksum is wrong")
	}
	lines := strings.Split(strings.TrimSuffix(string(b[:at]), "\n"), "\n")
	if len(lines) < 2 || lines[0] != manifestHead {
		return nil, errors.New("it is not the manifest of a store")
	}
	version, err := number(lines[1], "version ")
	if err != nil {
		return nil, err
	}
	if version > formatVersion {
		return nil, fmt.Errorf("%w: the manifest has version %d, this release knows %d; use a newer release", cts.ErrVersion, version, formatVersion)
	}
	if len(lines) < 7 {
		return nil, errors.New("it has too few lines")
	}
	m := new(manifest)
	if m.id, err = parseID(strings.TrimPrefix(lines[2], "store ")); err != nil {
		return nil, err
	}
	for i, field := range []struct {
		name string
		to   *uint64
	}{{"generation ", &m.generation}, {"number ", &m.number}, {"oldest ", (*uint64)(&m.oldest)}, {"next ", (*uint64)(&m.next)}} {
		text, ok := strings.CutPrefix(lines[3+i], field.name)
		if *field.to, err = strconv.ParseUint(text, 10, 64); !ok || err != nil {
			return nil, fmt.Errorf("it has no line %q with a number", strings.TrimSpace(field.name))
		}
	}
	for _, line := range lines[7:] {
		if err := m.line(line); err != nil {
			return nil, err
		}
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// line reads one line about a segment or a loss.
func (m *manifest) line(line string) error {
	words := strings.Split(line, " ")
	switch {
	case words[0] == "segment" && len(words) == 10:
		var n [9]int64
		for i := range n {
			var err error
			if n[i], err = strconv.ParseInt(words[i+1], 10, 64); err != nil {
				return errors.New("a segment has a number that can't be read")
			}
		}
		m.segments = append(m.segments, segmentInfo{
			number: uint64(n[0]), first: cts.Position(n[1]), last: cts.Position(n[2]), rows: int(n[3]), bytes: n[4],
			minTime: n[5], maxTime: n[6], minRecord: n[7], maxRecord: n[8],
		})
	case words[0] == "lost" && len(words) == 6:
		var n [3]uint64
		for i, word := range []string{words[1], words[2], words[4]} {
			var err error
			if n[i], err = strconv.ParseUint(word, 10, 63); err != nil {
				return errors.New("a loss has a number that can't be read")
			}
		}
		cause := causeOf(words[5])
		if cause == nil {
			return errors.New("a loss has a cause that is not known")
		}
		m.lost = append(m.lost, &cts.CorruptionError{
			File: words[3], Offset: int64(n[2]), First: cts.Position(n[0]), Last: cts.Position(n[1]), Err: cause,
		})
	default:
		return errors.New("it has a line that is not known")
	}
	return nil
}

// check reports what contradicts itself.
func (m *manifest) check() error {
	last := cts.Position(0)
	for _, s := range m.segments {
		if s.first <= last || s.last < s.first || s.last >= m.next || s.number == 0 || s.number > m.number ||
			s.rows < 1 || uint64(s.rows) > uint64(s.last-s.first)+1 || s.bytes < 0 {
			return fmt.Errorf("segment %d has impossible numbers", s.number)
		}
		last = s.last
	}
	last = 0
	for _, l := range m.lost {
		if l.First <= last || l.Last < l.First || l.Last >= m.next {
			return errors.New("a loss has impossible positions")
		}
		last = l.Last
	}
	if m.oldest == 0 || m.next < m.oldest {
		return errors.New("the oldest position is impossible")
	}
	return nil
}

// readManifest reads MANIFEST. A store that has sealed nothing has none: then it
// returns an empty one and false. It fails with a [*cts.CorruptionError] or
// [cts.ErrVersion].
func (d directory) readManifest(id uuid.UUID) (m *manifest, found bool, err error) {
	b, err := vfs.ReadFile(d.fs, d.path(manifestName), maxManifest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &manifest{id: id, oldest: 1, next: 1}, false, nil
	case errors.Is(err, vfs.ErrTooLarge):
		return nil, false, &cts.CorruptionError{File: manifestName, Err: err}
	case err != nil:
		return nil, false, fmt.Errorf("filestore: %w", err)
	}
	m, err = parseManifest(b)
	switch {
	case errors.Is(err, cts.ErrVersion):
		return nil, false, fmt.Errorf("filestore: %w", err)
	case err == nil && m.id != id:
		err = errors.New("it belongs to another store")
	}
	if err != nil {
		return nil, false, &cts.CorruptionError{File: manifestName, Err: fmt.Errorf("%w; %s", err, remakeManifest)}
	}
	return m, true, nil
}

// remakeManifest is what an operator can do about a manifest that is lost.
const remakeManifest = "put it back from a backup, or call Repair, which makes it anew from the segments"

// segmentNumbers returns the numbers of the segment files that are there, in order.
func (d directory) segmentNumbers() ([]uint64, error) {
	entries, err := d.fs.ReadDir(d.path(segmentsName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	var numbers []uint64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		n, err := strconv.ParseUint(digits, 10, 64)
		if ok && err == nil && n > 0 && segmentName(n) == segmentsName+"/"+e.Name() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// writeManifest replaces MANIFEST, durably.
func (d directory) writeManifest(m *manifest) error {
	if err := vfs.WriteFileAtomic(d.fs, d.path(manifestName), m.text(), filePerm); err != nil {
		return fmt.Errorf("filestore: %w", storeFull(err))
	}
	return nil
}
