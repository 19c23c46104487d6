package cts_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/memobs"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// dumpWorld is what a Dumper works on: a store with its states, and a bucket. Every
// call to them can be made to fail, before or after it has taken effect. The world
// itself is the source and the state store; what is true is in Store and objects.
type dumpWorld struct {
	*memstore.Store
	objects *memobs.Client

	mu      sync.Mutex
	fault   func(step int, call string) dumpFault // what happens to a call; nil is nothing
	dead    bool                                  // the process was killed: nothing it still does has an effect
	steps   int
	calls   []string              // load, after, plan, checkpoint, put KEY, head KEY, get KEY
	damaged map[cts.Position]bool // traces that can't be read
	noise   func() bool           // whether a harmless damage is yielded before a trace
	vouches bool                  // the bucket reports the hash of what it stored
	made    int                   // traces appended
	name    string                // what their ids begin with
	broken  error                 // a state that must never be saved was
}

// dumpFault is what happens to a call. The zero value is nothing.
type dumpFault struct {
	err   error                     // what the caller is told
	done  bool                      // the call took effect all the same; After and Get break off in the middle
	kill  bool                      // it was the last thing that the process did
	spoil func(io.Reader) io.Reader // what a Get yields instead of the object
	until <-chan struct{}           // what the call waits for first
}

var errCutOff = errors.New("the process was killed")

// newDumpWorld returns an empty store and an empty bucket. All worlds have one store
// id, so that equal traces get equal names.
func newDumpWorld() *dumpWorld {
	return newDumpWorldOf("0b7f8a52-5d0f-4c57-9d1e-3c1f3a2b4c5d", "", memobs.New(nil))
}

// newDumpWorldOf returns an empty store, the ids of whose traces begin with name, and
// a bucket that other worlds may have too.
func newDumpWorldOf(id, name string, objects *memobs.Client) *dumpWorld {
	return &dumpWorld{
		Store: memstore.New(&memstore.Options{NewID: func() string { return id }}), objects: objects, damaged: map[cts.Position]bool{}, name: name,
	}
}

// call counts a call and decides on its fault.
func (w *dumpWorld) call(name string) dumpFault {
	f := w.decide(name)
	if f.until != nil {
		<-f.until
	}
	return f
}

func (w *dumpWorld) decide(name string) dumpFault {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return dumpFault{err: errCutOff}
	}
	w.steps++
	w.calls = append(w.calls, name)
	if w.fault == nil {
		return dumpFault{}
	}
	f := w.fault(w.steps, name)
	w.dead = f.kill
	return f
}

// mend ends all faults and starts the process again.
func (w *dumpWorld) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault, w.dead, w.noise = nil, false, nil
}

// dumper starts a process with a new Dumper.
func (w *dumpWorld) dumper(tb testing.TB, opts *cts.DumperOptions) *cts.Dumper {
	tb.Helper()
	d, err := cts.NewDumper(w, dumpBucket{w.objects, w}, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// add appends traces with the given trackers and services, "tracker/service" each.
func (w *dumpWorld) add(tb testing.TB, groups ...string) {
	tb.Helper()
	for _, g := range groups {
		tracker, service, _ := strings.Cut(g, "/")
		w.made++
		tr := &cts.Trace{
			ID: fmt.Sprintf("%strace-%d", w.name, w.made), Time: 1_700_000_000_000, RecordTime: 1_700_000_000_000 + int64(w.made),
			Name: "deleteOrder", ServiceType: service, TrackerName: tracker, Request: strings.Repeat("<&>", w.made%7),
		}
		if w.made%3 == 0 {
			tr.User.Name, tr.Ext.Role = "alice", "admin"
		}
		if _, err := w.Append(context.Background(), []cts.Entry{{Trace: tr}}); err != nil {
			tb.Fatal(err)
		}
	}
}

// After implements cts.Log.
func (w *dumpWorld) After(ctx context.Context, pos cts.Position) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		f := w.call("after")
		if f.err != nil && !f.done {
			yield(cts.Entry{}, f.err)
			return
		}
		for e, err := range w.Store.After(ctx, pos) {
			switch {
			case err == nil && w.isDamaged(e.Position):
				err = &cts.CorruptionError{File: "f", Offset: int64(e.Position), First: e.Position, Last: e.Position, Err: errBroken}
				e = cts.Entry{}
			case err == nil && w.noisy() && !yield(cts.Entry{}, &cts.CorruptionError{File: "noise", Err: errBroken}):
				return
			}
			if !yield(e, err) {
				return
			}
			if f.err != nil {
				yield(cts.Entry{}, f.err)
				return
			}
		}
		if f.err != nil {
			yield(cts.Entry{}, f.err)
		}
	}
}

func (w *dumpWorld) isDamaged(pos cts.Position) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.damaged[pos]
}

func (w *dumpWorld) noisy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.noise != nil && w.noise()
}

// LoadState implements cts.StateStore.
func (w *dumpWorld) LoadState(ctx context.Context, name string) ([]byte, uint64, error) {
	if f := w.call("load"); f.err != nil {
		return nil, 0, f.err
	}
	return w.Store.LoadState(ctx, name)
}

// SaveState implements cts.StateStore.
func (w *dumpWorld) SaveState(ctx context.Context, name string, data []byte, generation uint64) (uint64, error) {
	call := "checkpoint"
	if bytes.Contains(data, []byte(`"plan"`)) {
		call = "plan"
		var st savedState
		if err := json.Unmarshal(data, &st); err != nil || st.Plan == nil || st.Plan.To <= st.Position {
			w.mu.Lock()
			w.broken = errors.Join(fmt.Errorf("a plan that leads nowhere was saved: %+v", st), err)
			w.mu.Unlock()
		}
	}
	f := w.call(call)
	if f.err != nil && !f.done {
		return 0, f.err
	}
	next, err := w.Store.SaveState(ctx, name, data, generation)
	if err == nil && f.err != nil {
		return 0, f.err
	}
	return next, err
}

// dumpBucket is the bucket of a world.
type dumpBucket struct {
	obs.Client
	w *dumpWorld
}

// Put implements obs.Client.
func (b dumpBucket) Put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
	f := b.w.call("put " + key)
	if f.err != nil && !f.done {
		return obs.Object{}, &obs.Error{Op: "put", Key: key, Err: f.err}
	}
	o, err := b.Client.Put(ctx, key, body, opts)
	if err == nil && f.err != nil {
		return obs.Object{}, &obs.Error{Op: "put", Key: key, Err: f.err}
	}
	return b.told(o), err
}

// Head implements obs.Client.
func (b dumpBucket) Head(ctx context.Context, key string) (obs.Object, error) {
	if f := b.w.call("head " + key); f.err != nil {
		return obs.Object{}, &obs.Error{Op: "head", Key: key, Err: f.err}
	}
	o, err := b.Client.Head(ctx, key)
	return b.told(o), err
}

// told returns what the bucket tells about an object.
func (b dumpBucket) told(o obs.Object) obs.Object {
	if !b.w.vouches {
		o.SHA256 = nil
	}
	return o
}

// Get implements obs.Client.
func (b dumpBucket) Get(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	f := b.w.call("get " + key)
	if f.err != nil && !f.done {
		return nil, obs.Object{}, &obs.Error{Op: "get", Key: key, Err: f.err}
	}
	body, o, err := b.Client.Get(ctx, key)
	if err != nil {
		return nil, o, err
	}
	var r io.Reader = body
	if f.err != nil {
		r = io.MultiReader(io.LimitReader(body, o.Size/2), failingReader{f.err})
	}
	if f.spoil != nil {
		r = f.spoil(r)
	}
	return io.NopCloser(r), o, nil
}

// failingReader always fails.
type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// savedState is the state of a Dumper as it is stored.
type savedState struct {
	Version  int          `json:"v"`
	StoreID  string       `json:"store_id"`
	Position cts.Position `json:"position"`
	Plan     *struct {
		To    cts.Position     `json:"to"`
		Time  int64            `json:"time"`
		Files []map[string]any `json:"files"`
	} `json:"plan,omitempty"`
}

// state returns the state of the Dumper with the default name.
func (w *dumpWorld) state(tb testing.TB) (st savedState, generation uint64) {
	tb.Helper()
	data, generation, err := w.Store.LoadState(context.Background(), "dumper")
	if err != nil || data == nil {
		tb.Fatalf("no state: %v", err)
	}
	if err := json.Unmarshal(data, &st); err != nil {
		tb.Fatal(err)
	}
	return st, generation
}

// keys returns the keys of all objects, sorted.
func (w *dumpWorld) keys(tb testing.TB) []string {
	tb.Helper()
	var keys []string
	for o, err := range w.objects.List(context.Background(), "", nil) {
		if err != nil {
			tb.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// content returns the content of an object, uncompressed, and its metadata.
func (w *dumpWorld) content(tb testing.TB, key string) ([]byte, obs.Object) {
	tb.Helper()
	body, o, err := w.objects.Get(context.Background(), key)
	if err != nil {
		tb.Fatal(err)
	}
	var unzip io.Reader = body
	if strings.HasSuffix(key, ".gz") {
		z, err := gzip.NewReader(body)
		if err != nil {
			tb.Fatalf("%s: %v", key, err)
		}
		z.Multistream(false) // a second member would show as bytes behind the first
		unzip = z
	}
	content, err := io.ReadAll(unzip)
	if err != nil {
		tb.Fatalf("%s: %v", key, err)
	}
	return content, o
}

// segment is a folder of a tracker or service: escaped, not hidden, not that of digests.
const segment = `(?:%|(?:[0-9A-Za-z_-]|%[0-9A-F]{2})(?:[0-9A-Za-z_.-]|%[0-9A-F]{2})*(?:%?[0-9A-F]?%~[0-9a-f]{32})?)`

var traceFileKey = regexp.MustCompile(`^CloudTraces/([0-9a-z-]+)/(\d{4})/(\d\d)/(\d\d)/` + segment + `/(?:` + segment +
	`/)?(?:(?:p|own)_)?CloudTrace_([0-9a-z-]+)_(\d{4})-(\d\d)-(\d\d)T\d\d-\d\d-\d\dZ_[0-9a-f]{16}\.json(?:\.gz)?$`)

// zipped returns content compressed with gzip.
func zipped(tb testing.TB, content []byte, level int) []byte {
	tb.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := z.Write(content); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}
