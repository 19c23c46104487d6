package filestore

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
	"github.com/cloudtraceservice/cts/store/storetest"
)

// benchSegmentBytes is how much JSON a segment is made of: that of a log file.
const benchSegmentBytes = defaultLogFileBytes

// benchTraces calls f for each workload of the benchmarks: its name, and the JSON of its
// traces. The workloads are the files that FILESTORE_TRACES in the environment names,
// with commas between them, that have a trace in each line; and without it traces like
// those of the tests.
func benchTraces(b *testing.B, f func(b *testing.B, lines [][]byte)) {
	files := os.Getenv("FILESTORE_TRACES")
	if files == "" {
		var lines [][]byte
		for _, t := range storetest.Traces(1, 50_000) {
			lines = append(lines, t.AppendJSON(nil))
		}
		b.Run("tests", func(b *testing.B) { f(b, lines) })
		return
	}
	for _, name := range strings.Split(files, ",") {
		text, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
		b.Run(strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), func(b *testing.B) { f(b, lines) })
	}
}

// sealLines writes a segment of traces as the keeper does.
func sealLines(b *testing.B, w *segment.Writer, out io.Writer, first cts.Position, lines [][]byte, dict []byte) segment.Info {
	b.Helper()
	w.Reset(&segment.Options{Dictionary: dict})
	var rows rowMaker
	for i, json := range lines {
		row, err := rows.parse(first+cts.Position(i), json)
		if err != nil {
			b.Fatal(err)
		}
		if err := w.Add(row); err != nil {
			b.Fatal(err)
		}
	}
	info, err := w.Finish(out)
	if err != nil {
		b.Fatal(err)
	}
	return info
}

// logFile returns how many of the first lines are in one log file.
func logFile(lines [][]byte) int {
	size := 0
	for n, l := range lines {
		if size += len(l); size > benchSegmentBytes {
			return n
		}
	}
	return len(lines)
}

func dictionaryOf(b *testing.B, data []byte) []byte {
	b.Helper()
	s, err := segment.Open("bench", data)
	if err != nil {
		b.Fatal(err)
	}
	texts, err := s.Texts()
	if err != nil {
		b.Fatal(err)
	}
	return texts.Dictionary()
}

// processorTime returns the time that the process has computed, as far as Linux tells: to
// ten milliseconds. It says more than the clock where others compute too.
func processorTime() time.Duration {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	_, fields, _ := bytes.Cut(stat, []byte(") "))
	ticks := time.Duration(0)
	for i, field := range bytes.Fields(fields) {
		if i == 11 || i == 12 { // user and system
			n, _ := strconv.Atoi(string(field))
			ticks += time.Duration(n)
		}
	}
	return ticks * 10 * time.Millisecond
}

// perTrace reports what one trace takes.
func perTrace(b *testing.B, traces int, size int64, began time.Duration) {
	b.ReportMetric(float64((processorTime()-began).Nanoseconds())/float64(b.N*traces), "cpu-ns/trace")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*traces), "ns/trace")
	b.ReportMetric(float64(size)/float64(traces), "B/trace")
}

// BenchmarkSeal measures the making of segments of the JSON of a log file: with the
// dictionary of phrases of the segment before, as most are made, and with one of its own.
func BenchmarkSeal(b *testing.B) {
	benchTraces(b, func(b *testing.B, lines [][]byte) {
		n := min(logFile(lines), len(lines)/2)
		var before bytes.Buffer
		w := segment.NewWriter(layout.schema, nil)
		sealLines(b, w, &before, 1, lines[:n], nil)
		lines = lines[n : 2*n]
		for _, dict := range [][]byte{dictionaryOf(b, before.Bytes()), nil} {
			name := "given"
			if dict == nil {
				name = "learned"
			}
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				began := processorTime()
				var info segment.Info
				for b.Loop() {
					out := bufio.NewWriterSize(io.Discard, 256<<10)
					info = sealLines(b, w, out, 1, lines, dict)
				}
				perTrace(b, len(lines), info.FileBytes, began)
			})
		}
	})
}

// BenchmarkMerge measures the merging of as many segments as the keeper merges.
func BenchmarkMerge(b *testing.B) {
	benchTraces(b, func(b *testing.B, lines [][]byte) {
		for _, parts := range []int{mergeFanIn, busyFanIn} {
			var segments []*segment.Segment
			w := segment.NewWriter(layout.schema, nil)
			var dict []byte
			for i := range parts {
				var out bytes.Buffer
				from, to := i*len(lines)/parts, (i+1)*len(lines)/parts
				if i%dictionaryLife == 0 {
					dict = nil
				}
				sealLines(b, w, &out, cts.Position(from+1), lines[from:to], dict)
				dict = dictionaryOf(b, out.Bytes())
				s, err := segment.Open("bench", out.Bytes())
				if err != nil {
					b.Fatal(err)
				}
				segments = append(segments, s)
			}
			b.Run(fmt.Sprint(parts), func(b *testing.B) {
				b.ReportAllocs()
				began := processorTime()
				var info segment.Info
				var err error
				for b.Loop() {
					out := bufio.NewWriterSize(io.Discard, 256<<10)
					if info, err = segment.Merge(out, nil, segments); err != nil {
						b.Fatal(err)
					}
				}
				perTrace(b, len(lines), info.FileBytes, began)
			})
		}
	})
}
