package redact_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/redact"
)

func newRedactor(t testing.TB, opts *redact.Options) *redact.Redactor {
	t.Helper()
	r, err := redact.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// want is what a scan must give: the output, and the findings as "rule path length".
type want struct {
	in, out string
	found   []string
}

// kept is a text in which nothing may be found.
func kept(in string) want { return want{in, in, nil} }

func check(t *testing.T, do func(string) (string, []redact.Finding), tests []want) {
	t.Helper()
	for _, test := range tests {
		out, found := do(test.in)
		if out != test.out {
			t.Errorf("of  %s\ngot  %s\nwant %s", test.in, out, test.out)
		}
		if diff := cmp.Diff(test.found, brief(found)); diff != "" {
			t.Errorf("findings in %s (-want +got):\n%s", test.in, diff)
		}
	}
}

func brief(found []redact.Finding) []string {
	var all []string
	for _, f := range found {
		all = append(all, strings.TrimSpace(string(f.Rule)+" "+f.Path))
	}
	return all
}

func TestNewFaults(t *testing.T) {
	_, err := redact.New(&redact.Options{
		HashKey:  []byte("short"),
		Keys:     []string{"", "-", strings.Repeat("k", 65), "otp"},
		KeepKeys: []string{" ", "O-T-P"},
		Headers:  []string{"", "authorization", "X-Vault-Token"},
		MaxDepth: 17,
	})
	if !errors.Is(err, redact.ErrOptions) {
		t.Fatalf("error %v, want ErrOptions", err)
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 10 {
		t.Errorf("want 10 faults together, got:\n%v", err)
	}
	if strings.Contains(err.Error(), "short") {
		t.Errorf("the error shows the key: %v", err)
	}
	for _, opts := range []*redact.Options{nil, {}, {MaxDepth: 16}, {KeepKeys: []string{"no such name"}}} {
		if _, err := redact.New(opts); err != nil {
			t.Errorf("New(%+v): %v", opts, err)
		}
	}
	if _, err := redact.New(&redact.Options{MaxDepth: -1}); !errors.Is(err, redact.ErrOptions) {
		t.Errorf("MaxDepth -1: %v, want ErrOptions", err)
	}
}

func TestOptionsAreCopied(t *testing.T) {
	opts := &redact.Options{HashKey: []byte("0123456789abcdef"), Keys: []string{"iban"}}
	r := newRedactor(t, opts)
	before := r.Hash("x")
	opts.HashKey[0]++
	opts.Keys[0] = "name"
	if r.Hash("x") != before {
		t.Error("changing the options changed the hash")
	}
	check(t, r.JSON, []want{
		kept(`{"name":"x"}`),
		{`{"IBAN":"x"}`, `{"IBAN":"********"}`, []string{"key IBAN"}},
	})
}

func TestKeysOptions(t *testing.T) {
	r := newRedactor(t, &redact.Options{Keys: []string{"Kundennummer", "пароль", "e-mail"}, KeepKeys: []string{"pass_phrase", "signature"}})
	check(t, r.JSON, []want{
		{`{"kunden-nummer":"1"}`, `{"kunden-nummer":"********"}`, []string{"key kunden-nummer"}},
		{`{"Пароль":"x"}`, `{"Пароль":"********"}`, []string{"key Пароль"}},
		{`{"EMail":"x"}`, `{"EMail":"********"}`, []string{"key EMail"}},
		kept(`{"passphrase":"x","паролЪ":"x","é":"x","mail":1e}`),
	})
	check(t, r.Query, []want{kept("Signature=abc"), {"X-Amz-Signature=abc", "X-Amz-Signature=********", []string{"key X-Amz-Signature"}}})
	if keys := r.Keys(); !slices.IsSorted(keys) || !slices.Contains(keys, "kundennummer") || slices.Contains(keys, "passphrase") {
		t.Errorf("Keys() = %v", keys)
	}
}

func TestHash(t *testing.T) {
	r := newRedactor(t, &redact.Options{HashKey: []byte("key of sixteen bytes or more")})
	// printf '%s' 'hunter"2' | openssl dgst -sha256 -hmac 'key of sixteen bytes or more'
	for _, in := range []string{`{"pwd":"hunter\"2"}`, `{"pwd":"hunter\u00222"}`, `{"a":"{\"pwd\":\"hunter\\\"2\"}"}`} {
		_, found := r.JSON(in)
		if len(found) != 1 || found[0].Hash != r.Hash(`hunter"2`) || found[0].Length != len(`hunter"2`) {
			t.Errorf("%s: %+v, want the hash and length of the secret itself", in, found)
		}
	}
	hash := r.Hash("4111111111111111")
	if len(hash) != 64 || strings.ToLower(hash) != hash {
		t.Errorf("Hash = %q, want 64 lower-case hex digits", hash)
	}
	if _, found := r.Text("card 4111-1111-1111-1111."); len(found) != 1 || found[0].Hash != hash || found[0].Length != 19 {
		t.Errorf("%+v, want the hash of the digits alone", found)
	}
	other := newRedactor(t, &redact.Options{HashKey: []byte("another key of sixteen bytes")})
	if other.Hash("x") == r.Hash("x") {
		t.Error("two keys make one hash")
	}
	if r.Hash("") != "" || newRedactor(t, nil).Hash("x") != "" {
		t.Error("a hash of nothing or without a key")
	}
}

func TestAny(t *testing.T) {
	check(t, newRedactor(t, nil).Any, []want{
		kept(""), kept(" "), kept("x"), kept("="), kept("=token"),
		{` {"pwd":"x y"}`, ` {"pwd":"********"}`, []string{"key pwd"}},
		{`"Bearer abcdef12"`, `"Bearer ********"`, []string{"bearer"}},
		{`4111111111111111`, `"************1111"`, []string{"card"}},
		{`4111-1111-1111-1111`, `****-****-****-1111`, []string{"card"}},
		{`a=b&pwd=x,y;z`, `a=b&pwd=********`, []string{"key pwd"}},
		{`a=b c pwd=x,y; z`, `a=b c pwd=********; z`, []string{"key pwd"}},
		{`[INFO] login {"user":"bob","pwd":"x"}`, `[INFO] login {"user":"bob","pwd":"********"}`, []string{"key pwd"}},
	})
}

// TestLinear gives every scan one megabyte of what could make it slow. Quadratic
// time would be minutes.
func TestLinear(t *testing.T) {
	r := newRedactor(t, nil)
	size := 1 << 20
	if raceEnabled || testing.Short() {
		size = 1 << 17
	}
	for _, piece := range []string{
		"[", "{", "[{", `"`, `\`, `\"`, `'`, `{'{"`, `{"a":`, `{"a":{"a":[`, `{"password":[`, "1", "4111", "4111 ", "4111-", "4 ", "11111111111x",
		"=", "a=", "a=b,", "password=", "password='", `password="`, "password: ", "password=a,", `"password":"`, ":", "://", "://a:", "://a:b@", "@", "&", "%", "%2", "+", "password&",
		"Bearer ", "Basic ", "Bearer a", "eyJ", "eyJ.", "eyJhbGciOiJub.", "-", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nabcd\n", "<", ">",
		"<password>", "<password>null", " ", "\n", "\x00", "\xff", "a", "a.", "a[", "{\\", `"{\"`, `"{\"a`, "*", `[1,`, `{"pin":1,`, `{password:x `, `,"`, `]`, `}{`, `\u00`, `"\\`,
	} {
		s := strings.Repeat(piece, size/len(piece))
		for _, sc := range scans(r) {
			start := time.Now()
			sc.do(s)
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("%s of %d bytes of %q takes %v", sc.name, size, piece, took)
			}
		}
	}
}

// TestDeepNesting gives JSON in strings in strings, which doubles with each level.
func TestDeepNesting(t *testing.T) {
	wrap := func(levels int) string {
		s := `{"pwd":"x"}`
		for range levels {
			s = `{"in":"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"}`
		}
		return s
	}
	for _, depth := range []int{1, 2, 8, 16} {
		r := newRedactor(t, &redact.Options{MaxDepth: depth})
		out, found := r.JSON(wrap(min(depth, 12)))
		if len(found) != 1 || strings.Count(found[0].Path, "in.") != min(depth, 12) || len(out) != len(wrap(min(depth, 12)))+7 {
			t.Errorf("MaxDepth %d: %+v in JSON of that depth", depth, found)
		}
		if depth > 8 {
			continue
		}
		if _, found := r.JSON(wrap(depth + 2)); len(found) != 0 {
			t.Errorf("MaxDepth %d: %+v in JSON that is deeper", depth, found)
		}
	}
}

func TestNothingAllocated(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := newRedactor(t, nil)
	nested := `{"request":"` + strings.ReplaceAll(smallBody, `"`, `\"`) + `","k\u0065y":"a\nb"}`
	for _, test := range []struct {
		do scan
		in string
	}{
		{scan{"JSON", r.JSON}, smallBody},
		{scan{"JSON", r.JSON}, largeBody()},
		{scan{"JSON", r.JSON}, nested},
		{scan{"Any", r.Any}, nested},
		{scan{"JSON", r.JSON}, `{"password":"","token":null,"adminPass":"********","secret":{"a":"b"}}`},
		{scan{"Text", r.Text}, plainText},
		{scan{"Query", r.Query}, plainQuery},
		{scan{"URL", r.URL}, "https://example.com/path?" + plainQuery + "#top"},
	} {
		n := testing.AllocsPerRun(100, func() {
			if out, found := test.do.do(test.in); found != nil || len(out) != len(test.in) {
				t.Errorf("%s found %+v", test.do.name, found)
			}
		})
		if n != 0 {
			t.Errorf("%s of %.40s…: %v allocations, want none", test.do.name, test.in, n)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	r := newRedactor(t, nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				out, found := r.JSON(`{"a":"{\"pwd\":\"x\",\"b\":\"Bearer abcdef12\"}"}`)
				if len(found) != 2 || out != `{"a":"{\"pwd\":\"********\",\"b\":\"Bearer ********\"}"}` {
					t.Errorf("%s %+v", out, found)
				}
				if out, found := r.Text(plainText); out != plainText || found != nil {
					t.Errorf("%s %+v", out, found)
				}
			}
		})
	}
	all.Wait()
}
