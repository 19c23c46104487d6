package gzdump_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
	"github.com/cloudtraceservice/cts/bench/peers/gzdump"
)

// TestTheFilesHoldTheTraces compares the lines with the canonical JSON, which is what
// encoding/json makes of the struct.
func TestTheFilesHoldTheTraces(t *testing.T) {
	records := contesttest.Records(6, 3000)
	unknown := records[7].Trace.Clone()
	m, err := cts.Members("").With("new_member", []byte(`[1,2]`))
	if err != nil {
		t.Fatal(err)
	}
	unknown.Unknown = m
	records[7] = contest.Record{Trace: unknown, JSON: unknown.AppendJSON(nil)}
	for len(records) < 60_000 {
		records = append(records, records[:3000]...) // two files
	}
	dir := t.TempDir()
	d := gzdump.New()
	size, err := d.Dump(t.Context(), records, dir)
	if err != nil {
		t.Fatal(err)
	}
	if i := d.Info(); i.Name == "" || i.Version == "" || i.Setup == "" {
		t.Errorf("Info %+v", i)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 2 {
		t.Fatalf("files %v, %v; want two", names, err)
	}
	slices.Sort(names)
	var all []byte
	onDisk := int64(0)
	for _, name := range names {
		text, n := read(t, name)
		all, onDisk = append(all, text...), onDisk+n
	}
	if size != onDisk {
		t.Errorf("Dump says %d bytes, the files have %d", size, onDisk)
	}
	i := 0
	for line := range bytes.Lines(all) {
		if i < len(records) && !bytes.Equal(bytes.TrimSuffix(line, []byte("\n")), records[i].JSON) {
			t.Fatalf("line %d is\n%s, want\n%s", i, line, records[i].JSON)
		}
		i++
	}
	if i != len(records) {
		t.Errorf("%d lines, want %d", i, len(records))
	}
}

func read(t *testing.T, name string) ([]byte, int64) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text, int64(len(raw))
}
