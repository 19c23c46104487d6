package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// Verify reads every file of the store, up to what is synced, and checks every
// checksum, that every trace can be parsed, and that no position is missing, see
// [cts.Verifier]. It reports damage of STORE, MARK and the states too.
func (s *Store) Verify(ctx context.Context) (cts.VerifyReport, error) {
	var report cts.VerifyReport
	done, err := s.look(ctx)
	if err != nil {
		return report, err
	}
	defer done()
	v := s.view.Load()
	check := verification{store: s, report: &report}
	if err := check.smallFiles(ctx, len(v.files) == 0); err != nil {
		return report, err
	}
	if err := check.segments(ctx, v); err != nil {
		return report, err
	}
	err = check.log(ctx, v)
	return report, err
}

// segments checks every segment, and that every row is a trace.
func (c *verification) segments(ctx context.Context, v *view) error {
	for _, hole := range v.holes {
		if hole.Last < v.sealedTo {
			c.report.Damaged = appendLost(c.report.Damaged, hole)
		}
	}
	for _, s := range v.segments {
		if err := c.segment(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// segment checks a segment.
func (c *verification) segment(ctx context.Context, s *sealed) error {
	err := s.guarded(func() error {
		sound := true
		s.segment.Verify(func(_ int64, first, last uint64, err error) {
			sound = false
			c.damaged(s.lost(cts.Position(first), cts.Position(last), err))
		})
		if !sound {
			return nil
		}
		return c.rows(ctx, s)
	})
	c.report.Bytes += s.info.bytes
	var damage *cts.CorruptionError
	if errors.As(err, &damage) {
		c.damaged(damage)
		return nil
	}
	return err
}

// rows reads every row of a segment as a trace.
func (c *verification) rows(ctx context.Context, s *sealed) error {
	r, err := newTraceReader(s)
	if err != nil {
		return err
	}
	for ordinal := range s.info.rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		row := s.order.Load().Row(uint32(ordinal))
		json, err := r.jsonOf(row)
		if err == nil {
			if _, err = cts.ParseTrace(json); err != nil {
				err = s.lostRow(row, errNotTrace)
			}
		}
		var damage *cts.CorruptionError
		switch {
		case errors.As(err, &damage):
			c.damaged(damage)
		case err != nil:
			return err
		default:
			c.report.Traces++
		}
	}
	return nil
}

// verification is one run of Verify.
type verification struct {
	store  *Store
	report *cts.VerifyReport
}

func (c *verification) damaged(damage *cts.CorruptionError) {
	c.report.Damaged = append(c.report.Damaged, damage)
}

// smallFiles checks everything but the log. A new store has no MARK for a moment.
func (c *verification) smallFiles(ctx context.Context, isNew bool) error {
	s := c.store
	n, err := s.dir.readIdentity(false)
	if err == nil && n.id != s.uuid {
		err = &cts.CorruptionError{File: identityName, Err: errors.New("it belongs to another store")}
	}
	var damage *cts.CorruptionError
	switch {
	case errors.As(err, &damage):
		c.damaged(damage)
	case err != nil:
		return err
	}
	_, err = wal.ReadMark(s.dir.fs, s.dir.path(markName), wal.StoreID(s.uuid))
	switch {
	case isNew && errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, wal.ErrNoMark):
		c.damaged(&cts.CorruptionError{File: markName, Err: err})
	case err != nil:
		return fmt.Errorf("filestore: %w", err)
	}
	return c.states(ctx)
}

func (c *verification) states(ctx context.Context) error {
	s := c.store
	entries, err := s.dir.fs.ReadDir(s.dir.path(stateName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("filestore: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), stateSuffix)
		if !ok || vfs.IsTemp(e.Name()) || cts.CheckStateName(name) != nil {
			continue
		}
		data, _, err := s.LoadState(ctx, name)
		var damage *cts.CorruptionError
		switch {
		case errors.As(err, &damage):
			c.damaged(damage)
		case err != nil:
			return err
		}
		c.report.Bytes += int64(len(data))
	}
	return nil
}

// log checks the log.
func (c *verification) log(ctx context.Context, v *view) error {
	var stop error
	l := loader{
		next: v.sealedTo, floor: v.sealedTo,
		lost: func(damage *cts.CorruptionError, _ []stretch) {
			if damage.First <= v.synced {
				c.report.Damaged = appendLost(c.report.Damaged, damage)
			}
		},
		trace: func(pos cts.Position, at ref, _ string, json []byte) {
			if stop = ctx.Err(); pos > v.synced {
				return
			}
			if _, err := cts.ParseTrace(json); err != nil {
				c.damaged(&cts.CorruptionError{File: logName + "/" + v.fileOf(at).Name(), Offset: int64(at.offset), First: pos, Last: pos, Err: errNotTrace})
				return
			}
			c.report.Traces++
		},
	}
	for i, limit := range limits(v.files) {
		f := v.files[i]
		if limit != 0 && limit <= v.sealedTo {
			continue // all of it is in segments, and the file may be used again
		}
		if f.Header.Number > v.mark.File {
			break // nothing in it is synced
		}
		if err := c.header(f); err != nil {
			return err
		}
		to, err := f.Size()
		if err != nil {
			return fmt.Errorf("filestore: %s/%s: %w", logName, f.Name(), err)
		}
		if f.Header.Number == v.mark.File {
			to = min(to, v.mark.Offset)
		}
		c.report.Bytes += to
		if err := l.read(f, uint32(i), wal.HeaderSize, to, limit); err != nil {
			return err
		}
		if stop != nil {
			return stop
		}
	}
	l.end(v.synced+1, logName+"/"+wal.FileName(v.mark.File), v.mark.Offset)
	return ctx.Err()
}

// header checks the header of a log file.
func (c *verification) header(f *wal.File) error {
	err := f.CheckHeader()
	var version *wal.VersionError
	if errors.Is(err, wal.ErrHeader) || errors.As(err, &version) {
		c.damaged(&cts.CorruptionError{File: logName + "/" + f.Name(), Err: errHeader})
		return nil
	}
	if err != nil {
		return fmt.Errorf("filestore: %s/%s: %w", logName, f.Name(), err)
	}
	return nil
}
