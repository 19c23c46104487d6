package cloudtrail_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/cloudtrail"
	"github.com/cloudtraceservice/cts/redact"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// realEvents returns the events of real files, each as it stands.
func realEvents(t *testing.T) []json.RawMessage {
	t.Helper()
	files, _ := filepath.Glob("../../../shared/data/cloudtrail-invictus/CloudTrail/*.json")
	if len(files) == 0 {
		t.Skip("no real CloudTrail files in ../shared/data, next to the project")
	}
	var events []json.RawMessage
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Records []json.RawMessage }
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		events = append(events, file.Records...)
		r := cloudtrail.NewReader(strings.NewReader(string(data)), nil)
		if ids, faults := read(r); len(ids) != len(file.Records) || faults != nil {
			t.Fatalf("%s: %d events read, there are %d; errors %v", filepath.Base(name), len(ids), len(file.Records), faults)
		}
	}
	if len(events) != 2900 {
		t.Fatalf("%d events, want 2900", len(events))
	}
	return events
}

func TestRealEventsComeBackWhole(t *testing.T) {
	for _, event := range realEvents(t) {
		tr, err := cloudtrail.Map(event)
		if err != nil {
			t.Fatal(err)
		}
		if meaning(t, event) != meaning(t, restored(t, tr)) { // no diff: it would show the tokens
			t.Fatalf("event %s does not come back", tr.Ext.Source.ID)
		}
		for name, text := range map[string]string{
			"service_type": tr.ServiceType, "source_ip": tr.SourceIP, "user.name": tr.User.Name, "domain_id": tr.DomainID,
			"outcome": string(tr.Ext.Outcome), "aws_region": tr.Ext.Labels["aws_region"], "read_only": tr.ReadOnly.String(),
		} {
			if text == "" {
				t.Errorf("event %s: no %s", tr.Ext.Source.ID, name)
			}
		}
		if tr.Type == cts.TypeOthers {
			t.Errorf("event %s has type Others", tr.Ext.Source.ID)
		}
	}
}

// takeTokens returns the session tokens in an event, and puts a mask in their place.
func takeTokens(v any, mask string) (tokens []string) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if text, ok := member.(string); ok && name == "sessionToken" {
				tokens = append(tokens, text)
				v[name] = mask
				continue
			}
			tokens = append(tokens, takeTokens(member, mask)...)
		}
	case []any:
		for _, element := range v {
			tokens = append(tokens, takeTokens(element, mask)...)
		}
	}
	return tokens
}

// TestRealEventsThroughATracker imports all events, and compares what is stored with
// the originals: they differ in the 36 session tokens, and in nothing else.
func TestRealEventsThroughATracker(t *testing.T) {
	events := realEvents(t)
	ctx := context.Background()
	store := memstore.New(nil)
	defer store.Close()
	tracker, err := cts.Open(ctx, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	traces := make([]*cts.Trace, len(events))
	originals := map[string]json.RawMessage{}
	for i, event := range events {
		if traces[i], err = cloudtrail.Map(event); err != nil {
			t.Fatal(err)
		}
		originals[cts.ImportedID(traces[i].Ext.Source)] = event
	}
	for _, want := range []cts.ImportResult{{Stored: 2900}, {Existing: 2900}} {
		got, err := tracker.Import(ctx, traces)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("import (-want +got):\n%s", diff)
		}
	}
	taken, compared := map[string]int{}, 0
	for e, err := range store.Query(ctx, cts.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Trace.Ext.Source.Name == "" {
			continue // the tracker's own
		}
		compared++
		for _, mark := range e.Trace.Ext.Redacted {
			taken[mark.Field]++
		}
		original := value(t, originals[e.Trace.ID])
		tokens := takeTokens(original, redact.Mask)
		if len(tokens) != len(e.Trace.Ext.Redacted) || len(e.Trace.Ext.Cut) != 0 {
			t.Errorf("event %s has %d tokens, and marks %v, %v", e.Trace.Ext.Source.ID, len(tokens), e.Trace.Ext.Redacted, e.Trace.Ext.Cut)
		}
		for _, token := range tokens {
			if strings.Contains(string(e.AppendJSON(nil)), token) {
				t.Errorf("event %s is stored with its token", e.Trace.Ext.Source.ID)
			}
		}
		if spelled(t, original) != meaning(t, restored(t, e.Trace)) { // no diff: it would show the token if there is one
			t.Errorf("event %s is not stored whole", e.Trace.Ext.Source.ID)
		}
	}
	if compared != 2900 {
		t.Errorf("%d events are stored, want 2900", compared)
	}
	if diff := cmp.Diff(map[string]int{"response.credentials.sessionToken": 36}, taken); diff != "" {
		t.Errorf("redacted (-want +got):\n%s", diff)
	}
}
