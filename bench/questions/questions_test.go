package questions_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
	"github.com/cloudtraceservice/cts/bench/questions"
	"github.com/cloudtraceservice/cts/bench/workload"
)

const traces = 20_000

func draw(t *testing.T, name string, seed uint64) (*questions.Sample, []contest.Record) {
	t.Helper()
	src, err := workload.New(name, 1, traces)
	if err != nil {
		t.Fatal(err)
	}
	var records []contest.Record
	s, err := questions.Draw(src, seed, func(chunk []contest.Record) error {
		records = append(records, chunk...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, records
}

// A question that nothing answers shows nothing about a contestant.
func TestQuestionsHaveAnswers(t *testing.T) {
	for _, name := range []string{workload.UniformName, workload.TrailName} {
		s, records := draw(t, name, 1)
		if s.Traces() != traces {
			t.Fatalf("%d traces", s.Traces())
		}
		all := plain.Newest(records)
		rows := s.Rows()
		if len(rows) != 14 {
			t.Errorf("%s: %d rows", name, len(rows))
		}
		for _, row := range rows {
			empty := 0
			for _, q := range row.Questions {
				a := all.Ask(q)
				if len(a.IDs) == 0 && len(a.Groups) == 0 && a.Count == 0 {
					empty++
				}
				if q.Row != row.Name {
					t.Errorf("%s: a question of row %q says %q", name, row.Name, q.Row)
				}
				if q.Limit > 0 && len(a.IDs) > q.Limit*max(1, q.Pages) {
					t.Errorf("%s: %d answers to %+v", name, len(a.IDs), q)
				}
			}
			allowed := 0
			if strings.HasPrefix(row.Name, "Q10") { // four of each on the average
				allowed = 2
			}
			if empty > allowed {
				t.Errorf("%s: %d of %d questions of %q have no answer", name, empty, len(row.Questions), row.Name)
			}
		}
	}
}

func TestTheSameSeedDrawsTheSameQuestions(t *testing.T) {
	a, _ := draw(t, workload.TrailName, 1)
	b, _ := draw(t, workload.TrailName, 1)
	c, _ := draw(t, workload.TrailName, 2)
	rows := a.Rows()
	if !reflect.DeepEqual(rows, b.Rows()) {
		t.Error("two draws with one seed differ")
	}
	if reflect.DeepEqual(rows, c.Rows()) {
		t.Error("another seed draws the same questions")
	}
}
