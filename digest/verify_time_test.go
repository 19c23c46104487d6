package digest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/digest"
)

// TestVerifyNewWriter has a file of a writer that has made no digest yet, while the others
// have some for its time.
func TestVerifyNewWriter(t *testing.T) {
	for name, o := range map[string]worldOptions{
		"with complete_to": {writers: 2, hours: 4, files: 1, traces: 1},
		"without":          {writers: 2, hours: 4, files: 1, traces: 1, withoutComplete: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, o)
			content := traceContent(1, "new writer")
			key := fileKey("system", "ECS", w.now.Add(-40*time.Minute), content)
			w.put(key, zip(t, content), nil)
			r := w.verify(nil)
			wantKinds(t, r, found{digest.FileUnsealed: 1})
			if !r.OK() {
				t.Error(findings(r))
			}
			w.options.hours = 8
			w.run(4 * time.Hour) // and then there should be one
			wantKinds(t, w.verify(nil), found{digest.FileAdded: 1})
		})
	}
}

// TestVerifyNewService has chains of single services, and a file of one that has none yet.
func TestVerifyNewService(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1})
	a := w.addWriter("service", "system", 0)
	a.chain = digest.NewChain(digest.ChainOptions{Writer: "service", Tracker: "system", Service: "EVS"}, w.now)
	a.layout.Service = "EVS"
	w.writers = w.writers[1:]
	w.now = w.now.Add(10 * time.Minute)
	w.cut(a, digest.StampOf(w.now), false)
	content := traceContent(1, "new service")
	w.put(fileKey("system", "VPC", w.now.Add(-5*time.Minute), content), zip(t, content), nil)
	wantKinds(t, w.verify(nil), found{digest.FileUnsealed: 1})
}

func TestVerifyOverdue(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 3, files: 1, traces: 1})
	key := w.deliver(w.writers[0], 1)
	copied := w.now
	for _, c := range []struct {
		name    string
		later   time.Duration
		change  func(o *digest.VerifyOptions)
		overdue bool
	}{
		{"at once", 0, nil, false},
		{"not yet", 2 * time.Hour, nil, false},
		{"then", 3 * time.Hour, nil, true},
		{"with a longer grace", 3 * time.Hour, func(o *digest.VerifyOptions) { o.Grace = 3 * time.Hour }, false},
		{"a copy", 1000 * time.Hour, func(o *digest.VerifyOptions) { o.AsOf = copied }, false},
		{"a range", 1000 * time.Hour, func(o *digest.VerifyOptions) { o.To = copied.Add(time.Minute) }, false},
		{"a range in the future", 3 * time.Hour, func(o *digest.VerifyOptions) { o.To = copied.Add(2000 * time.Hour) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.now = copied.Add(c.later)
			r := w.verify(c.change)
			file, chain := digest.FileUnsealed, digest.ChainOpen
			if c.overdue {
				file, chain = digest.FileUnproven, digest.ChainOverdue
			}
			wantKinds(t, r, found{file: 1})
			last := w.writers[0].sealed[2].Key
			if !has(r, file, key) || !has(r, chain, last) || len(r.Chains) != 1 || !r.Chains[0].Open || r.Chains[0].Overdue != c.overdue {
				t.Errorf("%+v\n%s", r.Chains, findings(r))
			}
		})
	}
	w.delete(key)
	w.now = copied.Add(1000 * time.Hour)
	if r := w.verify(nil); !r.OK() || !r.Chains[0].Overdue {
		t.Errorf("an old copy:\n%s", findings(r))
	}
}

// TestVerifyLongInterval has a chain with a digest for each six hours: two hours of grace
// are too few for it.
func TestVerifyLongInterval(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1})
	a := w.writers[0]
	for range 3 {
		w.now = w.now.Add(6 * time.Hour)
		w.cut(a, digest.StampOf(w.now), false)
	}
	newest := w.now
	for _, at := range []time.Duration{-5 * time.Hour, 5 * time.Hour} { // of a new writer, and of this one
		w.now = newest.Add(at)
		content := traceContent(1, at.String())
		w.put(fileKey("system", "ECS", w.now, content), zip(t, content), nil)
	}
	for later, want := range map[time.Duration]found{5: {digest.FileUnsealed: 2}, 17: {digest.FileUnsealed: 2}, 19: {digest.FileUnproven: 2}} {
		w.now = newest.Add(later * time.Hour)
		wantKinds(t, w.verify(nil), want)
	}
}

// TestVerifyOutage has a writer that did not run for a month more than it makes up: its
// one long digest is not taken for its interval.
func TestVerifyOutage(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 4, files: 1, traces: 1})
	w.options.hours = 100
	a := w.writers[0]
	w.now = w.now.AddDate(0, 1, 0)
	w.cut(a, digest.StampOf(w.now), false)
	for range 5 {
		w.now = w.now.Add(time.Hour)
		w.cut(a, digest.StampOf(w.now), false)
	}
	forged := traceContent(1, "forged")
	key := fileKey("system", "ECS", w.now.Add(-3*time.Hour), forged)
	w.put(key, zip(t, forged), nil)
	if r := w.verify(nil); !has(r, digest.FileAdded, key) {
		t.Error(findings(r))
	}
}

// TestVerifyUnproven has files for which no digest could be, and the ways to forge one.
func TestVerifyUnproven(t *testing.T) {
	put := func(w *world, tracker string, at time.Time) string {
		content := traceContent(1, tracker+at.String())
		key := fileKey(tracker, "ECS", at, content)
		w.put(key, zip(w.tb, content), nil)
		return key
	}
	for name, c := range map[string]struct {
		do    func(w *world) string
		want  digest.Kind
		spans []digest.Span
	}{
		"before the first digest": {func(w *world) string { return put(w, "system", w.begin.Add(-time.Hour)) }, digest.FileUnproven, nil},
		"of another tracker":      {func(w *world) string { return put(w, "data", w.begin.Add(time.Hour)) }, digest.FileUnproven, nil},
		"of another root": {func(w *world) string {
			key := put(w, "system", w.begin.Add(time.Hour))
			to := "CloudTraces/eu-xx" + key[len(worldRoot):]
			w.rename(key, to)
			return to
		}, digest.FileUnproven, nil},
		"stated": {func(w *world) string { return put(w, "data", w.begin) }, digest.FileUnvalidated, []digest.Span{{Tracker: "data"}}},
		"stated for all": {func(w *world) string { return put(w, "data", w.begin) }, digest.FileUnvalidated, []digest.Span{
			{From: w0, To: w0.Add(time.Second)},
		}},
		"stated until then": {func(w *world) string { return put(w, "data", w.begin) }, digest.FileUnproven, []digest.Span{{Tracker: "data", To: w0}}},
		"stated from later": {func(w *world) string { return put(w, "data", w.begin) }, digest.FileUnproven, []digest.Span{
			{Tracker: "data", From: w0.Add(time.Second)}, {Tracker: "system"},
		}},
		"stated for a writer among others": {func(w *world) string { return put(w, "system", w.begin.Add(time.Hour)) }, digest.FileUnvalidated, []digest.Span{
			{Tracker: "system", To: w0.Add(2 * time.Hour)},
		}},
		"behind the end of one chain while another is open": {func(w *world) string {
			w.cut(w.writers[0], digest.StampOf(w.now), true)
			key := put(w, "system", w.now.Add(30*time.Minute))
			for range 4 {
				w.now = w.now.Add(time.Hour)
				w.cut(w.writers[1], digest.StampOf(w.now), false)
			}
			return key
		}, digest.FileAdded, nil},
		"behind the end of all": {func(w *world) string {
			w.cut(w.writers[0], digest.StampOf(w.now), true)
			w.cut(w.writers[1], digest.StampOf(w.now), true)
			return put(w, "system", w.now.Add(30*time.Minute))
		}, digest.FileUnproven, nil},
		"with a chain that is deleted": {func(w *world) string {
			for _, s := range w.writers[0].sealed {
				w.delete(s.Key, s.Key+digest.SignatureSuffix)
			}
			for _, files := range w.writers[0].files {
				w.delete(files...)
			}
			return put(w, "system", w.begin.Add(-time.Hour))
		}, digest.FileAdded, []digest.Span{{Tracker: "system"}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, worldOptions{writers: 2, hours: 4, files: 1, traces: 1})
			key := c.do(w)
			r := w.verify(func(o *digest.VerifyOptions) { o.Unvalidated = c.spans })
			if !has(r, c.want, key) || r.OK() != (c.want == digest.FileUnvalidated) {
				t.Errorf("want %s about %s:\n%s", c.want, key, findings(r))
			}
		})
	}
}

var w0 = worldBegin

func TestVerifyMaxFindingsKeepsDamage(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 3, files: 2, traces: 1})
	for i := range 6 { // notes that come first
		w.put(fmt.Sprintf("%s/2026/03/28/system/note-%d", worldRoot, i), []byte("x"), nil)
	}
	w.delete(w.writers[0].files[0]...)
	w.delete(w.writers[0].files[1]...)
	r := w.verify(func(o *digest.VerifyOptions) { o.MaxFindings = 5 })
	if k := kinds(r); k[digest.FileDeleted] != 4 || k[digest.Foreign] != 1 || r.More != 6 || r.MoreDamage != 0 {
		t.Errorf("%d more, %d of them damage:\n%s", r.More, r.MoreDamage, findings(r))
	}
	r = w.verify(func(o *digest.VerifyOptions) { o.MaxFindings = 3 })
	if k := kinds(r); k[digest.FileDeleted] != 3 || r.More != 8 || r.MoreDamage != 1 {
		t.Errorf("%d more, %d of them damage:\n%s", r.More, r.MoreDamage, findings(r))
	}
}

// A file of a time at which two writers had ended, of which one began again, is judged the
// same each time: by the digests that say that it was a pause.
func TestVerifyPauseBesideAnEnd(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 4, files: 1, traces: 1})
	for _, a := range w.writers {
		w.cut(a, digest.StampOf(w.now), true)
	}
	key := fileKey("system", "ECS", w.now.Add(time.Hour), traceContent(1, "paused"))
	w.put(key, zip(t, traceContent(1, "paused")), nil)
	w.now = w.now.Add(5 * time.Hour)
	a := w.writers[1]
	a.chain = a.chain.Next(w.now)
	w.now = w.now.Add(time.Minute)
	w.deliver(a, 0)
	w.now = w.now.Add(time.Hour)
	w.cut(a, digest.StampOf(w.now), false)
	for range 20 {
		wantKinds(t, w.verify(nil), found{digest.FileUnvalidated: 1})
	}
}
