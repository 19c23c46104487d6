package gzfiles

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/goccy/go-json"
	"golang.org/x/sync/errgroup"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
)

// Ask implements [contest.Database]. Reading pages by a cursor is not supported: each
// page would be a search from the beginning.
func (db *DB) Ask(ctx context.Context, q contest.Question) (contest.Answer, error) {
	switch {
	case q.GroupBy != "":
		return db.groups(ctx, &q)
	case q.Count:
		return db.count(ctx, &q)
	case q.Pages > 1:
		return contest.Answer{}, fmt.Errorf("%w: files have no cursor", contest.ErrUnsupported)
	}
	return db.list(ctx, &q)
}

// within returns the files that may hold traces of the range, the newest first.
func (db *DB) within(q *contest.Question) []file {
	var files []file
	for _, f := range db.files {
		if f.to >= q.From && (q.To == 0 || f.from < q.To) {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(cmp.Compare(b.to, a.to), cmp.Compare(b.number, a.number)) })
	return files
}

// count adds up what the pipelines count.
func (db *DB) count(ctx context.Context, q *contest.Question) (contest.Answer, error) {
	p := newPipeline(q, "1", " | wc -l")
	if q.From == 0 && q.To == 0 && len(texts(q)) == 0 {
		p = newPipeline(q, ".", " | wc -l")
	}
	var a contest.Answer
	err := db.all(ctx, db.within(q), &p, func(_ file, out []byte) error {
		n, err := strconv.ParseInt(string(bytes.TrimSpace(out)), 10, 64)
		a.Count += n
		return err
	})
	return a, err
}

// groups adds up the lines of uniq -c: a number and the value as JSON.
func (db *DB) groups(ctx context.Context, q *contest.Question) (contest.Answer, error) {
	value := ".service_type"
	if q.GroupBy == "user" {
		value = `.user.name // ""`
	}
	p := newPipeline(q, value, " | sort | uniq -c")
	counts := map[string]int64{}
	err := db.all(ctx, db.within(q), &p, func(_ file, out []byte) error {
		for line := range bytes.Lines(out) {
			number, text, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil {
				return fmt.Errorf("gzfiles: a line of uniq: %w", err)
			}
			var key string
			if err := json.Unmarshal([]byte(text), &key); err != nil {
				return fmt.Errorf("gzfiles: a line of uniq: %w", err)
			}
			counts[key] += n
		}
		return nil
	})
	return contest.Answer{Groups: plain.Top(counts, q.Top)}, err
}

// all runs p on the files, as many at a time as there are cores. take is called by
// one goroutine at a time, in no order.
func (db *DB) all(ctx context.Context, files []file, p *pipeline, take func(f file, out []byte) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	for _, f := range files {
		group.Go(func() error {
			out, err := p.run(ctx, f)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			return take(f, out)
		})
	}
	return group.Wait()
}

// line is what an answer takes from the JSON of a trace, and its place.
type line struct {
	Time     int64  `json:"time"`
	ID       string `json:"trace_id"`
	Service  string `json:"service_type"`
	Name     string `json:"trace_name"`
	SourceIP string `json:"source_ip"`
	Request  string `json:"request"`
	Response string `json:"response"`
	User     struct {
		Name string `json:"name"`
	} `json:"user"`

	file, row int
}

// newest orders lines as answers are.
func newest(a, b line) int {
	return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(b.file, a.file), cmp.Compare(b.row, a.row))
}

// list reads files until the older ones can't hold anything that belongs into the
// answer.
func (db *DB) list(ctx context.Context, q *contest.Question) (contest.Answer, error) {
	do := "."
	if q.Heads {
		do = "del(.request, .response, .message)"
	}
	p := newPipeline(q, do, "")
	need := q.Skip + q.Limit
	var found []line
	files := db.within(q)
	for part := range slices.Chunk(files, runtime.GOMAXPROCS(0)) {
		if q.Limit > 0 && len(found) >= need && found[need-1].Time > part[0].to {
			break
		}
		err := db.all(ctx, part, &p, func(f file, out []byte) error {
			lines, err := parse(out, f.number)
			found = append(found, lines...)
			return err
		})
		if err != nil {
			return contest.Answer{}, err
		}
		slices.SortFunc(found, newest)
	}
	found = found[min(q.Skip, len(found)):]
	if q.Limit > 0 {
		found = found[:min(q.Limit, len(found))]
	}
	var a contest.Answer
	for i := range found {
		l := &found[i]
		a.Add(q, l.ID, l.Service, l.Name, l.User.Name, l.SourceIP, l.Request, l.Response)
	}
	return a, nil
}

// parse parses the lines that a pipeline printed.
func parse(out []byte, file int) ([]line, error) {
	lines := make([]line, bytes.Count(out, []byte("\n")))
	i := 0
	for text := range bytes.Lines(out) {
		l := &lines[i]
		l.file, l.row = file, i
		if err := json.UnmarshalNoEscape(text, l); err != nil {
			return nil, fmt.Errorf("gzfiles: a line of a file: %w", err)
		}
		i++
	}
	return lines, nil
}
