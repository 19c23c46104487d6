package workload_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/workload"
)

func made(t *testing.T, n int) []*workload.Source {
	t.Helper()
	var all []*workload.Source
	for _, name := range []string{workload.UniformName, workload.TrailName} {
		s, err := workload.New(name, 5, n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func collect(s *workload.Source, size int) []contest.Record {
	return slices.Concat(slices.Collect(s.Chunks(size))...)
}

func TestTheSameSeedAndCountGiveTheSameTraces(t *testing.T) {
	for _, s := range made(t, 3000) {
		a, b := collect(s, 1000), collect(s, 7)
		if len(a) != 3000 || len(b) != 3000 {
			t.Fatalf("%s: %d and %d traces", s.Name, len(a), len(b))
		}
		for i := range a {
			if !bytes.Equal(a[i].JSON, b[i].JSON) {
				t.Fatalf("%s: trace %d differs between two runs", s.Name, i)
			}
		}
		other, err := workload.New(s.Name, 6, 3000)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(other.Head(1)[0].JSON, a[0].JSON) {
			t.Errorf("%s: another seed gives the same trace", s.Name)
		}
	}
}

func TestTracesAreValidAndCanonical(t *testing.T) {
	for _, s := range made(t, 5000) {
		ids := map[string]bool{}
		for _, r := range collect(s, 1000) {
			if err := r.Trace.Validate(); err != nil {
				t.Fatal(s.Name, err)
			}
			back, err := cts.ParseTrace(r.JSON)
			if err != nil {
				t.Fatal(s.Name, err)
			}
			if !bytes.Equal(back.AppendJSON(nil), r.JSON) {
				t.Fatalf("%s: the JSON is not canonical", s.Name)
			}
			if ids[r.Trace.ID] {
				t.Fatalf("%s: an id occurs twice", s.Name)
			}
			ids[r.Trace.ID] = true
		}
	}
}

func TestUserIDAndNameAreOneToOne(t *testing.T) {
	for _, s := range made(t, 20_000) {
		ids, names := map[string]string{}, map[string]string{}
		for _, r := range collect(s, 1000) {
			u := r.Trace.User
			if id, ok := ids[u.Name]; ok && id != u.ID {
				t.Fatalf("%s: a name with two ids", s.Name)
			}
			if name, ok := names[u.ID]; ok && name != u.Name {
				t.Fatalf("%s: an id with two names", s.Name)
			}
			if u.UserName != "" && u.UserName != u.Name {
				t.Fatalf("%s: two different names", s.Name)
			}
			ids[u.Name], names[u.ID] = u.ID, u.Name
		}
	}
}

func TestRareWordsAreRareAndWhereTheyShouldBe(t *testing.T) {
	const n = 40_000
	for _, s := range made(t, n) {
		words, parts := map[string]int{}, map[string]int{}
		for _, r := range collect(s, 1000) {
			for _, w := range s.Words {
				if i := strings.Index(r.Trace.Request, w); i >= 0 {
					words[w]++
					if alnum(r.Trace.Request[i-1]) || alnum(r.Trace.Request[i+len(w)]) {
						t.Fatalf("%s: %q is inside of a longer word", s.Name, w)
					}
				}
				if strings.Contains(r.Trace.Response, w) {
					t.Fatalf("%s: %q in a response", s.Name, w)
				}
			}
			for _, p := range s.Parts {
				if i := strings.Index(r.Trace.Request, p); i >= 0 {
					parts[p]++
					if !alnum(r.Trace.Request[i-1]) || !alnum(r.Trace.Request[i+len(p)]) {
						t.Fatalf("%s: %q is not inside of a longer word", s.Name, p)
					}
				}
			}
		}
		for _, count := range []map[string]int{words, parts} {
			total := 0
			for _, c := range count {
				total += c
			}
			if want := 8 * 4; total < want/2 || total > 2*want {
				t.Errorf("%s: rare words %v, want about 4 of each in %d traces", s.Name, count, n)
			}
		}
	}
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func TestAWorkloadThatDoesNotExist(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int
	}{{"random", 10}, {"trail", 0}, {"uniform", -1}} {
		if _, err := workload.New(c.name, 1, c.n); err == nil {
			t.Errorf("%s with %d traces: no error", c.name, c.n)
		}
	}
}
