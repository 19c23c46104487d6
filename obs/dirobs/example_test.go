package dirobs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/dirobs"
)

func Example() {
	dir, err := os.MkdirTemp("", "bucket")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	bucket, err := dirobs.Open(dir, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = bucket.Close() }()

	ctx := context.Background()
	opts := &obs.PutOptions{IfAbsent: true, ContentType: "application/json", Metadata: map[string]string{"region": "eu-de"}}
	if _, err := bucket.Put(ctx, "traces/2026/1/2/x.json", strings.NewReader("[]"), opts); err != nil {
		fmt.Println(err)
		return
	}

	// An object is a plain file.
	data, err := os.ReadFile(filepath.Join(dir, "traces", "2026", "1", "2", "x.json"))
	fmt.Println(string(data), err)

	// What is there is never replaced by accident.
	_, err = bucket.Put(ctx, "traces/2026/1/2/x.json", strings.NewReader("other"), opts)
	fmt.Println(errors.Is(err, obs.ErrExists))

	r, o, err := bucket.Get(ctx, "traces/2026/1/2/x.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }()
	content, err := io.ReadAll(r)
	fmt.Println(string(content), o.ContentType, o.Metadata, err)
	// Output:
	// [] <nil>
	// true
	// [] application/json map[region:eu-de] <nil>
}
