package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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

// A store whose MANIFEST is lost is not opened, since nothing is guessed. A repair makes
// it anew from what is there. DryRun tells before what would be done.
func ExampleRepair() {
	dir, err := os.MkdirTemp("", "cts")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	if err := fill(ctx, dir); err != nil {
		fmt.Println(err)
		return
	}
	_ = os.Remove(filepath.Join(dir, "MANIFEST"))
	_, err = filestore.Open(dir, nil)
	fmt.Println("damaged:", errors.Is(err, cts.ErrCorrupt))

	report, err := filestore.Repair(ctx, dir, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range report.Actions {
		fmt.Println(a.File, a.What)
	}
	fmt.Println(report.Traces, "traces,", len(report.Lost), "losses")
	// Output:
	// damaged: true
	// MANIFEST remade
	// 1 traces, 0 losses
}

// fill makes a store with a trace that is sealed.
func fill(ctx context.Context, dir string) error {
	store, err := filestore.Open(dir, nil)
	if err != nil {
		return err
	}
	trace := &cts.Trace{
		ID: "01907a3c-5b1e-7c40-8a51-2f0e6d9c4b17", Name: "deleteServer", ServiceType: "ECS",
		Time: 1_720_000_000_000, RecordTime: 1_720_000_000_005,
	}
	_, err = store.Append(ctx, []cts.Entry{{Trace: trace}})
	if err == nil {
		err = store.Compact(ctx)
	}
	return errors.Join(err, store.Close())
}
