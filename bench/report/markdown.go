package report

import (
	"io"
	"slices"
	"strings"
)

// WriteMarkdown writes the run as a page: what is measured and what is not, the rows
// in which ours is behind first, all figures of all contestants, how each was set up,
// and notes that were written by hand.
func WriteMarkdown(w io.Writer, r *Run, notes string) error {
	out := &sink{w: w}
	out.printf("# Benchmarks\n\n")
	out.printf("Made by the program in `bench/` on %s, in %s, with\n\n    %s\n\n", r.Begun.UTC().Format("2006-01-02 15:04 UTC"), r.Took.Round(1_000_000_000), r.Command)
	for _, line := range r.Machine {
		out.printf("- %s\n", line)
	}
	for _, line := range r.Workloads {
		out.printf("- %s\n", line)
	}
	out.printf("\nOurs is %s.\n", r.Verdict())
	out.printf("Absolute figures hold for this machine and hour; ratios are taken within the run.\n")
	out.printf("A ratio above 1 means that ours is ahead.\n")
	if r.Incomplete != "" {
		out.printf("\n**The run is incomplete: %s**\n", r.Incomplete)
	}
	if len(r.Errors) > 0 {
		out.printf("\n## Errors\n\n")
		for _, e := range r.Errors {
			out.printf("- %s\n", cell(e))
		}
	}
	behind, others := Ordered(r.Rows)
	out.printf("\n## Where ours is behind\n\n")
	if len(behind) == 0 {
		out.printf("Nowhere in this run.\n")
	} else {
		out.summary(behind, true)
	}
	out.printf("\n## All other rows\n")
	for _, group := range Groups(others) {
		out.printf("\n### %s\n\n", heading(group))
		out.summary(inGroup(others, group), false)
	}
	out.measured()
	if notes = strings.TrimSpace(notes); notes != "" {
		out.printf("\n%s\n", notes)
	}
	out.printf("\n## Every contestant's figures\n")
	for _, group := range Groups(r.Rows) {
		out.everybody(group, inGroup(r.Rows, group))
	}
	out.contestants(r)
	return out.err
}

func inGroup(rows []*Row, group string) []*Row {
	var in []*Row
	for _, r := range rows {
		if r.Group == group {
			in = append(in, r)
		}
	}
	return in
}

func heading(group string) string {
	if group == "" {
		return group
	}
	return strings.ToUpper(group[:1]) + group[1:]
}

// cell escapes what would end a table's cell.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "|", `\|`), "\n", " ")
}

// summary writes the table of ours, best peer and limit.
func (s *sink) summary(rows []*Row, group bool) {
	s.printf("| row | workload | ours | best peer | | ratio | limit | ratio | spread |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		name := r.Name
		if group {
			name = r.Group + ": " + name
		}
		if r.Note != "" {
			name += " (" + r.Note + ")"
		}
		s.printf("| %s |", cell(name))
		for _, c := range cells(r) {
			s.printf(" %s |", cell(c))
		}
		s.printf("\n")
	}
}

// everybody writes the figures of all contestants of a group.
func (s *sink) everybody(group string, rows []*Row) {
	var peers []string
	limit := false
	for _, r := range rows {
		for _, name := range r.PeerNames() {
			if !slices.Contains(peers, name) {
				peers = append(peers, name)
			}
		}
		limit = limit || r.Limit != nil
	}
	if len(peers) == 0 {
		return
	}
	slices.Sort(peers)
	s.printf("\n### %s\n\n| row | workload | better | ours |", heading(group))
	for _, p := range peers {
		s.printf(" %s |", p)
	}
	if limit {
		s.printf(" limit |")
	}
	s.printf("\n|---|---|---|---|%s\n", strings.Repeat("---|", len(peers)+map[bool]int{true: 1}[limit]))
	for _, r := range rows {
		s.printf("| %s | %s | %s | %s |", cell(r.Name), r.Workload, r.Better, optional(r.Ours, r.Unit, r.BestPeer == "" || !r.Behind()))
		for _, p := range peers {
			if v, ok := r.Peers[p]; ok {
				s.printf(" %s |", optional(&v, r.Unit, r.BestPeer == p && (r.Ours == nil || r.Behind())))
			} else {
				s.printf(" — |")
			}
		}
		if limit {
			s.printf(" %s |", optional(r.Limit, r.Unit, false))
		}
		s.printf("\n")
	}
}

func optional(v *float64, unit string, bold bool) string {
	switch {
	case v == nil:
		return "—"
	case bold:
		return "**" + Figure(*v, unit) + "**"
	}
	return Figure(*v, unit)
}

// contestants writes who took part and how.
func (s *sink) contestants(r *Run) {
	s.printf("\n## Contestants\n\n| role | contestant | version | set up |\n|---|---|---|---|\n")
	for _, c := range r.Contests {
		s.printf("| %s | %s | %s | %s |\n", c.Role, c.Name, cell(c.Version), cell(c.Setup))
	}
	if len(r.Missing) == 0 {
		s.printf("\nNone is missing.\n")
		return
	}
	s.printf("\nMissing:\n\n")
	for _, m := range r.Missing {
		s.printf("- %s (%s): %s\n", m.Name, m.Role, cell(m.Reason))
	}
}
