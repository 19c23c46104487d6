package cts_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
)

// check checks the promise of the Dumper: the bucket holds each trace once, byte for
// byte as it is stored, in order of position, and nothing else; no plan is left. A
// trace that can't be read may have been dumped before.
func (w *dumpWorld) check(tb testing.TB) {
	tb.Helper()
	checkBucket(tb, w)
}

// checkBucket is check for several worlds that share a bucket.
func checkBucket(tb testing.TB, worlds ...*dumpWorld) {
	tb.Helper()
	stored, position, home := map[string][]byte{}, map[string]cts.Position{}, map[string]*dumpWorld{}
	for _, w := range worlds {
		for e, err := range w.Store.After(context.Background(), 0) {
			if err != nil {
				tb.Fatal(err)
			}
			tr, err := cts.ParseTrace(e.JSON)
			if err != nil {
				tb.Fatal(err)
			}
			stored[tr.ID], position[tr.ID], home[tr.ID] = bytes.Clone(e.JSON), e.Position, w
		}
	}
	found := map[string]string{}
	for _, key := range worlds[0].keys(tb) {
		if strings.Contains(key, "/Complete/") {
			continue
		}
		last, writer := cts.Position(0), (*dumpWorld)(nil)
		for _, tr := range worlds[0].decode(tb, key) {
			if was, ok := found[tr.ID]; ok {
				tb.Errorf("trace %s is in %s and in %s", tr.ID, was, key)
			}
			if found[tr.ID] = key; !bytes.Equal(tr.AppendJSON(nil), stored[tr.ID]) {
				tb.Errorf("trace %s in %s is not the one that is stored", tr.ID, key)
			}
			if position[tr.ID] <= last || writer != nil && writer != home[tr.ID] {
				tb.Errorf("%s is not in order of position, or of two stores", key)
			}
			last, writer = position[tr.ID], home[tr.ID]
		}
	}
	for id, pos := range position {
		if found[id] == "" && !home[id].damaged[pos] {
			tb.Errorf("trace %s is in no file", id)
		}
	}
	for _, w := range worlds {
		if w.broken != nil {
			tb.Error(w.broken)
		}
		if w.made > len(w.damaged) {
			if st, _ := w.state(tb); st.Plan != nil {
				tb.Errorf("a plan is left: %+v", st.Plan)
			}
		}
	}
}

// decode returns the traces of a trace file, and checks its name and its form.
func (w *dumpWorld) decode(tb testing.TB, key string) []*cts.Trace {
	tb.Helper()
	if m := traceFileKey.FindStringSubmatch(key); len(m) == 0 || m[1] != m[5] || m[2]+m[3]+m[4] != m[6]+m[7]+m[8] {
		tb.Errorf("name of a trace file: %s", key)
	}
	content, object := w.content(tb, key)
	again := []byte("[")
	var traces []*cts.Trace
	for tr, err := range cts.NewDecoder(bytes.NewReader(content), &cts.DecoderOptions{TrustExt: true}).All() {
		if err != nil {
			tb.Fatalf("%s: %v", key, err)
		}
		if len(traces) > 0 {
			again = append(again, ',')
		}
		again = tr.AppendJSON(again)
		traces = append(traces, tr)
	}
	if again = append(again, ']'); !bytes.Equal(again, content) || !json.Valid(content) || bytes.ContainsAny(content, "\r\n") {
		tb.Errorf("%s is not a JSON array of traces on one line", key)
	}
	sum := sha256.Sum256(content)
	if object.Metadata["cts-traces"] != strconv.Itoa(len(traces)) || object.Metadata["cts-content-sha256"] != hex.EncodeToString(sum[:]) ||
		object.ContentType != map[bool]string{true: "application/gzip", false: "application/json"}[strings.HasSuffix(key, ".gz")] {
		tb.Errorf("%s with %d traces has the metadata %v", key, len(traces), object.Metadata)
	}
	return traces
}
