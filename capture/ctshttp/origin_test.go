package ctshttp

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
)

func TestOrigin(t *testing.T) {
	o := &Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}
	for _, c := range []struct {
		name, peer string
		headers    []string
		source     string
		chain      string
	}{
		{"no proxy", "203.0.113.9:1234", nil, "203.0.113.9", ""},
		{"claim of a stranger", "203.0.113.9:1234", []string{"1.2.3.4"}, "203.0.113.9", "1.2.3.4"},
		{"one proxy", "10.0.0.1:1", []string{"198.51.100.7"}, "198.51.100.7", "198.51.100.7"},
		{"client adds a lie", "10.0.0.1:1", []string{"1.1.1.1, 198.51.100.7"}, "198.51.100.7", "1.1.1.1 198.51.100.7"},
		{"two proxies", "10.0.0.1:1", []string{"198.51.100.7,10.9.9.9"}, "198.51.100.7", "198.51.100.7 10.9.9.9"},
		{"two headers", "10.0.0.1:1", []string{"198.51.100.7", "10.9.9.9"}, "198.51.100.7", "198.51.100.7 10.9.9.9"},
		{"all trusted", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3", "10.0.0.3 10.0.0.2"},
		{"not an address", "10.0.0.1:1", []string{"198.51.100.7, unknown"}, "10.0.0.1", "198.51.100.7 unknown"},
		{"not an address further on", "10.0.0.1:1", []string{"198.51.100.7, _x, 10.0.0.2"}, "10.0.0.2", "198.51.100.7 _x 10.0.0.2"},
		{"ports and brackets", "10.0.0.1:1", []string{"198.51.100.7:99, [fd00::1]:80, [fd00::2]"}, "198.51.100.7", "198.51.100.7:99 [fd00::1]:80 [fd00::2]"},
		{"mapped peer", "[::ffff:10.0.0.1]:1", []string{"198.51.100.7"}, "198.51.100.7", "198.51.100.7"},
		{"mapped claim", "10.0.0.1:1", []string{"198.51.100.7, ::ffff:10.0.0.2"}, "198.51.100.7", "198.51.100.7 ::ffff:10.0.0.2"},
		{"zone", "[fe80::1%eth0]:1", nil, "fe80::1", ""},
		{"IPv6", "[2001:db8::1]:1", []string{"1.2.3.4"}, "2001:db8::1", "1.2.3.4"},
		{"unix socket", "@", []string{"1.2.3.4"}, "", "1.2.3.4"},
		{"empty parts", "10.0.0.1:1", []string{" , ,198.51.100.7,,", ""}, "198.51.100.7", "198.51.100.7"},
		{"control characters", "10.0.0.1:1", []string{"1.2.3.4\x01,198.51.100.7"}, "198.51.100.7", "invalid 198.51.100.7"},
		{"long part", "10.0.0.1:1", []string{strings.Repeat("1", 65)}, "10.0.0.1", "invalid"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.headers
		got := o.origin(r)
		if got.SourceIP != c.source || strings.Join(got.ForwardedFor, " ") != c.chain {
			t.Errorf("%s: from %q through %q, want %q through %q", c.name, got.SourceIP, got.ForwardedFor, c.source, c.chain)
		}
		if want := hop(c.peer); want.IsValid() && got.PeerIP != want.String() {
			t.Errorf("%s: peer %q, want %s", c.name, got.PeerIP, want)
		}
	}
}

func TestOriginOfContext(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r = r.WithContext(cts.WithOrigin(r.Context(), cts.Origin{SourceIP: "9.9.9.9"}))
	if got := new(Options).origin(r); got.SourceIP != "9.9.9.9" || got.PeerIP != "" {
		t.Errorf("origin %+v, want what the context says", got)
	}
}

func TestForwardedForIsBounded(t *testing.T) {
	var claims []string
	for i := range 100 {
		claims = append(claims, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String())
	}
	got := forwardedFor([]string{strings.Join(claims[:50], ","), strings.Join(claims[50:], ", ")})
	if want := claims[100-maxForwarded:]; !slices.Equal(got, want) {
		t.Errorf("kept %q, want the nearest %q", got, want)
	}
}

// FuzzForwardedFor: what is found is bounded and printable, and the source is the
// peer, or an address of the chain that only trusted ones stand behind.
func FuzzForwardedFor(f *testing.F) {
	f.Add("10.0.0.1:1", "1.2.3.4, 10.0.0.2", "")
	f.Add("[::1]:1", "[", "]:0,,\x00")
	f.Add("10.0.0.1:1", ",", "unknown, [fd00::1%x]:1")
	trusted := netip.MustParsePrefix("10.0.0.0/8")
	o := &Options{TrustedProxies: []netip.Prefix{trusted}}
	f.Fuzz(func(t *testing.T, peer, one, two string) {
		r := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {one, two}}}
		got := o.origin(r.WithContext(t.Context()))
		if len(got.ForwardedFor) > maxForwarded {
			t.Errorf("%d entries", len(got.ForwardedFor))
		}
		for _, entry := range got.ForwardedFor {
			if entry == "" || len(entry) > maxForwardedBytes || strings.ContainsFunc(entry, func(c rune) bool { return c <= ' ' || c > '~' || c == ',' }) {
				t.Errorf("entry %q", entry)
			}
		}
		at := hop(peer)
		if !at.IsValid() {
			if got.SourceIP != "" {
				t.Errorf("source %q of no peer", got.SourceIP)
			}
			return
		}
		for i := len(got.ForwardedFor) - 1; at.String() != got.SourceIP; i-- {
			if i < 0 || !trusted.Contains(at) {
				t.Fatalf("source %q is not behind trusted proxies: peer %q, chain %q", got.SourceIP, peer, got.ForwardedFor)
			}
			at = hop(got.ForwardedFor[i])
		}
	})
}
