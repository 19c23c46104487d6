package victorialogs

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-json"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
)

// Ask implements [contest.Database].
func (db *DB) Ask(ctx context.Context, q contest.Question) (contest.Answer, error) {
	switch {
	case q.GroupBy != "":
		return db.groups(ctx, &q)
	case q.Count:
		counts, err := db.stats(ctx, filter(&q, db.window(&q))+" | stats count() n", "")
		return contest.Answer{Count: counts[""]}, err
	}
	return db.pages(ctx, &q)
}

// row is what an answer takes from a trace. The reply has all its fields.
type row struct {
	Time     time.Time `json:"_time"`
	ID       string    `json:"trace_id"`
	Service  string    `json:"service_type"`
	Name     string    `json:"_msg"`
	User     string    `json:"user.name"`
	SourceIP string    `json:"source_ip"`
	Request  string    `json:"request"`
	Response string    `json:"response"`

	N int64 `json:"n,string"` // of a bucket of time, how many rows it has
}

// pages reads page after page, each from before the last trace of the one in front.
func (db *DB) pages(ctx context.Context, q *contest.Question) (contest.Answer, error) {
	var a contest.Answer
	w := db.window(q)
	span := int64(0)
	for page := range max(1, q.Pages) {
		skip := 0
		if page == 0 {
			skip = q.Skip
		}
		rows, err := db.page(ctx, q, w, span, skip)
		if err != nil {
			return a, err
		}
		for i := range rows {
			r := &rows[i]
			a.Add(q, r.ID, r.Service, r.Name, r.User, r.SourceIP, r.Request, r.Response)
		}
		if q.Limit == 0 || len(rows) < q.Limit {
			break
		}
		first, last := rows[0].Time.UnixNano(), rows[len(rows)-1].Time.UnixNano()
		w.to, span = last, 3*(first-last)
	}
	return a, nil
}

// page reads one page, newest first. Whole rows are expensive in a store of columns:
// of every block with a matching row all columns are decompressed. So the times of
// the page's rows are asked for first, and then the rows of those times only, which
// the nanoseconds tell apart. For the next page the span in which it probably lies is
// tried first.
func (db *DB) page(ctx context.Context, q *contest.Question, w window, span int64, skip int) ([]row, error) {
	if span > 0 {
		near := window{max(w.from, w.to-span), w.to}
		rows, err := db.rows(ctx, q, filter(q, near)+" | sort by (_time desc) limit "+strconv.Itoa(q.Limit))
		if err != nil || len(rows) == q.Limit {
			return rows, err
		}
	}
	if q.Limit == 0 && skip == 0 {
		return db.rows(ctx, q, filter(q, w))
	}
	if skip >= manySkipped && q.Limit > 0 {
		var err error
		if w, skip, err = db.narrow(ctx, q, w, skip); err != nil {
			return nil, err
		}
	}
	times, err := db.times(ctx, q, w, skip)
	if err != nil || len(times) == 0 {
		return nil, err
	}
	place := window{times[len(times)-1], times[0] + 1}
	if len(times) > maxTimes || filter(&contest.Question{}, w) == filter(q, w) {
		return db.rows(ctx, q, filter(q, place))
	}
	var either []string
	for _, ns := range times {
		either = append(either, filter(&contest.Question{}, window{ns, ns + 1}))
	}
	return db.rows(ctx, q, filter(&contest.Question{}, place)+" ("+strings.Join(either, " or ")+")")
}

// maxTimes is the number of rows up to which they are named by their times.
const maxTimes = 200

// manySkipped is the number of rows to pass over from which on they are counted first.
const manySkipped = 1000

// narrow counts the rows per bucket of time, which is what the server is good at, and
// returns the buckets that the page lies in and what is to be skipped of them.
func (db *DB) narrow(ctx context.Context, q *contest.Question, w window, skip int) (window, int, error) {
	step := max(time.Second, time.Duration((w.to-w.from)/2000).Round(time.Second))
	buckets, err := db.lines(ctx, fmt.Sprintf("%s | stats by (_time:%ds) count() n", filter(q, w), int(step.Seconds())))
	if err != nil {
		return w, 0, err
	}
	i := 0
	for ; i < len(buckets) && skip >= int(buckets[i].N); i++ {
		skip -= int(buckets[i].N)
		w.to = buckets[i].Time.UnixNano()
	}
	for need := skip + q.Limit; i < len(buckets); i++ {
		if need -= int(buckets[i].N); need <= 0 {
			w.from = max(w.from, buckets[i].Time.UnixNano())
			break
		}
	}
	return w, skip, nil
}

// times returns the times of a page's rows, newest first.
func (db *DB) times(ctx context.Context, q *contest.Question, w window, skip int) ([]int64, error) {
	query := filter(q, w) + " | fields _time | sort by (_time desc)"
	if skip > 0 {
		query += " offset " + strconv.Itoa(skip)
	}
	if q.Limit > 0 {
		query += " limit " + strconv.Itoa(q.Limit)
	}
	rows, err := db.lines(ctx, query)
	times := make([]int64, len(rows))
	for i := range rows {
		times[i] = rows[i].Time.UnixNano()
	}
	return times, err
}

// rows reads whole rows, or their heads.
func (db *DB) rows(ctx context.Context, q *contest.Question, query string) ([]row, error) {
	if q.Heads {
		query += " | delete request, response, message"
	}
	return db.lines(ctx, query)
}

// lines reads what a query yields, newest first.
func (db *DB) lines(ctx context.Context, query string) ([]row, error) {
	reply, err := db.post(ctx, "/select/logsql/query", url.Values{"query": {query}})
	if err != nil {
		return nil, err
	}
	rows := make([]row, bytes.Count(reply, []byte("\n")))
	i := 0
	for line := range bytes.Lines(reply) {
		if err := json.UnmarshalNoEscape(line, &rows[i]); err != nil {
			return nil, fmt.Errorf("victorialogs: a line of the reply: %w", err)
		}
		i++
	}
	slices.SortFunc(rows, func(a, b row) int { return b.Time.Compare(a.Time) })
	return rows, nil
}

// groups counts per value.
func (db *DB) groups(ctx context.Context, q *contest.Question) (contest.Answer, error) {
	by := "service_type"
	if q.GroupBy == "user" {
		by = "user.name"
	}
	query := fmt.Sprintf("%s | stats by (%q) count() n", filter(q, db.window(q)), by)
	if q.Top > 0 {
		// One more shows whether the last place is shared; then all are needed.
		counts, err := db.stats(ctx, fmt.Sprintf("%s | sort by (n desc) limit %d", query, q.Top+1), by)
		if err != nil {
			return contest.Answer{}, err
		}
		top := plain.Top(counts, 0)
		if n := len(top); n <= q.Top || top[n-1].Count < top[n-2].Count {
			return contest.Answer{Groups: top[:min(n, q.Top)]}, nil
		}
	}
	counts, err := db.stats(ctx, query, by)
	return contest.Answer{Groups: plain.Top(counts, q.Top)}, err
}

// stats asks for counts named n, per value of a field or in all.
func (db *DB) stats(ctx context.Context, query, by string) (map[string]int64, error) {
	reply, err := db.post(ctx, "/select/logsql/stats_query", url.Values{"query": {query}})
	if err != nil {
		return nil, err
	}
	var r struct {
		Data struct {
			Result []struct {
				Metric map[string]string `json:"metric"`
				Value  [2]any            `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(reply, &r); err != nil {
		return nil, fmt.Errorf("victorialogs: the reply: %w", err)
	}
	counts := make(map[string]int64, len(r.Data.Result))
	for _, m := range r.Data.Result {
		text, _ := m.Value[1].(string)
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("victorialogs: the reply: a count is %w", err)
		}
		counts[m.Metric[by]] += n
	}
	return counts, nil
}

// window is a range of times in nanoseconds, to excluded.
type window struct{ from, to int64 }

func (w window) empty() bool { return w.from >= w.to }

// window returns the range of times that the question can find anything in.
func (db *DB) window(q *contest.Question) window {
	w := window{max(db.first, q.From*1e6), db.last + 1}
	if q.To != 0 {
		w.to = min(w.to, q.To*1e6)
	}
	if w.empty() {
		return window{0, 1} // nothing is that old
	}
	return w
}

// filter is the LogsQL of a range and of the question's other conditions.
func filter(q *contest.Question, w window) string {
	var b strings.Builder
	b.WriteString("_time:[" + stamp(w.from) + ", " + stamp(w.to) + ")")
	if q.Service != "" {
		b.WriteString(" {service_type=" + strconv.Quote(q.Service) + "}")
	}
	for _, c := range []struct{ field, value string }{
		{"resource_id", q.ResourceID}, {"user.name", q.User}, {"_msg", q.Name}, {"trace_rating", q.Rating}, {"source_ip", q.SourceIP},
	} {
		if c.value != "" {
			fmt.Fprintf(&b, " %q:=%q", c.field, c.value)
		}
	}
	if q.Word != "" {
		fmt.Fprintf(&b, " (request:%q or %s:%q)", q.Word, partsField, q.Word)
	}
	if q.Substring != "" {
		fmt.Fprintf(&b, " request:~%q", regexp.QuoteMeta(q.Substring))
	}
	return b.String()
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

// findRange asks for the times of the first and last trace.
func (db *DB) findRange(ctx context.Context) error {
	db.first, db.last = math.MaxInt64-1, math.MinInt64
	const query = "* | stats min(_time) first, max(_time) last"
	reply, err := db.post(ctx, "/select/logsql/query", url.Values{"query": {query}})
	if err != nil || len(reply) == 0 {
		return err
	}
	var r struct{ First, Last string }
	if err := json.Unmarshal(reply, &r); err != nil || r.First == "" {
		return err
	}
	first, err := time.Parse(time.RFC3339Nano, r.First)
	last, err2 := time.Parse(time.RFC3339Nano, r.Last)
	if err := cmp.Or(err, err2); err != nil {
		return fmt.Errorf("victorialogs: the range of times: %w", err)
	}
	db.first, db.last = first.UnixNano(), last.UnixNano()
	return nil
}

func (db *DB) post(ctx context.Context, path string, form url.Values) ([]byte, error) {
	return db.server.do(ctx, http.MethodPost, path, "application/x-www-form-urlencoded", []byte(form.Encode()))
}
