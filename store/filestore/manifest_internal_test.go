package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
)

var testID = uuid.MustParse("01907a3c-5b1e-7c40-8a51-2f0e6d9c4b17")

func sampleManifest() *manifest {
	return &manifest{
		id: testID, generation: 12, number: 7, oldest: 1, next: 70001,
		segments: []segmentInfo{
			{number: 6, first: 1, last: 35000, rows: 35000, bytes: 5242880, minTime: 1767225600000, maxTime: 1767225700000, minRecord: 1767225600003, maxRecord: 1767225700009},
			{number: 7, first: 35001, last: 70000, rows: 34999, bytes: 5242880, minTime: 1767225690000, maxTime: 1767225800000, minRecord: 1767225690001, maxRecord: 1767225800001},
		},
		lost: []*cts.CorruptionError{{File: "log/00000002.log", Offset: 4711, First: 35017, Last: 35017, Err: errChecksum}},
	}
}

// sealText gives a text the checksum that its last line must have.
func sealText(body string) []byte {
	return fmt.Appendf(nil, "%scrc32c %08x\n", body, crc32c([]byte(body)))
}

func TestManifestFormat(t *testing.T) {
	text := sampleManifest().text()
	for _, line := range []string{
		"cts manifest\nversion 1\nstore 01907a3c-5b1e-7c40-8a51-2f0e6d9c4b17\ngeneration 12\nnumber 7\noldest 1\nnext 70001\n",
		"segment 7 35001 70000 34999 5242880 1767225690000 1767225800000 1767225690001 1767225800001\n",
		"lost 35017 35017 log/00000002.log 4711 checksum\n",
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
	m, err := parseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	if again := m.text(); !bytes.Equal(again, text) {
		t.Errorf("parsed and written again:\n%s", again)
	}
	if !errors.Is(m.lost[0].Err, errChecksum) {
		t.Errorf("the cause became %v", m.lost[0].Err)
	}
}

func TestManifestRefuses(t *testing.T) {
	good := string(sampleManifest().text())
	body, _, _ := strings.Cut(good, "crc32c ")
	for name, b := range map[string][]byte{
		"nothing":             nil,
		"another file":        sealText("cts filestore\nversion 1\n"),
		"checksum":            []byte(strings.Replace(good, "next 70001", "next 70002", 1)),
		"cut":                 []byte(good[:len(good)-20]),
		"unknown line":        sealText(body + "and more\n"),
		"overlap":             sealText(strings.Replace(body, "segment 7 35001", "segment 7 35000", 1)),
		"rows over the range": sealText(strings.Replace(body, "70000 34999", "70000 35001", 1)),
		"beyond next":         sealText(strings.Replace(body, "next 70001", "next 70000", 1)),
		"number too high":     sealText(strings.Replace(body, "number 7", "number 6", 1)),
		"no rows":             sealText(strings.Replace(body, "70000 34999", "70000 0", 1)),
		"oldest 0":            sealText(strings.Replace(body, "oldest 1", "oldest 0", 1)),
		"cause":               sealText(strings.Replace(body, "4711 checksum", "4711 moonlight", 1)),
	} {
		if m, err := parseManifest(b); err == nil {
			t.Errorf("%s: taken as %+v", name, m)
		}
	}
	newer := sealText(strings.Replace(body, "version 1", "version 2", 1))
	if _, err := parseManifest(newer); !errors.Is(err, cts.ErrVersion) {
		t.Errorf("newer version: %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(sampleManifest().text())
	f.Add((&manifest{id: testID, oldest: 1, next: 1}).text())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if err != nil {
			return
		}
		again, err := parseManifest(m.text())
		if err != nil || !bytes.Equal(again.text(), m.text()) {
			t.Errorf("%q was taken, and is not when it is written again: %v", b, err)
		}
	})
}

func TestConsumersFormat(t *testing.T) {
	positions := map[string]cts.Position{"dumper": 4711, "a.b": 0}
	text := consumersText(testID.String(), positions)
	want := "cts consumers\nversion 1\nstore 01907a3c-5b1e-7c40-8a51-2f0e6d9c4b17\nconsumer a.b 0\nconsumer dumper 4711\n"
	if !bytes.Equal(text, sealText(want)) {
		t.Errorf("got\n%s", text)
	}
	got, err := parseConsumers(text, testID.String())
	if err != nil || len(got) != 2 || got["dumper"] != 4711 {
		t.Errorf("%v, %v", got, err)
	}
	for name, b := range map[string][]byte{
		"another store": consumersText(uuid.Nil.String(), positions),
		"checksum":      bytes.Replace(text, []byte("4711"), []byte("4712"), 1),
		"name":          sealText(strings.Replace(want, "dumper", "../dumper", 1)),
		"position":      sealText(strings.Replace(want, "4711", "-1", 1)),
	} {
		if got, err := parseConsumers(b, testID.String()); err == nil {
			t.Errorf("%s: taken as %v", name, got)
		}
	}
}

// TestDue checks which segments are merged: neighbours of one class, eight of them or
// more, of a busy store 32, the newest first, and never more rows than a segment may have.
func TestDue(t *testing.T) {
	segments := func(rows ...int) (all []segmentInfo) {
		for i, n := range rows {
			all = append(all, segmentInfo{number: uint64(i + 1), rows: n})
		}
		return all
	}
	const small, medium = 30_000, 400_000
	tests := map[string]struct {
		rows     []int
		busy     bool
		from, to int
		ok       bool
	}{
		"none":        {},
		"seven":       {rows: []int{small, small, small, small, small, small, small}},
		"eight":       {rows: []int{small, small, small, small, small, small, small, small}, to: 8, ok: true},
		"nine":        {rows: []int{small, small, small, small, small, small, small, small, small}, to: 9, ok: true},
		"forty":       {rows: slices.Repeat([]int{small}, 40), from: 8, to: 40, ok: true},
		"busy, 31":    {rows: slices.Repeat([]int{small}, 31), busy: true},
		"busy, 32":    {rows: slices.Repeat([]int{small}, 32), busy: true, to: 32, ok: true},
		"interrupted": {rows: []int{small, small, small, small, medium, small, small, small, small}},
		"older class": {rows: []int{medium, medium, medium, medium, medium, medium, medium, medium, small}, to: 8, ok: true},
		"too large":   {rows: []int{maxMergedRows, maxMergedRows, maxMergedRows, maxMergedRows, maxMergedRows, maxMergedRows, maxMergedRows, maxMergedRows}},
	}
	for name, tt := range tests {
		least := mergeFanIn
		if tt.busy {
			least = busyFanIn
		}
		from, to, ok := due(segments(tt.rows...), least)
		if ok != tt.ok || ok && (from != tt.from || to != tt.to) {
			t.Errorf("%s: %d to %d, %v; want %d to %d, %v", name, from, to, ok, tt.from, tt.to, tt.ok)
		}
	}
}

// TestPins checks that nothing is freed while somebody may read it, and all of it then.
func TestPins(t *testing.T) {
	var p pins
	freed := map[string]bool{}
	retire := func(name string) { p.retire(nil, func() error { freed[name] = true; return nil }) }
	first, _ := p.acquire()
	retire("seen by the first")
	second, _ := p.acquire()
	retire("seen by both")
	first.release()
	if !freed["seen by the first"] || freed["seen by both"] {
		t.Errorf("after the first: %v", freed)
	}
	third, _ := p.acquire()
	if err := p.close(); err != nil || freed["seen by both"] {
		t.Errorf("close: %v, %v", err, freed)
	}
	if _, ok := p.acquire(); ok {
		t.Error("somebody reads after close")
	}
	second.release()
	third.release()
	if !freed["seen by both"] {
		t.Errorf("at the end: %v", freed)
	}
}
