package victorialogs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/cloudtraceservice/cts/bench/contest"
)

const (
	// chunkBytes is the size of one request for loading. The documentation asks for
	// many lines in one request.
	chunkBytes = 4 << 20

	// senders is the number of requests under way at a time: the server parses one
	// request on one core.
	senders = 2

	// insertPath names the fields. The stream is what a trace comes from, as the
	// documentation wants it, and that is the service: few values, never changed. The
	// trace's name is the message. The time goes into _time and is not kept twice.
	insertPath = "/insert/jsonline?_stream_fields=service_type&_time_field=_time&_msg_field=trace_name&ignore_fields=time"

	// partsField holds the words of those identifiers of the request that have an
	// underscore: the server counts the underscore as a part of a word, which the
	// question does not, and so the word filter would not find disk7 in my_disk7.
	partsField = "request_parts"
)

// Load implements [contest.Database]. Lines are gathered into requests of some
// megabytes, two of which are under way at a time.
//
// The server orders by nanoseconds. Traces of the same millisecond get nanoseconds in
// the order of loading, so that its order is the one of the answers.
func (db *DB) Load(ctx context.Context, batch []contest.Record) error {
	if err := db.setClock(ctx); err != nil {
		return err
	}
	for _, r := range batch {
		ns, err := db.clock.at(r.Trace.Time)
		if err != nil {
			return err
		}
		db.first, db.last = min(db.first, ns), max(db.last, ns)
		db.chunk = appendLine(db.chunk, ns, r)
		if len(db.chunk) >= chunkBytes {
			if err := db.send(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendLine appends the trace's JSON with two members more.
func appendLine(dst []byte, ns int64, r contest.Record) []byte {
	dst = append(dst, `{"_time":`...)
	dst = strconv.AppendInt(dst, ns, 10)
	if parts := underscored(r.Trace.Request); parts != "" {
		dst = append(dst, `,"`+partsField+`":"`...)
		dst = append(dst, parts...)
		dst = append(dst, '"')
	}
	dst = append(dst, ',')
	dst = append(dst, bytes.TrimPrefix(r.JSON, []byte("{"))...)
	return append(dst, '\n')
}

// underscored returns the words, each once, of the identifiers in text that have an
// underscore. It holds letters, digits and spaces only.
func underscored(text string) string {
	if !strings.Contains(text, "_") {
		return ""
	}
	var words []string
	for token := range strings.FieldsFuncSeq(text, func(r rune) bool { return !inToken(r) }) {
		if strings.Contains(token, "_") {
			words = append(words, strings.FieldsFunc(token, func(r rune) bool { return r == '_' })...)
		}
	}
	slices.Sort(words)
	return strings.Join(slices.Compact(words), " ")
}

// inToken reports what the server counts as a part of a word.
func inToken(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// send gives the chunk to a sender and takes the next buffer. An error of an earlier
// chunk may be returned now.
func (db *DB) send(ctx context.Context) error {
	if len(db.chunk) == 0 {
		return nil
	}
	chunk := db.chunk
	db.chunk = make([]byte, 0, chunkBytes+chunkBytes/16)
	db.sends.Go(func() error {
		_, err := db.server.do(ctx, http.MethodPost, insertPath, "application/stream+json", chunk)
		return err
	})
	return nil
}

// Finish implements [contest.Database]: the pending rows are flushed, the parts in
// memory written to disk and the parts of each day merged into one.
func (db *DB) Finish(ctx context.Context) error {
	if err := db.send(ctx); err != nil {
		return err
	}
	if err := db.sends.Wait(); err != nil {
		return err
	}
	db.clock.used = nil
	dropped, err := db.server.metric(ctx, "vl_rows_dropped_total")
	if err != nil {
		return err
	}
	if dropped > 0 {
		return fmt.Errorf("victorialogs: the server dropped %v rows: %s", dropped, db.server.log)
	}
	for _, path := range []string{"/internal/force_flush", "/internal/force_merge"} {
		if _, err := db.server.get(ctx, path); err != nil {
			return err
		}
	}
	return db.awaitMerge(ctx)
}

// awaitMerge returns when nothing is in memory only and no merge is running. The
// request for a merge is answered before the merge begins, so quiet has to be seen twice.
func (db *DB) awaitMerge(ctx context.Context) error {
	quiet := 0
	for quiet < 2 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		quiet++
		for _, name := range []string{"vl_active_force_merges", "vl_active_merges", `vl_storage_rows{type="storage/inmemory"}`} {
			switch v, err := db.server.metric(ctx, name); {
			case err != nil:
				return err
			case v > 0:
				quiet = 0
			}
		}
	}
	return nil
}

// clock gives each trace a nanosecond of its own.
type clock struct {
	used map[int64]int32 // millisecond: the traces it has
}

func (c *clock) at(ms int64) (int64, error) {
	n := c.used[ms]
	if n == 1e6 {
		return 0, errors.New("victorialogs: more than a million traces in one millisecond")
	}
	c.used[ms] = n + 1
	return ms*1e6 + int64(n), nil
}

// setClock makes the clock before the first batch: it goes on behind what the server
// holds already.
func (db *DB) setClock(ctx context.Context) error {
	if db.clock.used != nil {
		return nil
	}
	db.clock.used = map[int64]int32{}
	if db.first > db.last {
		return nil
	}
	rows, err := db.lines(ctx, "* | fields _time")
	for _, r := range rows {
		ms, n := r.Time.UnixMilli(), int32(r.Time.Nanosecond()%1e6)
		db.clock.used[ms] = max(db.clock.used[ms], n+1)
	}
	return err
}
