package filestore_test

import (
	"context"
	"fmt"
	"os"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/filestore"
)

func Example() {
	dir, err := os.MkdirTemp("", "cts")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	store, err := filestore.Open(dir, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	trace := &cts.Trace{
		ID: "01907a3c-5b1e-7c40-8a51-2f0e6d9c4b17", Name: "deleteServer", ServiceType: "ECS",
		Time: 1_720_000_000_000, RecordTime: 1_720_000_000_005,
	}
	done, err := store.Append(ctx, []cts.Entry{{Trace: trace}})
	fmt.Println(done.First, err) // a power loss can't take it any more

	// Somebody else reads at the same time, without the lock.
	reader, err := filestore.OpenReader(dir, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for e, err := range reader.Query(ctx, cts.Query{}.Where(cts.Eq(cts.FieldServiceType, "ECS"))) {
		fmt.Println(e.Trace.Name, err)
	}
	fmt.Println(reader.Close(), store.Close())
	// Output:
	// 1 <nil>
	// deleteServer <nil>
	// <nil> <nil>
}
