package cts

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
)

// oneState is a state store with room for one name, whose saves can fail after they
// took effect.
type oneState struct {
	data       []byte
	generation uint64
	fail       error
}

func (s *oneState) LoadState(context.Context, string) ([]byte, uint64, error) {
	return s.data, s.generation, nil
}

func (s *oneState) SaveState(_ context.Context, _ string, data []byte, generation uint64) (uint64, error) {
	if generation != s.generation {
		return 0, ErrStateConflict
	}
	s.data, s.generation = data, s.generation+1
	return s.generation, s.fail
}

// A save that failed after it took effect does not make the tracker its own rival; a
// save by another boot does.
func TestSaveAfterAFailedSave(t *testing.T) {
	states := new(oneState)
	tracker := &Tracker{states: states, writer: Writer{Boot: "mine"}, opts: TrackerOptions{Name: "n"}}
	tracker.boots.Boots = []boot{{ID: "mine", Low: 1}}
	states.fail = errors.New("no answer")
	if err := tracker.saveBoots(t.Context()); !errors.Is(err, states.fail) {
		t.Fatal(err)
	}
	states.fail = nil
	tracker.boots.Boots = nil
	if err := tracker.saveBoots(t.Context()); err != nil {
		t.Errorf("save after a failed one: %v", err)
	}
	other := &Tracker{states: states, writer: Writer{Boot: "other"}, opts: TrackerOptions{Name: "n"}}
	other.boots.Boots = []boot{{ID: "other"}}
	other.boots.generation = states.generation
	if err := other.saveBoots(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tracker.saveBoots(t.Context()); !errors.Is(err, ErrStateConflict) {
		t.Errorf("save behind another boot: %v, want ErrStateConflict", err)
	}
}

// The low mark is never behind an attempt that is open, nor behind one that Begin
// gave up and the store may have; and it moves on when they are gone.
func TestLowMarkStaysBeforeOpenAttempts(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 5))
		var attempts openAttempts
		at := Position(0)
		places := map[*Attempt]Position{}
		var firstLost Position
		mark := Position(0)
		for range 500 {
			switch rng.IntN(4) {
			case 0:
				a := new(Attempt)
				if !attempts.add(a, 20) {
					if len(places) < 20 {
						t.Fatalf("seed %d: no slot with %d attempts", seed, len(places))
					}
					continue
				}
				at += Position(1 + rng.IntN(5))
				places[a] = at
				if rng.IntN(100) == 0 {
					attempts.drop(a, true)
					delete(places, a)
					if firstLost == 0 {
						firstLost = at
					}
				}
			case 1:
				for a := range places {
					attempts.remove(a)
					delete(places, a)
					break
				}
			default:
				at += Position(1 + rng.IntN(5))
				attempts.reached(at)
			}
			low, held := attempts.low()
			for _, p := range places {
				if low > p {
					t.Fatalf("seed %d: low mark %d behind the open attempt at %d", seed, low, p)
				}
			}
			if firstLost != 0 && low > firstLost {
				t.Fatalf("seed %d: low mark %d behind the lost attempt at %d", seed, low, firstLost)
			}
			if held != (len(places) > 0 || firstLost != 0) || low < mark {
				t.Fatalf("seed %d: held %v with %d attempts, low %d after %d", seed, held, len(places), low, mark)
			}
			mark = low
		}
	}
}

// Who waits for the low mark is told once for each step, however long an attempt
// holds it back.
func TestLowMarkIsLookedAtSeldom(t *testing.T) {
	var attempts openAttempts
	attempts.saved(1)
	attempts.add(new(Attempt), 1)
	looks := 0
	for at := Position(1); at <= 4*lowMarkStep; at++ {
		if attempts.reached(at) {
			looks++
			if !attempts.due() || attempts.due() {
				t.Fatal("a look that is due is due once")
			}
		}
	}
	if looks < 3 || looks > 32 {
		t.Errorf("%d looks in %d traces", looks, 4*lowMarkStep)
	}
}
