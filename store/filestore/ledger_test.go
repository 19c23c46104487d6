package filestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// fate is what an append told about a trace.
type fate uint8

const (
	underWay fate = iota + 1 // Append has not returned, or the outcome is unknown
	refused                  // an error that says that it is not stored
	acked
	lasting // acked and known to be synced
)

// ledger writes down what a store promised, and checks later what it kept.
type ledger struct {
	mu       sync.Mutex
	fates    map[string]fate
	texts    map[string]string
	order    []string          // ids in the order in which they were first acked
	states   map[string][]byte // saved content by name, acked
	maybe    map[string][][]byte
	surfaced []error // what was returned, or told by an event
}

func newLedger() *ledger {
	return &ledger{
		fates: map[string]fate{}, texts: map[string]string{},
		states: map[string][]byte{}, maybe: map[string][][]byte{},
	}
}

func (l *ledger) saw(err error) {
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.surfaced = append(l.surfaced, err)
	}
}

// events notes all failures that the store tells of.
func (l *ledger) events() *filestore.Events {
	return &filestore.Events{
		Failed:           func(f filestore.Failure) { l.saw(f.Err) },
		LogFileAbandoned: func(a filestore.LogFileAbandoned) { l.saw(a.Err) },
	}
}

// append appends numbered traces and notes what became of them.
func (l *ledger) append(s *filestore.Store, first, last int) error {
	batch := numbered(first, last)
	before := map[string]fate{}
	l.mu.Lock()
	for i := range batch {
		id := batch[i].Trace.ID
		if before[id] = l.fates[id]; before[id] < acked {
			l.fates[id] = underWay
		}
		l.texts[id] = string(batch[i].Trace.AppendJSON(nil))
	}
	l.mu.Unlock()
	_, err := s.Append(background, batch)
	l.saw(err)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range batch {
		id := batch[i].Trace.ID
		switch {
		case l.fates[id] >= acked:
		case err == nil:
			l.fates[id] = acked
			l.order = append(l.order, id)
		case !errors.Is(err, cts.ErrOutcomeUnknown) && before[id] != underWay:
			l.fates[id] = refused
		}
	}
	return err
}

// synced notes that everything acked is durable.
func (l *ledger) synced() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, f := range l.fates {
		if f == acked {
			l.fates[id] = lasting
		}
	}
}

// save saves a state with some content and notes what became of it.
func (l *ledger) save(s *filestore.Store, name, content string) error {
	_, generation, err := s.LoadState(background, name)
	if err != nil {
		l.saw(err)
		return err
	}
	l.mu.Lock()
	l.maybe[name] = append(l.maybe[name], []byte(content))
	l.mu.Unlock()
	_, err = s.SaveState(background, name, []byte(content), generation)
	l.saw(err)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.states[name], l.maybe[name] = []byte(content), nil
	case !errors.Is(err, cts.ErrOutcomeUnknown):
		l.maybe[name] = l.maybe[name][:len(l.maybe[name])-1]
	}
	return err
}

// clone returns a copy of what is promised up to now.
func (l *ledger) clone() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := newLedger()
	for id, f := range l.fates {
		c.fates[id], c.texts[id] = f, l.texts[id]
	}
	c.order = slices.Clone(l.order)
	for name, content := range l.states {
		c.states[name] = content
	}
	for name, contents := range l.maybe {
		c.maybe[name] = slices.Clone(contents)
	}
	return c
}

// check opens what a process left and compares it with the ledger: everything of at
// least the least fate is there, once, in order and unchanged, nothing is there that
// was refused or never offered, Verify finds nothing, and appends go on.
func (l *ledger) check(fsys vfs.FS, dir string, least fate) error {
	s, err := filestore.Open(dir, &filestore.Options{FS: fsys, LockWait: -1})
	if err != nil {
		return fmt.Errorf("open again: %w", err)
	}
	defer s.Close()
	errs := []error{l.checkTraces(s, least), l.checkStates(s)}
	report, err := s.Verify(background)
	errs = append(errs, err)
	for _, d := range report.Damaged {
		errs = append(errs, fmt.Errorf("verify: %w", d))
	}
	if d := s.Status().Recovery.Damaged; d != nil {
		errs = append(errs, fmt.Errorf("open found damage: %w", d[0].Error))
	}
	if _, err := s.Append(background, numbered(probes, probes+2)); err != nil {
		errs = append(errs, fmt.Errorf("append again: %w", err))
	}
	if err := s.Close(); err != nil {
		errs = append(errs, fmt.Errorf("close again: %w", err))
	}
	return errors.Join(errs...)
}

// probes is the number of the first of the traces that check appends.
const probes = 900_000

func probe(id string) bool { return id >= traceOf(probes).ID }

// checkProbes checks that what check appended is there.
func checkProbes(fsys vfs.FS, dir string) error {
	s, err := filestore.OpenReader(dir, &filestore.Options{FS: fsys})
	if err != nil {
		return err
	}
	defer s.Close()
	found := 0
	for e, err := range s.After(background, 0) {
		if err != nil {
			return err
		}
		if id, _, _, _ := cts.PeekJSON(e.JSON); probe(id) {
			found++
		}
	}
	if found != 3 {
		return fmt.Errorf("%d of 3 traces of the process before are there", found)
	}
	return nil
}

func (l *ledger) checkTraces(s *filestore.Store, least fate) error {
	var errs []error
	seen := map[string]bool{}
	var order []string
	next := cts.Position(1)
	for e, err := range s.After(background, 0) {
		if err != nil {
			return fmt.Errorf("reading the log: %w", err)
		}
		id, _, _, err := cts.PeekJSON(e.JSON)
		due := next
		next = e.Position + 1
		switch {
		case err != nil:
			errs = append(errs, err)
		case e.Position != due:
			errs = append(errs, fmt.Errorf("position %d where %d is due", e.Position, due))
		case seen[id]:
			errs = append(errs, fmt.Errorf("%s is there twice", id))
		case probe(id): // of an earlier check, which a crash ended
			continue
		case l.fates[id] == 0:
			errs = append(errs, fmt.Errorf("%s was never offered", id))
		case l.fates[id] == refused:
			errs = append(errs, fmt.Errorf("%s is there, and its append said that it is not", id))
		case l.texts[id] != string(e.JSON):
			errs = append(errs, fmt.Errorf("%s has changed", id))
		}
		if l.fates[id] >= acked {
			order = append(order, id)
		}
		seen[id] = true
	}
	for id, f := range l.fates {
		if f >= least && !seen[id] {
			errs = append(errs, fmt.Errorf("%s was acknowledged and is gone", id))
		}
	}
	want := slices.DeleteFunc(slices.Clone(l.order), func(id string) bool { return !seen[id] })
	if !slices.Equal(order, want) {
		errs = append(errs, fmt.Errorf("the order is %v, acknowledged was %v", order, want))
	}
	return errors.Join(errs...)
}

func (l *ledger) checkStates(s *filestore.Store) error {
	var errs []error
	names := map[string]bool{}
	for name := range l.states {
		names[name] = true
	}
	for name := range l.maybe {
		names[name] = true
	}
	for name := range names {
		got, _, err := s.LoadState(background, name)
		ok := bytes.Equal(got, l.states[name])
		for _, content := range l.maybe[name] {
			ok = ok || bytes.Equal(got, content)
		}
		if err != nil || !ok {
			errs = append(errs, fmt.Errorf("state %s is %q: %w", name, got, err))
		}
	}
	return errors.Join(errs...)
}

// scenario is a life of a store: it is made, takes batches over several log files,
// meets a batch that is there already, saves states, is closed, opened again, and
// goes on. It goes on after errors too, as a service would.
func scenario(t testing.TB, fsys vfs.FS, dir string, level filestore.SyncLevel, l *ledger) {
	t.Helper()
	opts := filestore.Inline(filestore.Options{FS: fsys, Sync: level, LogFileBytes: 2 << 10, LockWait: -1, Events: l.events()})
	next := 1
	for life := range 2 {
		s, err := filestore.Open(dir, &opts)
		if err != nil {
			l.saw(err)
			continue
		}
		for _, size := range []int{1, 3, 1, 2, 1} {
			_ = l.append(s, next, next+size-1)
			next += size
		}
		_ = l.append(s, max(1, next-4), next) // all but one were offered before
		next++
		if level != filestore.SyncCommit {
			err := s.Sync(background)
			if l.saw(err); err == nil {
				l.synced()
			}
		}
		_ = l.save(s, "plan", fmt.Sprintf("life %d", life))
		_ = l.append(s, next, next)
		next++
		err = s.Close()
		if l.saw(err); err == nil {
			l.synced()
		}
	}
}
