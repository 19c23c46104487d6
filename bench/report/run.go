package report

import (
	"fmt"
	"strings"
	"time"
)

// Run is all that one run of the benchmark found.
type Run struct {
	Begun      time.Time
	Took       time.Duration
	Command    string
	Machine    []string // lines about the machine
	Workloads  []string // lines about the workloads
	Rows       []*Row
	Contests   []Contestant
	Missing    []Missing
	Errors     []string // answers that differ, and contestants that failed
	Incomplete string   // why the run ended early, "" if it did not
}

// Contestant is one that took part, in one role.
type Contestant struct {
	Role, Name, Version, Setup string
}

// Missing is a contestant that could not be set up.
type Missing struct {
	Role, Name, Reason string
}

// Add adds a row.
func (r *Run) Add(row *Row) {
	row.Finish()
	r.Rows = append(r.Rows, row)
}

// Fail adds an error.
func (r *Run) Fail(format string, args ...any) {
	r.Errors = append(r.Errors, fmt.Sprintf(format, args...))
}

// TookPart notes a contestant once.
func (r *Run) TookPart(c Contestant) {
	for _, have := range r.Contests {
		if have == c {
			return
		}
	}
	r.Contests = append(r.Contests, c)
}

// NotThere notes a contestant that is missing, once.
func (r *Run) NotThere(m Missing) {
	m.Reason = strings.TrimSpace(m.Reason)
	for _, have := range r.Missing {
		if have.Role == m.Role && have.Name == m.Name {
			return
		}
	}
	r.Missing = append(r.Missing, m)
}

// Verdict is one line about how ours stands.
func (r *Run) Verdict() string {
	ahead, behind, even, wide := 0, 0, 0, 0
	for _, row := range r.Rows {
		if row.Wide() {
			wide++
		}
		switch {
		case row.RatioBestPeer == nil:
		case row.Behind():
			behind++
		case *row.RatioBestPeer > 1:
			ahead++
		default:
			even++
		}
	}
	s := fmt.Sprintf("behind the best peer in %d rows, ahead in %d", behind, ahead)
	if even > 0 {
		s += fmt.Sprintf(", equal in %d", even)
	}
	return s + fmt.Sprintf("; %d rows with a wide spread; %d errors", wide, len(r.Errors))
}
