package cts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs"
)

// groups are trackers and services that are awkward as folders.
var groups = []string{
	"system/ECS", "system/EVS", "/ECS", "system/", "data/OBS", "Digest/Digest", "..ü/\x00\n", ".hidden/a b%2F",
	strings.Repeat("ä", 150) + "/" + strings.Repeat("S", 300),
}

// dumpHistory is a random sequence of faults, kills, restarts with other options and
// new traces.
type dumpHistory struct {
	*rand.Rand
	*dumpWorld
	t      *testing.T
	rate   float64 // of faults per call
	kills  bool
	damage bool // traces become unreadable
	stale  bool // the bucket may deny an object that it has
	flips  int  // readings with a wrong byte
	cancel context.CancelFunc
}

// fault is what happens to one call.
func (h *dumpHistory) fault(_ int, call string) dumpFault {
	if h.IntN(8) == 0 {
		h.add(h.t, groups[h.IntN(len(groups))])
	}
	if h.Float64() >= h.rate {
		return dumpFault{}
	}
	if h.damage && h.made > 0 && h.IntN(6) == 0 {
		h.damaged[cts.Position(1+h.IntN(h.made))] = true
	}
	errs := []error{errBroken, obs.ErrDenied, obs.ErrThrottled, context.DeadlineExceeded, io.ErrUnexpectedEOF, context.Canceled}
	f := dumpFault{err: errs[h.IntN(len(errs))], done: h.IntN(2) == 0, kill: h.kills && h.IntN(6) == 0}
	if errors.Is(f.err, context.Canceled) {
		h.cancel()
	}
	if !strings.HasPrefix(call, "get ") {
		if strings.HasPrefix(call, "head ") && h.stale && h.IntN(5) == 0 {
			f.err = obs.ErrNotExist
		}
		return f
	}
	h.flips++ // two readings in a row never go wrong in the same way, which would be an object of somebody else
	limit, at := h.IntN(300), h.flips
	switch n := h.IntN(5); {
	case n == 0 && h.stale:
		return dumpFault{err: obs.ErrNotExist, kill: f.kill}
	case n == 1: // cut short without an error
		return dumpFault{spoil: func(r io.Reader) io.Reader { return io.LimitReader(r, int64(limit)) }}
	case n == 2: // another body of the same size
		return dumpFault{spoil: func(r io.Reader) io.Reader {
			b, err := io.ReadAll(r)
			if err != nil || len(b) == 0 {
				return failingReader{io.ErrUnexpectedEOF}
			}
			b[at%len(b)] ^= 0xff
			return bytes.NewReader(b)
		}}
	}
	return f
}

// options are those of one process.
func (h *dumpHistory) options() *cts.DumperOptions {
	return &cts.DumperOptions{
		MaxTraces: 1 + h.IntN(12), MaxBytes: int64(300 + h.IntN(4000)), Level: 1 + h.IntN(9),
		Workers: 1 + h.IntN(4), Compression: []cts.Compression{cts.CompressGzip, cts.CompressJSON}[h.IntN(4)/3],
		WithoutServiceFolders: h.IntN(3) == 0, Prefix: []string{"", "p"}[h.IntN(2)], Region: []string{"", "eu-de"}[h.IntN(2)],
	}
}

// run lets the history happen, and then everything work again.
func (h *dumpHistory) run() {
	d := h.dumper(h.t, h.options())
	for range 4 + h.IntN(12) {
		for range h.IntN(6) {
			h.add(h.t, groups[h.IntN(len(groups))])
		}
		var ctx context.Context
		ctx, h.cancel = context.WithCancel(h.t.Context())
		h.dumpWorld.fault = h.fault
		h.noise = func() bool { return h.Float64() < h.rate/4 }
		_ = d.Flush(ctx) // it fails or not
		h.cancel()
		if h.dead || h.IntN(6) == 0 {
			h.mend()
			d = h.dumper(h.t, h.options())
		}
	}
	h.mend()
	if err := d.Flush(h.t.Context()); err != nil {
		h.t.Fatalf("Flush after everything works again: %v", err)
	}
}

func TestDumpSurvivesAnyHistory(t *testing.T) {
	histories := uint64(100)
	if testing.Short() || raceEnabled {
		histories = 30
	}
	for seed := range histories {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			h := &dumpHistory{Rand: r, dumpWorld: newDumpWorld(), t: t, rate: r.Float64() / 2, kills: r.IntN(3) > 0}
			// A file that damage has changed is looked for in the bucket under its old
			// name. A bucket that denies it makes a duplicate, which nothing can tell.
			h.damage = r.IntN(2) == 0
			h.stale = !h.damage
			h.run()
			h.check(t)
			for _, call := range h.calls {
				key, ok := strings.CutPrefix(call, "put ")
				if ok && !h.damage && !slices.Contains(h.keys(t), key) {
					t.Errorf("%s was tried and given up for another name", key)
				}
			}
			if h.kills && h.steps == 0 {
				t.Error("nothing happened")
			}
		})
	}
}

// faultKinds are the ways in which the n-th call can go wrong.
var faultKinds = map[string]dumpFault{
	"fails before":     {err: errBroken},
	"fails after":      {err: errBroken, done: true},
	"is killed before": {err: errCutOff, kill: true},
	"is killed after":  {err: errCutOff, kill: true, done: true},
}

// smallCycles makes two cycles, of three files and of two, from sevenTraces.
var (
	smallCycles = &cts.DumperOptions{MaxTraces: 4, Level: 1, Workers: 1}
	sevenTraces = []string{"system/ECS", "system/EVS", "data/OBS", "system/ECS", "system/EVS", "data/OBS", "data/OBS"}
)

// at makes the n-th call from now on go wrong.
func (w *dumpWorld) at(n int, f dumpFault) (hit func() bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps = 0
	w.fault = func(step int, _ string) dumpFault {
		if step == n {
			return f
		}
		return dumpFault{}
	}
	return func() bool { return w.steps >= n }
}

func TestDumpSurvivesAFaultInEveryCall(t *testing.T) {
	for name, fault := range faultKinds {
		for n := 1; ; n++ {
			w := newDumpWorld()
			w.add(t, sevenTraces...)
			hit := w.at(n, fault)
			d := w.dumper(t, smallCycles)
			err := d.Flush(t.Context())
			if !hit() {
				if err != nil || n < 15 {
					t.Fatalf("%d calls without a fault: %v", n-1, err)
				}
				break
			}
			if err == nil {
				t.Errorf("call %d (%s) %s and Flush says nothing", n, w.calls[n-1], name)
			}
			w.mend()
			w.add(t, "system/IAM")
			if fault.kill {
				d = w.dumper(t, smallCycles)
			}
			if err := d.Flush(t.Context()); err != nil {
				t.Fatalf("call %d %s; then: %v", n, name, err)
			}
			w.check(t)
			if t.Failed() {
				t.Fatalf("call %d %s: %q", n, name, w.calls)
			}
		}
	}
}

// twoKills kills a process at every call, lets something happen, kills the next
// process at every call of its own, most of which are those of the resumed cycle, and
// lets the third one end it.
func twoKills(t *testing.T, between func(*dumpWorld)) {
	t.Helper()
	kills := []dumpFault{faultKinds["is killed before"], faultKinds["is killed after"]}
	opts := &cts.DumperOptions{MaxTraces: 3, Level: 1, Workers: 1}
	pairs := 0
	for i, more := 0, true; more; i++ {
		first := 1 + i/2
		for j, again := 0, true; again; j++ {
			second := 1 + j/2
			w := newDumpWorld()
			w.add(t, "system/ECS", "system/ECS", "system/EVS", "data/OBS")
			hit := w.at(first, kills[i%2])
			_ = w.dumper(t, opts).Flush(t.Context())
			more = hit()
			w.mend()
			w.add(t, "system/IAM")
			between(w)
			hit = w.at(second, kills[j%2])
			_ = w.dumper(t, opts).Flush(t.Context())
			again = hit()
			w.mend()
			if err := w.dumper(t, opts).Flush(t.Context()); err != nil {
				t.Fatalf("kills at %d and %d: %v", first, second, err)
			}
			w.check(t)
			if pairs++; t.Failed() {
				t.Fatalf("kills at %d and %d: %q", first, second, w.calls)
			}
		}
	}
	if pairs < 300 {
		t.Errorf("only %d pairs of kills", pairs)
	}
}

func TestDumpSurvivesTwoKills(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("every pair of kills takes a while")
	}
	twoKills(t, func(*dumpWorld) {})
}

// Between the kills a trace of a file becomes unreadable: a file that was delivered
// stays as it is, and one that was not is planned anew, whatever else happens.
func TestDumpSurvivesDamageBetweenKills(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("every pair of kills takes a while")
	}
	twoKills(t, func(w *dumpWorld) { w.damaged[1], w.damaged[4] = true, true })
}
