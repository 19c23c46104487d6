package child_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/child"
	"github.com/cloudtraceservice/cts/bench/contest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == child.Argument {
		os.Exit(child.Serve(context.Background(), contestants()))
	}
	os.Exit(m.Run())
}

// recorder is a contestant of the tests.
type recorder struct {
	name string
	w    io.Writer
	kept [][]byte
}

func (r *recorder) Info() contest.Info {
	return contest.Info{Name: r.name, Version: "1", Setup: "none"}
}

func (r *recorder) Record(_ context.Context, t *cts.Trace) error {
	if r.name == "hanging" {
		select {}
	}
	if r.name == "panicking" {
		panic("the last words")
	}
	_, err := r.w.Write(t.AppendJSON(nil))
	return err
}
func (r *recorder) Flush(context.Context) error { return nil }
func (r *recorder) Close() error                { return nil }

func contestants() child.Contestants {
	var c child.Contestants
	for _, name := range []string{"good", "hanging", "panicking"} {
		c.Recorders = append(c.Recorders, child.Recorder{Name: name, Open: func(_ context.Context, _ string, w io.Writer) (contest.Recorder, error) {
			r := &recorder{name: name, w: w}
			for range 32 { // memory that can be seen
				page := make([]byte, 1<<20)
				for i := 0; i < len(page); i += 512 {
					page[i] = 1
				}
				r.kept = append(r.kept, page)
			}
			return r, nil
		}})
	}
	c.Recorders = append(c.Recorders, child.Recorder{Name: "absent", Open: func(context.Context, string, io.Writer) (contest.Recorder, error) {
		return nil, errors.New("not for this system")
	}})
	return c
}

func start(t *testing.T, name string, patience time.Duration) (*child.Process, string, error) {
	t.Helper()
	output := filepath.Join(t.TempDir(), "output")
	p, err := child.Start(context.Background(), child.Setup{
		Role: child.RoleRecorder, Name: name, Dir: t.TempDir(), Output: output, Workload: child.Workload{Name: "uniform", Seed: 1, Count: 100},
	}, patience)
	return p, output, err
}

func TestAProcessDoesWhatItIsTold(t *testing.T) {
	ctx := context.Background()
	p, output, err := start(t, "good", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if p.Opened.Info.Name != "good" {
		t.Errorf("%+v", p.Opened)
	}
	for _, goroutines := range []int{1, 8} {
		r, err := p.Record(ctx, child.Recording{Goroutines: goroutines, Traces: 250})
		if err != nil || r.Call <= 0 || r.Flushed < r.Call || r.Allocations == 0 {
			t.Errorf("%+v, %v", r, err)
		}
		info, err := os.Stat(output)
		if err != nil || info.Size() < 250*700 || info.Size() > 250*1100 {
			t.Errorf("the output is not that of one burst: %v, %v", info, err)
		}
	}
	m, err := p.Memory(ctx)
	if err != nil || m.Now != 0 && (m.Now-m.Before < 30<<20 || m.Now-m.Before > 100<<20) {
		t.Errorf("%+v, %v: 32 MiB are in use", m, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeOpenedIsMissing(t *testing.T) {
	for name, want := range map[string]string{"absent": "not for this system", "unheard-of": `no recorder is named "unheard-of"`} {
		if _, _, err := start(t, name, time.Minute); !errors.Is(err, child.ErrMissing) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAProcessThatHangsIsEnded(t *testing.T) {
	p, _, err := start(t, "hanging", 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Record(context.Background(), child.Recording{Goroutines: 1, Traces: 1}); err == nil || !strings.Contains(err.Error(), "no reply within") {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestAProcessThatDiesIsQuoted(t *testing.T) {
	p, _, err := start(t, "panicking", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Record(context.Background(), child.Recording{Goroutines: 1, Traces: 1}); err == nil {
		t.Error("no error")
	} else if errors.Is(err, child.ErrMissing) || !strings.Contains(err.Error(), "the last words") {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestTheContextEndsACall(t *testing.T) {
	p, _, err := start(t, "hanging", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Record(ctx, child.Recording{Goroutines: 1, Traces: 1}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestDigestsOfDifferentAnswersDiffer(t *testing.T) {
	answers := []contest.Answer{
		{},
		{IDs: []string{"a", "b"}},
		{IDs: []string{"b", "a"}},
		{IDs: []string{"ab"}},
		{IDs: []string{"a", "b"}, Sum: 1},
		{Count: 1},
		{Groups: []contest.Group{{Key: "a", Count: 1}, {Key: "b", Count: 2}}},
		{Groups: []contest.Group{{Key: "a", Count: 2}, {Key: "b", Count: 1}}},
		{Groups: []contest.Group{{Key: "", Count: 1}}},
	}
	seen := map[uint64]int{}
	for i, a := range answers {
		d := child.Digest(a)
		if before, ok := seen[d]; ok {
			t.Errorf("%+v and %+v have one digest", a, answers[before])
		}
		seen[d] = i
	}
}

func TestDiskUsageCountsWhatIsBelow(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x", "a/y", "a/b/z"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 100_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	child.Settle()
	if n, err := child.DiskUsage(dir); err != nil || n < 300_000 || n > 400_000 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := child.DiskUsage(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there has a size")
	}
}
