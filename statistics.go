package cts

import (
	"context"
	"fmt"
	"slices"
)

// Statistician is the optional ability of a [Store] to tell what it holds.
// Applications call [Statistics].
//
// Statistics tells how things are at one moment. It reads what describes the traces
// and not the traces, so it takes time in proportion to the parts of the store and to
// what is not sealed, not to the data. Appends and queries go on meanwhile. It fails
// with [ErrClosed] or the error of ctx.
type Statistician interface {
	// Statistics tells what the store holds.
	Statistics(ctx context.Context) (StoreStatistics, error)
}

// StoreStatistics is what a [Statistician] tells.
type StoreStatistics struct {
	Traces int64 `json:"traces"` // readable traces
	Bytes  int64 `json:"bytes"`  // that they take, as [Retention] counts

	First Position `json:"first"` // of the first readable trace, 0 if there is none
	Last  Position `json:"last"`  // of the last readable trace, 0 if there is none
	Lost  int64    `json:"lost"`  // positions that are known to be lost to damage

	Times TimeRange `json:"times"` // of all readable traces

	// Parts are the units in which the store keeps its traces, in order of position.
	Parts []StorePart `json:"parts"`
}

// StorePart is one unit of a store, such as a segment or a file of the log.
type StorePart struct {
	Name   string    `json:"name"`   // within the store; a file name if it is a file
	Sealed bool      `json:"sealed"` // nothing is added to it any more, and [Retainer] may drop it
	First  Position  `json:"first"`  // of its first readable trace
	Last   Position  `json:"last"`   // of its last readable trace
	Traces int64     `json:"traces"` // readable traces
	Bytes  int64     `json:"bytes"`  // that it takes
	Times  TimeRange `json:"times"`

	// Values tells for each field how many different values the part holds, absence
	// being one; nil where the part does not know. A field that means any of several
	// values, such as the user, counts those of the one that has most.
	Values map[Field]int64 `json:"values,omitempty"`
}

// TimeRange is the times of some traces, in milliseconds since 1970 UTC. All are 0 if
// there is no trace.
type TimeRange struct {
	Oldest       int64 `json:"oldest"` // lowest time
	Newest       int64 `json:"newest"` // highest time
	OldestRecord int64 `json:"oldest_record"`
	NewestRecord int64 `json:"newest_record"`
}

// Extend widens r, which stands for the given number of traces, by the times of more.
func (r *TimeRange) Extend(traces int64, more TimeRange) {
	if traces == 0 {
		*r = more
		return
	}
	r.Oldest, r.Newest = min(r.Oldest, more.Oldest), max(r.Newest, more.Newest)
	r.OldestRecord, r.NewestRecord = min(r.OldestRecord, more.OldestRecord), max(r.NewestRecord, more.NewestRecord)
}

// NewStatistics adds parts, which must be in order of position, up to the statistics
// of a store. Stores call it. Parts without a trace are left out; the slice is used.
func NewStatistics(parts []StorePart, lost int64) StoreStatistics {
	parts = slices.DeleteFunc(parts, func(p StorePart) bool { return p.Traces == 0 })
	s := StoreStatistics{Lost: lost, Parts: parts}
	for i := range parts {
		p := &parts[i]
		s.Times.Extend(s.Traces, p.Times)
		if s.Traces == 0 {
			s.First = p.First
		}
		s.Traces, s.Bytes, s.Last = s.Traces+p.Traces, s.Bytes+p.Bytes, p.Last
	}
	return s
}

// Statistics tells what a store holds, see [Statistician]; without that ability it is
// [ErrNotSupported].
func Statistics(ctx context.Context, r Reader) (StoreStatistics, error) {
	able, ok := ability[Statistician](r)
	if !ok {
		return StoreStatistics{}, fmt.Errorf("%w: it does not tell what it holds", ErrNotSupported)
	}
	return able.Statistics(ctx)
}
