//go:build race

package redact_test

// raceEnabled is whether the race detector is on, under which a sync.Pool forgets
// at random.
const raceEnabled = true
