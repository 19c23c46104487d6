package filestore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// keeper moves what is in finished log files into segments, and merges segments. It
// works beside the appends and queries: what it made is shown by one change of the
// manifest and then of the view.
type keeper struct {
	store *Store

	mu       sync.Mutex // held while the manifest is changed
	manifest *manifest

	seals, merges chan struct{} // have an element when there may be something to do
	quit          chan struct{}
	running       sync.WaitGroup
	merging       sync.Mutex   // held by a merge: one at a time
	compacting    atomic.Int32 // calls of Compact: no merge is begun in the background
	merged        atomic.Int32 // those of them that merge by now: and none goes on
	writers       sync.Pool    // of segments

	room    sync.Cond // of backlog, see admit
	roomMu  sync.Mutex
	backlog int64 // bytes of the log files that wait to be sealed
	failure error // of the last attempt to seal; nil when it succeeded
}

func newKeeper(s *Store, m *manifest) *keeper {
	k := &keeper{
		store: s, manifest: m,
		seals: make(chan struct{}, 1), merges: make(chan struct{}, 1), quit: make(chan struct{}),
	}
	k.room.L = &k.roomMu
	return k
}

// start begins the work in the background, unless tests do it at places of their own.
// What the log had when the store was opened has no marks: if it is much, it is sealed.
func (k *keeper) start(logBytes int64) {
	if k.store.opts.run != nil || k.store.opts.unsealed {
		return
	}
	k.running.Go(func() { k.loop(k.seals, k.sealAll) })
	k.running.Go(func() { k.loop(k.merges, k.mergeAll) })
	if logBytes >= sealAtOpen {
		k.running.Go(func() { _ = k.store.rotate(context.Background()) }) // which fails when the store is closed
	}
	k.kick()
}

// sealAtOpen is how many bytes of the log are sealed when the store is opened.
const sealAtOpen = 4 << 20

// rotate begins a new log file, so that all others can be sealed.
func (s *Store) rotate(ctx context.Context) error {
	_, err := s.await(ctx, &batch{flush: true, rotate: true, done: make(chan outcome, 1)})
	return err
}

func (k *keeper) loop(wake <-chan struct{}, work func()) {
	for {
		select {
		case <-k.quit:
			return
		case <-wake:
			work()
		}
	}
}

// stop ends the work; a segment that is being written is given up.
func (k *keeper) stop() {
	close(k.quit)
	k.running.Wait()
}

func (k *keeper) stopping() bool {
	select {
	case <-k.quit:
		return true
	default:
		return false
	}
}

// kick makes the keeper look for work.
func (k *keeper) kick() {
	if k.store.opts.unsealed {
		return
	}
	if run := k.store.opts.run; run != nil {
		run(func() { k.sealAll(); k.mergeAll() })
		return
	}
	for _, wake := range []chan struct{}{k.seals, k.merges} {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// report tells the keeper how much waits to be sealed.
func (k *keeper) report(backlog int64) {
	k.roomMu.Lock()
	defer k.roomMu.Unlock()
	k.backlog = backlog
	k.room.Broadcast()
}

// full reports whether admit would wait.
func (k *keeper) full() bool {
	k.roomMu.Lock()
	defer k.roomMu.Unlock()
	return k.waits()
}

// waits reports whether more waits to be sealed than should. k.roomMu is held.
func (k *keeper) waits() bool {
	return k.backlog > k.store.opts.LogFileBytes*maxBacklogFiles && k.failure == nil && k.store.opts.run == nil && !k.store.opts.unsealed
}

// admit waits while more waits to be sealed than should, unless
// sealing fails. It returns an error when the log can't be let grow any more.
func (k *keeper) admit() error {
	k.roomMu.Lock()
	defer k.roomMu.Unlock()
	for k.waits() {
		k.room.Wait()
	}
	if k.failure != nil && k.backlog > 4*k.store.opts.LogFileBytes*maxBacklogFiles {
		return fmt.Errorf("filestore: %w: the log has %d bytes that can't be sealed: %w", cts.ErrStoreFull, k.backlog, k.failure)
	}
	return nil
}

// maxBacklogFiles is how many full log files may wait to be sealed.
const maxBacklogFiles = 8

// outcome notes how an attempt to seal ended.
func (k *keeper) outcome(err error) {
	k.roomMu.Lock()
	defer k.roomMu.Unlock()
	k.failure = err
	k.room.Broadcast()
}

// sealAll seals every log file that is finished.
func (k *keeper) sealAll() {
	for !k.stopping() {
		more, err := k.sealSome()
		k.outcome(err)
		if err != nil {
			k.store.journal.failed("seal", segmentsName, err)
			return
		}
		if !more {
			return
		}
		k.kickMerge()
	}
}

func (k *keeper) kickMerge() {
	select {
	case k.merges <- struct{}{}:
	default:
	}
}

// sealSome makes segments of the oldest log files that are finished, several at a time
// if that many wait, and reports whether there was one.
func (k *keeper) sealSome() (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	pinned, ok := k.store.pins.acquire()
	if !ok {
		return false, nil
	}
	defer pinned.release()
	v := k.store.view.Load()
	parts := v.finished(k.manifest.next, k.sealers())
	taken := k.manifest.clone()
	taken.number += uint64(len(parts)) // whatever becomes of them
	k.manifest = taken
	var work sync.WaitGroup
	for i, p := range parts {
		p.number = taken.number - uint64(len(parts)-1-i)
		write := func() { p.info, p.lost, p.err = k.write(v, p.number, p.from, p.upTo) }
		if i == len(parts)-1 {
			write()
		} else {
			work.Go(write)
		}
	}
	work.Wait()
	for i, p := range parts {
		if p.err == nil {
			p.err = k.installSeal(v, p)
		}
		if p.err != nil {
			k.withdraw(parts[i+1:])
			return false, p.err
		}
	}
	return len(parts) > 0, nil
}

// withdraw removes segments that were written behind one that failed: they are written
// again, and the room may be what is missing.
func (k *keeper) withdraw(parts []*sealing) {
	for _, p := range parts {
		if p.err != nil || p.info.rows == 0 {
			continue
		}
		if err := k.store.dir.fs.Remove(k.store.dir.path(segmentName(p.number))); err != nil {
			k.store.journal.failed("remove", segmentName(p.number), err)
		}
	}
}

// sealing is the making of a segment of one log file.
type sealing struct {
	number     uint64
	from, upTo cts.Position
	info       segmentInfo
	lost       []*cts.CorruptionError
	err        error
}

// mostSealers is how many segments are written at a time.
const mostSealers = 4

func (k *keeper) sealers() int {
	k.roomMu.Lock()
	failing := k.failure != nil
	k.roomMu.Unlock()
	if failing || k.store.opts.run != nil {
		return 1
	}
	return min(runtime.GOMAXPROCS(0), mostSealers)
}

// installSeal makes a segment part of the store in place of its log file. k.mu is held.
func (k *keeper) installSeal(v *view, p *sealing) error {
	m := k.manifest.clone()
	m.next = p.upTo + 1
	m.lost = slices.Clone(m.lost)
	for _, hole := range v.holes {
		if hole.First <= p.upTo && hole.Last >= p.from { // it may reach into the next file
			part := *hole
			part.First, part.Last = max(part.First, p.from), min(part.Last, p.upTo)
			m.lost = append(m.lost, &part)
		}
	}
	m.lost = mergeLost(m.lost, p.lost)
	var s *sealed
	if p.info.rows > 0 {
		m.segments = append(m.segments, p.info)
		var err error
		if s, err = openSealed(k.store.dir, p.info); err != nil {
			return err
		}
	}
	if err := k.commit(m); err != nil {
		return errors.Join(err, closeSealed(s))
	}
	k.store.committer.seal(p.upTo, s, p.lost)
	return nil
}

func closeSealed(s *sealed) error {
	if s == nil {
		return nil
	}
	return s.Close()
}

// commit makes a manifest durable. k.mu is held.
func (k *keeper) commit(m *manifest) error {
	m.generation++
	if err := k.store.dir.writeManifest(m); err != nil {
		// Others may have seen it all the same: no other gets its generation.
		old := k.manifest.clone()
		old.generation = m.generation
		k.manifest = old
		return err
	}
	k.manifest = m
	return nil
}

// finished returns up to most of the oldest log files that have traces from next on,
// are followed by another and are synced, and what is lost before the first of them.
func (v *view) finished(next cts.Position, most int) (parts []*sealing) {
	for _, f := range v.files {
		first := cts.Position(f.Header.First)
		if first <= next { // also 0, of a file that has lost its header and all frames
			continue
		}
		if first-1 > v.synced || len(parts) == most {
			break
		}
		parts = append(parts, &sealing{from: next, upTo: first - 1})
		next = first
	}
	return parts
}

// write writes the traces of the log from one position to another to a new segment
// file. Those that can't be read are returned as lost.
func (k *keeper) write(v *view, number uint64, from, upTo cts.Position) (info segmentInfo, lost []*cts.CorruptionError, err error) {
	w := k.writer(&segment.Options{Dictionary: v.dictionary(number), Yield: runtime.Gosched})
	defer k.writers.Put(w)
	var bodies bodyReader
	var rows rowMaker
	for ordinal := v.behind(from - 1); ordinal < v.count && v.position(ordinal) <= upTo; ordinal++ {
		if k.stopping() {
			return info, nil, cts.ErrClosed
		}
		if ordinal%yieldTraces == 0 {
			runtime.Gosched() // commits are short and many wait for them
		}
		pos := v.position(ordinal)
		json, err := bodies.read(v, ordinal)
		var damaged *cts.CorruptionError
		if errors.Is(err, errUnreadable) && !errors.Is(err, io.EOF) {
			return info, nil, fmt.Errorf("filestore: seal: %w", err) // it may be readable later
		}
		if errors.As(err, &damaged) {
			lost = appendLost(lost, damaged)
			continue
		}
		row, err := rows.parse(pos, json)
		if err != nil {
			lost = appendLost(lost, damage(v, ordinal, errNotTrace))
			continue
		}
		if err := w.Add(row); err != nil {
			return info, nil, fmt.Errorf("filestore: seal the trace at position %d: %w", pos, err)
		}
	}
	if w.Rows() == 0 {
		return info, lost, nil
	}
	info, err = k.store.dir.writeSegment(number, func(out *bufio.Writer) (segment.Info, error) { return w.Finish(out) })
	info.first, info.last = from, upTo
	return info, lost, err
}

// writer returns a writer of segments, with the memory of an earlier one if there is one.
func (k *keeper) writer(opts *segment.Options) *segment.Writer {
	if w, ok := k.writers.Get().(*segment.Writer); ok {
		w.Reset(opts)
		return w
	}
	return segment.NewWriter(layout.schema, opts)
}

// yieldTraces is after how many traces of a segment others may run: some hundred
// microseconds. Unasked, the scheduler of Go takes the processor away after 10 ms.
const yieldTraces = 16

// dictionaryLife is how many segments are written with one dictionary of phrases. Learning
// one costs about as much as writing a tenth of a segment; one that is old fits worse.
const dictionaryLife = 16

// dictionary returns the dictionary of the last segment for the one with a number, nil
// if that should learn one of its own.
func (v *view) dictionary(number uint64) (d []byte) {
	if number%dictionaryLife == 0 || len(v.segments) == 0 {
		return nil
	}
	last := v.segments[len(v.segments)-1]
	_ = last.guarded(func() error { // damage costs the dictionary and no more
		if err := last.prepare(); err != nil {
			return err
		}
		d = bytes.Clone(last.texts.Load().Dictionary())
		return nil
	})
	return d
}

// mergeLost adds losses to a list, in order of position.
func mergeLost(list, more []*cts.CorruptionError) []*cts.CorruptionError {
	all := slices.Concat(list, more)
	slices.SortFunc(all, func(a, b *cts.CorruptionError) int { return int(int64(a.First) - int64(b.First)) })
	var joined []*cts.CorruptionError
	for _, d := range all {
		joined = appendLost(joined, d)
	}
	return joined
}
