package cts_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs/dirobs"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// A Dumper carries what a Tracker recorded into a bucket, here a local folder.
func ExampleDumper() {
	dir, err := os.MkdirTemp("", "bucket")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := dumpExample(dir); err != nil {
		fmt.Println(err)
	}
	// Output:
	// CloudTraces/local/2024/06/19/system/SHOP/orders_CloudTrace_local_2024-06-19T08-30-00Z_HEX.json.gz: 2 traces
	// placeOrder by alice
	// cancelOrder by bob
}

func dumpExample(dir string) (err error) {
	ctx := context.Background()
	store := memstore.New(nil)
	bucket, err := dirobs.Open(dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bucket.Close(), store.Close()) }()

	now := func() time.Time { return time.Date(2024, 6, 19, 8, 30, 0, 0, time.UTC) }
	tracker, err := cts.Open(ctx, store, &cts.TrackerOptions{Clock: now})
	if err != nil {
		return err
	}
	for _, done := range [][2]string{{"placeOrder", "alice"}, {"cancelOrder", "bob"}} {
		trace := &cts.Trace{Name: done[0], ServiceType: "SHOP", ResourceType: "order", User: cts.User{Name: done[1]}, Code: "200"}
		if _, err := tracker.Record(ctx, trace); err != nil {
			return err
		}
	}
	if err := tracker.Close(ctx); err != nil {
		return err
	}

	// A service calls Run in a goroutine of its own, and Flush before it ends.
	var files []cts.FileInfo
	dumper, err := cts.NewDumper(store, bucket, &cts.DumperOptions{
		Prefix: "orders",
		Clock:  now,
		Events: &cts.DumperEvents{FileDumped: func(f cts.FileInfo) { files = append(files, f) }},
	})
	if err != nil {
		return err
	}
	if err := dumper.Flush(ctx); err != nil {
		return err
	}
	hex := regexp.MustCompile(`[0-9a-f]{16}`)
	for _, f := range files {
		if f.Service != "SHOP" { // the file of CTS says when the tracker was opened and closed
			continue
		}
		fmt.Printf("%s: %d traces\n", hex.ReplaceAllString(f.Key, "HEX"), f.Traces)
		if err := printTraceFile(dir + "/" + strings.ReplaceAll(f.Key, "/", string(os.PathSeparator))); err != nil {
			return err
		}
	}
	return nil
}

// printTraceFile reads a trace file back: gzip, and a JSON array of traces in it.
func printTraceFile(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	content, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	for trace, err := range cts.NewDecoder(content, &cts.DecoderOptions{TrustExt: true}).All() {
		if err != nil {
			return err
		}
		fmt.Println(trace.Name, "by", trace.User.Name)
	}
	return nil
}
