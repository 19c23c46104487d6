package filestore_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// burst is how long one side of the comparison runs before the other has its turn.
// Short turns give both the same share of whatever else the machine does.
const burst = 50 * time.Millisecond

// BenchmarkDurable compares durable appends of one trace of 886 bytes, by goroutines
// that each wait for their own, with the least that can be done for the same bytes:
// one write and one sync of a zero-written file for all that wait. Both run in turns;
// one iteration is ten bursts of each. The ratio is that of all that each did.
func BenchmarkDurable(b *testing.B) {
	for _, goroutines := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			dir := b.TempDir()
			s := open(b, vfs.OS, filepath.Join(dir, "store"), filestore.Options{})
			limit := newBareLog(b, filepath.Join(dir, "bare"))
			defer limit.close(b)
			life := 0
			store := func() float64 {
				life++
				return rate(b, goroutines, life, func(e cts.Entry) error {
					_, err := s.Append(background, []cts.Entry{e})
					return err
				})
			}
			bare := func() float64 {
				return rate(b, goroutines, 0, func(e cts.Entry) error { return limit.append(e.JSON) })
			}
			for range 20 { // until the files have their full size
				store()
				bare()
			}
			stores, bares, turns := 0.0, 0.0, 0.0
			for b.Loop() {
				for range 10 {
					stores += store()
					bares += bare()
					turns++
				}
			}
			b.ReportMetric(stores/turns, "traces/s")
			b.ReportMetric(bares/turns, "bare/s")
			b.ReportMetric(stores/bares, "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// rate runs one burst and returns the appends per second.
func rate(b *testing.B, goroutines, life int, do func(cts.Entry) error) float64 {
	var wg sync.WaitGroup
	counts := make([]int, goroutines)
	begin := time.Now()
	for g := range goroutines {
		wg.Go(func() {
			trace := traceOf(1)
			trace.Request = strings.Repeat("x", 886-len(trace.AppendJSON(nil))+len(trace.Request))
			prefix := fmt.Sprintf("%08x-%04x-7000-8000-", life, g)
			trace.ID = prefix + "000000000000"
			json := trace.AppendJSON(nil)
			at := bytes.Index(json, []byte(trace.ID)) + len(prefix)
			for time.Since(begin) < burst {
				counts[g]++
				copy(json[at:], fmt.Sprintf("%012x", counts[g]))
				trace.ID = string(json[at-len(prefix) : at+12])
				if err := do(cts.Entry{Trace: trace, JSON: json}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / time.Since(begin).Seconds()
}

// bareLog is a file of zeros to which waiting appends are written together.
type bareLog struct {
	f    vfs.File
	wake chan struct{}
	done chan struct{}

	mu   sync.Mutex
	next *bareGroup
}

type bareGroup struct {
	bytes []byte
	done  chan struct{}
	err   error
}

const bareBytes = 64 << 20

func newBareLog(b *testing.B, name string) *bareLog {
	f, err := vfs.OS.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, bareBytes), 0); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	l := &bareLog{f: f, wake: make(chan struct{}, 1), done: make(chan struct{}), next: &bareGroup{done: make(chan struct{})}}
	go l.run()
	return l
}

func (l *bareLog) append(p []byte) error {
	l.mu.Lock()
	g := l.next
	g.bytes = append(g.bytes, p...)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	<-g.done
	return g.err
}

func (l *bareLog) run() {
	defer close(l.done)
	var spare []byte
	offset := int64(0)
	for range l.wake {
		l.mu.Lock()
		g := l.next
		if len(g.bytes) == 0 {
			l.mu.Unlock()
			continue
		}
		l.next = &bareGroup{bytes: spare[:0], done: make(chan struct{})}
		l.mu.Unlock()
		if offset+int64(len(g.bytes)) > bareBytes {
			offset = 0
		}
		if _, g.err = l.f.WriteAt(g.bytes, offset); g.err == nil {
			g.err = l.f.Sync()
		}
		offset += int64(len(g.bytes))
		spare = g.bytes
		close(g.done)
	}
}

func (l *bareLog) close(b *testing.B) {
	close(l.wake)
	<-l.done
	if err := l.f.Close(); err != nil {
		b.Error(err)
	}
}
