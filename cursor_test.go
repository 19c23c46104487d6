package cts

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// resumed returns the run of q in a store that goes on behind cursor.
func resumed(q Query, cursor, store string, last Position) (*Scan, error) {
	return q.Resume(cursor).Scan(store, last)
}

func cursorOf(tb testing.TB, q Query, store string, last Position, time int64, pos Position) string {
	tb.Helper()
	s, err := q.Scan(store, last)
	if err != nil {
		tb.Fatal(err)
	}
	return s.Entry(pos, &Trace{Time: time}, nil).Cursor()
}

func TestCursorGoesOnBehindItsTrace(t *testing.T) {
	for _, c := range []struct {
		order Order
		time  int64
		pos   Position
		want  bool
	}{
		{Newest, 101, 5, false},
		{Newest, 100, 11, false},
		{Newest, 100, 10, false},
		{Newest, 100, 9, true},
		{Newest, 99, 15, true},
		{Newest, 99, 20, true},
		{Newest, 99, 21, false}, // 20 is the ceiling
		{Oldest, 99, 15, false},
		{Oldest, 100, 9, false},
		{Oldest, 100, 10, false},
		{Oldest, 100, 11, true},
		{Oldest, 101, 5, true},
		{Oldest, 101, 20, true},
		{Oldest, 101, 21, false},
	} {
		q := Query{Order: c.order}
		s, err := resumed(q, cursorOf(t, q, "store", 20, 100, 10), "store", 30)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Includes(c.time, c.pos); got != c.want {
			t.Errorf("order %d, behind (100, 10): (%d, %d) is included: %v", c.order, c.time, c.pos, got)
		}
		if time, pos, ok := s.Start(); time != 100 || pos != 10 || !ok || s.Ceiling != 20 {
			t.Errorf("the run starts at (%d, %d), %v, with ceiling %d", time, pos, ok, s.Ceiling)
		}
	}
	s, err := Query{}.Scan("store", 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := s.Start(); ok || !s.Includes(math.MinInt64, 1) || !s.Includes(math.MaxInt64, 20) || s.Includes(0, 21) {
		t.Error("a run without a cursor does not include exactly what is up to the ceiling")
	}
}

func TestCursorRoundTrip(t *testing.T) {
	for _, time := range []int64{0, 1, -1, math.MaxInt64, math.MinInt64} {
		for _, pos := range []Position{0, 1, math.MaxUint64} {
			s, err := resumed(Query{}, cursorOf(t, Query{}, "s", math.MaxUint64, time, pos), "s", math.MaxUint64)
			if err != nil || s.time != time || s.pos != pos || s.Ceiling != math.MaxUint64 {
				t.Errorf("(%d, %d): %+v, %v", time, pos, s, err)
			}
		}
	}
}

func TestCursorOfThatQueryOnly(t *testing.T) {
	q := Query{From: 5, Condition: Eq(FieldUser, "anna")}
	cursor := cursorOf(t, q, "store", 20, 100, 10)
	for name, other := range map[string]Query{
		"limit": q.Limited(3), "heads": q.HeadsOnly(), "built again": {From: 5, Condition: In(FieldUser, "anna")},
	} {
		if _, err := resumed(other, cursor, "store", 20); err != nil {
			t.Errorf("another %s does not matter: %v", name, err)
		}
	}
	for name, other := range map[string]Query{
		"from":      {From: 6, Condition: q.Condition},
		"to":        {From: 5, To: 9, Condition: q.Condition},
		"order":     q.OldestFirst(),
		"time":      {From: 5, ByRecordTime: true, Condition: q.Condition},
		"attempts":  q.WithAttempts(),
		"condition": {From: 5},
		"value":     {From: 5, Condition: Eq(FieldUser, "Anna")},
		"case":      {From: 5, Condition: q.Condition.IgnoreCase()},
	} {
		if _, err := resumed(other, cursor, "store", 20); !errors.Is(err, ErrBadCursor) {
			t.Errorf("another %s: %v, want ErrBadCursor", name, err)
		}
	}
	if _, err := resumed(q, cursor, "another store", 20); !errors.Is(err, ErrBadCursor) {
		t.Errorf("another store: %v, want ErrBadCursor", err)
	}
	if _, err := resumed(q, cursor, "store", 19); !errors.Is(err, ErrBadCursor) {
		t.Errorf("a store that ends below the ceiling: %v, want ErrBadCursor", err)
	}
	if _, err := resumed(q.Limited(-1), cursor, "store", 20); !errors.Is(err, ErrBadQuery) {
		t.Errorf("a bad query with a good cursor: %v, want ErrBadQuery", err)
	}
}

func TestCursorDamage(t *testing.T) {
	cursor := cursorOf(t, Query{}, "store", 20, 100, 10)
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) != cursorBytes {
		t.Fatalf("%q: %d bytes, %v", cursor, len(raw), err)
	}
	for bit := range len(raw) * 8 {
		bad := append([]byte(nil), raw...)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, err := resumed(Query{}, base64.RawURLEncoding.EncodeToString(bad), "store", 20); !errors.Is(err, ErrBadCursor) {
			t.Fatalf("bit %d turned: %v, want ErrBadCursor", bit, err)
		}
	}
	for i := range len(cursor) {
		for _, bad := range []string{cursor[:i], cursor[:i] + cursor[i+1:], cursor[:i] + "\n" + cursor[i:], cursor[:i] + "=" + cursor[i:]} {
			if bad == "" {
				continue // no cursor is a new run
			}
			if _, err := resumed(Query{}, bad, "store", 20); !errors.Is(err, ErrBadCursor) {
				t.Fatalf("%q: %v, want ErrBadCursor", bad, err)
			}
		}
	}
	if _, err := resumed(Query{}, cursor+"AAAA", "store", 20); !errors.Is(err, ErrBadCursor) {
		t.Errorf("a longer cursor: %v", err)
	}
	raw[0] = cursorVersion + 1
	if _, err := resumed(Query{}, base64.RawURLEncoding.EncodeToString(raw), "store", 20); !errors.Is(err, ErrBadCursor) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a cursor of the next version: %v", err)
	}
}

func TestEntryCursorOfNoQuery(t *testing.T) {
	s, err := Query{}.Scan("store", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Entry{{}, {Position: 1, Trace: &Trace{}}, s.Entry(1, nil, []byte("{}"))} {
		if got := e.Cursor(); got != "" {
			t.Errorf("%+v has the cursor %q", e, got)
		}
	}
	if e := s.Entry(1, &Trace{Time: 5}, nil); e.Clone().Cursor() != e.Cursor() || e.Cursor() == "" {
		t.Error("a clone has another cursor")
	}
}

// randomCondition makes conditions of few parts, so that near misses are many.
func randomCondition(r *rand.Rand, depth int) Condition {
	c := Condition{Op: Op(r.IntN(int(OpWord) + 1)), Fold: r.IntN(4) == 0, Number: int64(r.IntN(3) - 1)}
	c.Field = []Field{"", "a", "ab", "b"}[r.IntN(4)]
	for range r.IntN(3) {
		c.Values = append(c.Values, []string{"", "a", "b", "ab", "a\x00", "\x01a"}[r.IntN(6)])
	}
	for range r.IntN(4) - 2 {
		c.Networks = append(c.Networks, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(2))}), 31+r.IntN(2)))
	}
	if depth > 0 {
		for range r.IntN(3) {
			c.Conditions = append(c.Conditions, randomCondition(r, depth-1))
		}
	}
	return c
}

// Two queries have one identity only if they are the same.
func TestIdentityIsInjective(t *testing.T) {
	r := rand.New(rand.NewPCG(40, 1))
	seen := map[string]string{}
	for range 50_000 {
		q := Query{From: int64(r.IntN(2)), To: int64(r.IntN(2)), Order: Order(r.IntN(2)), Condition: randomCondition(r, 2)}
		q.ByRecordTime, q.Attempts = r.IntN(2) == 0, r.IntN(2) == 0
		id, text := string(q.appendIdentity(nil)), fmt.Sprintf("%#v", q)
		if before, ok := seen[id]; ok && before != text {
			t.Fatalf("one identity for\n%s\n%s", before, text)
		}
		seen[id] = text
	}
	if len(seen) < 10_000 {
		t.Fatalf("only %d queries", len(seen))
	}
}

func FuzzCursor(f *testing.F) {
	f.Add("", uint64(20))
	f.Add("AQ", uint64(0))
	f.Add(cursorOf(f, Query{}, "store", 20, 100, 10), uint64(20))
	f.Fuzz(func(t *testing.T, cursor string, last uint64) {
		s, err := resumed(Query{}, cursor, "store", Position(last))
		switch {
		case err != nil && !errors.Is(err, ErrBadCursor):
			t.Fatalf("%q: %v, want ErrBadCursor", cursor, err)
		case err == nil && s.Ceiling > Position(last):
			t.Fatalf("%q: ceiling %d is behind the end of the store", cursor, s.Ceiling)
		case err == nil && cursor != "" && s.cursor(s.time, s.pos) != cursor:
			t.Fatalf("%q and %q are one cursor", cursor, s.cursor(s.time, s.pos))
		}
	})
}
