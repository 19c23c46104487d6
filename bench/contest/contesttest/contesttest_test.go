package contesttest_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
)

// memory is the plain loop as a contestant.
type memory struct {
	mu      sync.Mutex
	records []contest.Record
}

func (*memory) Info() contest.Info {
	return contest.Info{Name: "memory", Version: "1", Setup: "a slice"}
}
func (*memory) Close() error                 { return nil }
func (*memory) Finish(context.Context) error { return nil }
func (*memory) Reopen(context.Context) error { return nil }
func (m *memory) Load(_ context.Context, b []contest.Record) error {
	m.records = append(m.records, b...)
	return nil
}

func (m *memory) AppendOne(ctx context.Context, r contest.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Load(ctx, []contest.Record{r})
}

func (m *memory) Ask(_ context.Context, q contest.Question) (contest.Answer, error) {
	return plain.Ask(m.records, q), nil
}

func TestThePlainLoopPasses(t *testing.T) {
	contesttest.Database(t, func(string) (contest.Database, error) { return &memory{}, nil })
	m := &memory{}
	contesttest.Durable(t, func(string) (contest.Durable, error) { return m, nil },
		func(string) (contest.Database, error) { return m, nil })
}

func TestRecordsAreAlwaysTheSame(t *testing.T) {
	a, b := contesttest.Records(1, 300), contesttest.Records(1, 300)
	other := contesttest.Records(2, 300)
	same := 0
	for i := range a {
		if !bytes.Equal(a[i].JSON, b[i].JSON) {
			t.Fatalf("trace %d differs between two runs", i)
		}
		if bytes.Equal(a[i].JSON, other[i].JSON) {
			same++
		}
		if err := a[i].Trace.Validate(); err != nil {
			t.Errorf("trace %d: %v", i, err)
		}
		d := cts.NewDecoder(bytes.NewReader(a[i].JSON), nil)
		if _, err := d.Next(); err != nil {
			t.Errorf("trace %d: %v", i, err)
		}
	}
	if same > 0 {
		t.Errorf("%d traces are the same with another seed", same)
	}
}

// TestQuestionsTell checks that the questions can fail: nearly all find something,
// and all but a few less than everything.
func TestQuestionsTell(t *testing.T) {
	records := contesttest.Records(1, 3000)
	all := plain.Newest(records)
	rows := map[string]bool{}
	for _, q := range contesttest.Questions(records) {
		if rows[q.Row] {
			t.Errorf("two questions are named %s", q.Row)
		}
		rows[q.Row] = true
		a := all.Ask(q)
		if len(a.IDs) == 0 && a.Count == 0 && len(a.Groups) == 0 && !strings.Contains(q.Row, "absent") {
			t.Errorf("%s finds nothing", q.Row)
		}
	}
	for _, row := range []string{"Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Q7", "Q8", "Q9", "Q10 word", "Q10 substring", "Q11", "Q1 heads only", "Q2 heads only"} {
		if !rows[row] {
			t.Errorf("no question for row %s", row)
		}
	}
}

func TestDiff(t *testing.T) {
	want := contest.Answer{IDs: []string{"a", "b"}, Sum: 1, Count: 2, Groups: []contest.Group{{Key: "k", Count: 1}}}
	if d := contesttest.Diff(want, want); d != "" {
		t.Errorf("equal answers differ: %s", d)
	}
	for name, change := range map[string]func(a *contest.Answer){
		"fewer":  func(a *contest.Answer) { a.IDs = a.IDs[:1] },
		"order":  func(a *contest.Answer) { a.IDs = []string{"b", "a"} },
		"sum":    func(a *contest.Answer) { a.Sum++ },
		"count":  func(a *contest.Answer) { a.Count++ },
		"groups": func(a *contest.Answer) { a.Groups = []contest.Group{{Key: "k", Count: 2}} },
	} {
		got := want
		change(&got)
		if contesttest.Diff(got, want) == "" {
			t.Errorf("%s: no difference found", name)
		}
	}
}
