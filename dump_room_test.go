//go:build !race

package cts

import (
	"bytes"
	"runtime"
	"testing"
)

// Under the race detector pools forget at random, so this file is left out there.

// Content is not copied from buffer to buffer while it fills: what is allocated is no more
// than a part of it.
func TestTraceFilesUseTheirRoomAgain(t *testing.T) {
	p := &packer{workers: 2}
	trace := bytes.Repeat([]byte("0123456789abcdef"), 50)
	const windows, files, traces = 10, 30, 400
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range windows {
		pack := p.begin(6)
		var all [files]*traceFile
		for i := range all {
			all[i] = newTraceFile(group{"t", "s"}, false, false, pack)
		}
		for range traces {
			for _, f := range all {
				f.add(trace, 1)
			}
		}
		for _, f := range all {
			f.finish()
		}
		if err := pack.wait(); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	content := uint64(windows * files * traces * len(trace))
	if got := after.TotalAlloc - before.TotalAlloc; got > content/2 {
		t.Errorf("%d MB allocated for %d MB of content", got>>20, content>>20)
	}
}
