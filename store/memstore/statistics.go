package memstore

import (
	"context"

	"github.com/cloudtraceservice/cts"
)

var _ cts.Statistician = (*Store)(nil)

// Statistics tells what the store holds, see [cts.Statistician]. All traces are one
// part, called memory; its bytes are those of the JSON.
func (s *Store) Statistics(ctx context.Context) (cts.StoreStatistics, error) {
	v, err := s.snapshot(ctx)
	if err != nil {
		return cts.StoreStatistics{}, err
	}
	part := cts.StorePart{Name: "memory", First: v.dropped + 1, Last: v.last()}
	for _, r := range v.records {
		part.Times.Extend(part.Traces, cts.TimeRange{
			Oldest: r.time, Newest: r.time, OldestRecord: r.recordTime, NewestRecord: r.recordTime,
		})
		part.Traces++
		part.Bytes += int64(len(r.json))
	}
	return cts.NewStatistics([]cts.StorePart{part}, 0), nil
}
