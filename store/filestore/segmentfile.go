package filestore

import (
	"bufio"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// writeSegment makes a segment file of what is written to it. It has its name when it is
// durable.
func (dir directory) writeSegment(number uint64, fill func(out *bufio.Writer) (segment.Info, error)) (info segmentInfo, err error) {
	name := dir.path(segmentName(number))
	f, err := vfs.CreateTemp(dir.fs, filepath.Dir(name), filePerm)
	if err != nil {
		return info, fmt.Errorf("filestore: %w", storeFull(err))
	}
	closed, named := false, false
	defer func() { // also when reading what is written faults, see sealed.guarded
		if !closed {
			err = errors.Join(err, f.Close())
		}
		if !named {
			err = errors.Join(err, dir.fs.Remove(f.Name()))
		}
	}()
	out := bufio.NewWriterSize(f, 256<<10)
	i, err := fill(out)
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		closed = true
		err = f.Close()
	}
	if err == nil {
		err = dir.fs.Rename(f.Name(), name)
		named = err == nil
	}
	if err != nil {
		return info, fmt.Errorf("filestore: %s: %w", segmentName(number), storeFull(err))
	}
	if err := dir.fs.SyncDir(filepath.Dir(name)); err != nil {
		return info, fmt.Errorf("filestore: %w", err)
	}
	return segmentInfo{
		number: number, rows: i.Rows, bytes: i.FileBytes, minTime: i.MinTime, maxTime: i.MaxTime,
		minRecord: i.MinRecord, maxRecord: i.MaxRecord,
	}, nil
}
