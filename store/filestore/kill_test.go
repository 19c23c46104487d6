package filestore_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/filestore"
)

var kills = flag.Int("kills", 5, "how often TestKill kills a process")

// Environment of the process that is killed.
const (
	childDir  = "FILESTORE_CHILD_DIR"
	childLife = "FILESTORE_CHILD_LIFE"
)

func TestMain(m *testing.M) {
	if os.Getenv(childDir) != "" {
		live()
		return
	}
	os.Exit(m.Run())
}

// childTrace is trace n of goroutine g in a life of the child.
func childTrace(life, g, n int) *cts.Trace {
	t := traceOf(n)
	t.ID = fmt.Sprintf("01907a3c-5b1e-7c40-%04x-%04x%08x", life, g, n)
	return t
}

// child is a process that appends, seals, merges, drops and copies until it is killed. It
// writes lines about what it was promised:
//
//	ack POSITION ID     the trace is stored
//	hold POSITION       from now on traces up to here may be dropped
//	copy DIR POSITION   a snapshot was begun when traces up to here were stored
//	done DIR            and is complete
//	error …             something failed
type child struct {
	store *filestore.Store
	life  int
	mu    sync.Mutex
	last  atomic.Uint64 // the highest position that was acknowledged
	acks  atomic.Int64
}

func (c *child) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Printf(format+"\n", args...)
}

func live() {
	life, _ := strconv.Atoi(os.Getenv(childLife))
	dir := os.Getenv(childDir)
	c := &child{life: life}
	opts := filestore.Options{
		Sync: filestore.SyncLevel(life % 3), LogFileBytes: []int64{16 << 10, 64 << 10, 4 << 10, 1 << 20}[life%4],
		Events: &filestore.Events{Failed: func(f filestore.Failure) { c.say("error %s %s: %v", f.Op, f.File, f.Err) }},
	}
	var err error
	if c.store, err = filestore.Open(dir, &opts); err != nil {
		fmt.Println("error", err)
		return
	}
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for n := 1; ; n += 2 {
				c.append(g, n)
			}
		})
	}
	wg.Go(func() {
		for round := 0; ; round++ {
			for seen := c.acks.Load(); c.acks.Load() < seen+100; {
				c.append(6, int(2*c.acks.Load())+1)
			}
			c.work(dir, round)
		}
	})
	wg.Wait()
}

func (c *child) append(g, n int) {
	a, b := childTrace(c.life, g, n), childTrace(c.life, g, n+1)
	done, err := c.store.Append(background, []cts.Entry{{Trace: a}, {Trace: b}})
	if err != nil {
		c.say("error append: %v", err)
		return
	}
	for last := c.last.Load(); uint64(done.Last) > last && !c.last.CompareAndSwap(last, uint64(done.Last)); last = c.last.Load() {
	}
	c.acks.Add(2)
	c.say("ack %d %s\nack %d %s", done.First, a.ID, done.Last, b.ID)
}

// work does what a service does now and then.
func (c *child) work(dir string, round int) {
	var err error
	switch last := cts.Position(c.last.Load()); (round + c.life) % 4 {
	case 0:
		err = c.store.Compact(background)
	case 1:
		if hold := last - min(last, 1500); hold > 0 {
			err = c.store.SetConsumer(background, "dumper", hold)
			c.say("hold %d", hold)
			_, rerr := c.store.Retain(background, cts.Retention{Before: 1 << 60})
			err = errors.Join(err, rerr)
		}
	case 2:
		to := fmt.Sprintf("%s-copy-%d-%d", dir, c.life, round)
		c.say("copy %s %d", to, last)
		if err = c.store.Snapshot(background, to); err == nil {
			c.say("done %s", to)
		}
	case 3:
		_, generation, lerr := c.store.LoadState(background, "checkpoint")
		_, serr := c.store.SaveState(background, "checkpoint", []byte(strconv.FormatUint(uint64(last), 10)), generation)
		err = errors.Join(lerr, serr)
	}
	if err != nil {
		c.say("error work: %v", err)
	}
}

// promises is what the children of a store were promised, all lives together.
type promises struct {
	acks   map[cts.Position]string
	hold   cts.Position
	copies map[string]cts.Position // by folder
	done   map[string]bool
}

// read takes in what a child says, and calls kill when it has acknowledged so many
// traces.
func (p *promises) read(t *testing.T, out io.Reader, acks int, kill func()) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return // the child is dead; a line without its end was not written whole
		}
		words := strings.Fields(line)
		switch words[0] {
		case "ack":
			pos, _ := strconv.ParseUint(words[1], 10, 64)
			if other := p.acks[cts.Position(pos)]; other != "" {
				t.Errorf("position %d was given to %s and to %s", pos, other, words[2])
			}
			p.acks[cts.Position(pos)] = words[2]
			if acks--; acks == 0 {
				kill()
			}
		case "hold":
			pos, _ := strconv.ParseUint(words[1], 10, 64)
			p.hold = cts.Position(pos)
		case "copy":
			pos, _ := strconv.ParseUint(words[2], 10, 64)
			p.copies[words[1]] = cts.Position(pos)
		case "done":
			p.done[words[1]] = true
		default:
			t.Error(line)
		}
	}
}

// check checks that a store has everything that was promised, and forgets what was
// dropped.
func (p *promises) check(t *testing.T, s *filestore.Store, what string, upTo cts.Position) {
	t.Helper()
	st := s.Status()
	if st.First > p.hold+1 {
		t.Errorf("%s: it begins at %d, at most %d was free to go", what, st.First, p.hold)
	}
	seen, next := map[string]bool{}, st.First
	for e, err := range s.After(background, max(st.First, 1)-1) {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		id, _, _, err := cts.PeekJSON(e.JSON)
		if err != nil || seen[id] || e.Position != next {
			t.Errorf("%s: position %d where %d is due, %s, %v", what, e.Position, next, id, err)
		}
		if want := p.acks[e.Position]; want != "" && want != id {
			t.Errorf("%s: position %d has %s, %s was promised", what, e.Position, id, want)
		}
		seen[id] = true
		next = e.Position + 1
	}
	lost := 0
	for pos, id := range p.acks {
		if pos >= st.First && pos <= upTo && !seen[id] {
			lost++
		}
	}
	if lost > 0 {
		t.Fatalf("%s: %d of %d acknowledged traces are lost", what, lost, len(p.acks))
	}
	data, _, err := s.LoadState(background, "checkpoint")
	if at, _ := strconv.ParseUint(string(data), 10, 64); err != nil || at >= uint64(max(next, 1)) {
		t.Errorf("%s: the state speaks of %s, the last trace is %d: %v", what, data, next-1, err)
	}
}

// TestKill kills a process that appends under load, seals, merges, drops and copies,
// again and again on one store, and looks each time for everything that the process was
// promised. Another reads without the lock all the time.
func TestKill(t *testing.T) {
	n := *kills
	if testing.Short() {
		n = min(n, 2)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Skipf("the test binary is not known: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "store")
	p := &promises{acks: map[cts.Position]string{}, copies: map[string]cts.Position{}, done: map[string]bool{}}
	torn, copies, acked := 0, 0, 0
	for life := range n {
		before := len(p.acks)
		p.live(t, exe, dir, life)
		acked += len(p.acks) - before
		s := open(t, nil, dir, filestore.Options{})
		rec := s.Status().Recovery
		if rec.Torn != nil {
			torn++
		}
		if rec.Damaged != nil {
			t.Errorf("life %d: %v", life, rec.Damaged[0].Error)
		}
		p.check(t, s, fmt.Sprint("life ", life), ^cts.Position(0))
		if life%3 == 0 {
			verify(t, s)
		}
		first := s.Status().First
		mustClose(t, s)
		copies += p.checkCopies(t)
		for pos := range p.acks {
			if pos < first {
				delete(p.acks, pos)
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d kills, %d torn tails, %d traces acknowledged, %d snapshots", n, torn, acked, copies)
}

// checkCopies checks the snapshots of the last life: those that are done have everything,
// the others are refused or have everything.
func (p *promises) checkCopies(t *testing.T) (complete int) {
	t.Helper()
	for dir, upTo := range p.copies {
		s, err := filestore.Open(dir, nil)
		if !p.done[dir] && errors.Is(err, filestore.ErrIncomplete) {
			err = nil
		} else if err == nil {
			if st := s.Status(); st.Traces > 0 || p.done[dir] { // an empty folder becomes a new store
				p.check(t, s, dir, upTo)
				verify(t, s)
				complete++
			}
			err = s.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s, done: %v: %v", dir, p.done[dir], err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
	clear(p.copies)
	clear(p.done)
	return complete
}

// live runs a child, reads beside it, and kills it.
func (p *promises) live(t *testing.T, exe, dir string, life int) {
	t.Helper()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir, childLife+"="+strconv.Itoa(life))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("no child can be started: %v", err)
	}
	stop := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() { readBeside(t, dir, stop) })
	p.read(t, out, 300+(life*271)%900, func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
	})
	if err := cmd.Wait(); err == nil {
		t.Errorf("the child ended by itself: %s", stderr.String())
	}
	close(stop)
	reading.Wait()
}

// readBeside reads a store without the lock while another process writes it and is
// killed: what was shown stays, at its position, and there is no damage. Traces that are
// dropped meanwhile are told.
func readBeside(t *testing.T, dir string, stop <-chan struct{}) {
	var r *filestore.Store
	shown := map[cts.Position]string{}
	at := cts.Position(0)
	for rounds := 0; ; rounds++ {
		select {
		case <-stop:
			if r != nil {
				mustClose(t, r)
			}
			return
		default:
		}
		if r == nil {
			var err error
			if r, err = filestore.OpenReader(dir, nil); errors.Is(err, fs.ErrNotExist) {
				r = nil
				continue
			} else if err != nil {
				t.Errorf("beside: open: %v", err)
				return
			}
		}
		if rounds%5 == 4 { // read all of it again
			at = 0
		}
		for e, err := range r.After(background, at) {
			var gone *cts.PositionGoneError
			if errors.As(err, &gone) {
				at = gone.Oldest - 1
				break
			}
			if err != nil {
				t.Errorf("beside: behind %d: %v", at, err)
				return
			}
			id, _, _, _ := cts.PeekJSON(e.JSON)
			if was := shown[e.Position]; was != "" && was != id || e.Position != at+1 {
				t.Errorf("beside: position %d behind %d is %s, was %s", e.Position, at, id, was)
				return
			}
			shown[e.Position], at = id, e.Position
		}
	}
}
