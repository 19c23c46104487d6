package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
)

var (
	someID      = uuid.MustParse("01907a3c-5b1e-7c40-8a51-2f0e6d9c4b17")
	someCreated = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
)

func TestIdentityFormat(t *testing.T) {
	n := identity{id: someID, version: 1, reader: 1, created: someCreated}
	const want = `cts filestore
version 1
reader 1
id 01907a3c-5b1e-7c40-8a51-2f0e6d9c4b17
created 2026-01-02T03:04:05.678Z
crc32c c325cc21
`
	b := n.text()
	if string(b) != want {
		t.Errorf("got %s", b)
	}
	if got, err := parseIdentity(b); err != nil || got != n {
		t.Errorf("got %+v, %v", got, err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 0x20
		if _, err := parseIdentity(bad); err == nil {
			t.Errorf("byte %d changed and nobody noticed", i)
		}
		if _, err := parseIdentity(b[:i]); err == nil {
			t.Errorf("cut at %d and nobody noticed", i)
		}
	}
}

func TestStateFormat(t *testing.T) {
	b := stateText(someID, "plan", []byte("data"), 7)
	want := []byte("ctsstate\x01\x00\x00\x00....\x07\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00data")
	copy(want[12:16], b[12:])
	if !bytes.Equal(b, want) {
		t.Errorf("got %q", b)
	}
	data, generation, err := parseState(b, someID, "plan")
	if err != nil || string(data) != "data" || generation != 7 {
		t.Errorf("got %q, %d, %v", data, generation, err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 0x20
		if _, _, err := parseState(bad, someID, "plan"); err == nil {
			t.Errorf("byte %d changed and nobody noticed", i)
		}
	}
	newer := bytes.Clone(b)
	newer[8] = 2
	if _, _, err := parseState(newer, someID, "plan"); !errors.Is(err, cts.ErrVersion) {
		t.Errorf("newer version: %v", err)
	}
}

func FuzzIdentity(f *testing.F) {
	f.Add(identity{id: someID, version: 1, reader: 1, created: someCreated}.text())
	f.Add([]byte("cts filestore\nversion 9\nreader 9\ncrc32c 00000000\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := append(bytes.Clone(body), crcLine(body)...)
		for _, b := range [][]byte{body, sum} {
			n, err := parseIdentity(b)
			if err != nil || n.version != formatVersion || n.reader != formatVersion {
				continue
			}
			again, err := parseIdentity(n.text())
			if err != nil || again.id != n.id {
				t.Errorf("%q is read as %+v and then as %+v, %v", b, n, again, err)
			}
		}
	})
}

func crcLine(body []byte) []byte {
	return fmt.Appendf(nil, "crc32c %08x\n", crc32c(body))
}

func FuzzState(f *testing.F) {
	f.Add(stateText(someID, "plan", []byte("data"), 7))
	f.Add([]byte("ctsstate"))
	f.Fuzz(func(t *testing.T, b []byte) {
		data, generation, err := parseState(b, someID, "plan")
		if err == nil && !bytes.Equal(stateText(someID, "plan", data, generation), b) {
			t.Errorf("%q is written otherwise", b)
		}
	})
}

// TestNeedlesMissNothing checks, over values that JSON escapes, that a trace which a
// condition accepts holds its needles.
func TestNeedlesMissNothing(t *testing.T) {
	values := []string{"plain", `quote " and \ back`, "<html> & more", "tab\tnul\x00", "Größe 日本 🚀", "\u2028", "bad \xff utf-8", "\x7f", "a\ufffdb"}
	for _, v := range values {
		trace := &cts.Trace{
			ID: v, Name: v, Type: cts.TraceType(v), Rating: cts.Rating(v), EventType: cts.EventType(v), ServiceType: v,
			ResourceType: v, ResourceName: v, ResourceID: v, SourceIP: v, UserAgent: v, Code: v, Request: v, Response: v,
			Message: v, RequestID: v, OperationID: v, ProjectID: v, DomainID: v, EnterpriseProjectID: v, TrackerName: v,
			User: cts.User{ID: v, Name: "other", UserName: "third", AccessKeyID: v},
			Ext: cts.Ext{
				Phase: cts.Phase(v), AttemptID: v, Outcome: cts.Outcome(v), Impersonator: cts.Principal{Name: v}, Role: v,
				SessionID: v, W3CTraceID: v, Writer: cts.Writer{ID: v}, Labels: map[string]string{"k": v},
			},
		}
		json := trace.AppendJSON(nil)
		stored, err := cts.ParseTrace(json)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []cts.Field{
			cts.FieldServiceType, cts.FieldTraceName, cts.FieldTraceType, cts.FieldEventType, cts.FieldTraceRating,
			cts.FieldResourceType, cts.FieldResourceID, cts.FieldResourceName, cts.FieldUser, cts.FieldAccessKeyID,
			cts.FieldSourceIP, cts.FieldCode, cts.FieldRequestID, cts.FieldTraceID, cts.FieldOperationID, cts.FieldTrackerName,
			cts.FieldProjectID, cts.FieldDomainID, cts.FieldEnterpriseProjectID, cts.FieldUserAgent, cts.FieldOutcome,
			cts.FieldPhase, cts.FieldAttemptID, cts.FieldRole, cts.FieldImpersonator, cts.FieldSession, cts.FieldW3CTraceID,
			cts.FieldWriter, cts.FieldRequest, cts.FieldResponse, cts.FieldMessage, cts.Label("k"),
		} {
			for _, c := range []cts.Condition{cts.Eq(f, v), cts.In(f, "none", v), cts.In(f, "", v), cts.And(cts.Eq(f, v), cts.Present(f)), cts.Not(cts.Eq(f, "none")), cts.Contains(f, v), cts.Prefix(f, v)} {
				if c.Match(stored) && !holdsAll(json, needles(c)) {
					t.Errorf("field %s, value %q: the condition accepts the trace and a needle is missing", f, v)
				}
			}
		}
		want := 2
		if v == "a\ufffdb" { // written in two ways
			want = 1
		}
		if n := needles(cts.And(cts.Eq(cts.FieldCode, v), cts.Eq(cts.FieldUser, "third"))); len(n) != want {
			t.Errorf("%q: %d needles, want %d: the test has lost its point", v, len(n), want)
		}
	}
}
