//go:build !race

package filestore_test

// raceEnabled reports whether the race detector is on.
const raceEnabled = false
