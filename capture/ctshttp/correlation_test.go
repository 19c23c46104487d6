package ctshttp

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
)

func TestParseTraceparent(t *testing.T) {
	good := "00-" + traceID + "-" + spanID + "-01"
	for _, s := range []string{good, "00-" + traceID + "-" + spanID + "-00", "cc-" + traceID + "-" + spanID + "-01", "cc-" + traceID + "-" + spanID + "-01-more"} {
		if trace, span, ok := parseTraceparent(s); !ok || trace != traceID || span != spanID {
			t.Errorf("%q: %q, %q, %t", s, trace, span, ok)
		}
	}
	for name, s := range map[string]string{
		"empty":          "",
		"short":          good[:54],
		"more behind":    good + "-x",
		"later, no dash": "cc-" + traceID + "-" + spanID + "-01x",
		"version ff":     "ff" + good[2:],
		"upper case":     strings.ToUpper(good),
		"no hex":         strings.Replace(good, "a", "g", 1),
		"zero trace":     "00-" + strings.Repeat("0", 32) + "-" + spanID + "-01",
		"zero span":      "00-" + traceID + "-" + strings.Repeat("0", 16) + "-01",
		"other dashes":   strings.ReplaceAll(good, "-", "_"),
		"space":          " " + good,
		"flags":          good[:53] + "0x",
	} {
		if trace, span, ok := parseTraceparent(s); ok || trace != "" || span != "" {
			t.Errorf("%s: %q was taken as %q, %q", name, s, trace, span)
		}
	}
}

var traceparent = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}((?s:-.*)?)$`)

// FuzzTraceparent compares the parser with the grammar as a regular expression.
func FuzzTraceparent(f *testing.F) {
	f.Add("00-" + traceID + "-" + spanID + "-01")
	f.Add("01-" + traceID + "-" + spanID + "-01-x")
	f.Add("ff-" + traceID + "-" + spanID + "-01")
	f.Fuzz(func(t *testing.T, s string) {
		trace, span, ok := parseTraceparent(s)
		m := traceparent.FindStringSubmatch(s)
		want := len(m) > 0 && m[1] != "ff" && (m[1] != "00" || m[4] == "") && strings.Trim(m[2], "0") != "" && strings.Trim(m[3], "0") != ""
		if ok != want || ok && (trace != m[2] || span != m[3]) {
			t.Errorf("%q: %q %q %t, want %t", s, trace, span, ok, want)
		}
	})
}

func TestCorrelation(t *testing.T) {
	o, err := (&Options{NewRequestID: func(*http.Request) string { return "made" }}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("X-Request-Id", "client-1")
	r.Header.Set("Traceparent", "00-"+traceID+"-"+spanID+"-01")
	want := cts.Correlation{RequestID: "made", ClientID: "client-1", W3CTraceID: traceID, W3CSpanID: spanID}
	if got := o.correlation(r); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r.Header.Add("Traceparent", "00-"+traceID+"-"+spanID+"-01")
	if got := o.correlation(r); got.W3CTraceID != "" {
		t.Errorf("two headers were taken for one: %+v", got)
	}
	known := cts.Correlation{RequestID: "known", W3CTraceID: "t", W3CSpanID: "s", ClientID: "c"}
	if got := o.correlation(r.WithContext(cts.WithCorrelation(t.Context(), known))); got != known {
		t.Errorf("got %+v, want what the context says", got)
	}
	for _, bad := range []string{"", "a b", "a\nb", "ä", strings.Repeat("x", maxClientID+1)} {
		if got := clientID(bad); got != "" {
			t.Errorf("client id %q was taken as %q", bad, got)
		}
	}
}
