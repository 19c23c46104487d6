package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
	"github.com/cloudtraceservice/cts/bench/peers/internal/row"
)

// Ask answers q. Its statements are prepared once for each form of question.
func (db *DB) Ask(ctx context.Context, q contest.Question) (contest.Answer, error) {
	ctx = context.WithoutCancel(ctx) // the driver starts a goroutine per query for one that can be cancelled
	var a contest.Answer
	var err error
	switch {
	case q.GroupBy != "":
		a.Groups, err = db.groups(ctx, &q)
	case q.Count && q.Word == "":
		a.Count, err = db.count(ctx, &q)
	default:
		err = db.pages(ctx, &q, &a)
	}
	if err != nil {
		return contest.Answer{}, fmt.Errorf("sqlite: %w", err)
	}
	return a, nil
}

// where is a list of conditions with their arguments.
type where struct {
	texts []string
	args  []any
}

func (w *where) add(text string, arg any) {
	w.texts = append(w.texts, text)
	w.args = append(w.args, arg)
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
	if q.Rating != "" && q.Rating != "normal" {
		w.texts = append(w.texts, "trace_rating <> 'normal'") // lets the partial indexes be used
	}
	if q.From > 0 {
		w.add("id >= ?", q.From<<idBits)
	}
	if q.To > 0 {
		w.add("id < ?", q.To<<idBits)
	}
	for _, text := range []string{q.Word, q.Substring} {
		if text != "" {
			w.add("instr(request, ?) > 0", text)
		}
	}
	return w
}

// query runs a prepared statement.
func (db *DB) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	s, err := db.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

func (db *DB) count(ctx context.Context, q *contest.Question) (n int64, err error) {
	w := conditions(q)
	s, err := db.statement(ctx, "SELECT count(*) FROM traces"+w.String())
	if err != nil {
		return 0, err
	}
	err = s.QueryRowContext(ctx, w.args...).Scan(&n)
	return n, err
}

func (db *DB) groups(ctx context.Context, q *contest.Question) ([]contest.Group, error) {
	if q.Word != "" {
		return nil, contest.ErrUnsupported
	}
	column, index := "service_type", "by_service"
	if q.GroupBy == "user" {
		column, index = "user_name", "by_user"
	}
	if q.ResourceID+q.User+q.Service+q.Name+q.Rating+q.SourceIP+q.Substring == "" {
		index = " INDEXED BY " + index // in the order of the groups: nothing is sorted, no row is read
	} else {
		index = ""
	}
	w := conditions(q)
	text := "SELECT coalesce(" + column + ", ''), count(*) FROM traces" + index + w.String() +
		" GROUP BY " + column + " ORDER BY 2 DESC, 1"
	if q.Top > 0 {
		text += " LIMIT ?"
		w.args = append(w.args, q.Top)
	}
	rows, err := db.query(ctx, text, w.args)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var groups []contest.Group
	for rows.Next() {
		var g contest.Group
		if err := rows.Scan(&g.Key, &g.Count); err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, rows.Err()
}

const (
	heads  = "id, trace_id, service_type, trace_name, trace_rating, resource_id, user_name, source_ip, rest"
	bodies = ", request, response, message"
)

// pages reads the pages one after the other, each behind the last trace of the one
// before.
func (db *DB) pages(ctx context.Context, q *contest.Question, a *contest.Answer) error {
	r := reader{q: q, a: a, skip: q.Skip}
	for range max(1, q.Pages) {
		before := r.taken
		if err := db.page(ctx, &r); err != nil {
			return err
		}
		if r.taken == before {
			return nil // the end
		}
	}
	return nil
}

func (db *DB) page(ctx context.Context, r *reader) error {
	w := conditions(r.q)
	if r.last > 0 {
		w.add("id < ?", r.last)
	}
	rows, err := db.query(ctx, r.statement(w), w.args)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	return r.read(rows)
}

// reader takes the rows of pages into an answer.
type reader struct {
	q     *contest.Question
	a     *contest.Answer
	last  int64 // id of the last trace read
	skip  int   // traces still to be passed over
	taken int
}

// statement returns the text that selects a page, and adds its further arguments. The
// traces to pass over are counted in an index, and only the page's own are read. A
// word is found by its bytes first; whether it is a word is checked here, so that
// there is no limit.
func (r *reader) statement(w *where) string {
	columns := heads
	if !r.q.Heads || r.q.Word != "" {
		columns += bodies
	}
	from := w.String() + " ORDER BY id DESC"
	if r.q.Word == "" && (r.q.Limit > 0 || r.skip > 0) {
		from += " LIMIT ? OFFSET ?"
		limit := r.q.Limit
		if limit == 0 {
			limit = -1
		}
		w.args = append(w.args, limit, r.skip)
		if r.skip > 0 {
			from = " WHERE id IN (SELECT id FROM traces" + from + ") ORDER BY id DESC"
		}
		r.skip = 0
	}
	return "SELECT " + columns + " FROM traces" + from
}

func (r *reader) read(rows *sql.Rows) error {
	var t row.Row
	var resource, user, address sql.NullString
	into := []any{&r.last, &t.ID, &t.Service, &t.Name, &t.Rating, &resource, &user, &address, &t.Rest}
	word := r.q.Word
	if !r.q.Heads || word != "" {
		into = append(into, &t.Request, &t.Response, &t.Message)
	}
	for room := r.q.Limit; rows.Next(); {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if word != "" && !plain.HasWord(t.Request, word) {
			continue
		}
		if r.q.Count {
			r.a.Count++
			continue
		}
		if r.skip > 0 {
			r.skip--
			continue
		}
		t.Time, t.ResourceID, t.User, t.SourceIP = r.last>>idBits, resource.String, user.String, address.String
		t.Add(r.a, r.q)
		r.taken++
		if room--; room == 0 {
			break
		}
	}
	return rows.Err()
}
