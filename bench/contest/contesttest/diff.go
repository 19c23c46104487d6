package contesttest

import (
	"fmt"
	"slices"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// Diff says in words where two answers differ, "" if nowhere.
func Diff(got, want contest.Answer) string {
	switch {
	case len(got.IDs) != len(want.IDs):
		return fmt.Sprintf("%d traces, want %d", len(got.IDs), len(want.IDs))
	case !slices.Equal(got.IDs, want.IDs):
		i := 0
		for got.IDs[i] == want.IDs[i] {
			i++
		}
		return fmt.Sprintf("trace %d of %d is %s, want %s", i, len(want.IDs), got.IDs[i], want.IDs[i])
	case got.Sum != want.Sum:
		return fmt.Sprintf("the right traces with other fields: sum %x, want %x", got.Sum, want.Sum)
	case got.Count != want.Count:
		return fmt.Sprintf("count %d, want %d", got.Count, want.Count)
	case !slices.Equal(got.Groups, want.Groups):
		return fmt.Sprintf("groups %v, want %v", got.Groups, want.Groups)
	}
	return ""
}
