package filestore

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/internal/segment"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// This file finds out what can be read of the segments, and how to keep it.

// segmentFile is a segment that was looked at.
type segmentFile struct {
	info   segmentInfo // of the manifest, or by its footer
	named  bool        // by the manifest
	there  bool        // the file
	sealed *sealed     // nil if nothing of it can be read
	err    error       // what is wrong with it, nil if it is sound
	used   bool        // by the new manifest, as it is
}

func (f *segmentFile) name() string { return segmentName(f.info.number) }

// run is some positions, one behind the other, whose traces can be read from one source:
// a segment file, or the log if that is nil.
type run struct {
	positions
	from *segmentFile
}

// piece is some runs of one source that are written to a new segment.
type piece struct {
	positions
	number uint64 // of the new segment
	from   *segmentFile
	runs   []run
	rows   int64
}

// examineSegments looks at all segment files, those that the manifest does not name too.
func (r *repair) examineSegments() error {
	if r.manifest == nil {
		r.manifest = &manifest{id: r.id, oldest: 1, next: 1}
	}
	for _, info := range r.manifest.segments {
		f, err := r.examine(info)
		if err != nil {
			return err
		}
		f.named = true
		r.files = append(r.files, f)
	}
	numbers, err := r.dir.segmentNumbers()
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if slices.ContainsFunc(r.files, func(f *segmentFile) bool { return f.info.number == n }) {
			continue
		}
		f, err := r.examine(segmentInfo{number: n})
		if err != nil {
			return err
		}
		r.files = append(r.files, f)
	}
	return r.openLog()
}

// openLog reads all of the log, what is sealed too if it is still there.
func (r *repair) openLog() error {
	r.log = &recovery{dir: r.dir, id: wal.StoreID(r.id), dry: true, manifest: &manifest{id: r.id, oldest: 1, next: 1}}
	if err := r.log.openLog(); err != nil {
		return err
	}
	return r.log.readLog()
}

// examine looks at a segment file. Without a number of rows the info is made from the
// footer.
func (r *repair) examine(info segmentInfo) (*segmentFile, error) {
	f := &segmentFile{info: info, there: true}
	var err error
	f.sealed, f.err, err = openDamaged(r.dir, info)
	switch {
	case errors.Is(f.err, os.ErrNotExist):
		f.there = false
		f.err = fmt.Errorf("%s is gone", f.name())
	case f.sealed != nil && f.sealed.info != info && info.rows == 0:
		f.info = f.sealed.info
	}
	if err != nil || f.err != nil {
		return f, err
	}
	var report cts.VerifyReport
	check := verification{report: &report}
	if err := check.segment(r.ctx, f.sealed); err != nil {
		return nil, err
	}
	for _, d := range report.Damaged {
		f.err = errors.Join(f.err, d)
	}
	return f, nil
}

// openDamaged opens a segment as far as possible. What is wrong with it is damage; err
// is what can't be read at the moment.
func openDamaged(dir directory, info segmentInfo) (s *sealed, damage, err error) {
	file, err := dir.fs.OpenFile(dir.path(segmentName(info.number)), os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, err, nil
	}
	if err != nil {
		return nil, nil, err
	}
	stat, err := file.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	known := info.rows > 0
	if known && stat.Size() != info.bytes {
		damage = info.damage(min(stat.Size(), info.bytes), fmt.Errorf("%w: its size is wrong", errSegment))
	}
	s = &sealed{info: info}
	if !known {
		s.info.bytes = stat.Size()
	}
	s.mapping, err = vfs.Map(file, min(stat.Size(), s.info.bytes))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, nil, err
	}
	fault := s.guarded(func() (err error) {
		if s.segment, err = segment.Open(segmentName(info.number), s.mapping.Bytes()); err != nil {
			return err
		}
		if !known {
			i := s.segment.Info()
			s.info = segmentInfo{
				number: info.number, first: cts.Position(i.FirstPosition), last: cts.Position(i.LastPosition), rows: i.Rows,
				bytes: s.info.bytes, minTime: i.MinTime, maxTime: i.MaxTime, minRecord: i.MinRecord, maxRecord: i.MaxRecord,
			}
		}
		return s.check()
	})
	if errors.Is(fault, segment.ErrVersion) {
		return nil, nil, errors.Join(fmt.Errorf("%w: %w", cts.ErrVersion, fault), s.mapping.Close())
	}
	if fault != nil {
		return nil, errors.Join(damage, s.damaged(fault)), s.mapping.Close()
	}
	s.nameColumns()
	return s, damage, nil
}

// plan finds out which segments the store has afterwards. What is missing between sound
// ones is taken, in this order, from segment files that are not in use, from the log, and
// from what is readable of damaged segments.
func (r *repair) plan() error {
	m := r.manifest.clone()
	m.segments = nil
	want := r.wanted(m)
	sound := slices.DeleteFunc(slices.Clone(r.files), func(f *segmentFile) bool { return f.err != nil })
	slices.SortFunc(sound, byUse)
	r.use(m, sound, want)
	runs, err := r.salvaged(m, want)
	if err != nil {
		return err
	}
	for _, s := range runs {
		m.next = max(m.next, s.last+1)
	}
	runs = append(runs, r.logged(m, runs)...)
	slices.SortFunc(m.segments, func(a, b segmentInfo) int { return cmp.Compare(a.first, b.first) })
	slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(a.first, b.first) })
	if r.remade {
		r.begin(m, runs)
	}
	r.lose(m, runs)
	r.divide(m, runs)
	r.manifest = m
	if err := r.checkPlan(); err != nil {
		return err
	}
	r.tell()
	return nil
}

// byUse orders files by how much they have, of several the newest first.
func byUse(a, b *segmentFile) int {
	return cmp.Or(cmp.Compare(b.info.rows, a.info.rows), cmp.Compare(b.info.number, a.info.number))
}

// wanted returns the positions that no sound segment stands for and that should be in
// one. Sound segments of the manifest stay in it.
func (r *repair) wanted(m *manifest) (want []positions) {
	if r.remade {
		return []positions{{1, ^cts.Position(0)}}
	}
	for _, f := range r.files {
		switch {
		case f.named && f.err == nil:
			f.used = true
			m.segments = append(m.segments, f.info)
		case f.named:
			want = append(want, positions{f.info.first, f.info.last})
		}
	}
	kept := newCover(spansOf(m.segments))
	for _, l := range m.lost {
		want = append(want, kept.without(positions{l.First, l.Last})...)
	}
	for _, h := range r.log.index.holes { // of a manifest that is older than a segment
		want = append(want, positions{max(h.First, m.next), h.Last})
	}
	return slices.DeleteFunc(want, func(p positions) bool { return p.last < p.first })
}

// salvaged returns what can be read of files that are not used, of the positions that are
// wanted and neither in a segment nor in the log.
func (r *repair) salvaged(m *manifest, want []positions) (runs []run, err error) {
	rest := slices.DeleteFunc(slices.Clone(r.files), func(f *segmentFile) bool { return f.used || f.sealed == nil })
	slices.SortStableFunc(rest, func(a, b *segmentFile) int {
		if a.named != b.named {
			if a.named {
				return -1
			}
			return 1
		}
		return byUse(a, b)
	})
	covered := append(spansOf(m.segments), r.log.readable(positions{1, ^cts.Position(0)}, func(int) bool { return true })...)
	for _, f := range rest {
		var open []positions
		done := newCover(covered)
		for _, w := range want {
			w.first, w.last = max(w.first, f.info.first, m.oldest), min(w.last, f.info.last)
			open = append(open, done.without(w)...)
		}
		if len(open) == 0 {
			continue
		}
		found, err := r.measure(f, open)
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			runs, covered = append(runs, run{p, f}), append(covered, p)
		}
	}
	return runs, nil
}

// logged returns what the log has and no segment will have, of the positions that the
// segments stand for.
func (r *repair) logged(m *manifest, runs []run) (more []run) {
	if m.next == 1 {
		return nil
	}
	held := spansOf(m.segments)
	for _, s := range runs {
		held = append(held, s.positions)
	}
	low := cts.Position(1)
	if !r.remade {
		low = m.oldest
	}
	v := r.log.index.snapshot()
	var bodies bodyReader
	traces := func(ordinal int) bool {
		json, err := bodies.read(v, ordinal)
		if err == nil {
			_, err = cts.ParseTrace(json)
		}
		return err == nil
	}
	for _, among := range newCover(held).without(positions{low, m.next - 1}) {
		for _, p := range r.log.readable(among, traces) {
			more = append(more, run{p, nil})
		}
	}
	return more
}

// readable returns the positions of the log that can be read and whose traces pass a
// test, among some.
func (r *recovery) readable(among positions, test func(ordinal int) bool) (all []positions) {
	for ordinal := r.index.behind(among.first - 1); ordinal < r.index.count; ordinal++ {
		pos := r.index.position(ordinal)
		if pos > among.last {
			break
		}
		if !test(ordinal) {
			continue
		}
		all = extend(all, pos)
	}
	return all
}

// divide makes pieces of the runs: each is of one source, not too large, and nothing else
// lies between its runs.
func (r *repair) divide(m *manifest, runs []run) {
	number := m.number
	for _, f := range r.files {
		number = max(number, f.info.number)
	}
	segments := newCover(spansOf(m.segments))
	for _, s := range runs {
		for s.first <= s.last {
			n := len(r.pieces)
			fits := n > 0 && r.pieces[n-1].from == s.from && r.pieces[n-1].rows < mostRepairedRows &&
				len(segments.without(positions{r.pieces[n-1].last, s.first})) == 1
			if !fits {
				number++
				r.pieces = append(r.pieces, piece{number: number, from: s.from, positions: positions{s.first, s.first}})
				n++
			}
			p := &r.pieces[n-1]
			part := s
			part.last = min(s.last, s.first+cts.Position(mostRepairedRows-p.rows)-1)
			p.runs, p.last = append(p.runs, part), part.last
			p.rows += int64(part.last-part.first) + 1
			s.first = part.last + 1
		}
	}
	m.number = max(m.number, number)
}

// checkPlan makes sure that the new manifest will be accepted, before anything is done.
func (r *repair) checkPlan() error {
	m := r.manifest.clone()
	for _, p := range r.pieces {
		m.segments = append(m.segments, segmentInfo{number: p.number, first: p.first, last: p.last, rows: int(p.rows)})
	}
	slices.SortFunc(m.segments, func(a, b segmentInfo) int { return cmp.Compare(a.first, b.first) })
	err := m.check()
	if text := m.text(); err == nil && len(text) > maxManifest {
		err = fmt.Errorf("it has %d bytes, at most %d: there are too many losses", len(text), maxManifest)
	}
	if err != nil {
		return fmt.Errorf("nothing was changed: the new %s can't be written: %w", manifestName, err)
	}
	return nil
}

// use takes sound files into the manifest that have any of some positions, and that
// nothing in it overlaps.
func (r *repair) use(m *manifest, sound []*segmentFile, want []positions) {
	for _, f := range sound {
		at := positions{f.info.first, f.info.last}
		wanted := slices.ContainsFunc(want, at.overlaps)
		dropped := !r.remade && at.first < m.oldest // some of it, by retention: it must not come back
		if f.used || !wanted || dropped || slices.ContainsFunc(spansOf(m.segments), at.overlaps) {
			continue
		}
		f.used = true
		m.segments = append(m.segments, f.info)
		m.next, m.number = max(m.next, f.info.last+1), max(m.number, f.info.number) // of a manifest that is older
	}
}

func spansOf(segments []segmentInfo) (all []positions) {
	for _, s := range segments {
		all = append(all, positions{s.first, s.last})
	}
	return all
}

// mostRepairedRows is the most rows of a segment that a repair writes. Rows are in memory
// until a segment is written; what is small is merged later.
const mostRepairedRows = 1 << 17

// measure returns the positions of the rows of a file that can be read, among some.
func (r *repair) measure(f *segmentFile, among []positions) (found []positions, err error) {
	open := newCover(among)
	for row := range r.readable(f) {
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
		if pos := cts.Position(row.Position); open.has(pos) {
			found = extend(found, pos)
		}
	}
	return found, nil
}

// readable yields the rows of a file that are traces.
func (r *repair) readable(f *segmentFile) func(yield func(*segment.Row) bool) {
	check := newRowCheck(f.sealed.segment.Info().Schema)
	return func(yield func(*segment.Row) bool) {
		for row := range f.sealed.segment.Salvage(f.sealed.guarded) {
			if check.ok(row) && !yield(row) {
				return
			}
		}
	}
}

// begin gives a manifest that is made anew its bounds, and numbers that none before it
// can have had.
func (r *repair) begin(m *manifest, runs []run) {
	m.lost = nil
	m.oldest = m.next
	for _, s := range m.segments {
		m.oldest = min(m.oldest, s.first)
	}
	for _, s := range runs {
		m.oldest = min(m.oldest, s.first)
	}
	m.generation = uint64(r.report.Time.UnixMilli())
	for _, f := range r.files {
		m.number = max(m.number, f.info.number)
	}
}

// lose finds the positions that are in no segment any more. What was lost before and has
// been found is not lost.
func (r *repair) lose(m *manifest, runs []run) {
	var held []positions // whose traces are there
	for _, s := range runs {
		held = append(held, s.positions)
	}
	var holes []*cts.CorruptionError
	for _, f := range r.files {
		if !f.used || f.named && !r.remade {
			continue
		}
		inside := f.sealed.holes()
		held = append(held, newCover(inside).without(positions{f.info.first, f.info.last})...)
		for _, p := range inside {
			holes = append(holes, &cts.CorruptionError{File: f.name(), First: p.first, Last: p.last, Err: errMissing})
		}
	}
	var lost []*cts.CorruptionError
	lose := func(damage ...*cts.CorruptionError) { // which do not overlap
		known := newCover(held)
		for _, d := range damage {
			for _, p := range known.without(positions{max(d.First, m.oldest), min(d.Last, m.next-1)}) {
				part := *d
				part.First, part.Last = p.first, p.last
				lost, held = append(lost, &part), append(held, p)
			}
		}
	}
	lose(m.lost...)
	lose(holes...)
	for _, f := range r.files {
		if f.used && f.named && !r.remade {
			held = append(held, positions{f.info.first, f.info.last})
		}
	}
	for _, f := range r.files {
		if f.err != nil && f.info.rows > 0 && (f.named || r.remade) {
			lose(f.info.damage(0, errSegment))
		}
	}
	lose(&cts.CorruptionError{File: segmentsName, First: m.oldest, Last: m.next - 1, Err: errMissing})
	m.lost = mergeLost(nil, lost)
}

// holes returns the positions inside a sound segment that no row has.
func (s *sealed) holes() (all []positions) {
	if uint64(s.info.rows) == uint64(s.info.last-s.info.first)+1 {
		return nil
	}
	next := s.info.first
	_ = s.guarded(func() error { // it was verified
		if err := s.prepare(); err != nil {
			return err
		}
		order := s.order.Load()
		for ordinal := range uint32(s.info.rows) {
			pos := cts.Position(order.PositionAt(ordinal))
			if pos > next {
				all = append(all, positions{next, pos - 1})
			}
			next = pos + 1
		}
		return nil
	})
	return all
}

// tell notes what is done with each file. One that was not in use and is of no use stays
// as it is, unless others change.
func (r *repair) tell() {
	rows := map[*segmentFile]int64{}
	segments := newCover(spansOf(r.manifest.segments))
	changes := r.remade || len(r.pieces) > 0
	for _, p := range r.pieces {
		rows[p.from] += p.rows
	}
	for _, f := range r.files {
		changes = changes || f.named != f.used
	}
	for _, f := range r.files {
		switch {
		case !changes, f.used && (f.named || r.remade):
			continue
		case f.used:
			r.did(RepairTaken, f.name(), int64(f.info.rows), errors.New("no other segment has its traces"))
			continue
		case rows[f] > 0:
			r.did(RepairRewritten, f.name(), rows[f], f.reason())
		case f.info.rows > 0 && len(segments.without(positions{f.info.first, f.info.last})) == 0:
			r.did(RepairReplaced, f.name(), 0, f.reason())
		default:
			r.did(RepairRemoved, f.name(), 0, f.reason())
		}
		if f.there {
			r.moves = append(r.moves, f.name())
		}
	}
	if rows[nil] > 0 {
		r.did(RepairSealed, logName, rows[nil], errors.New("no segment has these traces"))
	}
}

// reason tells why a file does not stay.
func (f *segmentFile) reason() error {
	if f.err != nil {
		return f.err
	}
	return errors.New("it is not needed: other segments have its traces")
}

// closeFiles closes what was opened.
func (r *repair) closeFiles() error {
	var errs []error
	for _, f := range r.files {
		if f.sealed != nil {
			errs = append(errs, f.sealed.Close())
			f.sealed = nil
		}
	}
	if r.log != nil {
		errs = append(errs, r.log.closeFiles())
		r.log = nil
	}
	return errors.Join(errs...)
}
