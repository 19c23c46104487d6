package storetest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
	"github.com/cloudtraceservice/cts/store/storetest"
)

// The test of a store. A store that keeps its traces on disk gives Reopen too.
func ExampleRun() {
	_ = func(t *testing.T) { // TestStore
		storetest.Run(t, func(testing.TB) storetest.Harness {
			return storetest.Harness{Store: memstore.New(nil)}
		})
	}
	// Output:
}

// Traces for a test of one's own.
func ExampleTraces() {
	store := memstore.New(nil)
	for _, t := range storetest.Traces(1, 1000) {
		if _, err := store.Append(context.Background(), []cts.Entry{{Trace: t}}); err != nil {
			fmt.Println(err)
		}
	}
	failed := cts.Query{}.Where(cts.Eq(cts.FieldTraceRating, string(cts.RatingWarning))).Limited(3)
	traces, err := cts.Collect(store.Query(context.Background(), failed))
	fmt.Println(len(traces), err)
	// Output: 3 <nil>
}
