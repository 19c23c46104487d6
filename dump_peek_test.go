package cts

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// checkPeek compares peekRoute with ParseTrace. What it accepts is JSON, and what both
// accept has the same route.
func checkPeek(t testing.TB, b []byte) (accepted bool) {
	t.Helper()
	r, ok := peekRoute(b)
	if !ok {
		return false
	}
	if !json.Valid(b) {
		t.Errorf("accepted and no JSON: %.200q", b)
	}
	tr, err := ParseTrace(b)
	if err == nil && (tr.TrackerName != string(r.tracker) || tr.ServiceType != string(r.service) || tr.RecordTime != r.recordTime) {
		t.Errorf("%.300q: tracker %q, service %q, time %d", b, r.tracker, r.service, r.recordTime)
	}
	return true
}

// peekTrace returns a trace with everything that can stand before, between and behind
// the members that are looked for.
func peekTrace(r *rand.Rand) *Trace {
	text := func() string {
		return []string{"", "a", "ECS", `q"uo\te`, "ü中文", "\x00\n\u2028<&>", strings.Repeat("x", r.IntN(40)), `","tracker_name":"evil`}[r.IntN(8)]
	}
	t := &Trace{
		ID: text(), Time: r.Int64N(1 << 50), RecordTime: r.Int64N(1<<59) - 1<<58, Name: text(), ServiceType: text(), ResourceName: text(),
		User: User{Name: text(), Unknown: Members(`"tracker_name":"x","n":-1.5e+3`)}, Request: text(), TrackerName: text(),
	}
	if r.IntN(2) == 0 {
		t.ServiceType, t.TrackerName = "ECS", []string{"", "system"}[r.IntN(2)]
	}
	if r.IntN(3) == 0 {
		t.ReadOnly, t.IsConsistent, t.TotalTime, t.EventType = True, False, 7, "global"
		t.Ext = Ext{Role: text(), Labels: map[string]string{"service_type": text()}, Gap: Gap{Count: 1}}
		t.Unknown = Members(`"tracker":[{"a":[]},{},null,true,1e5,"\u0041"],"zz":{"record_time":5}`)
	}
	return t
}

func TestPeekRoute(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for range 20_000 {
		tr := peekTrace(r)
		accepted := checkPeek(t, tr.AppendJSON(nil))
		plain := func(s string) bool {
			return strings.IndexFunc(s, func(c rune) bool { return c > '~' || c < ' ' || strings.ContainsRune(`"\<>&`, c) }) < 0
		}
		if want := plain(tr.ServiceType) && plain(tr.TrackerName); accepted != want {
			t.Fatalf("accepted %t: %s", accepted, tr.AppendJSON(nil))
		}
		if accepted {
			taken++
		}
	}
	if taken < 10_000 {
		t.Errorf("only %d accepted", taken)
	}
}

// Every member that AppendJSON writes is known, in its place.
func TestPeekRouteKnowsEveryMember(t *testing.T) {
	full := Trace{
		ID: "x", Time: 1, RecordTime: 1, Name: "x", Type: "x", Rating: "x", EventType: "x", ServiceType: "x", ResourceType: "x", ResourceName: "x",
		ResourceID: "x", ResourceURL: "x", ResourceAccountID: "x", SourceIP: "x", User: User{Name: "x"}, UserAgent: "x", Code: "x", Request: "x",
		Response: "x", Message: "x", APIVersion: "x", RequestID: "x", OperationID: "x", LocationInfo: "x", Endpoint: "x", ReadOnly: True,
		ProjectID: "x", DomainID: "x", EnterpriseProjectID: "x", TrackerName: "x", ContentLength: 1, TotalTime: 1, IsConsistent: True, Ext: Ext{Role: "x"},
	}
	b := full.AppendJSON(nil)
	var names []string
	d := json.NewDecoder(strings.NewReader(string(b)))
	for depth, name := 0, true; ; {
		token, err := d.Token()
		if err != nil {
			break
		}
		switch token {
		case json.Delim('{'):
			depth++
			name = true
			continue
		case json.Delim('}'):
			depth--
			name = true
			continue
		}
		if text, ok := token.(string); ok && name && depth == 1 {
			names = append(names, text)
		}
		name = !name
	}
	if len(names) != len(canonical) {
		t.Fatalf("%d members: %q", len(names), names)
	}
	for i, c := range canonical {
		if names[i] != c.name {
			t.Errorf("member %d is %s, not %s", i, names[i], c.name)
		}
	}
	if !checkPeek(t, b) {
		t.Errorf("not accepted: %s", b)
	}
	if canonical[peekRecordTime].name != "record_time" || canonical[peekService].name != "service_type" || canonical[peekTracker].name != "tracker_name" {
		t.Error("the members that are looked for are others")
	}
	if n := testing.AllocsPerRun(100, func() { peekRoute(b) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is not canonical is refused, not guessed at.
func TestPeekRouteRefuses(t *testing.T) {
	for _, text := range []string{
		``, `{`, `{}`, `[]`, `null`, ` {"trace_id":""}`, `{"trace_id":""} `, `{"trace_id":"",}`, `{"trace_id":""}}`, `{"trace_id":""`, `{"trace_id":`,
		`{"trace_id" :""}`, `{"trace_id":5}`, `{"trace_id":null}`, `{"trace_id":"` + "\n" + `"}`, `{"trace_id":"\x"}`, `{"trace_id":"\u12g4"}`, `{"trace_id":"\`, `{"trace_id":"\"`,
		`{"record_time":1.5}`, `{"record_time":"1"}`, `{"record_time":01}`, `{"record_time":-}`, `{"record_time":1234567890123456789}`, `{"record_time":1e3}`,
		`{"record_time":1,"time":2}`, `{"service_type":"a","service_type":"b"}`, `{"tracker_name":"a","service_type":"b"}`, `{"x":1,"tracker_name":"a"}`,
		`{"service_type":"\u0041"}`, `{"tracker_name":"ü"}`, `{"tracker\u005fname":"a"}`,
		`{"user":5}`, `{"user":[]}`, `{"user":{"a":1,}}`, `{"user":{"a"}}`, `{"user":{"a":tru}}`, `{"read_only":1}`, `{"read_only":"true"}`, `{"ext":null}`,
		`{"x":[1,]}`, `{"x":[1 ,2]}`, `{"x":01}`, `{"x":1.}`, `{"x":-}`, `{"x":+1}`, `{"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`,
		`{"request":"` + strings.Repeat("x", MaxTraceBytes) + `"}`,
	} {
		if _, ok := peekRoute([]byte(text)); ok {
			t.Errorf("accepted: %.100q", text)
		}
	}
	for _, text := range []string{
		`{"record_time":-123456789012345678}`, `{"x":-0.5E-7}`, `{"x":0}`, `{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, `{"user":{"\u00e9":[[],{}]}}`,
	} {
		if !checkPeek(t, []byte(text)) {
			t.Errorf("refused: %.100q", text)
		}
	}
}

// One byte changed, cut out or put in anywhere.
func TestPeekRouteOfDamagedTraces(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const bytes = `"{}[]:,\0189-+.eE tfnux` + "\x00\n\xc3"
	for range 20_000 {
		b := peekTrace(r).AppendJSON(nil)
		at := r.IntN(len(b))
		switch r.IntN(3) {
		case 0:
			b[at] = bytes[r.IntN(len(bytes))]
		case 1:
			b = append(b[:at], b[at+1:]...)
		default:
			b = append(b[:at], append([]byte{bytes[r.IntN(len(bytes))]}, b[at:]...)...)
		}
		checkPeek(t, b)
	}
}

func FuzzPeekRoute(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		f.Add(peekTrace(r).AppendJSON(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkPeek(t, b) })
}

func BenchmarkPeekRoute(b *testing.B) {
	tr := peekTrace(rand.New(rand.NewPCG(7, 8)))
	tr.ServiceType, tr.TrackerName, tr.Request = "ECS", "system", strings.Repeat(`{"a":1}`, 60)
	text := tr.AppendJSON(nil)
	for name, read := range map[string]func() bool{
		"peek":  func() bool { _, ok := peekRoute(text); return ok },
		"parse": func() bool { _, err := ParseTrace(text); return err == nil },
	} {
		b.Run(fmt.Sprint(name, " of ", len(text), " bytes"), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if !read() {
					b.Fatal("refused")
				}
			}
		})
	}
}
