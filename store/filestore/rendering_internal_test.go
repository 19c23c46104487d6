package filestore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/storetest"
)

// TestAfterBehindDamage has After go on behind a damaged block, with traces that are put
// together in two ways in turns and have values too long to be kept: each is what was
// stored, or is reported.
func TestAfterBehindDamage(t *testing.T) {
	ctx := context.Background()
	s, err := Open("/store", &Options{FS: vfstest.NewMemFS(), LockWait: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var want []string
	for i, trace := range storetest.Traces(1, 600) {
		trace.UserAgent = strings.Repeat(fmt.Sprint("agent ", i/100%2, " "), 400)
		trace.Request = strings.Repeat(fmt.Sprint("body ", i*7919, " "), 50)
		if trace.Unknown = ""; i%2 == 0 {
			trace.Unknown = `"more":1`
		}
		want = append(want, string(trace.AppendJSON(nil)))
		if _, err := s.Append(ctx, []cts.Entry{{Trace: trace}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	s.view.Load().segments[0].mapping.Bytes()[200] ^= 0x55 // in the first block of texts
	damaged := 0
	for e, err := range s.After(ctx, 0) {
		var damage *cts.CorruptionError
		switch {
		case errors.As(err, &damage):
			damaged++
		case err != nil:
			t.Fatal(err)
		case string(e.JSON) != want[e.Position-1]:
			t.Errorf("position %d: got\n%.300q\nwant\n%.300q", e.Position, e.JSON, want[e.Position-1])
		}
	}
	if damaged == 0 || damaged > 100 {
		t.Errorf("%d traces are damaged", damaged)
	}
}
