package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/child"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
	"github.com/cloudtraceservice/cts/bench/ours"
)

// The program executes itself for each contestant; the tests' program does too, with
// contestants that are quick and of which some are wrong on purpose.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == child.Argument {
		os.Exit(child.Serve(context.Background(), testContestants()))
	}
	os.Exit(m.Run())
}

// memory is the plain loop as a contestant. It keeps what it was loaded with in files,
// since it is asked in another process than the one that loads it.
type memory struct {
	name    string
	dir     string
	records []contest.Record
	change  func(*contest.Answer)
	slow    time.Duration
}

func openMemory(name string, change func(*contest.Answer)) func(context.Context, string) (contest.Database, error) {
	return func(_ context.Context, dir string) (contest.Database, error) {
		m := &memory{name: name, dir: dir, change: change}
		if name == "slow" {
			m.slow = 40 * time.Millisecond
		}
		f, err := os.Open(filepath.Join(dir, "traces"))
		if errors.Is(err, os.ErrNotExist) {
			return m, nil
		} else if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		for t, err := range cts.NewDecoder(f, &cts.DecoderOptions{TrustExt: true}).All() {
			if err != nil {
				return nil, err
			}
			m.records = append(m.records, contest.Record{Trace: t, JSON: t.AppendJSON(nil)})
		}
		return m, nil
	}
}

func (m *memory) Info() contest.Info {
	return contest.Info{Name: m.name, Version: "1", Setup: "a slice"}
}
func (m *memory) Close() error                 { return nil }
func (m *memory) Reopen(context.Context) error { return nil }

func (m *memory) Load(_ context.Context, batch []contest.Record) error {
	m.records = append(m.records, batch...)
	return nil
}

func (m *memory) Finish(context.Context) error {
	var b bytes.Buffer
	for _, r := range m.records {
		b.Write(r.JSON)
		b.WriteByte('\n')
	}
	return os.WriteFile(filepath.Join(m.dir, "traces"), b.Bytes(), 0o600)
}

func (m *memory) Ask(_ context.Context, q contest.Question) (contest.Answer, error) {
	time.Sleep(m.slow)
	if m.name == "narrow" && q.Row != "open" && q.ResourceID == "" {
		return contest.Answer{}, contest.ErrUnsupported
	}
	if m.name == "crashing" && q.ResourceID != "" {
		os.Exit(3)
	}
	a := plain.Ask(m.records, q)
	if m.change != nil && q.Row != "open" {
		m.change(&a)
	}
	return a, nil
}

func (m *memory) AppendOne(context.Context, contest.Record) error { return nil }

func dropLast(a *contest.Answer) {
	if len(a.IDs) > 0 {
		a.IDs = a.IDs[:len(a.IDs)-1]
	}
}

func testContestants() child.Contestants {
	genuine := contestants()
	c := child.Contestants{Recorders: genuine.Recorders[:5], Dumpers: genuine.Dumpers[:2]}
	c.Databases = slices.Concat(genuine.Databases[:2], []child.Database{
		{Name: "right", Open: openMemory("right", nil)},
		{Name: "narrow", Open: openMemory("narrow", nil)},
		{Name: "slow", Open: openMemory("slow", nil)},
		{Name: "wrong", Open: openMemory("wrong", dropLast)},
		{Name: "fields", Open: openMemory("fields", func(a *contest.Answer) { a.Sum += uint64(len(a.IDs)) })},
		{Name: "crashing", Open: openMemory("crashing", nil)},
		{Name: "absent", Open: func(context.Context, string) (contest.Database, error) {
			return nil, errors.New("needs a license")
		}},
	})
	c.Durables = slices.Concat(genuine.Durables[:2], []child.Durable{
		{Name: "lying", Open: func(context.Context, string) (contest.Durable, error) { return &memory{name: "lying"}, nil }},
	})
	return c
}

// benchmark runs the program with the test's contestants.
func benchmark(t *testing.T, args ...string) *bench {
	t.Helper()
	o, err := parse(append([]string{"-quick", "-budget", "20ms", "-dir", t.TempDir()}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o.burstTime, o.bursts, o.recordings, o.rounds, o.growthFrom, o.rawTraces = 10*time.Millisecond, 2, 2, 2, 2000, 500
	o.longTime, o.longBursts = 20*time.Millisecond, 1
	b := &bench{options: o, out: io.Discard, all: testContestants(), patience: 5 * time.Minute}
	if err := b.measure(context.Background()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(o.dir)
	if err != nil || len(left) > 0 {
		t.Errorf("the run left %v behind, %v", left, err)
	}
	return b
}

func rowsOf(b *bench, group string) map[string]int {
	found := map[string]int{}
	for _, r := range b.report.Rows {
		if r.Group == group {
			found[r.Name]++
		}
	}
	return found
}

func TestARunHasEveryRowAndNoErrors(t *testing.T) {
	b := benchmark(t, "-n", "2000", "-workload", "trail", "-peers", "right|narrow|lying")
	if len(b.report.Errors) > 0 {
		t.Errorf("errors: %s", strings.Join(b.report.Errors, "\n"))
	}
	for group, want := range map[string]int{
		groupRecord: 12, groupAllocs: 4, groupAppend: 20, groupStore: 6, groupVerify: 4, percentiles[0].group: 14, percentiles[1].group: 14, groupGrowth: 9, groupLimits: 14,
	} {
		if got := rowsOf(b, group); len(got) != want {
			t.Errorf("%s has %d rows, want %d: %v", group, len(got), want, got)
		}
	}
	for _, r := range b.report.Rows {
		switch {
		case r.Group != groupLimits && r.Ours == nil:
			t.Errorf("%s %s: no figure of ours", r.Group, r.Name)
		case r.Group == percentiles[0].group && len(r.Peers) == 0:
			t.Errorf("%s: no peer", r.Name)
		}
		if _, has := r.Peers["narrow"]; has && r.Group == percentiles[0].group && !strings.HasPrefix(r.Name, "Q1 ") {
			t.Errorf("%s: a figure of a contestant that does not support it", r.Name)
		}
	}
}

// A difference is an error that names row, parameters and contestants.
func TestADifferenceIsAnError(t *testing.T) {
	b := benchmark(t, "-n", "1000", "-workload", "uniform", "-rows", "p50: Q(1 resource id, newest 10$|8)", "-peers", "right|wrong|fields")
	if len(b.report.Errors) == 0 {
		t.Fatal("no errors")
	}
	all := strings.Join(b.report.Errors, "\n")
	for _, want := range []string{"uniform, Q1 resource id, newest 10: resource=", "wrong", "fields", "sum", "a plain loop", ours.Name} {
		if !strings.Contains(all, want) {
			t.Errorf("the errors do not name %q:\n%s", want, all)
		}
	}
	if strings.Contains(all, "Q8") {
		t.Errorf("a row in which all agree is reported:\n%s", all)
	}
}

func TestOnesTroubleIsNotTheOthers(t *testing.T) {
	b := benchmark(t, "-n", "1000", "-workload", "trail", "-rows", "p50: Q[12] ", "-peers", "right|crashing|absent|slow")
	if len(b.report.Missing) != 1 || b.report.Missing[0].Name != "absent" || !strings.Contains(b.report.Missing[0].Reason, "needs a license") {
		t.Errorf("missing: %+v", b.report.Missing)
	}
	if len(b.report.Errors) != 1 || !strings.Contains(b.report.Errors[0], "crashing failed at Q1") {
		t.Errorf("errors: %q", b.report.Errors)
	}
	if len(b.report.Rows) != 4 {
		t.Fatalf("%d rows", len(b.report.Rows))
	}
	for _, r := range b.report.Rows {
		if r.Ours == nil || r.Peers["right"] == 0 || r.Peers["slow"] < 40_000 {
			t.Errorf("%s: ours %v, peers %v", r.Name, r.Ours, r.Peers)
		}
	}
}

func TestRowsCanBeChosen(t *testing.T) {
	b := benchmark(t, "-n", "1000", "-workload", "uniform", "-rows", "^store: bytes", "-peers", "right")
	if len(b.report.Rows) != 1 || b.report.Rows[0].Name != rowDisk {
		t.Errorf("%+v", b.report.Rows)
	}
}

func TestRealFiles(t *testing.T) {
	const dir = "../../shared/data/cloudtrail-invictus"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the CloudTrail data is not here: ", err)
	}
	b := benchmark(t, "-rows", "p50|bulk", "-peers", "right", "-input", dir)
	if len(b.report.Errors) > 0 {
		t.Errorf("errors: %s", strings.Join(b.report.Errors, "\n"))
	}
	if got := rowsOf(b, percentiles[0].group); len(got) < 8 {
		t.Errorf("rows: %v", got)
	}
}

func TestExitCodesAndFiles(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"-n", "5"}, {"-workload", "other"}, {"-rows", "("}, {"path"}, {"-no-such-flag"}} {
		if code := run(context.Background(), args, io.Discard, io.Discard); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	var table bytes.Buffer
	args := []string{
		"-quick", "-n", "1000", "-workload", "uniform", "-rows", "store: bytes|limits: memcpy", "-peers", "none", "-dir", dir,
		"-json", filepath.Join(dir, "rows.json"), "-markdown", filepath.Join(dir, "page.md"), "-svg", filepath.Join(dir, "charts"),
	}
	if code := run(context.Background(), args, &table, io.Discard); code != exitOK {
		t.Fatalf("exit code %d:\n%s", code, table.String())
	}
	text, err := os.ReadFile(filepath.Join(dir, "rows.json"))
	var rows []map[string]any
	if err != nil || json.Unmarshal(text, &rows) != nil || len(rows) != 3 {
		t.Errorf("%v, %s", err, text)
	}
	page, err := os.ReadFile(filepath.Join(dir, "page.md"))
	if err != nil || !strings.Contains(string(page), "# Benchmarks") {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "charts", "store.svg")); err != nil {
		t.Error(err)
	}
}

func TestARunThatIsStoppedSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var table bytes.Buffer
	if code := run(ctx, []string{"-quick", "-n", "1000", "-dir", t.TempDir()}, &table, io.Discard); code != exitErrors {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(table.String(), "INCOMPLETE") {
		t.Errorf("%s", table.String())
	}
}
