package redact_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/redact"
)

// seeds are small texts in which the rules meet.
var seeds = []string{
	``, `{}`, `{"password":"hunter2"}`, `{"password":"hunt`, `{"password":"a\`, `{"pin":1234,"x":4111111111111111}`,
	`{"a":"{\"password\":\"x\",\"pin\":12}"}`, `{"password":["a",["b"],{"c":"d","pwd":"e"},1]}`, `["Bearer abcdef12345"]`,
	`{"p\u0061ssword":"x"}`, `{'password': 'x', 'pin': 1}`, `{password: "x", pin: 12, token: abc}`, `{"a":-4111111111111111}`,
	`4111111111111111`, `4111 1111 1111 1111 4111-1111-1111-1111 378282246310005`, `"4111111111111111":"x"`,
	`Authorization: Bearer abcdef12345`, `Basic dXNlcjpwYXNzd29yZA==`, `basic dXNlcjpwYXNzd29yZA`,
	`eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln`, `eyJhbGciOiJkaXIifQ..YWJj.ZGVm.Z2hp eyJhbGciOiJkaXIifQ.a.YWJj.ZGVm.Z2hp`,
	"-----BEGIN RSA PRIVATE KEY-----\nMIIEabcdefghijklmnop\nabc=\n-----END RSA PRIVATE KEY-----\n",
	`"-----BEGIN PRIVATE KEY-----\nMIIEabcdefghijklmnop\nabc`, `postgres://bob:s3cret@h/db?password=x&a=b`,
	`a=b&password=x+y&pin=1&q=%7B%22pin%22%3A1%7D`, `user[password]=x;token=y, sig=abc,d=e`, `password="a b" token='c' pwd= secret = x`,
	`authorization=Bearer abc def`, `msg {"token":"x"} and "{\"token\":\"y\"}" end`, `<Password>x</Password><ns:Token> y </ns:Token>`,
	`session_token: abcd1234efgh token: expired`, `'password': 'x', "pwd": "y", \"token\":\"z\"`, `Bearer x\u0061bcd1234\/efgh`,
	`{"a":"Basic dXNlcjpw\/XNzd29yZA=="}`, `****4111111111111111****`, `{"token":tru,"pin":1 2}`, `[{"secret":12'3}]`, `{"otp":1:2}`,
}

func fuzzSeeds(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
}

type scan struct {
	name string
	do   func(string) (string, []redact.Finding)
}

func scans(r *redact.Redactor) []scan {
	return []scan{{"JSON", r.JSON}, {"Query", r.Query}, {"URL", r.URL}, {"Text", r.Text}, {"Any", r.Any}}
}

// FuzzAgain asserts that a second pass finds nothing and changes nothing, and that
// text without findings comes back as it was.
func FuzzAgain(f *testing.F) {
	fuzzSeeds(f)
	r := newRedactor(f, nil)
	f.Fuzz(func(t *testing.T, s string) {
		for _, sc := range scans(r) {
			once, found := sc.do(s)
			if len(found) == 0 && once != s {
				t.Fatalf("%s(%q) = %q with no finding", sc.name, s, once)
			}
			if len(found) > 0 && !strings.Contains(once, "****") {
				t.Fatalf("%s(%q) = %q without a mask, found %+v", sc.name, s, once, found)
			}
			twice, again := sc.do(once)
			if len(again) > 0 || twice != once {
				t.Fatalf("%s(%q) = %q, and again = %q, found %+v", sc.name, s, once, twice, again)
			}
			for _, finding := range found {
				if len(finding.Path) > 256 || finding.Length <= 0 || finding.Rule == "" {
					t.Fatalf("%s(%q) found %+v", sc.name, s, finding)
				}
			}
		}
	})
}

// FuzzJSON asserts that valid JSON stays valid, with the same shape, and that what is
// not a string or a number is never changed.
func FuzzJSON(f *testing.F) {
	fuzzSeeds(f)
	r := newRedactor(f, nil)
	f.Fuzz(func(t *testing.T, s string) {
		if !json.Valid([]byte(s)) {
			t.Skip()
		}
		for _, sc := range scans(r)[:1] {
			out, _ := sc.do(s)
			if !json.Valid([]byte(out)) {
				t.Fatalf("%s(%q) = %q, which is not JSON", sc.name, s, out)
			}
			if got, want := shape(t, out), shape(t, s); got != want {
				t.Fatalf("%s(%q) = %q: shape %s, want %s", sc.name, s, out, got, want)
			}
		}
	})
}

// shape is a JSON text with every string and number as "s".
func shape(t *testing.T, s string) string {
	t.Helper()
	var b strings.Builder
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return b.String()
		}
		switch v := token.(type) {
		case json.Delim:
			b.WriteRune(rune(v))
		case string, json.Number:
			b.WriteString("s")
		case bool:
			if v {
				b.WriteString("t")
			} else {
				b.WriteString("f")
			}
		case nil:
			b.WriteString("n")
		}
	}
}
