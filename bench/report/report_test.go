package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/bench/report"
)

func number(v float64) *float64 { return &v }

func rows() []*report.Row {
	all := []*report.Row{
		{
			Group: "store", Name: "load", Workload: "trail", Unit: "traces/s", Better: report.Higher, Ours: number(200_000), Limit: number(800_000), LimitName: "write",
			Peers: map[string]float64{"sqlite": 50_000, "duckdb": 100_000}, Spreads: map[string]float64{"": 0.1, "duckdb": 0.2, "sqlite": 0.9},
		},
		{
			Group: "questions", Name: "Q1", Workload: "trail", Unit: "µs", Better: report.Lower, Ours: number(300),
			Peers: map[string]float64{"sqlite": 100, "duckdb": 30_000}, Spreads: map[string]float64{"": 0.5, "sqlite": 0.01},
		},
		{Group: "questions", Name: "Q2", Workload: "trail", Unit: "µs", Better: report.Lower, Ours: number(3_000_000), Peers: map[string]float64{"sqlite": 100}},
		{Group: "questions", Name: "Q3 <a & b>", Workload: "trail", Unit: "µs", Better: report.Lower, Ours: number(10), Peers: map[string]float64{"sqlite": 100}, Note: "few | answers"},
		{Group: "limits", Name: "memcpy", Workload: "trail", Unit: "MB/s", Better: report.Higher, Limit: number(4000)},
		{Group: "nobody", Name: "ours has none", Unit: "ns", Better: report.Lower, Peers: map[string]float64{"zap": 1}},
	}
	for _, r := range all {
		r.Finish()
	}
	return all
}

func TestRatiosAbove1MeanThatOursIsAhead(t *testing.T) {
	r := rows()
	for i, want := range []struct {
		peer         string
		ratio, limit float64 // NaN for none
		spread       float64
		behind, wide bool
	}{
		{"duckdb", 2, 0.25, 0.2, false, false},
		{"sqlite", 1.0 / 3, math.NaN(), 0.5, true, true},
		{"sqlite", 100 / 3e6, math.NaN(), math.NaN(), true, false},
		{"sqlite", 10, math.NaN(), math.NaN(), false, false},
		{"", math.NaN(), math.NaN(), math.NaN(), false, false},
		{"zap", math.NaN(), math.NaN(), math.NaN(), false, false},
	} {
		equal := func(what string, got *float64, want float64) {
			if (got == nil) != math.IsNaN(want) || got != nil && math.Abs(*got-want) > 1e-12 {
				t.Errorf("%s: %s is %v, want %v", r[i].Name, what, got, want)
			}
		}
		equal("ratio to the best peer", r[i].RatioBestPeer, want.ratio)
		equal("ratio to the limit", r[i].RatioLimit, want.limit)
		equal("spread", r[i].Spread, want.spread)
		if r[i].BestPeer != want.peer || r[i].Behind() != want.behind || r[i].Wide() != want.wide {
			t.Errorf("%s: best peer %q, behind %v, wide %v", r[i].Name, r[i].BestPeer, r[i].Behind(), r[i].Wide())
		}
	}
	behind, others := report.Ordered(r)
	if len(behind) != 2 || behind[0].Name != "Q2" || behind[1].Name != "Q1" || len(others) != 4 || others[0].Name != "load" {
		t.Errorf("behind %v, others %v", behind, others)
	}
}

func TestJSONHasTheMembersThatToolsRead(t *testing.T) {
	var b bytes.Buffer
	if err := report.WriteJSON(&b, rows()); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 6 {
		t.Fatalf("%d rows", len(got))
	}
	for _, r := range got {
		for _, name := range []string{"name", "workload", "unit", "better", "ours", "peers", "limit", "ratio_best_peer", "ratio_limit", "spread"} {
			if _, ok := r[name]; !ok {
				t.Errorf("row %v has no %s", r["name"], name)
			}
		}
	}
	if got[0]["better"] != "higher" || got[0]["ratio_best_peer"] != 2.0 || got[4]["ours"] != nil {
		t.Errorf("%v", got)
	}
	b.Reset()
	if err := report.WriteJSON(&b, nil); err != nil || strings.TrimSpace(b.String()) != "[]" {
		t.Errorf("no rows: %q, %v", b.String(), err)
	}
}

func run() *report.Run {
	r := &report.Run{Begun: time.Unix(1_700_000_000, 0), Took: 90 * time.Second, Command: "go run . -n 5", Machine: []string{"CPU: one"}, Workloads: []string{"workload trail"}}
	r.Rows = rows()
	r.TookPart(report.Contestant{Role: "database", Name: "sqlite", Version: "3", Setup: "with | indexes"})
	r.TookPart(report.Contestant{Role: "database", Name: "sqlite", Version: "3", Setup: "with | indexes"})
	r.NotThere(report.Missing{Role: "database", Name: "bbolt", Reason: "no network\n"})
	r.NotThere(report.Missing{Role: "database", Name: "bbolt", Reason: "again"})
	r.Fail("trail, Q1: %s differs", "sqlite")
	return r
}

func TestTableBeginsWithWhatIsBehind(t *testing.T) {
	var b bytes.Buffer
	if err := report.WriteTable(&b, run()); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	last := -1
	for _, want := range []string{
		"go run . -n 5", "CPU: one", "BEHIND", "questions: Q2", "1/30,000×", "questions: Q1", "WIDE", "STORE", "load", "2.00×",
		"sqlite 3 (database)", "bbolt (database): no network", "sqlite differs", "behind the best peer in 2 rows, ahead in 2", "1 errors",
	} {
		at := strings.Index(text[last+1:], want)
		if at < 0 {
			t.Fatalf("%q is missing, or not behind what must come before it:\n%s", want, text)
		}
		last += at
	}
	if strings.Count(text, "sqlite 3 (database)") != 1 || strings.Contains(text, "again") {
		t.Errorf("a contestant is listed twice:\n%s", text)
	}
}

func TestMarkdownHasEverything(t *testing.T) {
	var b bytes.Buffer
	if err := report.WriteMarkdown(&b, run(), "## By hand\n\nnote\n"); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"2023-11-14", "    go run . -n 5", "## Where ours is behind", "## All other rows", "## What is measured, and what is not",
		"## By hand", "## Every contestant's figures", "with \\| indexes", "few \\| answers", "- bbolt (database): no network", "## Errors",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	columns := 0
	for line := range strings.Lines(text) { // every line of a table has as many cells as the one above
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if columns != 0 && n != columns {
			t.Errorf("%d cells where there should be %d: %s", n-1, columns-1, line)
		}
		columns = n
	}
}

func TestChartsAreXMLAndLogarithmicOnlyWhereTheyMust(t *testing.T) {
	dir := t.TempDir()
	names, err := report.WriteCharts(dir, run())
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 2 || names[0] != "store.svg" || names[1] != "questions.svg" {
		t.Fatalf("charts %v", names)
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(bytes.NewReader(text))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if log := strings.Contains(string(text), "logarithmic"); log != (name == "questions.svg") {
			t.Errorf("%s: logarithmic is %v", name, log)
		}
		if !strings.Contains(string(text), `class="one"`) {
			t.Errorf("%s does not mark where ours is as good", name)
		}
		if strings.Contains(string(text), "NaN") || strings.Contains(string(text), "Inf") || strings.Contains(string(text), `width="-`) {
			t.Errorf("%s has a coordinate that is none:\n%s", name, text)
		}
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit string
		want string
	}{
		{0, "ns", "0 ns"},
		{3.03, "", "3.03"},
		{881, "B", "881 B"},
		{1234, "ns", "1,234 ns"},
		{12_345, "ns", "12.3 µs"},
		{1_234_567, "ns", "1.23 ms"},
		{999.9, "µs", "1.00 ms"},
		{25_000, "ms", "25 s"},
		{123_456, "traces/s", "123,000 traces/s"},
		{1_500_000, "traces/s", "1,500,000 traces/s"},
		{0.0012, "ms", "0.0012 ms"},
	} {
		if got := report.Figure(c.v, c.unit); got != c.want {
			t.Errorf("%g %s is written %q, want %q", c.v, c.unit, got, c.want)
		}
	}
	for v, want := range map[float64]string{0.5: "0.50×", 1: "1.00×", 12.34: "12.3×", 123.4: "123×", 0.05: "1/20×", 0.00008: "1/12,500×", 0: "0×"} {
		if got := report.Times(v); got != want {
			t.Errorf("ratio %g is written %q, want %q", v, got, want)
		}
	}
}

func TestStatistics(t *testing.T) {
	v := []float64{5, 1, 4, 2, 3}
	if m := report.Median(v); m != 3 {
		t.Errorf("median %g", m)
	}
	if q := report.Quantile(v, 0.99); math.Abs(q-4.96) > 1e-9 {
		t.Errorf("p99 %g", q)
	}
	if s, ok := report.Spread(v); !ok || math.Abs(s-2.0/3) > 1e-12 {
		t.Errorf("spread %g, %v", s, ok)
	}
	if _, ok := report.Spread(v[:2]); ok {
		t.Error("two values have a spread")
	}
	if !math.IsNaN(report.Median(nil)) {
		t.Error("nothing has a median")
	}
	if v[0] != 5 {
		t.Error("the values were sorted in place")
	}
}
