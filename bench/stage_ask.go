package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudtraceservice/cts/bench/child"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
	"github.com/cloudtraceservice/cts/bench/ours"
	"github.com/cloudtraceservice/cts/bench/questions"
	"github.com/cloudtraceservice/cts/bench/report"
)

// percentiles are the two groups of rows about questions.
var percentiles = []struct {
	group string
	q     float64
}{
	{"questions, p50", 0.50},
	{"questions, p99", 0.99},
}

// questionRows are the names of the rows of package questions.
var questionRows = questions.Names()

const (
	blockQuestions = 20 // asked of a contestant before it is the next one's turn
	fewAnswers     = 50 // for a p99
)

// ask asks all databases all rows of questions.
func (b *bench) ask(ctx context.Context, w load, all []*runner, f *facts) error {
	for _, row := range f.sample.Rows() {
		some := false
		for _, p := range percentiles {
			some = some || b.wanted(p.group, row.Name)
		}
		if !some {
			continue
		}
		b.say("%s: %s", w.Name, row.Name)
		answers, err := b.askRow(ctx, row, all)
		if err != nil {
			return err
		}
		b.compare(ctx, w, row, all, answers, f)
		for _, p := range percentiles {
			b.add(answerRow(answers, p.group, row.Name, w.Name, p.q))
		}
	}
	return nil
}

// answers are what one contestant answered in one row.
type answers struct {
	digests map[int]uint64 // of the questions, by their number
	rounds  [][]float64    // nanoseconds
	spent   float64
}

// askRow asks one row of questions, in turns.
func (b *bench) askRow(ctx context.Context, row questions.Row, all []*runner) (map[string]*answers, error) {
	block := row.Questions
	for len(block) < blockQuestions {
		block = append(slices.Clip(block), row.Questions...)
	}
	block = block[:max(blockQuestions, len(row.Questions))]
	got := map[string]*answers{}
	out := map[string]bool{} // out of time, or not supported
	for round := range b.rounds {
		for r := range b.turns(all, round) {
			if out[r.name] {
				continue
			}
			asking := child.Asking{Questions: block, Budget: b.budget}
			if round == 0 {
				asking.Least = b.least
			}
			replies, err := r.p.Ask(ctx, asking)
			if err != nil {
				b.failed(ctx, r, row.Name, err)
				continue
			}
			a := got[r.name]
			if a == nil {
				a = &answers{digests: map[int]uint64{}}
				got[r.name] = a
			}
			switch supported, err := a.take(replies, len(row.Questions), row.Questions); {
			case err != nil:
				b.report.Fail("%s failed at %s: %v", r.name, row.Name, err)
				delete(got, r.name)
				out[r.name] = true
			case !supported:
				delete(got, r.name)
				out[r.name] = true
			case round == 0 && a.spent < 0.25*float64(b.budget): // that was to get warm
				a.rounds, a.spent = nil, 0
			default:
				out[r.name] = a.spent >= float64(b.budget)
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// take takes the replies to a block. It reports false for a row that is not supported.
func (a *answers) take(replies []child.Reply, different int, asked []contest.Question) (bool, error) {
	var times []float64
	for i, reply := range replies {
		q := i % different
		switch before, ok := a.digests[q]; {
		case reply.Unsupported:
			return false, nil
		case reply.Error != "":
			return true, fmt.Errorf("%s: %s", describe(asked[q]), reply.Error)
		case ok && before != reply.Digest:
			return true, fmt.Errorf("%s: it was answered in two ways", describe(asked[q]))
		}
		a.digests[q] = reply.Digest
		times = append(times, float64(reply.Nanos))
		a.spent += float64(reply.Nanos)
	}
	a.rounds = append(a.rounds, times)
	return true, nil
}

// answerRow makes a row of a percentile of all answers. The spread is that of the
// rounds, for p99 of thirds of the rounds. Of few answers p99 is nearly the longest; a
// note says so where it is about ours or the best peer.
func answerRow(got map[string]*answers, group, name, workload string, q float64) *report.Row {
	r := report.Row{Group: group, Name: name, Workload: workload, Unit: "µs", Better: report.Lower, Peers: map[string]float64{}, Spreads: map[string]float64{}}
	few := map[string]string{}
	for who, a := range got {
		times := slices.Concat(a.rounds...)
		if len(times) == 0 {
			continue
		}
		if q > 0.5 && len(times) < fewAnswers {
			few[who] = who + " of " + plural(len(times), "answer")
		}
		v, key := report.Quantile(times, q)/1e3, who
		if who == ours.Name {
			r.Ours, key = &v, ""
		} else {
			r.Peers[who] = v
		}
		parts := a.rounds
		if q > 0.5 {
			parts = thirds(a.rounds)
		}
		var each []float64
		for _, p := range parts {
			each = append(each, report.Quantile(p, q))
		}
		if s, ok := report.Spread(each); ok {
			r.Spreads[key] = s
		}
	}
	r.Finish()
	for _, who := range []string{ours.Name, r.BestPeer} {
		if note := few[who]; note != "" {
			r.Note = strings.TrimPrefix(r.Note+"; "+note, "; ")
		}
	}
	return &r
}

// thirds joins rounds to three parts.
func thirds(rounds [][]float64) [][]float64 {
	const n = 3
	if len(rounds) < n {
		return nil
	}
	var parts [][]float64
	for i := range n {
		parts = append(parts, slices.Concat(rounds[len(rounds)*i/n:len(rounds)*(i+1)/n]...))
	}
	return parts
}

// compare reports the questions that were answered in different ways, a few of each
// row with their parameters. Up to plainTraces the plain loop knows the answer; above,
// what most say is held for right.
func (b *bench) compare(ctx context.Context, w load, row questions.Row, all []*runner, got map[string]*answers, f *facts) {
	const most = 3
	differ := 0
	for i, q := range row.Questions {
		said := map[uint64][]string{}
		for name, a := range got {
			if d, ok := a.digests[i]; ok {
				said[d] = append(said[d], name)
			}
		}
		if len(f.records) > 0 {
			d := child.Digest(f.records.Ask(q))
			said[d] = append(said[d], plainLoop)
		}
		if len(said) < 2 {
			continue
		}
		if differ++; differ > most {
			continue
		}
		right, wrong := verdict(said)
		b.report.Fail("%s, %s: %s: %s answered differently from %s: %s", w.Name, row.Name, describe(q),
			strings.Join(wrong, ", "), strings.Join(right, ", "), b.difference(ctx, q, all, wrong[0], right[0], f))
	}
	if differ > most {
		b.report.Fail("%s, %s: %d more questions were answered differently", w.Name, row.Name, differ-most)
	}
}

// plainLoop is the name of the loop over all traces.
const plainLoop = "a plain loop"

// verdict says who is right: those who agree with the plain loop, or else the most.
func verdict(said map[uint64][]string) (right, wrong []string) {
	var camps [][]string
	for _, names := range said {
		slices.Sort(names)
		camps = append(camps, names)
	}
	weight := func(names []string) int {
		if slices.Contains(names, plainLoop) {
			return 1000
		}
		return len(names)
	}
	slices.SortFunc(camps, func(a, b []string) int {
		if c := weight(b) - weight(a); c != 0 {
			return c
		}
		return slices.Compare(a, b)
	})
	return camps[0], slices.Concat(camps[1:]...)
}

// difference asks two again and says where their answers differ.
func (b *bench) difference(ctx context.Context, q contest.Question, all []*runner, one, other string, f *facts) string {
	var pair [2]contest.Answer
	for i, name := range []string{one, other} {
		if name == plainLoop {
			pair[i] = f.records.Ask(q)
			continue
		}
		at := slices.IndexFunc(all, func(r *runner) bool { return r.name == name })
		var err error
		if pair[i], err = all[at].p.Answer(ctx, q); err != nil {
			return fmt.Sprintf("%s, asked again: %v", name, err)
		}
	}
	if d := contesttest.Diff(pair[0], pair[1]); d != "" {
		return fmt.Sprintf("%s to %s: %s", one, other, d)
	}
	return "asked again they agree"
}

// describe writes the parameters of a question that are set.
func describe(q contest.Question) string {
	var parts []string
	add := func(name, value string) {
		if value != "" && value != "0" && value != "false" {
			parts = append(parts, name+"="+value)
		}
	}
	add("resource", q.ResourceID)
	add("user", q.User)
	add("service", q.Service)
	add("name", q.Name)
	add("rating", q.Rating)
	add("address", q.SourceIP)
	add("from", fmt.Sprint(q.From))
	add("to", fmt.Sprint(q.To))
	add("word", q.Word)
	add("substring", q.Substring)
	add("skip", fmt.Sprint(q.Skip))
	add("limit", fmt.Sprint(q.Limit))
	add("pages", fmt.Sprint(q.Pages))
	add("heads", fmt.Sprint(q.Heads))
	add("count", fmt.Sprint(q.Count))
	add("by", q.GroupBy)
	add("top", fmt.Sprint(q.Top))
	return strings.Join(parts, " ")
}
