package cts_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
)

// meteredLog counts the bytes that a Dumper has read since its last plan.
type meteredLog struct {
	*dumpWorld
	held int64           // bytes that the window holds
	most int64           // the most it held when it asked for one more trace
	plan func(bytes int) // is told the size of every state with a plan
}

func (l *meteredLog) After(ctx context.Context, pos cts.Position) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		for e, err := range l.dumpWorld.After(ctx, pos) {
			l.most = max(l.most, l.held)
			l.held += int64(len(e.JSON)) + 1
			if !yield(e, err) {
				return
			}
		}
	}
}

func (l *meteredLog) SaveState(ctx context.Context, name string, data []byte, generation uint64) (uint64, error) {
	if l.held = 0; strings.Contains(string(data), `"plan"`) && l.plan != nil {
		l.plan(len(data))
	}
	return l.dumpWorld.SaveState(ctx, name, data, generation)
}

func (l *meteredLog) flush(t *testing.T, opts *cts.DumperOptions) {
	t.Helper()
	d, err := cts.NewDumper(l, l.objects, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.check(t)
}

// The window takes one trace more only while it is below MaxBytes.
func TestDumpHoldsNoMoreThanMaxBytes(t *testing.T) {
	for _, limit := range []int64{1, 500, 5_000, 50_000} {
		l := &meteredLog{dumpWorld: newDumpWorld()}
		for i := range 200 {
			l.record(t, strings.Repeat("x", i%9*300))
		}
		l.flush(t, &cts.DumperOptions{MaxBytes: limit, Level: 1, Workers: 1})
		if l.most >= limit || limit > 3_000 && l.most < limit-3_000 {
			t.Errorf("the window held %d bytes and asked for more; MaxBytes is %d", l.most, limit)
		}
	}
}

// However many trackers and services there are, and however long their names, the plan
// of a cycle fits into a state.
func TestDumpPlansFitIntoAState(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine and much to encode: run without the race detector")
	}
	for name, test := range map[string]struct{ traces, bytes, cycles int }{
		"many": {1_100, 10, 2},
		"long": {300, 20_000, 6}, // six bytes of JSON for each of the name
		"huge": {12, 1_000_000, 6},
	} {
		t.Run(name, func(t *testing.T) {
			l := &meteredLog{dumpWorld: newDumpWorld()}
			for i := range test.traces {
				l.add(t, fmt.Sprintf("%s-%d/%d", strings.Repeat("<", test.bytes/6), i/2, i%2))
			}
			cycles, most := 0, 0
			l.plan = func(bytes int) {
				cycles++
				most = max(most, bytes)
			}
			l.flush(t, &cts.DumperOptions{Level: 1})
			if cycles < test.cycles || most < 200_000 || most > cts.MaxStateBytes*3/4+10_000 {
				t.Errorf("%d cycles, at least %d wanted, with plans of up to %d bytes", cycles, test.cycles, most)
			}
			if n := len(l.keys(t)); n != test.traces {
				t.Errorf("%d files of %d groups", n, test.traces)
			}
		})
	}
}
