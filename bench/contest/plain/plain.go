// Package plain answers the questions of the benchmark with a loop over the traces.
// It is slow and obviously right: the answers of all contestants are compared with
// it.
package plain

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

// Ask answers q over records, which are in the order of loading. Whoever asks more
// than once should keep the result of [Newest] and ask that.
func Ask(records []contest.Record, q contest.Question) contest.Answer {
	return Newest(records).Ask(q)
}

// Ordered are records with the newest first: by time, and among equal times the one
// that was loaded last.
type Ordered []contest.Record

// Newest returns records, which are in the order of loading, in the order of answers.
func Newest(records []contest.Record) Ordered {
	o := slices.Clone(records)
	slices.Reverse(o)
	slices.SortStableFunc(o, func(a, b contest.Record) int { return cmp.Compare(b.Trace.Time, a.Trace.Time) })
	return o
}

// Ask answers q. An empty value is a value when it is grouped by: the traces without
// a user are one group, its key is empty.
func (o Ordered) Ask(q contest.Question) contest.Answer {
	var a contest.Answer
	groups := map[string]int64{}
	skip, room := q.Skip, -1
	if q.Limit > 0 {
		room = q.Limit * max(1, q.Pages)
	}
	for _, r := range o {
		switch {
		case !Match(&q, r.Trace):
		case q.GroupBy != "":
			groups[key(&q, r.Trace)]++
		case q.Count:
			a.Count++
		case skip > 0:
			skip--
		case room != 0:
			room--
			t := r.Trace
			a.Add(&q, t.ID, t.ServiceType, t.Name, t.User.Name, t.SourceIP, t.Request, t.Response)
		}
	}
	if q.GroupBy != "" {
		a.Groups = Top(groups, q.Top)
	}
	return a
}

// Match reports whether t meets every condition of q that is set.
func Match(q *contest.Question, t *cts.Trace) bool {
	return is(q.ResourceID, t.ResourceID) && is(q.User, t.User.Name) && is(q.Service, t.ServiceType) &&
		is(q.Name, t.Name) && is(q.Rating, string(t.Rating)) && is(q.SourceIP, t.SourceIP) &&
		t.Time >= q.From && (q.To == 0 || t.Time < q.To) &&
		(q.Word == "" || HasWord(t.Request, q.Word)) && strings.Contains(t.Request, q.Substring)
}

func is(want, got string) bool { return want == "" || want == got }

func key(q *contest.Question, t *cts.Trace) string {
	if q.GroupBy == "user" {
		return t.User.Name
	}
	return t.ServiceType
}

// HasWord reports whether word, which is letters and digits, stands in text with
// anything else, or nothing, on both sides. Letters and digits are those of Unicode,
// categories L and Nd. Case counts.
func HasWord(text, word string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return false
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		after, _ := utf8.DecodeRuneInString(text[i+len(word):])
		if !inWord(before) && !inWord(after) {
			return true
		}
		from = i + 1
	}
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// Top returns the n groups with the highest counts, all for 0, in the order of
// answers: by count descending, then by key.
func Top(counts map[string]int64, n int) []contest.Group {
	groups := make([]contest.Group, 0, len(counts))
	for k, c := range counts {
		groups = append(groups, contest.Group{Key: k, Count: c})
	}
	slices.SortFunc(groups, func(a, b contest.Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Key, b.Key))
	})
	if n > 0 && len(groups) > n {
		groups = groups[:n]
	}
	return groups
}
