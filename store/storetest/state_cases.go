package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/cloudtraceservice/cts"
)

var stateCases = []conformance{
	{
		name: "state-absent",
		rule: withSource("A state that was never saved is nil with generation 0."),
		why:  "It is how a consumer knows that it begins.",
		run: func(s *subject) {
			data, generation, err := s.states().LoadState(background, "absent")
			if data != nil || generation != 0 || err != nil {
				s.Errorf("LoadState of an absent state: %q, %d, %v", data, generation, err)
			}
		},
	},
	{
		name: "state-saved",
		rule: withSource("SaveState replaces the state if its generation is still the one given, and returns the new one."),
		why:  "Plans and checkpoints move forward by it.",
		run: func(s *subject) {
			st := s.states()
			seen := map[uint64]bool{0: true}
			generation := uint64(0)
			for _, data := range []string{"one", "", "\x00\xff\n", "one", strings.Repeat("x", 100_000)} {
				next, err := st.SaveState(background, "a.plan", []byte(data), generation)
				if err != nil {
					s.Fatalf("SaveState with generation %d: %v", generation, err)
				}
				if seen[next] {
					s.Errorf("generation %d was there before", next)
				}
				seen[next], generation = true, next
				s.loads("a.plan", data, generation)
			}
		},
	},
	{
		name: "state-conflict",
		rule: withSource("Otherwise it fails with ErrStateConflict."),
		why:  "Of two who work from one plan, the second must learn that the first was there.",
		run: func(s *subject) {
			st := s.states()
			refused := func(generation uint64) {
				s.Helper()
				if _, err := st.SaveState(background, "s", []byte("other"), generation); !errors.Is(err, cts.ErrStateConflict) {
					s.Errorf("SaveState with the wrong generation %d: %v, want %v", generation, err, cts.ErrStateConflict)
				}
			}
			refused(1)
			first := s.saves("s", "first", 0)
			refused(0)
			refused(first + 1)
			second := s.saves("s", "second", first)
			for _, g := range []uint64{0, first, second + 1, 1 << 63} {
				refused(g)
			}
			s.loads("s", "second", second)
		},
	},
	{
		name: "state-names",
		rule: withSource("A name has 1 to 200 of the characters a-z, 0-9, '.', '-' and '_' and does not begin with '.'; every name is a state of its own."),
		why:  "Names become file names; one with a path in it would leave the store.",
		run: func(s *subject) {
			st := s.states()
			long := strings.Repeat("n", 200)
			for _, name := range []string{"", ".", "..", ".hidden", "a/b", "../x", `a\b`, "A", "é", "a b", "a\x00", long + "n", "a:b", "*"} {
				if _, err := st.SaveState(background, name, []byte("x"), 0); err == nil {
					s.Errorf("SaveState takes the name %q", name)
				}
				if _, _, err := st.LoadState(background, name); err == nil {
					s.Errorf("LoadState takes the name %q", name)
				}
			}
			names := []string{"a", "a.b", "a..b", "-", "_", "0", "con", "nul.txt", "a-b_c.9", "a.tmp", "lock", long, long[1:]}
			generations := map[string]uint64{}
			for _, name := range names {
				generations[name] = s.saves(name, "data of "+name, 0)
			}
			for _, name := range names {
				s.loads(name, "data of "+name, generations[name])
			}
		},
	},
	{
		name: "state-too-large",
		rule: withSource("A state is at most MaxStateBytes."),
		why:  "A state is read whole into memory.",
		run: func(s *subject) {
			st := s.states()
			largest := strings.Repeat("x", cts.MaxStateBytes)
			generation := s.saves("s", largest, 0)
			if _, err := st.SaveState(background, "s", []byte(largest+"x"), generation); !errors.Is(err, cts.ErrTooLarge) {
				s.Errorf("SaveState of %d bytes: %v, want %v", len(largest)+1, err, cts.ErrTooLarge)
			}
			s.loads("s", largest, generation)
		},
	},
	{
		name: "state-memory",
		rule: withSource("What is passed to SaveState and returned by LoadState is the caller's own."),
		why:  "The Dumper changes its plan in place.",
		run: func(s *subject) {
			st := s.states()
			data := []byte("genuine")
			generation, err := st.SaveState(background, "s", data, 0)
			if err != nil {
				s.Fatalf("SaveState: %v", err)
			}
			copy(data, "#######")
			s.loads("s", "genuine", generation)
			loaded, _, _ := st.LoadState(background, "s")
			copy(loaded, "#######")
			s.loads("s", "genuine", generation)
		},
	},
	{
		name: "state-concurrent",
		rule: withSource("SaveState replaces the state only if its generation is still the one given, also when many try at once."),
		why:  "It is the lock that two consumers of one checkpoint have.",
		run: func(s *subject) {
			st := s.states()
			var wins atomic.Int64
			parallel(6, func(int) {
				for range 20 {
					data, generation, err := st.LoadState(background, "counter")
					if err != nil {
						s.Errorf("LoadState: %v", err)
						return
					}
					_, err = st.SaveState(background, "counter", append(data, '1'), generation)
					switch {
					case err == nil:
						wins.Add(1)
					case !errors.Is(err, cts.ErrStateConflict):
						s.Errorf("SaveState: %v", err)
					}
				}
			})
			data, _, err := st.LoadState(background, "counter")
			if err != nil || int64(len(data)) != wins.Load() {
				s.Errorf("%d saves succeeded, the state has counted %d (%v)", wins.Load(), len(data), err)
			}
		},
	},
	{
		name: "state-beside-traces",
		rule: withSource("Named states lie beside the traces."),
		why:  "They are no records and take no positions.",
		run: func(s *subject) {
			for n := range 5 {
				s.append(plain(n))
				s.saves(fmt.Sprintf("s%d", n), "x", 0)
			}
			s.holds(plains(0, 5)...)
		},
	},
	{
		name: "state-after-reopen",
		rule: withSource("SaveState replaces the state durably and at once."),
		why:  "A plan is saved before the first object is written, so that a restart finds it.",
		run: func(s *subject) {
			s.states()
			generations := map[string]uint64{}
			for round := range 3 {
				for _, name := range []string{"plan", "chain", "empty"} {
					data := fmt.Sprintf("%s %d", name, round)
					if name == "empty" {
						data = ""
					}
					generations[name] = s.saves(name, data, generations[name])
				}
				s.append(plain(round))
				s.reopen()
				s.loads("plan", fmt.Sprintf("plan %d", round), generations["plan"])
				s.loads("chain", fmt.Sprintf("chain %d", round), generations["chain"])
				s.loads("empty", "", generations["empty"])
				if _, err := s.states().SaveState(background, "plan", nil, generations["plan"]-1); !errors.Is(err, cts.ErrStateConflict) {
					s.Errorf("SaveState with an old generation after reopening: %v, want %v", err, cts.ErrStateConflict)
				}
			}
			s.holds(plains(0, 3)...)
		},
	},
}

// states returns the ability to keep states, and skips the case without it.
func (s *subject) states() cts.StateStore {
	s.Helper()
	st, ok := s.store.(cts.StateStore)
	if !ok {
		s.Skip("the store keeps no states")
	}
	return st
}

func (s *subject) saves(name, data string, generation uint64) uint64 {
	s.Helper()
	next, err := s.states().SaveState(background, name, []byte(data), generation)
	if err != nil {
		s.Fatalf("SaveState of %q with generation %d: %v", name, generation, err)
	}
	return next
}

func (s *subject) loads(name, data string, generation uint64) {
	s.Helper()
	got, g, err := s.states().LoadState(background, name)
	if err != nil || !bytes.Equal(got, []byte(data)) || g != generation {
		s.Errorf("LoadState of %q: %d bytes %.20q, generation %d, %v, want %d bytes %.20q, generation %d", name, len(got), got, g, err, len(data), data, generation)
	}
}
