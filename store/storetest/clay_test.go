package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
)

// clay is a store that is as simple as it can be, and that has at most one fault,
// known by its name. Without one it keeps the contract.
type clay struct {
	fault  string
	disk   *disk
	mu     sync.RWMutex // held for reading by calls under way
	closed bool
}

// disk is what a clay keeps beyond its Close.
type disk struct {
	mu     sync.Mutex
	id     string
	step   cts.Position // positions are multiples of it
	last   cts.Position
	log    []record
	ids    map[string]int // index in log
	states map[string]state

	consumers map[string]cts.Position
	dropped   cts.Position  // up to where traces were dropped
	attic     []record      // what was dropped
	grown     chan struct{} // closed when something changes
}

type record struct {
	pos  cts.Position
	json []byte
}

type state struct {
	data       []byte
	generation uint64
}

// is reports whether the store has the fault.
func (c *clay) is(fault string) bool { return c.fault == fault }

// clays returns the factory of stores with a fault.
func clays(fault string, step cts.Position) Factory {
	return func(testing.TB) Harness {
		d := &disk{id: uuid.NewString(), step: step, ids: map[string]int{}, states: map[string]state{}, consumers: map[string]cts.Position{}}
		c := &clay{fault: fault, disk: d}
		switch fault {
		case "all stores have one id":
			d.id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
		case "the id is no UUID":
			d.id = "store-" + d.id
		case "begins with a trace of its own":
			d.put(plain(7).AppendJSON(nil), plainID(7))
		}
		return Harness{
			Store:  c,
			Sparse: step > 1,
			Reopen: func(testing.TB) cts.Store {
				_ = c.Close()
				d.reopen(fault)
				c = &clay{fault: fault, disk: d}
				return c
			},
		}
	}
}

// reopen is where faults of recovery happen.
func (d *disk) reopen(fault string) {
	switch fault {
	case "has another id after reopening":
		d.id = uuid.NewString()
	case "forgets ids on reopening":
		clear(d.ids)
	case "forgets states on reopening":
		clear(d.states)
	case "forgets consumers on reopening":
		clear(d.consumers)
	case "brings back what was dropped":
		d.log, d.dropped = append(d.attic, d.log...), 0
	case "sorts the log on reopening":
		slices.SortStableFunc(d.log, func(a, b record) int {
			return cmp.Compare(must(cts.ParseTrace(a.json)).Time, must(cts.ParseTrace(b.json)).Time)
		})
		for i := range d.log {
			d.log[i].pos = cts.Position(i+1) * d.step
		}
	case "loses the last trace on reopening":
		if n := len(d.log); n > 0 {
			d.last = d.log[n-1].pos - d.step
			d.log = d.log[:n-1]
			for id, at := range d.ids {
				if at == n-1 {
					delete(d.ids, id)
				}
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (d *disk) put(json []byte, id string) cts.Position {
	d.last += d.step
	d.ids[id] = len(d.log)
	d.log = append(d.log, record{pos: d.last, json: json})
	d.wake()
	return d.last
}

// enter begins a call; the caller must then call c.mu.RUnlock.
func (c *clay) enter(ctx context.Context) error {
	c.mu.RLock()
	switch {
	case c.closed && !c.is("goes on when it is closed"):
		if c.is("fails with another error when it is closed") {
			return errors.New("file already closed")
		}
		return cts.ErrClosed
	case !c.is("ignores the context"):
		return ctx.Err()
	}
	return nil
}

func (c *clay) ID() string { return c.disk.id }

func (c *clay) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed && c.is("fails to close twice") {
		return cts.ErrClosed
	}
	c.closed = true
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	c.disk.wake()
	return nil
}

func (c *clay) Verify(ctx context.Context) (cts.VerifyReport, error) {
	defer c.mu.RUnlock()
	if err := c.enter(ctx); err != nil {
		return cts.VerifyReport{}, err
	}
	var r cts.VerifyReport
	log, _ := c.log()
	for _, e := range log {
		r.Traces++
		r.Bytes += int64(len(e.json))
	}
	switch {
	case c.is("verifies nothing"):
		r.Traces = 0
	case c.is("is damaged") && r.Traces > 0:
		r.Damaged = []*cts.CorruptionError{{File: "clay", Err: errors.New("cracked")}}
	}
	return r, nil
}

// log returns what is stored now, and the last position.
func (c *clay) log() ([]record, cts.Position) {
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	log := slices.Clone(c.disk.log)
	if c.is("drops every tenth trace") {
		log = slices.DeleteFunc(log, func(r record) bool { return r.pos%10 == 0 })
	}
	return log, c.disk.last
}

// offer is an entry on its way in.
type offer struct {
	id   string
	json []byte
	pos  cts.Position
}

func (c *clay) offers(batch []cts.Entry) ([]offer, error) {
	offers := make([]offer, len(batch))
	size := 0
	for i, e := range batch {
		o, err := c.offer(e)
		if err != nil {
			return offers[:i], err
		}
		offers[i] = o
		if size += len(o.json); size > cts.MaxBatchBytes && !c.is("takes large batches") {
			return offers[:i], cts.ErrTooLarge
		}
		if c.is("changes the caller's memory") && e.JSON != nil {
			e.JSON[0] = ' '
		}
		if c.is("writes behind the caller's JSON") && cap(e.JSON) > len(e.JSON) {
			e.JSON[:len(e.JSON)+1][len(e.JSON)] = '\n'
		}
	}
	return offers, nil
}

func (c *clay) offer(e cts.Entry) (offer, error) {
	o := offer{json: bytes.Clone(e.JSON), pos: e.Position}
	if e.JSON == nil && e.Trace != nil {
		o.json = e.Trace.AppendJSON(nil)
	} else if c.is("keeps the caller's memory") {
		o.json = e.JSON
	}
	if len(o.json) > cts.MaxTraceBytes && !c.is("takes large traces") {
		return o, cts.ErrTooLarge
	}
	t := e.Trace
	if t == nil {
		var time, recordTime int64
		var err error
		if o.id, time, recordTime, err = cts.PeekJSON(o.json); err != nil {
			return o, err
		}
		t = &cts.Trace{ID: o.id, Name: "-", Time: time, RecordTime: recordTime}
	}
	o.id = t.ID
	if c.is("folds the case of ids") {
		o.id = strings.ToLower(o.id)
	}
	if c.is("unescapes") {
		o.json = bytes.ReplaceAll(o.json, []byte(`\u003c`), []byte(`<`))
	}
	if c.is("does not validate") {
		return o, nil
	}
	return o, t.Validate()
}

func (c *clay) Append(ctx context.Context, batch []cts.Entry) (cts.Appended, error) {
	defer c.mu.RUnlock()
	if err := c.enter(ctx); err != nil {
		return cts.Appended{}, err
	}
	if len(batch) == 0 {
		if c.is("an empty batch takes a position") {
			c.disk.mu.Lock()
			c.disk.last += c.disk.step
			c.disk.mu.Unlock()
		}
		return cts.Appended{}, nil
	}
	offers, err := c.offers(batch)
	if err != nil {
		if c.is("keeps what comes before a fault") {
			_, _ = c.store(offers)
		}
		return cts.Appended{}, err
	}
	if c.is("stores batches backwards") {
		slices.Reverse(offers)
	}
	if c.is("stores traces one by one") {
		return c.oneByOne(offers)
	}
	return c.store(offers)
}

func (c *clay) oneByOne(offers []offer) (all cts.Appended, err error) {
	for i := range offers {
		runtime.Gosched()
		done, err := c.store(offers[i : i+1])
		if err != nil {
			return cts.Appended{}, err
		}
		if all.First == 0 {
			all.First = done.First
		}
		all.Last = max(all.Last, done.Last)
		all.Existing += done.Existing
	}
	return all, nil
}

// store stores what is new of offers, or nothing.
func (c *clay) store(offers []offer) (cts.Appended, error) {
	d := c.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	places, fresh, err := c.places(offers)
	if err != nil {
		if c.is("keeps what comes before a fault") {
			for _, o := range fresh {
				d.put(o.json, o.id)
			}
		}
		if c.is("ids of refused batches stay taken") {
			for _, o := range fresh {
				d.ids[o.id] = 0
			}
		}
		return cts.Appended{}, err
	}
	if c.is("looks before it locks") {
		d.mu.Unlock()
		for range 20 {
			runtime.Gosched()
		}
		d.mu.Lock()
	}
	first := d.last
	if c.is("numbers before it stores") {
		c.storeLate(fresh)
	} else {
		for _, o := range fresh {
			if pos := d.put(o.json, o.id); o.pos > pos && c.is("keeps the caller's position") {
				d.last, d.log[len(d.log)-1].pos = o.pos, o.pos
			}
		}
	}
	done := cts.Appended{Existing: len(offers) - len(fresh)}
	for _, place := range places {
		pos := first + cts.Position(-place)*d.step
		if place >= 0 {
			pos = d.log[place].pos
			if c.is("returns positions of new traces only") && len(fresh) > 0 {
				continue
			}
		}
		if done.First == 0 || pos < done.First {
			done.First = pos
		}
		done.Last = max(done.Last, pos)
	}
	return done, nil
}

// storeLate gives positions first and stores a moment later.
func (c *clay) storeLate(fresh []offer) {
	d := c.disk
	first := d.last
	d.last += cts.Position(len(fresh)) * d.step
	d.mu.Unlock()
	for range len(fresh) * 10 {
		runtime.Gosched()
	}
	d.mu.Lock()
	for i, o := range fresh {
		d.log = append(d.log, record{pos: first + cts.Position(i+1)*d.step, json: o.json})
	}
	d.wake()
	slices.SortFunc(d.log, func(a, b record) int { return cmp.Compare(a.pos, b.pos) })
	for i, r := range d.log {
		d.ids[must(cts.ParseTrace(r.json)).ID] = i
	}
}

// places finds out where the traces of a batch are, or that they are new: an index
// in the log, or -n for the nth new one.
func (c *clay) places(offers []offer) (places []int, fresh []offer, err error) {
	inBatch := map[string]int{}
	for i, o := range offers {
		at, known := c.disk.ids[o.id]
		n, twice := inBatch[o.id]
		if twice && c.is("looks for conflicts in other batches only") {
			places = append(places, -n)
			continue
		}
		switch {
		case known:
			err = c.compare(i, o, c.disk.log[at].json)
			places = append(places, at)
		case twice:
			err = c.compare(i, o, fresh[n-1].json)
			places = append(places, -n)
		}
		if err != nil {
			return places, fresh, err
		}
		if known || twice {
			if !c.is("stores a retry twice") {
				continue
			}
			places = places[:len(places)-1]
		}
		fresh = append(fresh, o)
		inBatch[o.id] = len(fresh)
		places = append(places, -len(fresh))
	}
	return places, fresh, nil
}

func (c *clay) compare(i int, o offer, old []byte) error {
	content := func(json []byte) string {
		if c.is("compares all bytes") {
			return string(json)
		}
		t, err := cts.ParseTrace(json)
		if err != nil {
			return ""
		}
		return string(t.AppendContent(nil))
	}
	switch {
	case content(o.json) == content(old) || c.is("swallows conflicts"):
		return nil
	case c.is("names the wrong index"):
		return &cts.ConflictError{Index: 0, ID: o.id}
	case c.is("does not say which trace conflicts"):
		return fmt.Errorf("clay: %w", cts.ErrIDConflict)
	}
	return &cts.ConflictError{Index: i, ID: o.id}
}
