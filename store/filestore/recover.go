package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// recovery is what Open does to find out what the log holds, and to make it ready
// to go on.
type recovery struct {
	dir    directory
	id     wal.StoreID
	failed func(op, file string, err error)

	mark   wal.Mark // what the file MARK says; Next is 0 without one
	files  []*wal.File
	ends   []int64 // of each file's content
	proven int64   // offset up to which the last file is known to have been synced
	index  index
	ids    idTable
	found  Recovery

	manifest     *manifest
	open         func(segmentInfo) *sealed // returns one that is open already, or nil
	segmentBytes int64
	starts       map[*wal.File]int64 // bytes of the log before each file
	lost         [][]stretch         // the bytes of found.Damaged
	dry          bool                // nothing is changed
}

// run opens the segments and reads the log. The files are open afterwards, also after
// an error.
func (r *recovery) run(id uuid.UUID) error {
	m, found, err := r.dir.readManifest(id)
	if err != nil {
		return err
	}
	r.manifest = m
	if err := r.openSegments(); err != nil {
		return err
	}
	if err := r.openLog(); err != nil {
		return err
	}
	if err := r.checkManifest(found); err != nil {
		return err
	}
	return r.readLog()
}

// openLog reads MARK and opens the files of the log.
func (r *recovery) openLog() (err error) {
	if r.mark, err = wal.ReadMark(r.dir.fs, r.dir.path(markName), r.id); errors.Is(err, wal.ErrNoMark) {
		r.found.MarkLost = true
	} else if err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	numbers, err := wal.List(r.dir.fs, r.dir.path(logName))
	if err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	r.found.MarkLost = r.found.MarkLost && len(numbers) > 0
	for i, number := range numbers {
		f, end, err := openLogFile(r.dir, r.id, number, i == len(numbers)-1 && !r.dry)
		if err != nil {
			return err
		}
		r.files, r.ends = append(r.files, f), append(r.ends, end)
		if f.Err != nil {
			r.damaged(&cts.CorruptionError{File: logName + "/" + f.Name(), Err: errHeader}, []stretch{{f, 0, min(end, wal.HeaderSize)}})
		}
	}
	return nil
}

// readLog makes the log ready to go on, and reads it.
func (r *recovery) readLog() error {
	if err := r.cutTail(); err != nil {
		return err
	}
	return r.load()
}

// openSegments opens what the manifest names. A segment that is damaged is a hole.
func (r *recovery) openSegments() error {
	for _, info := range r.manifest.segments {
		r.segmentBytes += info.bytes
		var s *sealed
		var err error
		if r.open != nil {
			s = r.open(info)
		}
		if s == nil {
			s, err = openSealed(r.dir, info)
		}
		var damage *cts.CorruptionError
		switch {
		case errors.As(err, &damage):
			r.index.holes = append(r.index.holes, damage)
			r.found.Damaged = append(r.found.Damaged, Damage{Error: damage})
			r.lost = append(r.lost, nil)
		case err != nil:
			return err
		default:
			r.index.segments = append(r.index.segments, s)
			r.index.sealed += int64(info.rows)
		}
	}
	damaged := r.index.holes
	r.index.holes = mergeLost(damaged, slices.DeleteFunc(slices.Clone(r.manifest.lost), func(l *cts.CorruptionError) bool {
		return slices.ContainsFunc(damaged, func(d *cts.CorruptionError) bool { return d.First <= l.First && l.Last <= d.Last })
	}))
	r.index.oldest, r.index.last, r.index.sealedTo = r.manifest.oldest, r.manifest.next-1, r.manifest.next
	return nil
}

// checkManifest reports a manifest that is lost: without one the log begins with the
// first trace.
func (r *recovery) checkManifest(found bool) error {
	if found || len(r.files) > 0 && r.files[0].Header.First <= 1 {
		return nil
	}
	numbers, err := r.dir.segmentNumbers()
	if err != nil || len(numbers) == 0 {
		return err
	}
	return &cts.CorruptionError{File: manifestName, Err: fmt.Errorf(
		"it is missing, and there is %s; %s", segmentName(numbers[0]), remakeManifest)}
}

// removeOrphans removes segment files that the manifest does not name: of a sealing or
// merging that a crash interrupted, or what a merge replaced. One that may have traces
// that are lost otherwise stays for a repair, and nothing is written over it: the manifest
// may be an old one.
func (r *recovery) removeOrphans() {
	numbers, err := r.dir.segmentNumbers()
	if err != nil {
		r.failed("list", segmentsName, err)
	}
	for _, n := range numbers {
		if slices.ContainsFunc(r.manifest.segments, func(i segmentInfo) bool { return i.number == n }) {
			continue
		}
		if r.mayHaveLost(n) {
			r.manifest.number = max(r.manifest.number, n)
			continue
		}
		if err := r.dir.fs.Remove(r.dir.path(segmentName(n))); err != nil {
			r.failed("remove", segmentName(n), err)
		}
	}
}

// mayHaveLost reports whether a segment file may have traces that are lost: whether it
// has any position that is, or can't be read while some are.
func (r *recovery) mayHaveLost(number uint64) bool {
	if len(r.index.holes) == 0 {
		return false
	}
	s, damage, err := openDamaged(r.dir, segmentInfo{number: number})
	if s == nil {
		return true
	}
	at := positions{s.info.first, s.info.last}
	if cerr := s.Close(); damage != nil || err != nil || cerr != nil {
		return true
	}
	return slices.ContainsFunc(r.index.holes, func(h *cts.CorruptionError) bool { return at.overlaps(positions{h.First, h.Last}) })
}

// openLogFile opens a log file and returns it with its size.
func openLogFile(dir directory, id wal.StoreID, number uint64, write bool) (*wal.File, int64, error) {
	f, err := wal.Open(dir.fs, dir.path(logName), id, number, write)
	var newer *wal.VersionError
	if errors.As(err, &newer) {
		return nil, 0, fmt.Errorf("filestore: %w: %w; use a newer release", cts.ErrVersion, err)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("filestore: %w", err)
	}
	size, err := f.Size()
	if err == nil && f.Err != nil {
		f.Header.First, err = firstOf(f, size)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("filestore: %s/%s: %w", logName, f.Name(), err), f.Close())
	}
	return f, size, nil
}

// cutTail cuts off what was under way at the end of the last file when the last
// writer ended, and makes the rest durable.
func (r *recovery) cutTail() error {
	if len(r.files) == 0 {
		return nil
	}
	last := len(r.files) - 1
	f, size := r.files[last], r.ends[last]
	switch {
	case r.mark.File == f.Header.Number:
		r.proven = r.mark.Offset
	case r.mark.File > f.Header.Number:
		r.proven = size
	}
	end, err := wal.Tail(f, f.Header, size, r.proven)
	if err == nil && !r.dry {
		err = f.Cut(end.Synced, size, end.Offset)
	}
	if err != nil {
		return fmt.Errorf("filestore: %s/%s: %w", logName, f.Name(), err)
	}
	r.proven, r.ends[last] = end.Synced, end.Offset
	if end.Torn > end.Offset {
		r.found.Torn = &TornTail{File: logName + "/" + f.Name(), Offset: end.Offset, Bytes: end.Torn - end.Offset}
	}
	return nil
}

// load builds the index.
func (r *recovery) load() error {
	l := loader{next: r.manifest.next, floor: r.manifest.next, trace: r.trace, lost: r.hole}
	floor := cts.Position(r.mark.Next) // positions below were synced
	r.starts = map[*wal.File]int64{}
	for i, limit := range limits(r.files) {
		f := r.files[i]
		r.starts[f] = r.index.bytes
		if err := l.read(f, r.index.slot(f), wal.HeaderSize, r.ends[i], limit); err != nil {
			return err
		}
		floor = max(floor, cts.Position(f.Header.First))
		r.index.bytes += r.ends[i]
	}
	name, offset := logName+"/"+wal.FileName(r.mark.File), int64(0)
	if last := len(r.files) - 1; last >= 0 && r.mark.File <= r.files[last].Header.Number {
		name, offset = logName+"/"+r.files[last].Name(), r.ends[last]
	}
	l.end(floor, name, offset)
	r.index.synced = r.index.last
	return nil
}

func (r *recovery) trace(pos cts.Position, at ref, id string, _ []byte) {
	r.index.add(pos, at)
	r.ids.put(id, pos)
}

func (r *recovery) hole(damage *cts.CorruptionError, bytes []stretch) {
	r.index.lose(damage)
	r.damaged(damage, bytes)
}

// damaged notes damage for the report, joined like the holes of the index.
func (r *recovery) damaged(damage *cts.CorruptionError, bytes []stretch) {
	if n := len(r.found.Damaged); n > 0 && extends(r.found.Damaged[n-1].Error, damage) {
		joined := *r.found.Damaged[n-1].Error
		joined.Last = damage.Last
		r.found.Damaged[n-1].Error = &joined
		r.lost[n-1] = append(r.lost[n-1], bytes...)
		return
	}
	r.found.Damaged = append(r.found.Damaged, Damage{Error: damage})
	r.lost = append(r.lost, bytes)
}

// log returns the writing end of the log. It goes on in the last file if that is
// sound, and in a new one otherwise, so that damage is never written over.
func (r *recovery) log(cfg wal.Config) *wal.Log {
	next := uint64(r.index.last) + 1
	if len(r.files) == 0 {
		return wal.NewLog(cfg, r.mark.File, wal.Mark{File: r.mark.File, Offset: r.mark.Offset, Next: next})
	}
	last := len(r.files) - 1
	f := r.files[last]
	if r.mark.File > f.Header.Number {
		return wal.NewLog(cfg, r.mark.File, wal.Mark{File: r.mark.File, Offset: r.mark.Offset, Next: next})
	}
	log := wal.NewLog(cfg, f.Header.Number, wal.Mark{File: f.Header.Number, Offset: r.ends[last], Next: next})
	if r.sound(f, r.ends[last]) {
		log.Continue(f)
	}
	return log
}

// sound reports whether nothing in the file is damaged.
func (r *recovery) sound(f *wal.File, end int64) bool {
	if f.Err != nil || r.proven > end {
		return false
	}
	for _, d := range r.found.Damaged {
		if d.Error.File == logName+"/"+f.Name() {
			return false
		}
	}
	return true
}

// quarantineBytes is the most that is copied to one file.
const quarantineBytes = 16 << 20

// quarantine copies the damaged bytes to where they outlive the log file. They stay in
// the log too, so a copy that fails is reported and no more.
func (r *recovery) quarantine() {
	for i := range r.found.Damaged {
		for _, s := range r.lost[i] {
			for from := s.from; from < s.to; from += quarantineBytes {
				name, err := r.copyAside(stretch{s.file, from, min(s.to, from+quarantineBytes)})
				if err != nil {
					r.failed("quarantine", name, err)
					continue
				}
				r.found.Damaged[i].Quarantine = append(r.found.Damaged[i].Quarantine, name)
			}
		}
	}
}

func (r *recovery) copyAside(s stretch) (name string, err error) {
	name = fmt.Sprintf("%s/%s@%d-%d", quarantineName, s.file.Name(), s.from, s.to)
	if _, err := r.dir.fs.Stat(r.dir.path(name)); !errors.Is(err, fs.ErrNotExist) {
		return name, err
	}
	b := make([]byte, s.to-s.from)
	if _, err := s.file.ReadAt(b, s.from); err != nil {
		return name, err
	}
	return name, vfs.WriteFileAtomic(r.dir.fs, r.dir.path(name), b, filePerm)
}

// closeFiles closes what was opened, for an Open that fails.
func (r *recovery) closeFiles() error {
	var errs []error
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	for _, s := range r.index.segments {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// removeHolder removes the file that tells who holds the lock.
func (d directory) removeHolder() error {
	if err := d.fs.Remove(d.path(holderName)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
