package cts_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs/memobs"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// The bucket answers when the store has long let go of a trace: every trace file since
// a time is read, and a Query tells which traces are meant.
func ExampleReadDump() {
	ctx := context.Background()
	store, bucket := memstore.New(nil), memobs.New(nil)
	defer store.Close()
	for i, who := range []string{"alice", "bob", "alice"} {
		trace := &cts.Trace{
			ID: fmt.Sprintf("id-%d", i), Name: "deleteOrder", ServiceType: "SHOP", User: cts.User{Name: who},
			Time: time.Date(2024, 6, 19, 8, i, 0, 0, time.UTC).UnixMilli(), RecordTime: time.Date(2024, 6, 19, 8, i, 1, 0, time.UTC).UnixMilli(),
		}
		if _, err := store.Append(ctx, []cts.Entry{{Trace: trace}}); err != nil {
			fmt.Println(err)
			return
		}
	}
	dumper, err := cts.NewDumper(store, bucket, nil)
	if err == nil {
		err = dumper.Flush(ctx)
	}
	if err != nil {
		fmt.Println(err)
		return
	}

	byAlice := cts.Query{}.Where(cts.Eq(cts.FieldUser, "alice"))
	for dumped, err := range cts.ReadDump(ctx, bucket, &cts.ReadDumpOptions{
		From:     time.Date(2024, 6, 19, 8, 0, 0, 0, time.UTC),
		Services: []string{"SHOP"},
		TrustExt: true, // only our own Dumper writes into this bucket
	}) {
		var damaged *cts.DumpFileError
		if errors.As(err, &damaged) {
			fmt.Println(damaged.Object, "can't be read:", err)
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		if byAlice.Match(dumped.Trace) {
			fmt.Println(time.UnixMilli(dumped.Trace.Time).UTC().Format("15:04"), dumped.Trace.Name)
		}
	}
	// Output:
	// 08:00 deleteOrder
	// 08:02 deleteOrder
}
