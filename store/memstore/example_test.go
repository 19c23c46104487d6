package memstore_test

import (
	"context"
	"fmt"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

func Example() {
	store := memstore.New(nil)
	defer store.Close()

	trace := &cts.Trace{
		ID: "0190763c-0000-7000-8000-000000000001", Time: 1_720_000_000_000, RecordTime: 1_720_000_000_000,
		Name: "deleteServer", ServiceType: "ECS", ResourceType: "ecs", ResourceID: "server-1",
		User: cts.User{Name: "alice"}, Code: "204",
	}
	done, err := store.Append(context.Background(), []cts.Entry{{Trace: trace}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("stored at position", done.First)

	q := cts.Query{}.Where(cts.Eq(cts.FieldResourceID, "server-1"))
	for e, err := range store.Query(context.Background(), q) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.Trace.User.Name, e.Trace.Name)
	}
	// Output:
	// stored at position 1
	// alice deleteServer
}

// A store that is full refuses what does not fit; it never drops what it has.
func ExampleOptions() {
	store := memstore.New(&memstore.Options{MaxBytes: 100})
	trace := &cts.Trace{ID: "1", Time: 1_720_000_000_000, RecordTime: 1_720_000_000_000, Name: "createServer"}
	_, err := store.Append(context.Background(), []cts.Entry{{Trace: trace}})
	fmt.Println(err)
	// Output: cts: store is full: at most 100 bytes
}
