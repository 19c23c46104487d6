package cts_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
)

// checkCanonical checks what ParseCanonical says of a text: that it is exactly what
// AppendJSON writes for the trace, and that the trace is the one that the parser for any
// JSON reads.
func checkCanonical(tb testing.TB, text []byte) bool {
	tb.Helper()
	got := cts.Trace{ID: "of an earlier use", Unknown: `"x":1`}
	given := bytes.Clone(text)
	if !cts.ParseCanonical(text, &got) {
		return false
	}
	want, err := cts.ParseAny(text)
	if err != nil {
		tb.Fatalf("canonical, and not to be parsed: %v\n%q", err, text)
	}
	if !reflect.DeepEqual(&got, want) {
		tb.Fatalf("another trace:\n%+v\n%+v\n%q", &got, want, text)
	}
	if again := got.AppendJSON(nil); !bytes.Equal(again, given) {
		tb.Fatalf("not canonical:\n%q\n%q", given, again)
	}
	for i := range text { // the trace has memory of its own
		text[i] = 'x'
	}
	if again := got.AppendJSON(nil); !bytes.Equal(again, given) {
		tb.Fatalf("the trace shares memory:\n%q", given)
	}
	copy(text, given)
	return true
}

// covered reports whether ParseCanonical takes all members that a trace has.
func covered(t *cts.Trace) bool {
	return t.Unknown == "" && t.User.Unknown == "" && t.User.Domain.Unknown == "" && t.Ext.Foreign == "" && t.Ext.Gap.IsZero()
}

func TestParseCanonicalTakesWhatIsWritten(t *testing.T) {
	r := newRandom(t, 31)
	taken := 0
	for range 3000 {
		tr := r.trace()
		if r.IntN(4) > 0 {
			tr.Unknown, tr.User.Unknown, tr.User.Domain.Unknown = "", "", ""
			tr.Ext.Foreign, tr.Ext.Gap = "", cts.Gap{}
		}
		text := tr.AppendJSON(nil)
		again, err := cts.ParseAny(text) // as it is read: valid UTF-8, nothing but ours in ext
		if err != nil {
			t.Fatal(err)
		}
		text = again.AppendJSON(nil)
		ok := checkCanonical(t, text)
		if ok != covered(again) {
			t.Fatalf("canonical: %v, want %v: %s", ok, !ok, text)
		}
		if ok {
			taken++
		}
	}
	if taken < 1000 {
		t.Errorf("%d traces were taken", taken)
	}
	full := fullTrace(t)
	full.Unknown, full.User.Unknown, full.User.Domain.Unknown, full.Ext.Foreign, full.Ext.Gap = "", "", "", "", cts.Gap{}
	if !checkCanonical(t, full.AppendJSON(nil)) {
		t.Errorf("a full trace is not taken: %s", full.AppendJSON(nil))
	}
}

// TestParseCanonicalRefuses changes canonical text by one byte here and there: it is
// refused, or it is canonical for another trace.
func TestParseCanonicalRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 32))
	r := newRandom(t, 33)
	for range 300 {
		text := r.trace().AppendJSON(nil)
		for range 30 {
			changed := bytes.Clone(text)
			i := rng.IntN(len(changed))
			switch rng.IntN(4) {
			case 0:
				changed[i] ^= 1 << rng.IntN(8)
			case 1:
				changed = append(changed[:i], changed[i+1:]...)
			case 2:
				changed = append(changed[:i], append([]byte{" ,{}[]\"\\0-u<"[rng.IntN(12)]}, changed[i:]...)...)
			default:
				changed = changed[:i]
			}
			checkCanonical(t, changed)
		}
	}
}

func TestParseCanonicalRefusesByForm(t *testing.T) {
	const sound = `{"trace_id":"a","time":1,"record_time":2,"trace_name":"n","trace_type":"","trace_rating":"","service_type":"s","resource_type":"","source_ip":"","user":{},"message":"m","total_time":5,"ext":{"v":1,"role":"r"}}`
	if !checkCanonical(t, []byte(sound)) {
		t.Fatal("the sound one is refused")
	}
	for _, c := range []struct{ name, old, new string }{
		{"space", `{"trace_id"`, `{ "trace_id"`},
		{"space behind", `}}`, `}} `},
		{"order", `"time":1,"record_time":2`, `"record_time":2,"time":1`},
		{"twice", `"message":"m"`, `"message":"m","message":"m"`},
		{"empty", `"message":"m"`, `"message":""`},
		{"null", `"message":"m"`, `"message":null`},
		{"zero", `"total_time":5`, `"total_time":0`},
		{"leading zero", `"total_time":5`, `"total_time":05`},
		{"negative zero", `"time":1`, `"time":-0`},
		{"plus", `"time":1`, `"time":+1`},
		{"fraction", `"time":1`, `"time":1.0`},
		{"too large", `"time":1`, `"time":9223372036854775808`},
		{"far too large", `"time":1`, `"time":92233720368547758070`},
		{"escape that need not be", `"m"`, `"\u006d"`},
		{"upper case escape", `"m"`, `"\u003C"`},
		{"escaped slash", `"m"`, `"\/"`},
		{"long escape", `"m"`, `"\u000a"`},
		{"escaped surrogates", `"m"`, `"\ud83d\ude00"`},
		{"bare angle", `"m"`, `"<"`},
		{"bare line separator", `"m"`, "\"\u2028\""},
		{"invalid UTF-8", `"m"`, "\"\xff\""},
		{"control character", `"m"`, "\"\x01\""},
		{"unknown member", `"message"`, `"massage"`},
		{"ext of another version", `"v":1`, `"v":2`},
		{"ext of nothing", `"ext":{"v":1,"role":"r"}`, `"ext":{"v":1}`},
		{"end", `}}`, `}`},
		{"more", `}}`, `}}{}`},
	} {
		text := strings.Replace(sound, c.old, c.new, 1)
		if text == sound || checkCanonical(t, []byte(text)) {
			t.Errorf("%s: taken: %s", c.name, text)
		}
	}
	for _, text := range []string{`"m"`, `"\n\r\t\b\f\u0001\u003c\u2028\\\"é😀\ufffd"`} {
		text = strings.Replace(sound, `"m"`, text, 1)
		if strings.Contains(text, `\ufffd`) == checkCanonical(t, []byte(text)) {
			t.Errorf("%s", text)
		}
	}
	if text := strings.Replace(sound, `"m"`, `"\n\r\t\b\f\u0001\u003c\u2028\\\"é😀"`, 1); !checkCanonical(t, []byte(text)) {
		t.Errorf("refused: %s", text)
	}
}

func FuzzParseCanonical(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) { checkCanonical(t, text) })
}

func BenchmarkParse(b *testing.B) {
	json := benchTraces(b)["ordinary"].AppendJSON(nil)
	b.Run("canonical", func(b *testing.B) {
		b.SetBytes(int64(len(json)))
		b.ReportAllocs()
		var t cts.Trace
		for b.Loop() {
			if !cts.ParseCanonical(json, &t) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("any", func(b *testing.B) {
		b.SetBytes(int64(len(json)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := cts.ParseAny(json); err != nil {
				b.Fatal(err)
			}
		}
	})
}
