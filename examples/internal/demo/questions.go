package demo

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/cloudtraceservice/cts"
)

// answer prints what an operator asks an audit trail.
func answer(ctx context.Context, out io.Writer, store cts.Reader) error {
	if err := about(ctx, out, store, "deleteServer", func(id string) error {
		return show(ctx, out, store, "Who deleted "+id+"?",
			cts.Query{}.Where(cts.Eq(cts.FieldResourceID, id), cts.Eq(cts.FieldTraceName, "deleteServer")))
	}); err != nil {
		return err
	}
	if err := about(ctx, out, store, "updateServer", func(id string) error {
		return show(ctx, out, store, "What changed on "+id+", in order?",
			cts.Query{}.Where(cts.Eq(cts.FieldResourceID, id), cts.Eq(cts.FieldReadOnly, "false")).OldestFirst())
	}); err != nil {
		return err
	}
	last10 := time.Now().Add(-10 * time.Minute)
	if err := show(ctx, out, store, "Everything that bob did in the last ten minutes?",
		cts.Query{}.Where(cts.Eq(cts.FieldUser, "bob")).Between(last10, time.Time{})); err != nil {
		return err
	}
	if err := show(ctx, out, store, "All failures of the volumes?",
		cts.Query{}.Where(cts.Eq(cts.FieldServiceType, "EVS"), cts.GreaterEqual(cts.FieldCode, 400))); err != nil {
		return err
	}
	if err := show(ctx, out, store, "What crashed?",
		cts.Query{}.Where(cts.Eq(cts.FieldTraceRating, string(cts.RatingIncident)))); err != nil {
		return err
	}
	return failing(ctx, out, store)
}

// about calls ask with the resource of the newest successful operation of a name, if
// there was one.
func about(ctx context.Context, out io.Writer, store cts.Reader, name string, ask func(id string) error) error {
	newest, err := cts.ReadPage(ctx, store, cts.Query{}.
		Where(cts.Eq(cts.FieldTraceName, name), cts.Eq(cts.FieldOutcome, string(cts.OutcomeSuccess))).Limited(1))
	if err != nil {
		return err
	}
	if len(newest.Traces) == 0 {
		fmt.Fprintf(out, "\nNobody did a %s.\n", name)
		return nil
	}
	return ask(newest.Traces[0].ResourceID)
}

// shown is how many traces of an answer are printed.
const shown = 6

// show prints the first traces of an answer, and how many there are in all.
func show(ctx context.Context, out io.Writer, store cts.Reader, question string, q cts.Query) error {
	fmt.Fprintf(out, "\n%s\n", question)
	table := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	n := 0
	for e, err := range store.Query(ctx, q.HeadsOnly()) {
		if err != nil {
			return err
		}
		if n++; n > shown {
			continue
		}
		t := e.Trace
		who := cmp.Or(t.User.Name, "(not authenticated)")
		what := t.ResourceID
		for _, c := range t.Ext.Changes {
			what += fmt.Sprintf(" %s: %s → %s", c.Field, c.Old, c.New)
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\n", time.UnixMilli(t.Time).Format("15:04:05.000"),
			who, t.SourceIP, t.Name, t.Code, t.Ext.Outcome, what)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if n > shown {
		fmt.Fprintf(out, "  … %d in all\n", n)
	}
	return nil
}

// failing prints the users whose requests fail most.
func failing(ctx context.Context, out io.Writer, store cts.Reader) error {
	fmt.Fprint(out, "\nWhich users fail most?\n")
	counts := map[string]int{}
	for e, err := range store.Query(ctx, cts.Query{}.Where(cts.GreaterEqual(cts.FieldCode, 400)).HeadsOnly()) {
		if err != nil {
			return err
		}
		counts[cmp.Or(e.Trace.User.Name, "(not authenticated)")]++
	}
	users := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b))
	})
	for _, u := range users {
		fmt.Fprintf(out, "  %5d  %s\n", counts[u], u)
	}
	return nil
}
