package cts_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
)

func TestErrorsAreToldApart(t *testing.T) {
	all := []error{
		cts.ErrInvalidTrace, cts.ErrTooLarge, cts.ErrIDConflict, cts.ErrOutcomeUnknown, cts.ErrStoreFull, cts.ErrLocked,
		cts.ErrClosed, cts.ErrReadOnly, cts.ErrBackpressure, cts.ErrNotSupported, cts.ErrBadQuery, cts.ErrBadCursor,
		cts.ErrPositionGone, cts.ErrCorrupt, cts.ErrVersion, cts.ErrStateConflict, cts.ErrForeignCheckpoint, cts.ErrConflict,
	}
	texts := map[string]bool{}
	for i, a := range all {
		if !strings.HasPrefix(a.Error(), "cts: ") || texts[a.Error()] {
			t.Errorf("%q does not name the package, or is there twice", a)
		}
		texts[a.Error()] = true
		for j, b := range all {
			if errors.Is(a, b) != (i == j) {
				t.Errorf("errors.Is(%v, %v) is %v", a, b, i != j)
			}
		}
	}
}

func TestErrorsWrapWhatTheySay(t *testing.T) {
	cause := errors.New("checksum")
	for _, c := range []struct {
		err  error
		is   []error
		text string
	}{
		{&cts.ParseError{Offset: 7, Line: 2, Column: 3, Field: "time", Reason: "r"}, []error{cts.ErrInvalidTrace}, `cts: line 2, column 3 (offset 7): member "time": r`},
		{&cts.ParseError{Line: 1, Column: 1, Reason: "r"}, []error{cts.ErrInvalidTrace}, "cts: line 1, column 1 (offset 0): r"},
		{&cts.FieldError{Field: "user.name", Reason: "r"}, []error{cts.ErrInvalidTrace}, "cts: field user.name: r"},
		{&cts.FieldError{Field: "f", Length: 9, Limit: 5, Reason: "too long"}, []error{cts.ErrInvalidTrace}, "cts: field f: too long: 9 bytes, limit 5"},
		{&cts.FieldError{Reason: "r"}, []error{cts.ErrInvalidTrace}, "cts: unknown members: r"},
		{&cts.ConflictError{Index: 3, ID: "a"}, []error{cts.ErrIDConflict}, `cts: trace 3 of the batch: id "a" is taken by another trace`},
		{&cts.CorruptionError{File: "f", Offset: 9, Err: cause}, []error{cts.ErrCorrupt, cause}, "cts: damage in f at offset 9: checksum"},
		{&cts.CorruptionError{File: "f", First: 3, Last: 5, Err: cause}, []error{cts.ErrCorrupt, cause}, "cts: damage in f at offset 0, traces 3 to 5 are lost: checksum"},
		{&cts.CorruptionError{File: "f"}, []error{cts.ErrCorrupt}, "cts: damage in f at offset 0: <nil>"},
	} {
		if got := c.err.Error(); got != c.text {
			t.Errorf("got  %s\nwant %s", got, c.text)
		}
		wrapped := fmt.Errorf("doing something: %w", c.err)
		for _, want := range c.is {
			if !errors.Is(wrapped, want) {
				t.Errorf("%v is not %v", wrapped, want)
			}
		}
		if errors.Is(wrapped, cts.ErrClosed) {
			t.Errorf("%v is what it does not say", wrapped)
		}
	}
	var corruption *cts.CorruptionError
	if !errors.As(errors.Join(cause, &cts.CorruptionError{File: "f"}), &corruption) || corruption.File != "f" {
		t.Error("a *CorruptionError is not found in a joined error")
	}
	var conflict *cts.ConflictError
	if errors.As(&cts.CorruptionError{}, &conflict) { // with no cause inside
		t.Error("a *ConflictError is found where there is none")
	}
}
