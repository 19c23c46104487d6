package redact_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/redact"
)

// pieces are what the random texts are made of: the bytes that the rules look at,
// names, secrets, and what looks like either.
var pieces = []string{
	`"`, `"`, `"`, `'`, `\`, `\"`, `\\`, `\n`, `\u0041`, `\u00`, `\/`, `{`, `}`, `[`, `]`, `:`, `,`, `=`, `&`, ` `, "\n", `;`, `<`, `>`, `*`, `****`, `.`, `-`, `+`, `%`,
	`%22`, `%7B`, `%2`, `"password"`, `"password":`, `password`, `token`, `pin`, `sig`, `session_token`, `"pin":`, `secret=`, `a=`, `x`, `"x"`, `1`, `12`, `null`, `true`, `=:`, `://`, `@`, `u:p@h`,
	`Bearer `, `bearer`, `Basic `, `abcdef12`, `dXNlcjpwYXNz`, `eyJhbGciOiJub25lIn0`, `eyJzdWIiOiJ4In0`, `.eyJ`, `eyJ`, `-----BEGIN PRIVATE KEY-----`,
	`-----END PRIVATE KEY-----`, `MIIEabcdefghijklmnop`, `4111111111111111`, `4111 1111 1111 1111`, `4111-1111`, `-1111-1111`, ` 1111`, `1111`, `378282246310005`, `<token>`, `</token>`, `é`, "\xff", `********`,
}

func randomText(rnd *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(pieces[rnd.IntN(len(pieces))])
	}
	return b.String()
}

// TestRandomTexts asserts on texts made of the hard pieces what the package promises
// of every text: a second pass finds nothing.
func TestRandomTexts(t *testing.T) {
	r := newRedactor(t, nil)
	rnd := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 30000 {
		s := randomText(rnd, 1+rnd.IntN(14))
		for _, sc := range scans(r) {
			once, n := sc.do(s)
			found += len(n)
			if twice, again := sc.do(once); len(again) > 0 || twice != once {
				t.Fatalf("%s\n  of %q\n  is %q\n  again %q %+v", sc.name, s, once, twice, again)
			}
		}
	}
	if found < 30000 {
		t.Errorf("%d findings in all: the texts are too tame", found)
	}
}

// randomValue makes a JSON value, and counts in secrets how many of its leaves
// must be masked.
func randomValue(rnd *rand.Rand, depth int, secrets *[]string) any {
	switch rnd.IntN(7) {
	case 0, 1, 2:
		if depth == 0 {
			return rnd.IntN(1000)
		}
		object := map[string]any{}
		for range rnd.IntN(5) {
			switch rnd.IntN(5) {
			case 0:
				secret := fmt.Sprintf("S3cr\"et\\é-%d/", rnd.Uint64())
				*secrets = append(*secrets, secret)
				name := []string{"password", "Session-Token", "api_key"}[len(*secrets)%3]
				if _, ok := object[name]; ok {
					*secrets = (*secrets)[:len(*secrets)-1]
					continue
				}
				object[name] = secret
			default:
				object[fmt.Sprintf("k%d", len(object))] = randomValue(rnd, depth-1, secrets)
			}
		}
		return object
	case 3:
		var list []any
		for range rnd.IntN(4) {
			if depth > 0 {
				list = append(list, randomValue(rnd, depth-1, secrets))
			}
		}
		return list
	case 4:
		inner, err := json.Marshal(map[string]any{"in": randomValue(rnd, max(depth-1, 0), secrets)})
		if err != nil {
			panic(err)
		}
		return string(inner)
	case 5:
		return nil
	}
	return "plain \"text\" é " + fmt.Sprint(rnd.IntN(100))
}

// TestRandomJSON asserts that of well-formed JSON, nested in strings too, every
// secret goes and exactly the secrets go.
func TestRandomJSON(t *testing.T) {
	r := newRedactor(t, &redact.Options{HashKey: []byte("0123456789abcdef")})
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		var secrets []string
		value := randomValue(rnd, 5, &secrets)
		in, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out, found := r.JSON(string(in))
		if !json.Valid([]byte(out)) {
			t.Fatalf("%s\n became %s", in, out)
		}
		if len(found) != len(secrets) || strings.Contains(out, "S3cr") {
			t.Fatalf("%s\n became %s\n %d findings, want %d", in, out, len(found), len(secrets))
		}
		hashes := map[string]bool{}
		for _, f := range found {
			hashes[f.Hash] = true
		}
		for _, secret := range secrets {
			if !hashes[r.Hash(secret)] {
				t.Fatalf("no finding has the hash of %q in %s", secret, in)
			}
		}
	}
}
