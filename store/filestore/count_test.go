package filestore_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// A user counts once, under the name that people know, whatever column that is in.
func TestCountByFirstValue(t *testing.T) {
	s := open(t, vfs.OS, t.TempDir(), filestore.Options{Sync: filestore.SyncOS})
	var entries []cts.Entry
	for i := range 3000 {
		tr := traceOf(i + 1)
		tr.User = cts.User{}
		name := fmt.Sprintf("user-%d", i%40)
		switch i % 4 {
		case 0:
			tr.User.Name = name
		case 1:
			tr.User.UserName, tr.User.ID = name, "other"
		case 2:
			tr.User.ID = name
		}
		entries = append(entries, cts.Entry{Trace: tr})
	}
	mustAppend(t, s, entries...)
	questions := []cts.Aggregation{
		{By: []cts.Field{cts.FieldUser}},
		{By: []cts.Field{cts.FieldUser}, Top: 3},
		{By: []cts.Field{cts.FieldUser, cts.FieldTraceName}, Top: 5},
	}
	ask := func() (answers [][]cts.Group) {
		for _, question := range questions {
			groups, err := cts.Aggregate(background, s, cts.Query{}, question)
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, groups)
		}
		return answers
	}
	want := ask()
	if err := s.Compact(background); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, ask()); diff != "" {
		t.Errorf("sealed and unsealed differ (-unsealed +sealed):\n%s", diff)
	}
}

// A value that occurs in more rows in a row than are judged at a time, and in few of
// all, is counted fully.
func TestCountOfManyRowsInARow(t *testing.T) {
	s := open(t, vfs.OS, t.TempDir(), filestore.Options{Sync: filestore.SyncOS})
	const before, batch, behind = 12_000, 1_000, 12_000
	var entries []cts.Entry
	for i := range before + batch + behind {
		tr := traceOf(i + 1)
		tr.User.Name, tr.User.ID, tr.User.UserName = fmt.Sprintf("user-%d", i%50), "", ""
		tr.Name = "often"
		if i >= before && i < before+batch {
			tr.User.Name = "batch"
			if i%10 == 0 {
				tr.Name = "seldom"
			}
		}
		if entries = append(entries, cts.Entry{Trace: tr}); len(entries) == 1000 {
			mustAppend(t, s, entries...)
			entries = entries[:0]
		}
	}
	q := cts.Query{}.Where(cts.Eq(cts.FieldUser, "batch"))
	question := cts.Aggregation{By: []cts.Field{cts.FieldTraceName}}
	want, err := cts.Aggregate(background, s, q, question)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(background); err != nil {
		t.Fatal(err)
	}
	got, err := cts.Aggregate(background, s, q, question)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sealed and unsealed differ (-unsealed +sealed):\n%s", diff)
	}
	if len(got) != 2 || got[0].Count+got[1].Count != batch {
		t.Errorf("there are %+v, want %d in all", got, batch)
	}
	top := cts.Aggregation{By: []cts.Field{cts.FieldUser}, Top: 3}
	groups, err := cts.Aggregate(background, s, cts.Query{}, top)
	if err != nil {
		t.Fatal(err)
	}
	if len(groups) != 3 || groups[0].Values[0] != "batch" || groups[0].Count != batch || groups[1].Values[0] != "user-0" {
		t.Errorf("the top users are %+v", groups)
	}
}
