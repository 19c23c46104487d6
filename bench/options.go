package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts/bench/child"
	"github.com/cloudtraceservice/cts/bench/report"
	"github.com/cloudtraceservice/cts/bench/workload"
)

// options are the arguments, and what follows from -quick.
type options struct {
	args     []string
	n        int
	names    []string // of the workloads
	input    []string
	rows     *regexp.Regexp
	peers    *regexp.Regexp
	quick    bool
	budget   time.Duration
	seed     uint64
	dir      string
	json     string
	svg      string
	markdown string

	rounds      int // of a block of questions
	least       int // answers of a contestant to a row, unless they take very long
	rawTraces   int // whose JSON the limits are taken of
	burstTime   time.Duration
	bursts      int // of durable appends
	longTime    time.Duration
	longBursts  int
	recordings  int // bursts of records
	dumps       int
	opens       int
	checkTraces int // of a trail whose profile is checked
	dumpTraces  int // at most
	growthFrom  int // at most
}

// parse reads the arguments.
func parse(args []string, stderr io.Writer) (options, error) {
	o := options{args: args}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.n, "n", 0, "traces (default 1000000, with -quick 20000)")
	workloads := f.String("workload", "", "comma-separated list of uniform and trail (default both, or none with -input)")
	f.Func("input", "read traces from this CloudTrail or CTS file or folder; may be repeated, and further paths may follow the flags", func(s string) error {
		o.input = append(o.input, s)
		return nil
	})
	expression := func(to **regexp.Regexp) func(string) error {
		return func(s string) (err error) {
			*to, err = regexp.Compile(s)
			return err
		}
	}
	f.Func("rows", "only rows whose \"group: name\" matches this regular expression", expression(&o.rows))
	f.Func("peers", "only peers whose name matches this regular expression", expression(&o.peers))
	f.BoolVar(&o.quick, "quick", false, "a short run that shows that everything works")
	f.DurationVar(&o.budget, "budget", 0, "time for the answers of one contestant to one row of questions (default 2s, with -quick 80ms)")
	f.Uint64Var(&o.seed, "seed", 1, "of everything that is drawn")
	f.StringVar(&o.dir, "dir", "", "folder for the data of the run (default: of the system, for temporary files)")
	f.StringVar(&o.json, "json", "", "write the rows to this file as JSON")
	f.StringVar(&o.svg, "svg", "", "write charts to this folder")
	f.StringVar(&o.markdown, "markdown", "", "write everything to this file as a page")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		if len(o.input) == 0 {
			return o, fmt.Errorf("arguments %q: paths are for -input", f.Args())
		}
		o.input = append(o.input, f.Args()...)
	}
	err := o.complete(*workloads)
	return o, err
}

// complete fills in what was not said.
func (o *options) complete(workloads string) error {
	o.rounds, o.burstTime, o.bursts, o.recordings, o.dumps, o.opens = 11, 600*time.Millisecond, 5, 15, 3, 5
	o.least, o.rawTraces, o.longTime, o.longBursts = 3, 20_000, 10*time.Second, 2
	o.checkTraces, o.dumpTraces, o.growthFrom = 100_000, 200_000, 10_000_000
	n, budget := 1_000_000, 2*time.Second
	if o.quick {
		o.least, o.rawTraces, o.longTime, o.longBursts = 1, 3000, 200*time.Millisecond, 1
		o.rounds, o.burstTime, o.bursts, o.recordings, o.dumps, o.opens = 4, 80*time.Millisecond, 3, 3, 2, 3
		o.checkTraces, o.growthFrom = 20_000, 5_000
		n, budget = 20_000, 80*time.Millisecond
	}
	if o.n == 0 {
		o.n = n
	}
	if o.budget == 0 {
		o.budget = budget
	}
	if o.n < 100 || o.budget < 0 {
		return errors.New("-n must be at least 100 and -budget not negative")
	}
	known := []string{workload.UniformName, workload.TrailName}
	switch {
	case workloads != "":
		o.names = strings.Split(workloads, ",")
	case len(o.input) == 0:
		o.names = known
	}
	for _, name := range o.names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("-workload: there is no %q, only %s", name, strings.Join(known, " and "))
		}
	}
	return nil
}

// command is how the run can be repeated.
func (o *options) command() string {
	quoted := make([]string, 0, len(o.args))
	for _, a := range o.args {
		if strings.ContainsAny(a, " *|()$\"") {
			a = "'" + a + "'"
		}
		quoted = append(quoted, a)
	}
	return strings.TrimSpace("go run . " + strings.Join(quoted, " "))
}

// wanted reports whether a row is to be measured.
func (o *options) wanted(group, name string) bool {
	return o.rows == nil || o.rows.MatchString(group+": "+name)
}

// takesPart reports whether a peer takes part.
func (o *options) takesPart(name string) bool {
	return o.peers == nil || o.peers.MatchString(name)
}

// add adds a row if it is wanted and anybody has a figure.
func (b *bench) add(r *report.Row) {
	if b.wanted(r.Group, r.Name) && (r.Ours != nil || r.Limit != nil || len(r.Peers) > 0) {
		b.report.Add(r)
	}
}

// load is a workload of the run.
type load struct {
	child.Workload
	source *workload.Source
}

// workloads makes the workloads and checks the profile of the trail.
func (b *bench) workloads() ([]load, error) {
	var all []load
	for _, name := range b.names {
		all = append(all, load{Workload: child.Workload{Name: name, Seed: b.seed, Count: b.n}})
	}
	if len(b.input) > 0 {
		all = append(all, load{Workload: child.Workload{Name: workload.InputName, Files: b.input}})
	}
	for i := range all {
		w := &all[i]
		var err error
		if w.Name == workload.InputName {
			w.source, err = workload.Files(b.input...)
			if w.source == nil {
				return nil, err
			}
			if err != nil {
				b.say("input: %v", err)
			}
			w.Count = w.source.Count
		} else if w.source, err = w.Source(); err != nil {
			return nil, err
		}
		if w.Name == workload.TrailName {
			if err := b.checkTrail(w); err != nil {
				return nil, err
			}
		}
		b.report.Workloads = append(b.report.Workloads, fmt.Sprintf("workload %s: %d traces, seed %d", w.Name, w.Count, w.Seed))
	}
	return all, nil
}

// checkTrail checks that the trail is as real ones are.
func (b *bench) checkTrail(w *load) error {
	const least = 20_000
	if w.Count < least {
		b.say("trail: too short for its profile to be checked")
		return nil
	}
	head := workload.Trail(w.Seed, w.Count, 0).Head(min(w.Count, b.checkTraces))
	p, err := workload.Measure(slices.Values([][]record{head}))
	if err != nil {
		return err
	}
	b.say("trail: zstd -3 compresses it %.1f times, %d bytes in the median", p.Zstd, p.Bytes.P50)
	return p.Check(w.Count, 0)
}
