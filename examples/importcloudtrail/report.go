package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/cloudtrail"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// topCount is how many lines a table has.
const topCount = 10

// report counts what was read and what became of it.
type report struct {
	read, stored, already, failed int
	services, names, users, codes map[string]int
	redacted                      map[string]int // by the path of the field
}

func newReport() *report {
	return &report{
		services: map[string]int{}, names: map[string]int{}, users: map[string]int{}, codes: map[string]int{},
		redacted: map[string]int{},
	}
}

// add counts an event that was read.
func (r *report) add(t *cts.Trace) {
	r.read++
	r.services[cmp.Or(t.ServiceType, "(none)")]++
	r.names[t.Name]++
	r.users[cmp.Or(t.User.Name, t.User.ID, t.User.AccountID, "(unknown)")]++
	code := t.Ext.Labels[cloudtrail.LabelErrorCode]
	switch {
	case code != "":
		r.codes[code]++
	case t.Rating != cts.RatingNormal:
		r.codes["(without a code)"]++
	}
}

// write writes the tables and the line with the counts.
func (r *report) write(w io.Writer) error {
	var text bytes.Buffer
	tables := tabwriter.NewWriter(w, 0, 0, 0, ' ', tabwriter.AlignRight)
	for _, table := range []struct {
		title  string
		counts map[string]int
		lines  int
	}{
		{"services", r.services, topCount},
		{"names", r.names, topCount},
		{"users", r.users, topCount},
		{"errors", r.codes, topCount},
		{"redacted", r.redacted, len(r.redacted)},
	} {
		writeTable(&text, table.title, table.counts, table.lines)
	}
	if _, err := text.WriteTo(tables); err != nil {
		return err
	}
	if err := tables.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "read=%d stored=%d already=%d failed=%d\n", r.read, r.stored, r.already, r.failed)
	return err
}

// writeTable writes the names with the highest counts.
func writeTable(w *bytes.Buffer, title string, counts map[string]int, lines int) {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	})
	shown := names[:min(lines, len(names))]
	fmt.Fprintf(w, "%s (%d of %d)\n", title, len(shown), len(names))
	for _, name := range shown {
		fmt.Fprintf(w, "  %d\t  %s\n", counts[name], printable(name))
	}
	fmt.Fprintln(w)
}

// printable quotes what could move the cursor or break a table: names come from
// whoever made the events.
func printable(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// witness is a store that counts, by field, the secrets that were taken out of the
// traces on their way into it.
type witness struct {
	*filestore.Store
	report *report
}

// Append implements cts.Appender.
func (w witness) Append(ctx context.Context, batch []cts.Entry) (cts.Appended, error) {
	done, err := w.Store.Append(ctx, batch)
	if err != nil {
		return done, err
	}
	for _, e := range batch {
		if e.JSON == nil || !bytes.Contains(e.JSON, []byte(`"redacted":[`)) {
			continue
		}
		if t, err := cts.ParseTrace(e.JSON); err == nil { // the store has just taken it
			for _, mark := range t.Ext.Redacted {
				w.report.redacted[mark.Field]++
			}
		}
	}
	return done, nil
}
