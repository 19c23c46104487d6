package cts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// bootState is the named state in which a tracker keeps its open boots: those whose
// attempts may lack an outcome. It is how a kill is noticed.
//
// Its name is "tracker." and the tracker's name, with an upper-case letter written
// as '.' and the lower-case one. It is JSON.
type bootState struct {
	Version int    `json:"v"`
	Boots   []boot `json:"boots"`

	generation uint64
}

const (
	bootStateVersion = 1
	writerState      = "writer"
)

func (t *Tracker) bootStateName() string {
	var b strings.Builder
	b.WriteString("tracker.")
	for _, c := range t.opts.Name {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('.')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// parse reads a saved state; nil is one that was never saved.
func (s *bootState) parse(data []byte) error {
	if data == nil {
		return nil
	}
	var head struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return err
	}
	if head.Version != bootStateVersion {
		return fmt.Errorf("%w: it has version %d, this release reads %d", ErrVersion, head.Version, bootStateVersion)
	}
	return json.Unmarshal(data, s)
}

// saveBoots saves the open boots.
func (t *Tracker) saveBoots(ctx context.Context) error {
	if t.states == nil {
		return nil
	}
	t.boots.Version = bootStateVersion
	data, err := json.Marshal(&t.boots)
	if err != nil {
		return err
	}
	generation, err := t.states.SaveState(ctx, t.bootStateName(), data, t.boots.generation)
	if errors.Is(err, ErrStateConflict) {
		if found, ok := t.ownBoots(ctx); ok { // a save that failed had taken effect
			generation, err = t.states.SaveState(ctx, t.bootStateName(), data, found)
		}
	}
	if errors.Is(err, ErrStateConflict) {
		return fmt.Errorf("%w: a second tracker %q was opened on the same store", err, t.opts.Name)
	}
	if err != nil {
		return fmt.Errorf("saving the open boots: %w", err)
	}
	t.boots.generation = generation
	return nil
}

// ownBoots returns the generation of the saved boots, if it was this boot that saved
// them.
func (t *Tracker) ownBoots(ctx context.Context) (uint64, bool) {
	data, generation, err := t.states.LoadState(ctx, t.bootStateName())
	var saved bootState
	if err == nil {
		err = saved.parse(data)
	}
	return generation, err == nil && len(saved.Boots) == 1 && saved.Boots[0].ID == t.writer.Boot
}

// lowMarkStep is how far the low mark of this boot may fall behind before it is
// saved again: about how many traces the next Open has to read.
const lowMarkStep = 50_000

// saveLowMark moves the low mark when it has fallen far behind. Only the flusher
// calls it.
func (t *Tracker) saveLowMark(ctx context.Context) {
	if t.states == nil || !t.attempts.due() {
		return
	}
	low, _ := t.attempts.low()
	before := t.boots.Boots[0].Low
	if low < before+lowMarkStep {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, t.opts.AppendTimeout)
	defer cancel()
	t.boots.Boots[0].Low = low
	if err := t.saveBoots(ctx); err != nil {
		t.boots.Boots[0].Low = before
		t.failed(0, err)
		return
	}
	t.attempts.saved(low)
}
