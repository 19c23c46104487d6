package kv_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
	"github.com/cloudtraceservice/cts/bench/peers/internal/kv"
	"github.com/cloudtraceservice/cts/bench/peers/internal/row"
)

type entry struct{ key, value string }

// memory is an ordered key-value store: sorted slices.
type memory struct {
	spaces [kv.Spaces][]entry
	writer kv.Writer
	seq    uint64
}

func (*memory) Info() contest.Info {
	return contest.Info{Name: "memory", Version: "1", Setup: "slices"}
}
func (*memory) Close() error                 { return nil }
func (*memory) Reopen(context.Context) error { return nil }

func (m *memory) Load(_ context.Context, batch []contest.Record) error {
	for _, r := range batch {
		m.seq++
		t := row.Of(r)
		err := m.writer.Write(&t, m.seq, func(s kv.Space, key, value []byte) error {
			m.spaces[s] = append(m.spaces[s], entry{string(key), string(value)})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Finish(context.Context) error {
	for _, s := range m.spaces {
		slices.SortFunc(s, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	}
	return nil
}

func (m *memory) Ask(_ context.Context, q contest.Question) (contest.Answer, error) {
	return kv.Ask(m, &q)
}

func (m *memory) View(with func(kv.Reader) error) error { return with(m) }

func (m *memory) at(s kv.Space, key string) int {
	i, _ := slices.BinarySearchFunc(m.spaces[s], key, func(e entry, k string) int { return strings.Compare(e.key, k) })
	return i
}

func (m *memory) Get(k kv.Key, with func([]byte) error) error {
	i := m.at(kv.Traces, string(k[:]))
	if i == len(m.spaces[kv.Traces]) || m.spaces[kv.Traces][i].key != string(k[:]) {
		return fmt.Errorf("no trace %x", k)
	}
	return once([]byte(m.spaces[kv.Traces][i].value), with)
}

// once lends memory and takes it back.
func once(value []byte, with func([]byte) error) error {
	defer clear(value)
	return with(value)
}

func (m *memory) Scan(s kv.Space, start, end []byte, backwards bool, visit func(key, value []byte) (bool, error)) error {
	part := slices.Clone(m.spaces[s][m.at(s, string(start)):m.at(s, string(end))])
	if backwards {
		slices.Reverse(part)
	}
	for _, e := range part {
		key, value := []byte(e.key), []byte(e.value)
		more, err := visit(key, value)
		clear(key)
		clear(value)
		if !more || err != nil {
			return err
		}
	}
	return nil
}

func TestAnswersAreThoseOfThePlainLoop(t *testing.T) {
	contesttest.Database(t, func(string) (contest.Database, error) { return &memory{}, nil })
}

func TestKeysAreInTheOrderOfAnswers(t *testing.T) {
	keys := []kv.Key{kv.KeyOf(0, 0), kv.KeyOf(0, 1), kv.KeyOf(1, 0), kv.KeyOf(1, 1<<32), kv.KeyOf(256, 0), kv.KeyOf(4_102_416_000_000, 1<<40-1)}
	for i := 1; i < len(keys); i++ {
		if bytes.Compare(keys[i-1][:], keys[i][:]) >= 0 {
			t.Errorf("key %d is not above the one before: %x, %x", i, keys[i-1], keys[i])
		}
	}
}

// TestLongAndOddValues checks values that would run into one another if they were
// only joined.
func TestLongAndOddValues(t *testing.T) {
	records := contesttest.Records(8, 60)
	odd := []string{"a", "ab", "a\x00b", strings.Repeat("s", 127), strings.Repeat("s", 128), strings.Repeat("s", 255), strings.Repeat("s", 300), "\x01a", ""}
	for i, r := range records {
		c := *r.Trace
		c.ServiceType, c.Name, c.User.Name = odd[i%len(odd)], odd[i/2%len(odd)], odd[i/3%len(odd)]
		records[i] = contest.Record{Trace: &c, JSON: c.AppendJSON(nil)}
	}
	m := &memory{}
	if err := m.Load(context.Background(), records); err != nil {
		t.Fatal(err)
	}
	if err := m.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	contesttest.Ask(t, "odd values", m, records)
}
