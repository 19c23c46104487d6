package storetest

import (
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
)

// mutants are the faults of clay, and cases that must find them. Every case is
// there at least once: one that nothing fails proves nothing.
var mutants = map[string][]string{
	"begins with a trace of its own":              {"empty-store"},
	"unescapes":                                   {"round-trip"},
	"stores batches backwards":                    {"positions", "concurrent-batches"},
	"keeps the caller's position":                 {"position-is-ignored"},
	"an empty batch takes a position":             {"empty-batch"},
	"keeps the caller's memory":                   {"memory-not-kept"},
	"changes the caller's memory":                 {"memory-not-changed"},
	"writes behind the caller's JSON":             {"memory-not-changed"},
	"yields the trace of the next position":       {"answers-are-the-callers", "round-trip"},
	"queries yield JSON":                          {"round-trip"},
	"the log yields traces":                       {"round-trip"},
	"routes of the log are wrong":                 {"round-trip"},
	"ignores the context":                         {"cancelled", "query-context"},
	"does not validate":                           {"invalid-trace"},
	"takes large traces":                          {"trace-too-large"},
	"takes large batches":                         {"batch-too-large"},
	"keeps what comes before a fault":             {"refused-batch-leaves-no-mark", "invalid-trace", "other-trace-same-id", "conflict-inside-a-batch"},
	"ids of refused batches stay taken":           {"refused-batch-leaves-no-mark"},
	"stores a retry twice":                        {"same-trace-again", "concurrent-same-ids", "retry-after-reopen"},
	"returns positions of new traces only":        {"same-trace-again"},
	"compares all bytes":                          {"same-but-for-stamps"},
	"swallows conflicts":                          {"other-trace-same-id", "conflict-inside-a-batch", "concurrent-conflict"},
	"names the wrong index":                       {"other-trace-same-id"},
	"does not say which trace conflicts":          {"other-trace-same-id"},
	"looks for conflicts in other batches only":   {"conflict-inside-a-batch"},
	"folds the case of ids":                       {"ids-are-exact"},
	"forgets ids on reopening":                    {"retry-after-reopen"},
	"stores traces one by one":                    {"concurrent-batches", "conflict-inside-a-batch"},
	"looks before it locks":                       {"concurrent-same-ids", "concurrent-conflict"},
	"shows the newest trace late":                 {"visible-when-appended"},
	"numbers before it stores":                    {"visible-in-order"},
	"runs of an iterator share their place":       {"run-twice", "one-iterator-many-goroutines"},
	"orders one millisecond backwards":            {"order"},
	"orders by position":                          {"order", "time-range"},
	"yields one more than the limit":              {"limit"},
	"yields one less than the limit":              {"limit", "read-page"},
	"goes on when it is left":                     {"leave-early"},
	"yields what is appended meanwhile":           {"nothing-after-the-first-step"},
	"matches heads without their bodies":          {"heads"},
	"leaves out too much of heads":                {"heads"},
	"shows attempts":                              {"attempts"},
	"hides attempts":                              {"attempts", "open-attempts"},
	"a range holds its end":                       {"time-range"},
	"a range is on time":                          {"time-range"},
	"ignores ranges":                              {"time-range", "read-page-of-nothing"},
	"answers bad queries with nothing":            {"bad-query"},
	"ignores case":                                {"conditions"},
	"takes Or for And":                            {"conditions", "random-conditions"},
	"yields the trace of the cursor again":        {"resume-from-every-cursor", "pages"},
	"resumes by time alone":                       {"resume-from-every-cursor", "pages"},
	"cursors depend on the limit":                 {"resume-ignores-limit-and-heads"},
	"ignores the ceiling":                         {"pages-while-traces-arrive", "pages-under-load"},
	"cursors don't depend on the store":           {"cursor-of-another-store"},
	"starts anew with a bad cursor":               {"cursor-of-another-query", "cursor-of-another-store", "damaged-cursor"},
	"has another id after reopening":              {"cursor-after-reopen", "id-after-reopen"},
	"the log has cursors":                         {"log-has-no-cursor"},
	"drops every tenth trace":                     {"round-trip", "collect", "visible-in-order"},
	"yields the trace at the position, too":       {"after-every-position"},
	"begins anew behind the end":                  {"after-the-end"},
	"hides attempts in the log":                   {"after-shows-all-phases"},
	"sorts the log on reopening":                  {"log-after-reopen"},
	"loses the last trace on reopening":           {"log-after-reopen", "positions-are-not-used-again", "close-during-appends"},
	"an absent state is an error":                 {"state-absent"},
	"all generations are one":                     {"state-saved"},
	"ignores generations":                         {"state-conflict"},
	"takes any name":                              {"state-names"},
	"cuts names":                                  {"state-names"},
	"takes large states":                          {"state-too-large"},
	"shares the memory of states":                 {"state-memory"},
	"compares generations before it locks":        {"state-concurrent"},
	"states are traces":                           {"state-beside-traces"},
	"forgets states on reopening":                 {"state-after-reopen"},
	"all stores have one id":                      {"id"},
	"the id is no UUID":                           {"id"},
	"goes on when it is closed":                   {"closed"},
	"fails with another error when it is closed":  {"closed", "close-during-appends"},
	"fails to close twice":                        {"close-twice"},
	"ends without an error when it is closed":     {"close-during-reads"},
	"verifies nothing":                            {"verify"},
	"is damaged":                                  {"verify", "positions"},
	"ignores skips":                               {"skip", "read-page-behind-a-skip"},
	"a skip counts towards the limit":             {"skip", "read-page-behind-a-skip"},
	"skips at the beginning alone":                {"skip"},
	"takes words for parts":                       {"conditions", "random-conditions"},
	"counts a user by the id":                     {"aggregate", "aggregate-one-value", "random-aggregates"},
	"counts up to the limit":                      {"random-aggregates"},
	"counts without the newest trace":             {"aggregate", "aggregate-what-query-sees"},
	"counts on time alone":                        {"aggregate"},
	"counts in a context that has ended":          {"aggregate-context"},
	"buckets begin at the first trace":            {"aggregate", "random-aggregates"},
	"groups in order of values":                   {"aggregate", "random-aggregates"},
	"keeps the top of each bucket":                {"aggregate", "random-aggregates"},
	"answers bad aggregations with nothing":       {"aggregate-bad"},
	"follows no further than the end":             {"follow", "follow-waits", "follow-many", "follow-context", "follow-closed"},
	"yields the last trace again when it goes on": {"follow", "follow-waits", "follow-many"},
	"following ends without an error":             {"follow-context", "follow-closed"},
	"drops one too many":                          {"retain-by-time", "retain-in-order-of-position", "retain-by-force"},
	"drops by the time of the operation":          {"retain-in-order-of-position"},
	"drops from anywhere":                         {"retain-in-order-of-position"},
	"knows no size":                               {"retain-by-size"},
	"no bound is the bound zero":                  {"retain-nothing", "retain-by-time"},
	"takes negative bounds":                       {"retain-nothing"},
	"begins positions anew when it is empty":      {"positions-after-retention"},
	"keeps the ids of dropped traces":             {"positions-after-retention"},
	"brings back what was dropped":                {"retained-after-reopen", "positions-after-retention"},
	"forgets cursors with a retention":            {"retain-between-pages"},
	"passes over what was dropped":                {"retain-by-time", "retain-while-reading"},
	"passes over what is dropped meanwhile":       {"retain-while-reading"},
	"consumers never go back":                     {"consumers"},
	"gives its own map of consumers away":         {"consumers"},
	"forgets consumers on reopening":              {"consumers-after-reopen"},
	"ignores consumers":                           {"consumers-hold", "retain-by-force"},
	"names the first that holds":                  {"consumers-hold"},
	"is not to be forced":                         {"retain-by-force"},
	"does not say what is lost":                   {"retain-by-force"},
	"tells of nothing":                            {"statistics", "statistics-after-retention"},
	"tells of the time of the operation alone":    {"statistics"},
	"parts overlap":                               {"statistics"},
	"tells of what was dropped":                   {"statistics-after-retention"},
}

// differentialMutants are faults that random calls must find.
var differentialMutants = []string{
	"drops every tenth trace", "orders one millisecond backwards", "resumes by time alone", "ignores the ceiling",
	"swallows conflicts", "compares all bytes", "a range holds its end", "hides attempts", "takes Or for And",
	"forgets states on reopening", "loses the last trace on reopening", "keeps what comes before a fault",
	"names the wrong index", "yields one more than the limit", "leaves out too much of heads", "ignores generations",
	"yields the trace at the position, too", "forgets ids on reopening", "is damaged", "ignores skips",
	"takes words for parts", "counts a user by the id", "counts up to the limit", "counts without the newest trace",
}

func TestCleanStorePasses(t *testing.T) { Run(t, clays("", 1)) }

func TestSparseStorePasses(t *testing.T) {
	if raceEnabled {
		t.Skip("differs from TestCleanStorePasses in numbers alone: run without the race detector")
	}
	Run(t, clays("", 3))
}

func TestMutantsFail(t *testing.T) {
	byName := map[string]conformance{}
	for _, c := range cases() {
		if _, twice := byName[c.name]; twice {
			t.Errorf("two cases are called %s", c.name)
		}
		byName[c.name] = c
	}
	for fault, names := range mutants {
		for _, name := range names {
			t.Run(fault+"/"+name, func(t *testing.T) {
				c, ok := byName[name]
				if !ok {
					t.Fatalf("there is no case %s", name)
				}
				// Faults of timing may need more than one attempt.
				for range 20 {
					r := rehearse(t, func(t testing.TB) { c.check(t, clays(fault, 1)) })
					if r.Failed() {
						checkMessage(t, c, r.text())
						return
					}
				}
				t.Error("the case passes")
			})
		}
	}
}

// checkMessage looks for what an author needs in the messages of a failure.
func checkMessage(t *testing.T, c conformance, text string) {
	t.Helper()
	for _, want := range []string{c.rule, c.why, "_cases.go:"} {
		if !strings.Contains(text, want) {
			t.Errorf("the messages lack %q:\n%s", want, text)
		}
	}
}

func TestEveryCaseCanFail(t *testing.T) {
	for _, c := range cases() {
		found := false
		for _, names := range mutants {
			found = found || slices.Contains(names, c.name)
		}
		if !found {
			t.Errorf("no mutant fails the case %s", c.name)
		}
	}
}

func TestEveryCaseSaysWhy(t *testing.T) {
	for _, c := range cases() {
		if c.name == "" || c.why == "" || c.run == nil || !strings.Contains(c.rule, "_cases.go:") {
			t.Errorf("case %q lacks something: %q, %q", c.name, c.rule, c.why)
		}
	}
}

func TestDifferentialFindsMutants(t *testing.T) {
	for _, fault := range differentialMutants {
		t.Run(fault, func(t *testing.T) {
			for seed := range uint64(20) {
				r := rehearse(t, func(t testing.TB) { Differential(t, clays(fault, 1), seed, 200) })
				if r.Failed() {
					if fault != "is damaged" && !strings.Contains(r.text(), "seed") {
						t.Errorf("the messages lack the seed:\n%s", r.text())
					}
					return
				}
			}
			t.Error("no seed finds it")
		})
	}
}

// bare is a store without optional abilities that keeps nothing.
type bare struct{ cts.Store }

func TestAbilitiesAreOptional(t *testing.T) {
	if raceEnabled {
		t.Skip("the cases are those of TestCleanStorePasses, fewer: run without the race detector")
	}
	skipped := 0
	for _, c := range cases() {
		r := rehearse(t, func(t testing.TB) {
			c.check(t, func(t testing.TB) Harness { return Harness{Store: bare{clays("", 1)(t).Store}} })
		})
		if r.Failed() {
			t.Errorf("%s: %s", c.name, r.text())
		}
		if r.Skipped() {
			skipped++
		}
	}
	if skipped < 20 || skipped > 38 {
		t.Errorf("%d cases are skipped for a store without abilities", skipped)
	}
}

func TestSyncIsCalled(t *testing.T) {
	calls := 0
	r := rehearse(t, func(t testing.TB) {
		h := clays("", 1)(t)
		h.Sync = func(testing.TB) { calls++ }
		s := newSubject(t, func(testing.TB) Harness { return h })
		s.append(plain(0))
	})
	if r.Failed() || calls != 1 {
		t.Errorf("Sync was called %d times, want 1: %s", calls, r.text())
	}
}

func TestHarnessWithoutStore(t *testing.T) {
	r := rehearse(t, func(t testing.TB) { newSubject(t, func(testing.TB) Harness { return Harness{} }) })
	if !r.Failed() {
		t.Error("a harness without a store passes")
	}
}
