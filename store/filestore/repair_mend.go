package filestore

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// This file carries out a repair. Each step leaves a store from which the whole can be
// begun anew: what is damaged is in its place or in the quarantine, and what is new has
// no meaning before MANIFEST names it.

func (r *repair) mend() error {
	if err := r.dir.makeFolders(); err != nil {
		return err
	}
	if err := r.newQuarantine(); err != nil {
		return err
	}
	for _, name := range r.copies {
		if err := r.copyAside(name); err != nil {
			return err
		}
	}
	if err := r.rewrite(); err != nil {
		return err
	}
	if err := r.moveAside(); err != nil {
		return err
	}
	if err := r.writeSmallFiles(); err != nil {
		return err
	}
	if err := r.openMended(); err != nil {
		return err
	}
	return r.writeReport()
}

// copyAside copies a file that is replaced to the quarantine.
func (r *repair) copyAside(name string) (err error) {
	from, err := r.dir.fs.OpenFile(r.dir.path(name), os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := r.dir.fs.OpenFile(r.dir.path(r.report.Quarantine+"/"+name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err == nil {
		err = to.Sync()
	}
	return errors.Join(err, to.Close(), r.dir.fs.SyncDir(r.dir.path(r.report.Quarantine)))
}

// rewrite writes what can be read of damaged segments to new ones, and what only the log
// has.
func (r *repair) rewrite() error {
	if len(r.pieces) == 0 {
		return nil
	}
	m := r.manifest
	if r.found && !r.remade {
		// Nobody who seals before this is done may write over the new files.
		reserved, _, err := r.dir.readManifest(r.id)
		if err != nil {
			return err
		}
		reserved.generation++
		reserved.number = m.number
		if err := r.dir.writeManifest(reserved); err != nil {
			return err
		}
		m.generation = reserved.generation
	}
	for _, p := range r.pieces {
		info, err := r.writePiece(p)
		if err != nil {
			return err
		}
		m.segments = append(m.segments, info)
	}
	slices.SortFunc(m.segments, func(a, b segmentInfo) int { return cmp.Compare(a.first, b.first) })
	return nil
}

// writePiece writes a new segment and reads it back.
func (r *repair) writePiece(p piece) (segmentInfo, error) {
	w, err := r.fill(p)
	if err != nil {
		return segmentInfo{}, err
	}
	info, err := r.dir.writeSegment(p.number, func(out *bufio.Writer) (segment.Info, error) { return w.Finish(out) })
	if err != nil {
		return info, err
	}
	info.first, info.last = p.first, p.last
	again, err := r.examine(info)
	if err != nil {
		return info, err
	}
	if again.sealed != nil {
		err = again.sealed.Close()
	}
	if again.err != nil || int64(info.rows) != p.rows {
		err = errors.Join(err, fmt.Errorf("%s, which was written now, has %d of %d traces: %w", segmentName(p.number), info.rows, p.rows, again.err))
	}
	return info, err
}

// fill reads the rows of a piece.
func (r *repair) fill(p piece) (*segment.Writer, error) {
	if p.from == nil {
		return r.fillFromLog(p)
	}
	w := segment.NewWriter(p.from.sealed.segment.Info().Schema, nil)
	at := 0
	for row := range r.readable(p.from) {
		for at < len(p.runs) && p.runs[at].last < cts.Position(row.Position) {
			at++
		}
		if at == len(p.runs) {
			break
		}
		if cts.Position(row.Position) < p.runs[at].first {
			continue
		}
		if err := errors.Join(r.ctx.Err(), w.Add(row)); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (r *repair) fillFromLog(p piece) (*segment.Writer, error) {
	w := segment.NewWriter(layout.schema, nil)
	v := r.log.index.snapshot()
	var bodies bodyReader
	var rows rowMaker
	for _, s := range p.runs {
		for ordinal := v.behind(s.first - 1); ordinal < v.count && v.position(ordinal) <= s.last; ordinal++ {
			json, err := bodies.read(v, ordinal)
			if err != nil {
				return nil, err
			}
			t, err := cts.ParseTrace(json)
			if err != nil {
				return nil, damage(v, ordinal, errNotTrace)
			}
			if err := errors.Join(r.ctx.Err(), w.Add(rows.make(v.position(ordinal), t, json))); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

// moveAside moves files to the quarantine.
func (r *repair) moveAside() error {
	if err := r.closeFiles(); err != nil { // Windows moves no file that is mapped
		return err
	}
	folders := map[string]bool{}
	for _, name := range r.moves {
		to := r.report.Quarantine + "/" + name
		if err := r.dir.fs.Rename(r.dir.path(name), r.dir.path(to)); err != nil {
			return err
		}
		folders[filepath.Dir(r.dir.path(to))], folders[filepath.Dir(r.dir.path(name))] = true, true
	}
	for folder := range folders {
		if err := r.dir.fs.SyncDir(folder); err != nil {
			return err
		}
	}
	return nil
}

// writeSmallFiles writes what has to be made anew, STORE last: without it the store is
// not opened.
func (r *repair) writeSmallFiles() error {
	if r.remade || r.found && len(r.moves)+len(r.pieces) > 0 || r.changed() {
		r.manifest.generation++
		if err := r.dir.writeManifest(r.manifest); err != nil {
			return err
		}
	}
	if r.consumers != nil {
		text := consumersText(r.id.String(), r.consumers)
		if err := vfs.WriteFileAtomic(r.dir.fs, r.dir.path(consumersName), text, filePerm); err != nil {
			return err
		}
	}
	if r.identity.id == r.id {
		return nil
	}
	r.identity = identity{id: r.id, version: formatVersion, reader: formatVersion, created: r.report.Time}
	return vfs.WriteFileAtomic(r.dir.fs, r.dir.path(identityName), r.identity.text(), filePerm)
}

// changed reports whether segments of the manifest are not as they were.
func (r *repair) changed() bool {
	return slices.ContainsFunc(r.files, func(f *segmentFile) bool { return f.named != f.used })
}

// openMended opens the store, which mends the rest, and seals a log that was damaged.
func (r *repair) openMended() error {
	s, err := newStore(r.dir.root, &Options{FS: r.opts.FS, Clock: r.opts.Clock, unsealed: true, unmerged: true})
	if err != nil {
		return err
	}
	s.lock, r.lock = r.lock, nil
	if err := s.openWriter(); err != nil {
		return errors.Join(err, s.lock.Close())
	}
	if err = s.failure(); err == nil {
		r.tellQuarantine(s.recovered.Damaged)
		if r.seal {
			err = s.sealEverything(r.ctx)
		}
		v := s.view.Load()
		r.tellLost(v.total(), v.oldest, v.holes)
	}
	if err = errors.Join(err, s.Close()); err == nil {
		err = s.failure()
	}
	return err
}

// failure returns the last operation on a file that failed.
func (s *Store) failure() error {
	st := s.Status()
	if st.Failures == 0 {
		return nil
	}
	return fmt.Errorf("%s %s: %w", st.LastFailure.Op, st.LastFailure.File, st.LastFailure.Err)
}

// tellQuarantine notes where opening put the damaged bytes of the log.
func (r *repair) tellQuarantine(damaged []Damage) {
	for _, d := range damaged {
		for _, name := range d.Quarantine {
			for i := range r.report.Actions {
				if a := &r.report.Actions[i]; a.File == d.Error.File && a.Moved == "" {
					a.Moved = name
				}
			}
		}
	}
}

// rowCheck tells whether rows are traces.
type rowCheck struct {
	set  []func(t *cts.Trace, v string) // of each column, nil for one that is not known
	rest int                            // column that tells what the rest is; -1 for none
	json []byte
}

func newRowCheck(schema segment.Schema) *rowCheck {
	c := &rowCheck{set: make([]func(*cts.Trace, string), len(schema.Columns)), rest: schema.Index(restName)}
	for i, column := range schema.Columns {
		if at, ok := layout.byName[column.Name]; ok && at < len(layout.columns) {
			c.set[i] = layout.columns[at].set
		}
	}
	return c
}

// ok reports whether a row is a trace.
func (c *rowCheck) ok(row *segment.Row) bool {
	if len(row.Texts) < textCount {
		return false
	}
	kind := restNone
	if c.rest >= 0 {
		kind = row.Values[c.rest]
	}
	t := &cts.Trace{Time: row.Time, RecordTime: row.Record}
	switch kind {
	case restRaw:
		_, err := cts.ParseTrace([]byte(row.Texts[textRest]))
		return err == nil
	case restJSON:
		left, err := cts.ParseTrace([]byte(row.Texts[textRest]))
		if err != nil {
			return false
		}
		addRest(t, left)
	}
	for i, set := range c.set {
		if v := row.Values[i]; set != nil && v != "" {
			set(t, v)
		}
	}
	t.Request, t.Response, t.Message = row.Texts[textRequest], row.Texts[textResponse], row.Texts[textMessage]
	c.json = t.AppendJSON(c.json[:0])
	_, err := cts.ParseTrace(c.json)
	return err == nil
}
