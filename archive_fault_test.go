package cts_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/memobs"
)

// fileOf returns the key of the i-th of several files of one folder.
func fileOf(i int) string {
	return fmt.Sprintf("CloudTraces/eu/2024/06/19/system/ECS/CloudTrace_eu_2024-06-19T08-30-%02dZ_47b9d51830deff47.json.gz", i)
}

// threeFiles puts three files, of which the second has the given bytes.
func threeFiles(tb testing.TB, second []byte) *memobs.Client {
	tb.Helper()
	bucket := memobs.New(nil)
	putFile(tb, bucket, fileOf(0), `[{"trace_id":"before"}]`)
	putFile(tb, bucket, fileOf(2), `[{"trace_id":"behind"}]`)
	if _, err := bucket.Put(tb.Context(), fileOf(1), bytes.NewReader(second), nil); err != nil {
		tb.Fatal(err)
	}
	return bucket
}

// readFaults returns what ReadDump yields: ids, and errors as "!INDEX" with "lost" or
// "bad" or "way", for the second of three files.
func readFaults(tb testing.TB, ctx context.Context, bucket obs.Client) (steps []string) {
	tb.Helper()
	for d, err := range cts.ReadDump(ctx, bucket, nil) {
		var fe *cts.DumpFileError
		switch {
		case err == nil:
			steps = append(steps, d.Trace.ID)
		case !errors.As(err, &fe):
			steps = append(steps, err.Error())
		default:
			kind := "way"
			if fe.Damaged {
				kind = map[bool]string{true: "lost", false: "bad"}[fe.Lost]
			}
			if fe.Object != fileOf(1) || !strings.Contains(err.Error(), fileOf(1)) || fe.Err == nil || !fe.Damaged && !fe.Lost {
				tb.Errorf("an error about %s: %+v", fileOf(1), fe)
			}
			if strings.Contains(err.Error(), "secret") {
				tb.Errorf("the error shows what the trace holds: %v", err)
			}
			steps = append(steps, fmt.Sprintf("!%d %s", fe.Index, kind))
		}
	}
	return steps
}

// What is wrong in one file is told, and the others are read.
func TestReadDumpOfDamagedFiles(t *testing.T) {
	two := `[{"trace_id":"a","request":"secret"},{"trace_id":"b","request":"secret"}]`
	zip := zipped(t, []byte(two), 6)
	for name, test := range map[string]struct {
		object []byte
		want   []string
	}{
		"whole":                {zip, []string{"a", "b"}},
		"not compressed":       {[]byte(two), []string{"a", "b"}},
		"no traces":            {zipped(t, []byte("[]"), 1), nil},
		"two parts":            {append(bytes.Clone(zip), zip...), []string{"a", "b", "a", "b"}},
		"empty":                {nil, []string{"!0 lost"}},
		"one byte":             {[]byte{0x1f}, []string{"!0 lost"}},
		"head of gzip":         {zip[:2], []string{"!0 lost"}},
		"nothing compressed":   {zipped(t, nil, 6), []string{"!0 lost"}},
		"cut in the checksum":  {zip[:len(zip)-1], []string{"a", "b", "!2 lost"}},
		"wrong checksum":       {append(bytes.Clone(zip[:len(zip)-8]), make([]byte, 8)...), []string{"a", "b", "!2 lost"}},
		"something behind":     {append(bytes.Clone(zip), "secret"...), []string{"a", "b", "!2 lost"}},
		"no JSON":              {[]byte("secret"), []string{"!0 lost"}},
		"another list behind":  {zipped(t, []byte(two+two), 6), []string{"a", "b", "a", "b"}},
		"cut before the end":   {zipped(t, []byte(two[:len(two)-1]), 6), []string{"a", "b", "!2 lost"}},
		"cut in a trace":       {zipped(t, []byte(two[:len(two)-5]), 6), []string{"a", "!1 lost"}},
		"no comma":             {zipped(t, []byte(strings.Replace(two, "},", "}", 1)), 6), []string{"a", "!1 lost"}},
		"a name twice":         {zipped(t, []byte(`[{"trace_id":"a"},{"trace_id":"secret","trace_id":"c"},{"trace_id":"b"}]`), 6), []string{"a", "!1 bad", "b"}},
		"a time that is none":  {zipped(t, []byte(`[{"trace_id":"a","time":"secret"},{"trace_id":"b"}]`), 6), []string{"!0 bad", "b"}},
		"a trace far too long": {zipped(t, []byte(`[{"trace_id":"a","request":"`+strings.Repeat("x", cts.MaxTraceBytes)+`"},{"trace_id":"b"}]`), 6), []string{"!0 bad", "b"}},
	} {
		want := append(append([]string{"before"}, test.want...), "behind")
		if diff := cmp.Diff(want, readFaults(t, t.Context(), threeFiles(t, test.object))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A file that was cut off anywhere, or in which any byte was changed, stands in
// nobody's way, and what is missing of it is told.
func TestReadDumpOfCutAndChangedFiles(t *testing.T) {
	var b strings.Builder
	for i := range 12 {
		fmt.Fprintf(&b, `,{"trace_id":"t%d","request":"secret %d"}`, i, rand.Int64())
	}
	zip := zipped(t, []byte("["+b.String()[1:]+"]"), 6)
	check := func(what string, n int, object []byte, mustFail bool) {
		steps := readFaults(t, t.Context(), threeFiles(t, object))
		if steps[0] != "before" || steps[len(steps)-1] != "behind" {
			t.Fatalf("%s at %d: %q", what, n, steps)
		}
		last, read := steps[len(steps)-2], len(steps)-3
		if mustFail && last != fmt.Sprintf("!%d lost", read) {
			t.Errorf("%s at %d: %d traces and %s", what, n, read, last)
		}
	}
	for n := range zip {
		check("cut", n, zip[:n], true)
		changed := bytes.Clone(zip)
		changed[n] ^= 1 << rand.IntN(8)
		check("changed", n, changed, !unzips(changed)) // a few bits mean nothing: the time, the padding
	}
}

// unzips reports whether an object is compressed without a fault.
func unzips(object []byte) bool {
	r, err := gzip.NewReader(bytes.NewReader(object))
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	return err == nil
}

// brokenBucket lets calls fail.
type brokenBucket struct {
	obs.Client
	list func(step int) error                    // of every object listed, counted over all lists
	get  func(key string) error                  // of Get
	body func(key string, r io.Reader) io.Reader // of what is read
	left map[string]int                          // bodies that were not closed
	seen int
}

func (b *brokenBucket) List(ctx context.Context, prefix string, opts *obs.ListOptions) iter.Seq2[obs.Object, error] {
	return func(yield func(obs.Object, error) bool) {
		for o, err := range b.Client.List(ctx, prefix, opts) {
			b.seen++
			if b.list != nil && err == nil {
				if err = b.list(b.seen); err != nil {
					yield(obs.Object{}, &obs.Error{Op: "list", Key: prefix, Err: err})
					return
				}
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

type closer struct {
	io.Reader
	close func() error
}

func (c closer) Close() error { return c.close() }

func (b *brokenBucket) Get(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	if b.get != nil {
		if err := b.get(key); err != nil {
			return nil, obs.Object{}, &obs.Error{Op: "get", Key: key, Err: err}
		}
	}
	body, o, err := b.Client.Get(ctx, key)
	if err != nil {
		return nil, o, err
	}
	var r io.Reader = body
	if b.body != nil {
		r = b.body(key, r)
	}
	if b.left == nil {
		b.left = map[string]int{}
	}
	b.left[key]++
	return closer{r, func() error { b.left[key]--; return body.Close() }}, o, nil
}

// A way to the bucket that breaks off is no damage of the file.
func TestReadDumpThroughABrokenBucket(t *testing.T) {
	errWay := errors.New("connection reset")
	zip := zipped(t, []byte(`[{"trace_id":"a"},{"trace_id":"b"}]`), 6)
	second := func(key string) bool { return key == fileOf(1) }
	for name, test := range map[string]struct {
		bucket brokenBucket
		want   []string
		is     error
	}{
		"denied":  {brokenBucket{get: func(key string) error { return map[bool]error{true: obs.ErrDenied}[second(key)] }}, []string{"before", "!0 way", "behind"}, obs.ErrDenied},
		"expired": {brokenBucket{get: func(key string) error { return map[bool]error{true: obs.ErrNotExist}[second(key)] }}, []string{"before", "!0 way", "behind"}, obs.ErrNotExist},
		"breaks off": {brokenBucket{body: func(key string, r io.Reader) io.Reader {
			if second(key) {
				return io.MultiReader(io.LimitReader(r, 20), failingReader{errWay})
			}
			return r
		}}, []string{"before", "!0 way", "behind"}, errWay},
		"ends early": {brokenBucket{body: func(key string, r io.Reader) io.Reader {
			if second(key) {
				return io.LimitReader(r, int64(len(zip)-3))
			}
			return r
		}}, []string{"before", "a", "b", "!2 way", "behind"}, io.ErrUnexpectedEOF},
		"fails behind the end": {brokenBucket{body: func(key string, r io.Reader) io.Reader {
			if second(key) {
				return io.MultiReader(r, failingReader{errWay})
			}
			return r
		}}, []string{"before", "a", "b", "!2 way", "behind"}, errWay},
	} {
		b := test.bucket
		b.Client = threeFiles(t, zip)
		if diff := cmp.Diff(test.want, readFaults(t, t.Context(), &b)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		found := false
		for _, err := range cts.ReadDump(t.Context(), &b, nil) {
			found = found || errors.Is(err, test.is)
		}
		if !found {
			t.Errorf("%s: no error is %v", name, test.is)
		}
		for key, n := range b.left {
			if n != 0 {
				t.Errorf("%s: %s is open", name, key)
			}
		}
	}
}

// An error of listing is the last step, wherever it comes.
func TestReadDumpListFails(t *testing.T) {
	w, ids := dumpedWorld(t)
	for n := 1; ; n++ {
		failed := false
		b := &brokenBucket{Client: w.objects, list: func(step int) error {
			if failed = failed || step == n; step == n {
				return obs.ErrThrottled
			}
			return nil
		}}
		var last error
		read, steps := 0, 0
		for _, err := range cts.ReadDump(t.Context(), b, nil) {
			if last != nil {
				t.Fatalf("a step behind %v", last)
			}
			if last = err; err == nil {
				read++
			}
			steps++
		}
		if !failed {
			if n < 20 || read != len(ids) || last != nil {
				t.Errorf("%d calls, %d traces, %v", n, read, last)
			}
			return
		}
		if !errors.Is(last, obs.ErrThrottled) || read >= len(ids) {
			t.Errorf("call %d: %d traces and %v", n, read, last)
		}
	}
}

// The caller may leave at any step, and a context may end at any: that is the last step.
func TestReadDumpEnds(t *testing.T) {
	w, ids := dumpedWorld(t)
	for n := range ids {
		b := &brokenBucket{Client: w.objects}
		got := []string{}
		for d, err := range cts.ReadDump(t.Context(), b, nil) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, d.Trace.ID); len(got) == n+1 {
				break
			}
		}
		if diff := cmp.Diff(ids[:n+1], got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
		for key, open := range b.left {
			if open != 0 {
				t.Errorf("%s is open", key)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		steps, over := 0, error(nil)
		for _, err := range cts.ReadDump(ctx, b, nil) {
			if over != nil {
				t.Fatalf("a step behind %v", over)
			}
			if steps++; steps == n+1 {
				cancel()
			}
			over = err
		}
		if cancel(); !errors.Is(over, context.Canceled) && n < len(ids)-3 {
			t.Errorf("canceled at step %d: %v", n, over)
		}
	}
}

// endlessFile is a trace file without an end.
type endlessFile struct{ n int }

func (e *endlessFile) Read(p []byte) (int, error) {
	begin := ","
	if e.n == 0 {
		begin = "["
	}
	e.n++
	return copy(p, fmt.Sprintf(`%s{"trace_id":"t%d","request":%q}`, begin, e.n, strings.Repeat("x", 900))), nil
}

// A file is read as it is asked for, so that memory does not grow with it.
func TestReadDumpStreams(t *testing.T) {
	source := &endlessFile{}
	b := &brokenBucket{Client: threeFiles(t, nil), body: func(key string, r io.Reader) io.Reader {
		if key == fileOf(1) {
			return source
		}
		return r
	}}
	n := 0
	for _, err := range cts.ReadDump(t.Context(), b, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; source.n > n+300 { // two buffers of 64 KiB
			t.Fatalf("%d traces were read for the first %d", source.n, n)
		}
		if n == 10_000 {
			break
		}
	}
}
