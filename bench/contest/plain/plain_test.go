package plain_test

import (
	"slices"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
)

func record(id string, ms int64, service, user, ip, request string) contest.Record {
	t := &cts.Trace{ID: id, Time: ms, ServiceType: service, Name: "do", Rating: cts.RatingNormal, SourceIP: ip, Request: request}
	t.User.Name = user
	return contest.Record{Trace: t, JSON: t.AppendJSON(nil)}
}

// five are loaded out of order, two in one millisecond.
func five() []contest.Record {
	return []contest.Record{
		record("a", 20, "ECS", "eve", "1.1.1.1", `{"id":"disk7"}`),
		record("b", 10, "ECS", "bob", "1.1.1.1", `{"id":"disk77"}`),
		record("c", 20, "IAM", "eve", "2.2.2.2", `{"disk7":1}`),
		record("d", 30, "IAM", "", "", ""),
		record("e", 15, "ECS", "eve", "2.2.2.2", `disk7x`),
	}
}

func TestAskTakesTheNewestFirst(t *testing.T) {
	for _, c := range []struct {
		name string
		q    contest.Question
		want []string
	}{
		{"all", contest.Question{}, []string{"d", "c", "a", "e", "b"}},
		{"limited", contest.Question{Limit: 2}, []string{"d", "c"}},
		{"skipped", contest.Question{Skip: 2, Limit: 2}, []string{"a", "e"}},
		{"pages", contest.Question{Skip: 1, Limit: 1, Pages: 3}, []string{"c", "a", "e"}},
		{"pages beyond the end", contest.Question{Skip: 4, Limit: 2, Pages: 3}, []string{"b"}},
		{"skipped altogether", contest.Question{Skip: 9, Limit: 2}, nil},
		{"user", contest.Question{User: "eve", Limit: 9}, []string{"c", "a", "e"}},
		{"user and address", contest.Question{User: "eve", SourceIP: "2.2.2.2"}, []string{"c", "e"}},
		{"service and name", contest.Question{Service: "IAM", Name: "do"}, []string{"d", "c"}},
		{"another name", contest.Question{Service: "IAM", Name: "undo"}, nil},
		{"rating", contest.Question{Rating: "incident"}, nil},
		{"from", contest.Question{From: 20}, []string{"d", "c", "a"}},
		{"range", contest.Question{From: 15, To: 20}, []string{"e"}},
		{"word", contest.Question{Word: "disk7"}, []string{"c", "a"}},
		{"substring", contest.Question{Substring: "disk7"}, []string{"c", "a", "e", "b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := plain.Ask(five(), c.q); !slices.Equal(got.IDs, c.want) || got.Count != 0 || got.Groups != nil {
				t.Errorf("Ask(%+v) = %+v, want the traces %v", c.q, got, c.want)
			}
		})
	}
}

func TestAskSumsWhatWasRead(t *testing.T) {
	whole, heads := plain.Ask(five(), contest.Question{}), plain.Ask(five(), contest.Question{Heads: true})
	if whole.Sum == 0 || heads.Sum == 0 || whole.Sum == heads.Sum {
		t.Errorf("sums %x of whole traces and %x of heads, want two different ones", whole.Sum, heads.Sum)
	}
	if other := plain.Ask(five()[:4], contest.Question{}); other.Sum == whole.Sum {
		t.Errorf("a trace less and the same sum %x", other.Sum)
	}
}

func TestAskCounts(t *testing.T) {
	got := plain.Ask(five(), contest.Question{Count: true, User: "eve", Limit: 1})
	if got.Count != 3 || got.IDs != nil {
		t.Errorf("count %+v, want 3 and no traces", got)
	}
}

func TestAskGroups(t *testing.T) {
	for _, c := range []struct {
		q    contest.Question
		want []contest.Group
	}{
		{contest.Question{GroupBy: "service"}, []contest.Group{{Key: "ECS", Count: 3}, {Key: "IAM", Count: 2}}},
		{contest.Question{GroupBy: "user"}, []contest.Group{{Key: "eve", Count: 3}, {Key: "", Count: 1}, {Key: "bob", Count: 1}}},
		{contest.Question{GroupBy: "user", Top: 2}, []contest.Group{{Key: "eve", Count: 3}, {Key: "", Count: 1}}},
		{contest.Question{GroupBy: "user", From: 20, To: 30}, []contest.Group{{Key: "eve", Count: 2}}},
	} {
		if got := plain.Ask(five(), c.q); !slices.Equal(got.Groups, c.want) || got.IDs != nil {
			t.Errorf("Ask(%+v) = %+v, want the groups %v", c.q, got, c.want)
		}
	}
}

func TestHasWord(t *testing.T) {
	for _, c := range []struct {
		text, word string
		want       bool
	}{
		{"disk7", "disk7", true},
		{"a disk7.", "disk7", true},
		{"a_disk7_", "disk7", true},
		{"disk77 disk7", "disk7", true},
		{"disk77", "disk7", false},
		{"xdisk7", "disk7", false},
		{"édisk7", "disk7", false},
		{"disk7é", "disk7", false},
		{"disk7٣", "disk7", false},
		{"\xffdisk7\xff", "disk7", true},
		{"Disk7", "disk7", false},
		{"", "disk7", false},
		{"aa aaa", "aaa", true},
	} {
		if got := plain.HasWord(c.text, c.word); got != c.want {
			t.Errorf("HasWord(%q, %q) = %v", c.text, c.word, got)
		}
	}
}
