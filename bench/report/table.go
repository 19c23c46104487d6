package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// WriteTable writes the run for a terminal: the rows in which ours is behind first,
// then all others by group.
func WriteTable(w io.Writer, r *Run) error {
	out := &sink{w: w}
	out.printf("%s\n", r.Command)
	for _, line := range slices.Concat(r.Machine, r.Workloads) {
		out.printf("  %s\n", line)
	}
	behind, others := Ordered(r.Rows)
	if len(behind) > 0 {
		out.printf("\nBEHIND the best peer, the furthest first\n")
		out.table(behind, true)
	}
	for _, group := range Groups(others) {
		var rows []*Row
		for _, row := range others {
			if row.Group == group {
				rows = append(rows, row)
			}
		}
		out.printf("\n%s\n", strings.ToUpper(group))
		out.table(rows, false)
	}
	out.printf("\nCONTESTANTS\n")
	for _, c := range r.Contests {
		out.printf("  %s %s (%s): %s\n", c.Name, c.Version, c.Role, c.Setup)
	}
	if len(r.Missing) > 0 {
		out.printf("\nMISSING contestants\n")
		for _, m := range r.Missing {
			out.printf("  %s (%s): %s\n", m.Name, m.Role, m.Reason)
		}
	}
	if len(r.Errors) > 0 {
		out.printf("\nERRORS\n")
		for _, e := range r.Errors {
			out.printf("  %s\n", e)
		}
	}
	if r.Incomplete != "" {
		out.printf("\nINCOMPLETE: %s\n", r.Incomplete)
	}
	out.printf("\nA ratio above 1 means that ours is ahead. Ours is %s. It took %s.\n", r.Verdict(), r.Took.Round(100_000_000))
	return out.err
}

// Columns of the table.
const header = "row\tworkload\tours\tbest peer\t\tratio\tlimit\tratio\tspread"

// sink keeps the first error.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) printf(format string, args ...any) {
	if s.err == nil {
		_, s.err = fmt.Fprintf(s.w, format, args...)
	}
}

func (s *sink) table(rows []*Row, group bool) {
	if s.err != nil {
		return
	}
	t := tabwriter.NewWriter(s.w, 0, 0, 2, ' ', 0)
	inner := &sink{w: t}
	inner.printf("  %s\n", header)
	for _, r := range rows {
		name := r.Name
		if group {
			name = r.Group + ": " + name
		}
		line := append(cells(r), r.Note)
		inner.printf("  %s\t%s\n", name, strings.TrimRight(strings.Join(line, "\t"), "\t"))
	}
	if inner.err == nil {
		inner.err = t.Flush()
	}
	s.err = inner.err
}

// cells are the columns behind the name.
func cells(r *Row) []string {
	figure := func(v *float64) string {
		if v == nil {
			return "—"
		}
		return Figure(*v, r.Unit)
	}
	times := func(v *float64) string {
		if v == nil {
			return "—"
		}
		return Times(*v)
	}
	peer, best := "—", ""
	if r.BestPeer != "" {
		peer, best = Figure(r.Peers[r.BestPeer], r.Unit), r.BestPeer
	}
	return []string{r.Workload, figure(r.Ours), peer, best, times(r.RatioBestPeer), figure(r.Limit), times(r.RatioLimit), spread(r)}
}

func spread(r *Row) string {
	switch {
	case r.Spread == nil:
		return "—"
	case r.Wide():
		return fmt.Sprintf("%.0f %% WIDE", *r.Spread*100)
	}
	return fmt.Sprintf("%.0f %%", *r.Spread*100)
}

// width is the number of characters of a text.
func width(s string) int { return utf8.RuneCountInString(s) }
