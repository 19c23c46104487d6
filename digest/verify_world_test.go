package digest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/memobs"
)

// world is a bucket that some writers seal, with a clock of its own.
type world struct {
	tb      testing.TB
	bucket  *memobs.Client
	now     time.Time
	begin   time.Time
	signer  *digest.Signer
	writers []*worldWriter
	options worldOptions
}

// worldWriter is one writer with one chain.
type worldWriter struct {
	chain  *digest.Chain
	layout digest.Layout
	phase  time.Duration // the chain begins that much later than the world
	sealed []*digest.Sealed
	files  [][]string // trace files by digest
	open   []string   // trace files that are in no digest yet
	heads  *digest.HeadFinder
}

// worldOptions say how much there is.
type worldOptions struct {
	writers, hours  int
	files, traces   int // of each hour, of each file
	hash            string
	trackers        []string // of the writers in turn
	withoutComplete bool
	withoutHeads    bool
	signer          *digest.Signer
	begin           time.Time
}

const worldRoot = "CloudTraces/eu-de"

var worldBegin = time.Date(2026, 3, 28, 20, 0, 0, 0, time.UTC) // past midnight soon

// newWorld returns a bucket in which every writer has sealed hours digests.
func newWorld(tb testing.TB, o worldOptions) *world {
	tb.Helper()
	if o.begin.IsZero() {
		o.begin = worldBegin
	}
	w := &world{tb: tb, now: o.begin, begin: o.begin, signer: o.signer, options: o}
	if w.signer == nil {
		w.signer = chainSigner(tb)
	}
	w.bucket = memobs.New(&memobs.Options{Now: func() time.Time { return w.now }})
	for i := range o.writers {
		tracker := "system"
		if len(o.trackers) > 0 {
			tracker = o.trackers[i%len(o.trackers)]
		}
		w.addWriter(fmt.Sprintf("0b7f8a52-5d0f-4c57-9d1e-%012d", i+1), tracker, time.Duration(i)*17*time.Minute)
	}
	w.run(time.Duration(o.hours)*time.Hour + 17*time.Minute*time.Duration(o.writers))
	return w
}

func (w *world) addWriter(id, tracker string, phase time.Duration) *worldWriter {
	a := &worldWriter{
		chain:  digest.NewChain(digest.ChainOptions{Writer: id, Tracker: tracker}, w.begin.Add(phase)),
		layout: digest.Layout{Root: worldRoot, Tracker: tracker, Region: "eu-de"}, phase: phase,
		heads: digest.NewHeadFinder(w.bucket, worldRoot, w.signer.Public()),
	}
	w.writers = append(w.writers, a)
	return a
}

// run lets time pass until everything due by then is done, in steps of a minute. Each
// writer cuts options.hours digests and then stops.
func (w *world) run(d time.Duration) {
	w.tb.Helper()
	end := w.now.Add(d)
	for ; !w.now.After(end); w.now = w.now.Add(time.Minute) {
		for _, a := range w.writers {
			age := w.now.Sub(w.begin.Add(a.phase))
			if age <= 0 || len(a.sealed) == w.options.hours {
				continue
			}
			if age%time.Hour == 0 {
				w.cut(a, digest.StampOf(w.now), false)
			}
			every := time.Hour / time.Duration(w.options.files+1)
			if len(a.sealed) < w.options.hours && age%time.Hour >= every && age%every < time.Minute {
				w.deliver(a, len(a.open))
			}
		}
	}
}

// traceContent makes a trace file of n traces that are not in any other.
func traceContent(n int, salt string) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `,{"trace_id":"%s-%d","trace_name":"create \"it\" \\","ext":{"labels":["],[","}"]}}`, salt, i)
	}
	content := append(b.Bytes(), ']')
	content[0] = '['
	return content
}

func zip(tb testing.TB, content []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(content)
	if err := errors.Join(err, z.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// fileKey returns the key of a trace file delivered at a time.
func fileKey(tracker, service string, at time.Time, content []byte) string {
	sum := sha256.Sum256(content)
	return worldRoot + at.UTC().Format("/2006/01/02/") + tracker + "/" + service + "/CloudTrace_eu-de_" +
		digest.StampOf(at).String() + "_" + hex.EncodeToString(sum[:8]) + ".json.gz"
}

// deliver puts a trace file.
func (w *world) deliver(a *worldWriter, n int) string {
	w.tb.Helper()
	service := []string{"ECS", "CTS", "VPC"}[n%3]
	content := traceContent(w.options.traces+n, fmt.Sprintf("%s-%d-%d", a.chain.ID, len(a.sealed), n))
	return w.deliverFile(a, fileKey(a.layout.Tracker, service, w.now, content), zip(w.tb, content))
}

func (w *world) deliverFile(a *worldWriter, key string, stored []byte) string {
	w.tb.Helper()
	w.put(key, stored, nil)
	sum, err := digest.Summarize(bytes.NewReader(stored))
	if err != nil {
		w.tb.Fatal(err)
	}
	a.chain.Add(digest.PendingFile{
		Object: key, Count: sum.Count, Root: hex.EncodeToString(sum.Root[:]), Size: sum.Size,
		SHA256: hex.EncodeToString(sum.SHA256[:]), MD5: hex.EncodeToString(sum.MD5[:]), Delivered: digest.StampOf(w.now),
	})
	a.open = append(a.open, key)
	if !w.options.withoutComplete {
		a.chain.Complete(w.now.UnixMilli())
	}
	return key
}

// cut seals what is open.
func (w *world) cut(a *worldWriter, end digest.Stamp, ending bool) *digest.Sealed {
	w.tb.Helper()
	if !w.options.withoutComplete {
		a.chain.Complete(w.now.UnixMilli())
	}
	o := &digest.CutOptions{End: end, Ending: ending, Signer: w.signer, Layout: a.layout, Bucket: "trail", Hash: w.options.hash}
	if !w.options.withoutHeads {
		heads, err := a.heads.Find(context.Background(), w.now.AddDate(0, 0, -31), w.now, func(id string) bool { return id == a.chain.ID[:16] })
		if err != nil {
			w.tb.Fatal(err)
		}
		o.Heads = heads
	}
	s, err := a.chain.Cut(o)
	if err != nil {
		w.tb.Fatal(err)
	}
	if err := s.Put(context.Background(), w.bucket); err != nil {
		w.tb.Fatal(err)
	}
	if err := a.chain.Advance(s); err != nil {
		w.tb.Fatal(err)
	}
	a.sealed = append(a.sealed, s)
	a.files = append(a.files, a.open)
	a.open = nil
	return s
}

func (w *world) put(key string, content []byte, metadata map[string]string) {
	w.tb.Helper()
	if _, err := w.bucket.Put(context.Background(), key, bytes.NewReader(content), &obs.PutOptions{Metadata: metadata}); err != nil {
		w.tb.Fatal(err)
	}
}

func (w *world) get(key string) ([]byte, obs.Object) {
	w.tb.Helper()
	body, o, err := w.bucket.Get(context.Background(), key)
	if err != nil {
		w.tb.Fatal(err)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		w.tb.Fatal(err)
	}
	return content, o
}

func (w *world) delete(keys ...string) {
	w.tb.Helper()
	for _, key := range keys {
		if err := w.bucket.Delete(context.Background(), key); err != nil {
			w.tb.Fatal(err)
		}
	}
}

// rename moves an object with its metadata.
func (w *world) rename(from, to string) {
	w.tb.Helper()
	content, o := w.get(from)
	w.delete(from)
	w.put(to, content, o.Metadata)
}

func (w *world) keys() []string {
	w.tb.Helper()
	var keys []string
	for o, err := range w.bucket.List(context.Background(), "", nil) {
		if err != nil {
			w.tb.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// heads returns the heads that were handed to the callback last.
func (w *world) heads() []digest.Head {
	var heads []digest.Head
	for _, a := range w.writers {
		if n := len(a.sealed); n > 0 {
			heads = append(heads, a.sealed[n-1].Head())
		}
	}
	return heads
}

// verify verifies the world with its key. change, if not nil, changes the options.
func (w *world) verify(change func(o *digest.VerifyOptions)) *digest.Report {
	w.tb.Helper()
	o := &digest.VerifyOptions{Keys: []*digest.PublicKey{w.signer.Public()}, Now: func() time.Time { return w.now }, Parallel: 2}
	if change != nil {
		change(o)
	}
	report, err := digest.Verify(context.Background(), w.bucket, o)
	if err != nil {
		w.tb.Fatal(err)
	}
	return report
}

// kinds counts the findings of a report that are not notes that a chain is open or overdue.
func kinds(r *digest.Report) map[digest.Kind]int {
	found := map[digest.Kind]int{}
	for _, f := range r.Findings {
		if f.Kind != digest.ChainOpen && f.Kind != digest.ChainOverdue {
			found[f.Kind]++
		}
	}
	return found
}

// wantKinds fails unless exactly these findings are there.
func wantKinds(tb testing.TB, r *digest.Report, want map[digest.Kind]int) {
	tb.Helper()
	if got := kinds(r); !maps.Equal(got, want) {
		tb.Errorf("findings %v, want %v:\n%s", got, want, findings(r))
	}
}

func findings(r *digest.Report) string {
	var lines []string
	for _, f := range r.Findings {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

// has reports whether there is a finding of the kind about the object.
func has(r *digest.Report, kind digest.Kind, object string) bool {
	return slices.ContainsFunc(r.Findings, func(f digest.Finding) bool { return f.Kind == kind && f.Object == object })
}
