package filestore

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/storetest"
)

var errFault = errors.New("a fault in the middle of a row")

// TestReadingFaults reads rows with one reader, some of which fault half way: the rows
// that are read behind them are whole.
func TestReadingFaults(t *testing.T) {
	ctx := context.Background()
	s, err := Open("/store", &Options{FS: vfstest.NewMemFS(), LockWait: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const rows = 300
	for _, trace := range storetest.Traces(1, rows) {
		if _, err := s.Append(ctx, []cts.Entry{{Trace: trace}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	seg := s.view.Load().segments[0]
	faulty, err := newTraceReader(seg)
	if err != nil {
		t.Fatal(err)
	}
	faulting := false
	middle := &faulty.reading[len(faulty.reading)/2]
	set := middle.set
	middle.known, middle.form = nil, formLiteral
	middle.set = func(t *cts.Trace, v string) {
		if faulting {
			panic(errFault)
		}
		set(t, v)
	}
	for row := range uint32(rows) {
		if faulting = row%3 == 0; faulting {
			func() {
				defer func() {
					if r := recover(); r != nil && r != any(errFault) {
						t.Fatal(r)
					}
				}()
				_, _, _ = faulty.read(row, true)
			}()
			continue
		}
		got, _, err := faulty.read(row, true)
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := newTraceReader(seg)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := fresh.read(row, true)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("row %d: got\n%s, want\n%s", row, got.AppendJSON(nil), want.AppendJSON(nil))
		}
	}
}
