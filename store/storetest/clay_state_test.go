package storetest

import (
	"bytes"
	"context"
	"errors"
	"runtime"

	"github.com/cloudtraceservice/cts"
)

// This file keeps the states of a clay.

func (c *clay) LoadState(ctx context.Context, name string) ([]byte, uint64, error) {
	defer c.mu.RUnlock()
	if err := c.enter(ctx); err != nil {
		return nil, 0, err
	}
	name, err := c.stateName(name)
	if err != nil {
		return nil, 0, err
	}
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	s, ok := c.disk.states[name]
	switch {
	case !ok && c.is("an absent state is an error"):
		return nil, 0, errors.New("no such state")
	case c.is("shares the memory of states"):
		return s.data, s.generation, nil
	}
	return bytes.Clone(s.data), s.generation, nil
}

func (c *clay) stateName(name string) (string, error) {
	switch {
	case c.is("takes any name"):
		return name, nil
	case c.is("cuts names"):
		return name[:min(len(name), 3)], cts.CheckStateName(name)
	}
	return name, cts.CheckStateName(name)
}

func (c *clay) SaveState(ctx context.Context, name string, data []byte, generation uint64) (uint64, error) {
	defer c.mu.RUnlock()
	if err := c.enter(ctx); err != nil {
		return 0, err
	}
	name, err := c.stateName(name)
	if err != nil {
		return 0, err
	}
	if len(data) > cts.MaxStateBytes && !c.is("takes large states") {
		return 0, cts.ErrTooLarge
	}
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	old := c.disk.states[name]
	if old.generation != generation && !c.is("ignores generations") {
		return 0, cts.ErrStateConflict
	}
	if c.is("compares generations before it locks") {
		c.disk.mu.Unlock()
		for range 20 {
			runtime.Gosched()
		}
		c.disk.mu.Lock()
	}
	next := state{data: append([]byte{}, data...), generation: generation + 1}
	switch {
	case c.is("all generations are one"):
		next.generation = 1
	case c.is("states are traces"):
		c.disk.put(plain(1<<20+len(c.disk.log)).AppendJSON(nil), name)
	case c.is("shares the memory of states"):
		next.data = data
	}
	c.disk.states[name] = next
	return next.generation, nil
}
