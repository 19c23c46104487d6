package filestore

import (
	"context"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// Statistics tells what the store holds, see [cts.Statistician]. Its parts are the
// segments, which are sealed, and the log files. It reads no file.
func (s *Store) Statistics(ctx context.Context) (cts.StoreStatistics, error) {
	done, err := s.look(ctx)
	if err != nil {
		return cts.StoreStatistics{}, err
	}
	defer done()
	v := s.view.Load()
	var parts []cts.StorePart
	for _, seg := range v.segments {
		parts = append(parts, seg.part())
	}
	lost := int64(0)
	for _, h := range v.holes {
		lost += int64(h.Last - h.First + 1)
	}
	return cts.NewStatistics(append(parts, v.logParts()...), lost), nil
}

// part describes a segment, by its footer.
func (s *sealed) part() cts.StorePart {
	i := s.segment.Info()
	p := cts.StorePart{
		Name: segmentName(s.info.number), Sealed: true, Traces: int64(i.Rows), Bytes: s.info.bytes,
		First: cts.Position(i.FirstPosition), Last: cts.Position(i.LastPosition),
		Times: cts.TimeRange{
			Oldest: i.MinTime, Newest: i.MaxTime, OldestRecord: i.MinRecord, NewestRecord: i.MaxRecord,
		},
		Values: map[cts.Field]int64{},
	}
	for field, columns := range layout.fields {
		most := int64(1) // of a column that is not there: all rows have ""
		for _, c := range columns {
			if at := s.columns[c]; at >= 0 {
				most = max(most, int64(s.segment.Values(at)))
			}
		}
		p.Values[field] = most
	}
	return p
}

// logParts describes the log files that have traces.
func (v *view) logParts() []cts.StorePart {
	parts := make([]cts.StorePart, len(v.files))
	for ordinal := range v.count {
		r := v.at(ordinal)
		p := &parts[r.file-v.gone]
		if p.Traces == 0 {
			p.Name, p.First = logName+"/"+v.fileOf(*r).Name(), v.position(ordinal)
		}
		p.Times.Extend(p.Traces, cts.TimeRange{Oldest: r.time, Newest: r.time, OldestRecord: r.record, NewestRecord: r.record})
		p.Last = v.position(ordinal)
		p.Bytes = int64(r.offset) + int64(wal.RecordSize(int(r.size))) // a file ends with its last record
		p.Traces++
	}
	return parts
}
