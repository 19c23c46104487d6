// Package report holds what the benchmark measured and writes it down: a table, JSON,
// Markdown and charts.
package report

import (
	"encoding/json"
	"io"
	"math"
	"slices"
	"strings"
)

// Better says which way a figure is good.
type Better string

// The ways.
const (
	Lower  Better = "lower"
	Higher Better = "higher"
)

// WideSpread is the spread above which a row is not to be relied on.
const WideSpread = 0.25

// Row is one figure of all contestants. Absent figures are nil or missing.
//
// Ratios are written so that more than 1 means that ours is ahead, or better than the
// limit's figure.
type Row struct {
	Group    string             `json:"group"`
	Name     string             `json:"name"`
	Workload string             `json:"workload"`
	Unit     string             `json:"unit"`
	Better   Better             `json:"better"`
	Ours     *float64           `json:"ours"`
	Peers    map[string]float64 `json:"peers"`
	Limit    *float64           `json:"limit"`

	BestPeer      string   `json:"best_peer,omitempty"`
	RatioBestPeer *float64 `json:"ratio_best_peer"`
	RatioLimit    *float64 `json:"ratio_limit"`

	// Spread is the distance between the quartiles of the repetitions to their
	// median, the wider of ours and the best peer's (the limit's, without peers);
	// nil for what was measured once.
	Spread *float64 `json:"spread"`

	LimitName string             `json:"limit_name,omitempty"` // what the limit is
	Note      string             `json:"note,omitempty"`       // what a reader must know about this row
	Spreads   map[string]float64 `json:"-"`                    // of each contestant, by name; ours is under "", the limit under "limit"
}

// Finish works out best peer, ratios and spread.
func (r *Row) Finish() {
	r.BestPeer, r.RatioBestPeer, r.RatioLimit, r.Spread = "", nil, nil, nil
	if r.Peers == nil {
		r.Peers = map[string]float64{}
	}
	for _, name := range r.PeerNames() {
		if v := r.Peers[name]; r.BestPeer == "" || r.ahead(v, r.Peers[r.BestPeer]) > 1 {
			r.BestPeer = name
		}
	}
	if r.Ours != nil {
		if r.BestPeer != "" {
			r.RatioBestPeer = finite(r.ahead(*r.Ours, r.Peers[r.BestPeer]))
		}
		if r.Limit != nil {
			r.RatioLimit = finite(r.ahead(*r.Ours, *r.Limit))
		}
	}
	with := "limit"
	if r.BestPeer != "" {
		with = r.BestPeer
	}
	for _, name := range []string{"", with} {
		if s, ok := r.Spreads[name]; ok && (r.Spread == nil || s > *r.Spread) {
			r.Spread = finite(s)
		}
	}
}

// PeerNames returns the names of the peers with a figure, sorted.
func (r *Row) PeerNames() []string {
	names := make([]string, 0, len(r.Peers))
	for name := range r.Peers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ahead says how many times better a is than b.
func (r *Row) ahead(a, b float64) float64 {
	if r.Better == Higher {
		return a / b
	}
	return b / a
}

// Behind reports whether the best peer is ahead.
func (r *Row) Behind() bool { return r.RatioBestPeer != nil && *r.RatioBestPeer < 1 }

// Wide reports whether the repetitions differ too much for the row to be relied on.
func (r *Row) Wide() bool { return r.Spread != nil && *r.Spread > WideSpread }

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// Ordered returns the rows with those first in which ours is behind, the furthest
// behind at the top; the others keep their order.
func Ordered(rows []*Row) (behind, others []*Row) {
	for _, r := range rows {
		if r.Behind() {
			behind = append(behind, r)
		} else {
			others = append(others, r)
		}
	}
	slices.SortStableFunc(behind, func(a, b *Row) int {
		switch {
		case *a.RatioBestPeer < *b.RatioBestPeer:
			return -1
		case *a.RatioBestPeer > *b.RatioBestPeer:
			return 1
		}
		return 0
	})
	return behind, others
}

// Groups returns the groups of the rows in the order in which they first occur.
func Groups(rows []*Row) []string {
	var groups []string
	for _, r := range rows {
		if !slices.Contains(groups, r.Group) {
			groups = append(groups, r.Group)
		}
	}
	return groups
}

// WriteJSON writes the rows as a JSON array.
func WriteJSON(w io.Writer, rows []*Row) error {
	if rows == nil {
		rows = []*Row{}
	}
	for _, r := range rows {
		for name, v := range r.Peers {
			if finite(v) == nil {
				delete(r.Peers, name)
			}
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(rows)
}

// slug makes a file name of a text.
func slug(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			return c
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		}
		return '-'
	}, s)
	for strings.Contains(s, "--") {
		s = strings.ReplaceAll(s, "--", "-")
	}
	return strings.Trim(s, "-")
}
