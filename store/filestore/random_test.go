package filestore_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
	"github.com/cloudtraceservice/cts/store/storetest"
)

// lives are sets of options that make stores of very different forms.
var lives = map[string]filestore.Options{
	"every trace a file":       {LogFileBytes: 256},
	"tiny files":               {LogFileBytes: 2 << 10},
	"tiny files, never synced": {LogFileBytes: 2 << 10, Sync: filestore.SyncOS},
	"files as usual":           {},
	"all in one goroutine":     filestore.Inline(filestore.Options{LogFileBytes: 1 << 10}),
	"never merged":             filestore.Unmerged(filestore.Options{LogFileBytes: 1 << 10}),
}

// TestDifferential compares stores of different forms with one in memory, by random
// calls.
func TestDifferential(t *testing.T) {
	ops := 120
	if testing.Short() || raceEnabled {
		ops = 30
	}
	for name, opts := range lives {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Differential(t, func(t testing.TB) storetest.Harness {
				return harnessOf(t, vfstest.NewMemFS(), "/store", opts)
			}, rand.Uint64(), ops)
		})
	}
}

// TestRandomLife leads a store through a life of random events, of which crashes are
// some, and compares it with a list after each.
func TestRandomLife(t *testing.T) {
	events := 150
	if testing.Short() || raceEnabled {
		events = 40
	}
	for name, opts := range lives {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			l := life{T: t, rng: rand.New(rand.NewPCG(seed, 0)), opts: opts, disk: vfstest.NewMemFS(), dir: "/store", oldest: 1}
			l.open()
			for range events {
				l.step()
				l.check()
				if t.Failed() {
					t.Fatalf("seed %d: %v", seed, l.past)
				}
			}
			mustClose(t, l.store)
		})
	}
}

// life is the life of a store.
type life struct {
	*testing.T
	rng    *rand.Rand
	opts   filestore.Options
	disk   *vfstest.MemFS
	dir    string
	store  *filestore.Store
	texts  []string // JSON of each position
	oldest int      // position
	moves  int
	past   []string
}

func (l *life) open() {
	opts := l.opts
	opts.FS, opts.LockWait = l.disk, -1
	s, err := filestore.Open(l.dir, &opts)
	if err != nil {
		l.Fatalf("open: %v, after %v", err, l.past)
	}
	if d := s.Status().Recovery.Damaged; d != nil {
		l.Errorf("open: %v", d[0].Error)
	}
	l.store = s
}

// step is one event.
func (l *life) step() {
	events := []struct {
		often int
		name  string
		do    func()
	}{
		{10, "append", l.append},
		{2, "seal", func() { l.must(filestore.Seal(background, l.store)) }},
		{2, "compact", func() { l.must(l.store.Compact(background)) }},
		{2, "retain", l.retain},
		{2, "reopen", func() { mustClose(l.T, l.store); l.open() }},
		{1, "kill", l.kill},
		{1, "crash", l.crash},
		{1, "snapshot", l.snapshot},
		{1, "repair", l.repair},
		{1, "sync", func() { l.must(l.store.Sync(background)) }},
	}
	total := 0
	for _, e := range events {
		total += e.often
	}
	n := l.rng.IntN(total)
	for _, e := range events {
		if n -= e.often; n < 0 {
			l.past = append(l.past, e.name)
			e.do()
			return
		}
	}
}

func (l *life) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatalf("%v, after %v", err, l.past)
	}
}

func (l *life) append() {
	first := len(l.texts) + 1
	batch := numbered(first, first+l.rng.IntN(6))
	for i := range batch { // times in no order
		batch[i].Trace.Time += int64(l.rng.IntN(40_000))
		l.texts = append(l.texts, string(batch[i].Trace.AppendJSON(nil)))
	}
	done, err := l.store.Append(background, batch)
	l.must(err)
	if int(done.First) != first || done.Existing != 0 {
		l.Errorf("appended %+v, want %d", done, first)
	}
}

// retain drops what is old enough, up to where a consumer may be.
func (l *life) retain() {
	last := len(l.texts)
	hold := last
	if l.rng.IntN(2) == 0 && last > 0 {
		hold = l.rng.IntN(last)
		l.must(l.store.SetConsumer(background, "dumper", cts.Position(hold)))
	} else {
		l.must(l.store.RemoveConsumer(background, "dumper"))
	}
	due := l.rng.IntN(last + 2)
	done, err := l.store.Retain(background, cts.Retention{Before: traceOf(due).RecordTime})
	l.must(err)
	now := int(done.Oldest)
	if now < l.oldest || now > max(l.oldest, min(due, hold+1)) || int(done.Traces) != now-l.oldest {
		l.Errorf("retain before %d, held at %d: %+v, the oldest was %d", due, hold, done, l.oldest)
	}
	l.oldest = now
}

// kill goes on with what a killed process leaves.
func (l *life) kill() {
	disk := l.disk.KillClone()
	mustClose(l.T, l.store)
	l.disk = disk
	l.open()
}

// crash goes on with what a power loss leaves: everything, if it was synced.
func (l *life) crash() {
	l.must(l.store.Sync(background))
	disk := l.disk.CrashClone(vfstest.CrashOptions{Rand: l.rng})
	mustClose(l.T, l.store)
	l.disk = disk
	l.open()
}

// snapshot goes on with a copy, or with what it was made of.
func (l *life) snapshot() {
	l.moves++
	to := fmt.Sprint("/copy", l.moves)
	l.must(l.store.Snapshot(background, to))
	if l.rng.IntN(2) == 0 {
		mustClose(l.T, l.store)
		l.dir = to
		l.open()
	}
}

// repair finds nothing to repair.
func (l *life) repair() {
	mustClose(l.T, l.store)
	report, err := filestore.Repair(background, l.dir, &filestore.RepairOptions{FS: l.disk, LockWait: -1})
	if err != nil || !report.OK() || len(report.Lost) > 0 || int(report.Traces) != len(l.texts)-l.oldest+1 {
		l.Errorf("repair: %+v, %v, want %d traces", report, err, len(l.texts)-l.oldest+1)
	}
	l.open()
}

// check compares the store with the list.
func (l *life) check() {
	l.Helper()
	l.must(l.store.Sync(background))
	next := l.oldest
	for e, err := range l.store.After(background, cts.Position(l.oldest-1)) {
		l.must(err)
		if int(e.Position) != next || next > len(l.texts) || string(e.JSON) != l.texts[next-1] {
			l.Errorf("position %d: not what was appended at %d of %d", e.Position, next, len(l.texts))
			return
		}
		next++
	}
	if next != len(l.texts)+1 {
		l.Errorf("%d traces from %d on, want up to %d", next-l.oldest, l.oldest, len(l.texts))
	}
	n, err := cts.Count(background, l.store, cts.Query{})
	if err != nil || int(n) != len(l.texts)-l.oldest+1 {
		l.Errorf("%d traces are counted, %v, want %d", n, err, len(l.texts)-l.oldest+1)
	}
	st, err := l.store.Statistics(background)
	if err != nil || st.Traces != n || st.Lost != 0 || n > 0 && (int(st.First) != l.oldest || int(st.Last) != len(l.texts)) {
		l.Errorf("statistics: %+v, %v", st, err)
	}
	if l.rng.IntN(4) == 0 {
		verify(l.T, l.store)
	}
}
