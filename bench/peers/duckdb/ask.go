package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/peers/internal/row"
)

// Ask answers q. Its statements are prepared once for each form of question.
func (db *DB) Ask(ctx context.Context, q contest.Question) (contest.Answer, error) {
	ctx = context.WithoutCancel(ctx)
	var a contest.Answer
	var err error
	switch {
	case q.GroupBy != "":
		a.Groups, err = db.groups(ctx, &q)
	case q.Count:
		w := conditions(&q)
		err = db.rows(ctx, "SELECT count(*) FROM traces"+w.String(), w.args, func(rows *sql.Rows) error {
			return rows.Scan(&a.Count)
		})
	default:
		err = db.pages(ctx, &q, &a)
	}
	if err != nil {
		return contest.Answer{}, fmt.Errorf("duckdb: %w", err)
	}
	return a, nil
}

// where is a list of conditions with their arguments.
type where struct {
	texts []string
	args  []any
}

func (w *where) add(text string, args ...any) {
	w.texts = append(w.texts, text)
	w.args = append(w.args, args...)
}

func (w *where) String() string {
	if len(w.texts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.texts, " AND ")
}

func conditions(q *contest.Question) *where {
	w := &where{}
	for _, c := range []struct{ column, value string }{
		{"resource_id", q.ResourceID},
		{"user_name", q.User},
		{"source_ip", q.SourceIP},
		{"service_type", q.Service},
		{"trace_name", q.Name},
		{"trace_rating", q.Rating},
	} {
		if c.value != "" {
			w.add(c.column+" = ?", c.value)
		}
	}
	if q.From > 0 {
		w.add("time >= ?", q.From)
	}
	if q.To > 0 {
		w.add("time < ?", q.To)
	}
	if q.Substring != "" {
		w.add("contains(request, ?)", q.Substring)
	}
	if q.Word != "" {
		w.add("contains(request, ?)", q.Word)
		w.add("regexp_matches(request, ?)", `(^|[^\pL\p{Nd}])`+regexp.QuoteMeta(q.Word)+`($|[^\pL\p{Nd}])`)
	}
	return w
}

// rows runs a prepared statement and calls scan for each row.
func (db *DB) rows(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) error {
	s := db.made[text]
	if s == nil {
		var err error
		if s, err = db.conn.PrepareContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		db.made[text] = s
	}
	rows, err := s.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (db *DB) groups(ctx context.Context, q *contest.Question) (groups []contest.Group, err error) {
	column := "service_type"
	if q.GroupBy == "user" {
		column = "user_name"
	}
	w := conditions(q)
	text := "SELECT " + column + ", count(*) AS n FROM traces" + w.String() + " GROUP BY 1 ORDER BY n DESC, 1"
	if q.Top > 0 {
		text += fmt.Sprintf(" LIMIT %d", q.Top)
	}
	err = db.rows(ctx, text, w.args, func(rows *sql.Rows) error {
		var g contest.Group
		defer func() { groups = append(groups, g) }()
		return rows.Scan(&g.Key, &g.Count)
	})
	return groups, err
}

// pages finds the places of the traces first, by the columns that are asked for, and
// then reads what lies there.
func (db *DB) pages(ctx context.Context, q *contest.Question, a *contest.Answer) error {
	var last place
	for page := range max(1, q.Pages) {
		w := conditions(q)
		if page > 0 {
			w.add("(time < ? OR (time = ? AND seq < ?))", last.time, last.time, last.seq)
			w.add("time <= ?", last.time) // as above, for the zone maps
		}
		places, err := db.find(ctx, q, w, page == 0)
		if err != nil || len(places) == 0 {
			return err
		}
		last = places[len(places)-1]
		if err := db.read(ctx, q, places, a); err != nil {
			return err
		}
	}
	return nil
}

// place is where a trace stands in the order of answers.
type place struct{ time, seq int64 }

// find returns the places of a page. Resource ids have an index, which is used only if
// nothing else goes on in the same scan.
func (db *DB) find(ctx context.Context, q *contest.Question, w *where, first bool) (places []place, err error) {
	text := "SELECT time, seq FROM traces" + w.String()
	if q.ResourceID != "" {
		text = "WITH hits AS MATERIALIZED (" + text + ") SELECT time, seq FROM hits"
	}
	text += " ORDER BY time DESC, seq DESC"
	if q.Limit > 0 {
		text += fmt.Sprintf(" LIMIT %d", q.Limit)
	}
	if q.Skip > 0 && first {
		text += fmt.Sprintf(" OFFSET %d", q.Skip)
	}
	var p place
	err = db.rows(ctx, text, w.args, func(rows *sql.Rows) error {
		defer func() { places = append(places, p) }()
		return rows.Scan(&p.time, &p.seq)
	})
	return places, err
}

// read adds the traces at places to the answer.
func (db *DB) read(ctx context.Context, q *contest.Question, places []place, a *contest.Answer) error {
	found := make(map[int64]*row.Row, len(places))
	for _, p := range places {
		found[p.seq] = nil
	}
	for some := range slices.Chunk(places, mostPlaces) {
		if err := db.fetch(ctx, q.Heads, some, found); err != nil {
			return err
		}
	}
	for _, p := range places {
		r := found[p.seq]
		if r == nil {
			return fmt.Errorf("trace %d is gone", p.seq)
		}
		r.Add(a, q)
	}
	return nil
}

// mostPlaces is how many traces are read at a time. DuckDB takes an index for up to
// 2,048.
const mostPlaces = 1000

// fetch reads traces that found has a key for. If they lie close together, all between
// them are read, and otherwise each through the index.
func (db *DB) fetch(ctx context.Context, heads bool, places []place, found map[int64]*row.Row) error {
	lo, hi := places[0].seq, places[0].seq
	list := make([]string, len(places))
	for i, p := range places {
		lo, hi = min(lo, p.seq), max(hi, p.seq)
		list[i] = strconv.FormatInt(p.seq, 10)
	}
	where := "seq IN (" + strings.Join(list, ",") + ")"
	if hi-lo < int64(4*len(places)+1000) {
		where = fmt.Sprintf("seq BETWEEN %d AND %d", lo, hi)
	}
	rows, err := db.conn.QueryContext(ctx, "SELECT "+selected(heads)+" FROM traces WHERE "+where)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var r row.Row
	var seq int64
	to := into(&r, &seq, heads)
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return err
		}
		if _, wanted := found[seq]; wanted {
			kept := r
			found[seq] = &kept
		}
	}
	return rows.Err()
}
