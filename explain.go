package cts

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Explainer is the optional ability of a [Store] to tell how it answers a query.
// Applications call [Explain].
//
// Explain runs the query to its end, its limit being kept, and tells what that
// touched. What Query yields it counts and throws away. Errors are those of
// Query; damage is counted and is no error.
type Explainer interface {
	// Explain runs a query and tells what it touched.
	Explain(ctx context.Context, q Query) (Explanation, error)
}

// Explanation is what an [Explainer] tells of one run of a query.
type Explanation struct {
	Matched  int64         `json:"matched"`  // traces that were yielded
	Damaged  int64         `json:"damaged"`  // damaged places that were yielded
	Duration time.Duration `json:"duration"` // of the run, in nanoseconds

	Parts  int         `json:"parts"`  // units of sealed traces, such as segments, that the store has
	Passed PartsPassed `json:"passed"` // those that needed no look at their traces
	Opened int         `json:"opened"` // those in which traces were looked for

	Lists   int64 `json:"lists"`   // lists of rows that were used in place of looking at every row
	Listed  int64 `json:"listed"`  // rows of them that were judged
	Scanned int64 `json:"scanned"` // rows that were judged without a list
	Blocks  int64 `json:"blocks"`  // compressed blocks of texts that were opened
	Log     int64 `json:"log"`     // traces not yet sealed that were read
	Marked  int64 `json:"marked"`  // traces not yet sealed that were passed over by what is known of their values
	Bytes   int64 `json:"bytes"`   // of blocks and log that were read; columns are not counted

	// Detail tells of each part that was opened, in the order in which that happened,
	// at most [MaxExplainedParts] of them.
	Detail []PartExplanation `json:"detail,omitempty"`
}

// MaxExplainedParts bounds [Explanation].Detail.
const MaxExplainedParts = 1000

// PartsPassed says why parts were passed over.
type PartsPassed struct {
	Time      int `json:"time"`      // outside the time range, or behind the cursor
	Values    int `json:"values"`    // a value that is asked for is not among theirs
	Unreached int `json:"unreached"` // the limit was reached before their times
}

// Sum returns how many parts were passed over.
func (p PartsPassed) Sum() int { return p.Time + p.Values + p.Unreached }

// PartExplanation tells of one part that was opened.
type PartExplanation struct {
	Name    string `json:"name"`    // within the store
	Rows    int64  `json:"rows"`    // traces in it
	List    int64  `json:"list"`    // rows in the list that was used; -1 for none: all rows in the time range were judged
	Judged  int64  `json:"judged"`  // rows
	Matched int64  `json:"matched"` // rows that were found, whether or not the limit left them
	Blocks  int64  `json:"blocks"`  // compressed blocks of texts that were opened
	Bytes   int64  `json:"bytes"`   // of them
}

// String returns the explanation as some lines for people, without a line end behind
// the last.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d traces in %v", e.Matched, e.Duration.Round(time.Microsecond))
	if e.Damaged > 0 {
		fmt.Fprintf(&b, ", %d damaged places", e.Damaged)
	}
	fmt.Fprintf(&b, "\nparts: %d opened of %d; passed over: %d by time, %d by their values, %d behind the limit",
		e.Opened, e.Parts, e.Passed.Time, e.Passed.Values, e.Passed.Unreached)
	fmt.Fprintf(&b, "\nrows: %d of %d lists, %d scanned; blocks of texts: %d; log: %d traces read, %d passed over; %d bytes read",
		e.Listed, e.Lists, e.Scanned, e.Blocks, e.Log, e.Marked, e.Bytes)
	for _, p := range e.Detail {
		how := "scanned"
		if p.List >= 0 {
			how = fmt.Sprintf("a list of %d", p.List)
		}
		fmt.Fprintf(&b, "\n  %s: %s, %d of %d rows judged, %d found, %d blocks, %d bytes", p.Name, how, p.Judged, p.Rows, p.Matched, p.Blocks, p.Bytes)
	}
	if left := e.Opened - len(e.Detail); left > 0 {
		fmt.Fprintf(&b, "\n  and %d more", left)
	}
	return b.String()
}

// Explain runs a query and tells what it touched, see [Explainer]; without that
// ability it is [ErrNotSupported].
func Explain(ctx context.Context, r Reader, q Query) (Explanation, error) {
	able, ok := ability[Explainer](r)
	if !ok {
		return Explanation{}, fmt.Errorf("%w: it does not tell how it answers", ErrNotSupported)
	}
	return able.Explain(ctx, q)
}
