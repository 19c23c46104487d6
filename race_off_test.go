//go:build !race

package cts_test

const raceEnabled = false
