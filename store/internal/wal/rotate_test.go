package wal_test

import (
	"slices"
	"testing"

	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// TestRotate begins files where that leaves another one finished, and nowhere else.
func TestRotate(t *testing.T) {
	one := frameOf(1, "a")
	for _, tt := range []struct {
		name   string
		number uint64 // of the newest file there was
		frames []wal.Frame
		want   []uint64 // files, when Rotate was called twice
	}{
		{"a log that never had a file", 0, nil, nil},
		{"a log that is not to go on in its last file", 3, nil, []uint64{4}},
		{"a file with something in it", 0, []wal.Frame{one}, []uint64{1, 2}},
	} {
		mem, log := newLogAt(t, tt.number, tt.frames...)
		for range 2 { // the second finds an empty file
			if err := log.Rotate(); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
		}
		got, err := wal.List(mem, "/")
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: files %v, want %v, %v", tt.name, got, tt.want, err)
		}
		if next := log.Next(); next != uint64(len(tt.frames))+1 {
			t.Errorf("%s: next is %d", tt.name, next)
		}
	}
}
