package cts_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/redact"
	"github.com/cloudtraceservice/cts/store/memstore"
)

const secret = "Zq7vKx93LmTw-horse-battery"

// leaks reports pieces of the secret, or the keyed hash of a text with it, in the raw
// bytes of a store.
func leaks(t *testing.T, store *memstore.Store, texts ...string) {
	t.Helper()
	for e, err := range store.After(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		for from := 0; from+6 <= len(secret); from++ {
			if bytes.Contains(e.JSON, []byte(secret[from:from+6])) {
				t.Errorf("%q of the secret is stored: %.400s", secret[from:from+6], e.JSON)
				break
			}
		}
		for _, text := range append(texts, secret) {
			if bytes.Contains(e.JSON, []byte(keyed("key", text))) {
				t.Errorf("the hash of %.40q is stored", text)
			}
		}
	}
}

// leaky is a trace with the secret in every place in which one may be.
func leaky() *cts.Trace {
	in := func(name string) string { return fmt.Sprintf(`{%q:{"password":%q,"seen":1}}`, name, secret) }
	member := func(name string) cts.Members {
		m, err := cts.Members("").With(name, []byte(in("inner")))
		if err != nil {
			panic(err)
		}
		return m
	}
	foreign, err := cts.NewRawJSON([]byte(in("f")))
	if err != nil {
		panic(err)
	}
	return &cts.Trace{
		Name: "n", Request: in("server"), Response: "Authorization: Bearer " + secret, Message: "login failed with password=" + secret,
		ResourceName: "x?token=" + secret, ResourceURL: "/orders/1?access_token=" + secret + "&page=2", LocationInfo: "password=" + secret,
		Endpoint: "https://bob:" + secret + "@example.com/", UserAgent: "curl token=" + secret,
		User:    cts.User{Name: "alice", Unknown: member("u"), Domain: cts.Domain{Unknown: member("d")}},
		Unknown: member("top"),
		Ext: cts.Ext{
			Foreign:   foreign,
			Changes:   []cts.Change{{Field: "password", Old: secret, New: secret}, {Field: "server.adminPass", New: secret}, {Field: "users[0][password]", Old: secret}, {Field: "note", New: "password=" + secret}, {Field: "size", Old: "1", New: "2"}},
			Labels:    map[string]string{"password": secret, "note": "Bearer " + secret, "db.password": secret, "plain": "label"},
			Resources: []cts.Resource{{ID: "r-1", Name: "x?token=" + secret}},
		},
	}
}

func TestSecretsNeverReachTheStore(t *testing.T) {
	for _, delivery := range []cts.Delivery{cts.Durable, cts.Queued} {
		store := memstore.New(nil)
		tracker := open(t, store, &cts.TrackerOptions{Delivery: delivery, HashKey: []byte("key")})
		given := leaky()
		before := given.Clone()
		if _, err := tracker.Record(t.Context(), given); err != nil {
			t.Fatal(err)
		}
		a := begin(t, tracker, given)
		if _, err := a.End(t.Context(), given); err != nil {
			t.Fatal(err)
		}
		imported := leaky()
		imported.Time, imported.Ext.Source = 1_700_000_000_000, cts.Source{Name: "s", ID: "1"}
		if result, err := tracker.Import(t.Context(), []*cts.Trace{imported}); err != nil || result.Stored != 1 {
			t.Fatal(result, err)
		}
		ctx := cts.WithOrigin(t.Context(), cts.Origin{UserAgent: "curl token=" + secret})
		if _, err := tracker.Record(ctx, op("from the context")); err != nil {
			t.Fatal(err)
		}
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, given); diff != "" {
			t.Errorf("the caller's trace changed:\n%s", diff)
		}
		leaks(t, store)
		if n := len(named(stored(t, store), "n")); n != 4 {
			t.Fatalf("%d traces stored", n)
		}
	}
}

// Each secret has a mark with its place and its length; what is no secret stays.
func TestMarksNameThePlace(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, nil)
	receipt, err := tracker.Record(t.Context(), leaky())
	if err != nil {
		t.Fatal(err)
	}
	got := byID(t, store, receipt)
	marked := map[string]int{}
	for _, m := range got.Ext.Redacted {
		marked[m.Field]++
		if m.Length != len(secret) || m.Hash != "" {
			t.Errorf("%s: length %d, hash %q", m.Field, m.Length, m.Hash)
		}
	}
	for _, place := range []string{
		"request.server.password", "response", "message.password", "resource_name.token", "resource_url.access_token",
		"location_info.password", "endpoint", "user_agent.token", "top.inner.password", "user.u.inner.password",
		"user.domain.d.inner.password", "ext.foreign.f.password", "ext.changes.password", "ext.changes.server.adminPass",
		"ext.changes.note.password", "ext.labels.password", "ext.labels.note", `ext.labels["db.password"]`, "ext.resources.name.token",
	} {
		if marked[place] == 0 {
			t.Errorf("no mark for %s in %v", place, marked)
		}
	}
	if st := tracker.Status(); st.Redacted != int64(len(got.Ext.Redacted)) {
		t.Errorf("%d marks, status %d", len(got.Ext.Redacted), st.Redacted)
	}
	if got.Request != `{"server":{"password":"`+redact.Mask+`","seen":1}}` || got.User.Name != "alice" || got.Ext.Changes[4] != (cts.Change{Field: "size", Old: "1", New: "2"}) ||
		got.Ext.Labels["plain"] != "label" || got.Ext.Resources[0].ID != "r-1" || !strings.HasSuffix(got.ResourceURL, "&page=2") {
		t.Errorf("what is no secret changed: %+v", got)
	}
}

// A secret that straddles a limit does not survive in part, nor in the hash of what
// was cut.
func TestSecretAcrossALimit(t *testing.T) {
	for shift := range len(secret) + 30 {
		before := `{"a":"` + strings.Repeat("x", 64<<10-30-shift) + `","password":"`
		body := before + secret + `","tail":"` + strings.Repeat("y", 100) + `"}`
		message := strings.Repeat("m", 5<<10-len("password=")-shift) + " password=" + secret + " and " + strings.Repeat("t", 100)
		store := memstore.New(nil)
		tracker := open(t, store, &cts.TrackerOptions{HashKey: []byte("key")})
		receipt, err := tracker.Record(t.Context(), &cts.Trace{Name: "n", Request: body, Message: message})
		if err != nil {
			t.Fatal(err)
		}
		leaks(t, store, body, message)
		got := byID(t, store, receipt)
		redacted := strings.Replace(body, secret, redact.Mask, 1)
		if len(got.Ext.Cut) != 2 || got.Ext.Cut[0].Hash != keyed("key", redacted) || got.Ext.Cut[0].Length != len(redacted) {
			t.Errorf("shift %d: marks %+v", shift, got.Ext.Cut)
		}
	}
}

// The hash of a secret is the redactor's, under its own key.
func TestHashOfASecret(t *testing.T) {
	redactor, err := redact.New(&redact.Options{HashKey: []byte("sixteen bytes and more")})
	if err != nil {
		t.Fatal(err)
	}
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{Redactor: redactor})
	receipt, err := tracker.Record(t.Context(), &cts.Trace{Name: "n", Request: `{"password":"` + secret + `"}`})
	if err != nil {
		t.Fatal(err)
	}
	want := []cts.Mark{{Field: "request.password", Length: len(secret), Hash: redactor.Hash(secret)}}
	if diff := cmp.Diff(want, byID(t, store, receipt).Ext.Redacted); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
}

// Identifiers are evidence: nothing in those that a service makes is taken for a secret.
func TestIdentifiersStay(t *testing.T) {
	const card = "4111111111111111" // passes for a card number
	store := memstore.New(nil)
	tracker := open(t, store, nil)
	given := &cts.Trace{
		Name: card, RequestID: card, OperationID: card, ProjectID: card, DomainID: card, SourceIP: card, Code: card,
		User: cts.User{ID: card, Name: card, AccountID: card, PrincipalID: card, AccessKeyID: card},
		Ext:  cts.Ext{SessionID: card, Authorization: []cts.Authorization{{Resource: card}}},
	}
	receipt, err := tracker.Record(t.Context(), given)
	if err != nil {
		t.Fatal(err)
	}
	got := byID(t, store, receipt)
	if len(got.Ext.Redacted) != 0 || got.User.ID != card || got.Ext.SessionID != card || got.RequestID != card {
		t.Errorf("identifiers were redacted: %+v", got)
	}
}

// What a client may put into a path or a header is no safer than a body.
func TestSecretsInChosenIdentifiers(t *testing.T) {
	const card = "4111111111111111"
	store := memstore.New(nil)
	tracker := open(t, store, nil)
	given := &cts.Trace{Name: "x", ResourceID: card, Ext: cts.Ext{ClientID: card, Resources: []cts.Resource{{ID: card, Name: card}}}}
	if _, err := tracker.Record(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	got := named(stored(t, store), "x")[0]
	if json := string(got.AppendJSON(nil)); strings.Contains(json, card) || len(got.Ext.Redacted) != 4 {
		t.Errorf("%s", json)
	}
}

func TestWithoutRedaction(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{WithoutRedaction: true})
	receipt, err := tracker.Record(t.Context(), leaky())
	if err != nil {
		t.Fatal(err)
	}
	if got := byID(t, store, receipt); len(got.Ext.Redacted) != 0 || got.Request != leaky().Request || got.Ext.Labels["password"] != secret {
		t.Errorf("redacted all the same: %+v", got)
	}
}

// peeking is a policy that sees the trace before redaction and puts a secret into it.
type peeking struct{}

func (peeking) Process(_ context.Context, tr *cts.Trace) bool {
	tr.Message = "password=" + secret
	return true
}

func TestWhatThePolicyAddsIsRedacted(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{Policy: peeking{}})
	receipt, err := tracker.Record(t.Context(), op("n"))
	if err != nil {
		t.Fatal(err)
	}
	leaks(t, store)
	if got := byID(t, store, receipt); got.Message != "password="+redact.Mask {
		t.Errorf("message %q", got.Message)
	}
}

// Neither an error nor the message of a broken outcome holds a value.
func TestErrorsHoldNoValues(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{Limits: cts.Limits{Reject: true, Text: 64}})
	for _, tr := range []*cts.Trace{
		{Name: "n", Unknown: cts.Members(`"` + secret + `":`)},
		{Name: "n", Unknown: cts.Members(`"` + secret + `":1,"` + secret + `":1`)},
		{Name: "n", Ext: cts.Ext{Foreign: cts.RawJSON(secret)}},
		{Name: strings.Repeat(secret, 10)},
		{Name: "n", Ext: cts.Ext{Labels: map[string]string{"x": strings.Repeat(secret, 10)}}},
	} {
		_, err := tracker.Record(t.Context(), tr)
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("Record: %v", err)
		}
		_, err = begin(t, tracker, op("guarded")).End(t.Context(), tr)
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("End: %v", err)
		}
	}
	leaks(t, store)
}
