package memobs_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/memobs"
	"github.com/cloudtraceservice/cts/obs/obstest"
)

func TestConformance(t *testing.T) {
	obstest.Run(t, func(*testing.T) obs.Client { return memobs.New(nil) })
}

func TestMaxBytes(t *testing.T) {
	ctx := t.Context()
	c := memobs.New(&memobs.Options{MaxBytes: 10})
	put := func(key, content string, opts *obs.PutOptions) error {
		_, err := c.Put(ctx, key, strings.NewReader(content), opts)
		return err
	}
	if err := put("k", "123456789", nil); err != nil {
		t.Fatalf("exactly the limit: %v", err)
	}
	if err := put("k", "12345678", &obs.PutOptions{Metadata: map[string]string{"a": "b"}}); !errors.Is(err, obs.ErrFull) {
		t.Errorf("metadata counts too: %v", err)
	}
	sum := sha256.Sum256([]byte("x"))
	if err := put("k", strings.Repeat("x", 100), &obs.PutOptions{SHA256: sum[:]}); !errors.Is(err, obs.ErrFull) {
		t.Errorf("a body over the limit: %v", err)
	}
	if err := put("j", "", nil); !errors.Is(err, obs.ErrFull) {
		t.Errorf("one more: %v", err)
	}
	if err := put("k", "1", nil); err != nil {
		t.Errorf("replacing frees: %v", err)
	}
	if err := put("j", "1234567", nil); err != nil {
		t.Errorf("after replacing: %v", err)
	}
	for _, key := range []string{"j", "k"} {
		if err := c.Delete(ctx, key); err != nil {
			t.Error(err)
		}
	}
	if got := c.Size(); got != 0 {
		t.Errorf("an empty bucket has size %d", got)
	}
}

func TestClock(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	c := memobs.New(&memobs.Options{Now: func() time.Time { return at }})
	o, err := c.Put(t.Context(), "k", strings.NewReader(""), nil)
	if err != nil || !o.ModTime.Equal(at) {
		t.Errorf("got %v, %v; want %v", o.ModTime, err, at)
	}
}

func TestReaderEndsWithContext(t *testing.T) {
	c := memobs.New(nil)
	if _, err := c.Put(t.Context(), "k", strings.NewReader("content"), nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, _, err := c.Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func Example() {
	ctx := context.Background()
	bucket := memobs.New(nil)
	if _, err := bucket.Put(ctx, "traces/1.json", strings.NewReader("[]"), &obs.PutOptions{IfAbsent: true}); err != nil {
		fmt.Println(err)
	}
	_, err := bucket.Put(ctx, "traces/1.json", strings.NewReader("[]"), &obs.PutOptions{IfAbsent: true})
	fmt.Println(err)
	for o, err := range bucket.List(ctx, "traces/", nil) {
		fmt.Println(o.Key, o.Size, err)
	}
	// Output:
	// obs: put "traces/1.json": object exists already
	// traces/1.json 2 <nil>
}
