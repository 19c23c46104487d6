package cts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"iter"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/obs"
)

// awkward are texts that mean something as a folder, or nothing anywhere.
var awkward = []string{
	"", "%", "%%", "%2E", ".", "..", "...", ".meta", ".tmp-1", "a.", "Digest", "%44igest", "digest", "Digests", "DIGEST", "/", "//", "a/b", "a\\b",
	"../../etc/passwd", "\x00", "a\x00b", "\xff", "\xff\xfe", "\xed\xa0\x80", "\ufffd", "ü", "中文", "\u2028", " ", "a b", "~", "%~", "CON", "con:",
	"ECS", "ecs", "-", "_", "a_b", strings.Repeat("x", 200), strings.Repeat("x", 201), strings.Repeat("x", 300), strings.Repeat("x", 299) + "y",
	strings.Repeat("/", 66), strings.Repeat("/", 67), strings.Repeat("ä", 150), "Digest" + strings.Repeat("x", 300), "." + strings.Repeat("\xff", 300),
}

// unescapeSegment turns an escaped segment back into its text. Long texts are cut; of them it
// returns false.
func unescapeSegment(t testing.TB, s string) (string, bool) {
	t.Helper()
	if s == "%" {
		return "", true
	}
	if i := strings.Index(s, "%~"); i >= 0 {
		return "", false
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		raw, err := hex.DecodeString(s[i+1 : i+3])
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		b = append(b, raw...)
		i += 2
	}
	return string(b), true
}

var plainSegment = regexp.MustCompile(`^[0-9A-Za-z_.%~-]+$`)

// checkSegment checks that s becomes a segment that is one everywhere and that no
// other text becomes.
func checkSegment(t testing.TB, s string) {
	t.Helper()
	got := escapeSegment(s)
	if !plainSegment.MatchString(got) || len(got) > maxSegment || got[0] == '.' || got == "Digest" {
		t.Errorf("escapeSegment(%q) = %q", s, got)
	}
	back, whole := unescapeSegment(t, got)
	switch {
	case whole && back != s:
		t.Errorf("escapeSegment(%q) = %q, which is that of %q", s, got, back)
	case !whole:
		sum := sha256.Sum256([]byte(s))
		if len(s) <= maxSegment/3 || !strings.HasSuffix(got, "%~"+hex.EncodeToString(sum[:16])) {
			t.Errorf("escapeSegment(%q) = %q, cut without need or without the hash", s, got)
		}
	}
	if err := obs.ValidateKey(got); err != nil {
		t.Errorf("escapeSegment(%q) = %q: %v", s, got, err)
	}
}

func FuzzEscapeSegment(f *testing.F) {
	for _, s := range awkward {
		f.Add(s, s+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		checkSegment(t, a)
		checkSegment(t, b)
		if (escapeSegment(a) == escapeSegment(b)) != (a == b) {
			t.Errorf("%q and %q become %q and %q", a, b, escapeSegment(a), escapeSegment(b))
		}
	})
}

func TestEscapeSegment(t *testing.T) {
	for text, want := range map[string]string{
		"": "%", "ECS": "ECS", "a_b-c.d": "a_b-c.d", ".": "%2E", "..": "%2E.", ".a.b": "%2Ea.b", "Digest": "%44igest", "digest": "digest",
		"a/b": "a%2Fb", "%": "%25", "~": "%7E", "\x00": "%00", "\xff": "%FF", "ü": "%C3%BC",
		strings.Repeat("x", 200): strings.Repeat("x", 200),
	} {
		if got := escapeSegment(text); got != want {
			t.Errorf("escapeSegment(%q) = %q, want %q", text, got, want)
		}
	}
}

// Different texts have different segments: all pairs of awkward ones, and random ones
// made of the same pieces.
func TestEscapeSegmentIsInjective(t *testing.T) {
	seed := uint64(20240619)
	r := rand.New(rand.NewPCG(seed, 1))
	texts := append([]string(nil), awkward...)
	for range 5_000 {
		var b strings.Builder
		for range 1 + r.IntN(3) {
			b.WriteString(awkward[r.IntN(len(awkward))])
		}
		texts = append(texts, b.String())
	}
	segments := map[string]string{}
	for _, s := range texts {
		checkSegment(t, s)
		got := escapeSegment(s)
		if other, ok := segments[got]; ok && other != s {
			t.Fatalf("seed %d: %q and %q both become %q", seed, s, other, got)
		}
		segments[got] = s
	}
}

// emptySource is a store without traces.
type emptySource string

func (s emptySource) ID() string { return string(s) }

func (emptySource) After(context.Context, Position) iter.Seq2[Entry, error] {
	return func(func(Entry, error) bool) {}
}

func (emptySource) LoadState(context.Context, string) (data []byte, generation uint64, err error) {
	return nil, 0, nil
}

func (emptySource) SaveState(context.Context, string, []byte, uint64) (uint64, error) {
	return 0, errors.New("saves nothing")
}

// noBucket is a bucket of which only the type is needed.
type noBucket struct{ obs.Client }

func namingDumper(t testing.TB, id string, opts *DumperOptions) *Dumper {
	t.Helper()
	d, err := NewDumper(emptySource(id), noBucket{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// keyOf returns the name of a trace file as a cycle of d would have it.
func keyOf(d *Dumper, from, to Position, at time.Time, g group, content string) string {
	sum := sha256.Sum256([]byte(content))
	settings := d.settings(g.tracker)
	p := &plan{To: to, Time: at.UnixMilli(), from: from}
	return d.key(p, plannedFile{
		Tracker: g.tracker, Service: g.service, Flat: settings.WithoutServiceFolders, Plain: settings.Compression == CompressJSON,
		SHA256: hex.EncodeToString(sum[:]),
	}, settings.Prefix)
}

func TestTraceFileNames(t *testing.T) {
	zone := time.FixedZone("east", 9*3600)
	at := time.Date(2024, 1, 2, 3, 4, 5, 999_000_000, zone) // the day before in UTC
	const hex16 = `[0-9a-f]{16}\.json\.gz$`
	for _, test := range []struct {
		name string
		opts DumperOptions
		g    group
		want string
	}{
		{"defaults", DumperOptions{}, group{"system", "ECS"}, `^CloudTraces/local/2024/01/01/system/ECS/CloudTrace_local_2024-01-01T18-04-05Z_` + hex16},
		{
			"prefix and region",
			DumperOptions{Prefix: "file", Region: "cn-southwest-237"},
			group{"system", "CTS"},
			`^CloudTraces/cn-southwest-237/2024/01/01/system/CTS/file_CloudTrace_cn-southwest-237_2024-01-01T18-04-05Z_` + hex16,
		},
		{"no service folders", DumperOptions{Prefix: "a", WithoutServiceFolders: true}, group{"data", ""}, `^CloudTraces/local/2024/01/01/data/a_CloudTrace_local_2024-01-01T18-04-05Z_` + hex16},
		{"sub-project", DumperOptions{Region: "eu", Project: "shop"}, group{"data", "S"}, `^CloudTraces/eu-shop/2024/01/01/data/S/CloudTrace_eu-shop_2024-01-01T18-04-05Z_` + hex16},
		{"not compressed", DumperOptions{Compression: CompressJSON}, group{"data", "S"}, `^CloudTraces/local/2024/01/01/data/S/CloudTrace_local_2024-01-01T18-04-05Z_[0-9a-f]{16}\.json$`},
		{
			"tracker of its own",
			DumperOptions{Prefix: "p", Tracker: func(name string) *TransferOptions { return &TransferOptions{Prefix: name + "-x"} }},
			group{"data", "S"},
			`^CloudTraces/local/2024/01/01/data/S/data-x_CloudTrace_local_2024-01-01T18-04-05Z_` + hex16,
		},
		{"no service", DumperOptions{}, group{"data", ""}, `^CloudTraces/local/2024/01/01/data/%/CloudTrace_local_2024-01-01T18-04-05Z_` + hex16},
		{"folder of digests", DumperOptions{}, group{"data", "Digest"}, `^CloudTraces/local/2024/01/01/data/%44igest/CloudTrace_local_2024-01-01T18-04-05Z_` + hex16},
	} {
		d := namingDumper(t, "s", &test.opts)
		if got := keyOf(d, 0, 1, at, test.g, ""); !regexp.MustCompile(test.want).MatchString(got) {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// Whatever an imported trace claims as its tracker and service, the name of its file
// is a key that every store takes.
func TestTraceFileNamesAreKeys(t *testing.T) {
	long := strings.Repeat("r", 64)
	for _, opts := range []*DumperOptions{nil, {Prefix: long, Region: long}, {Prefix: "..", Region: "r..r"}, {WithoutServiceFolders: true}} {
		d := namingDumper(t, "s", opts)
		for _, tracker := range awkward {
			for _, service := range awkward {
				key := keyOf(d, 0, 1, time.UnixMilli(MaxTime), group{tracker, service}, "")
				if err := obs.ValidateKey(key); err != nil {
					t.Fatalf("tracker %q, service %q: %v", tracker, service, err)
				}
				folders := strings.Split(key, "/")
				for _, folder := range folders[:len(folders)-1] {
					if folder[0] == '.' || folder == "Digest" {
						t.Errorf("tracker %q, service %q: %s", tracker, service, key)
					}
				}
			}
		}
	}
}

// What makes a file another one changes the hex in its name, the boundary between two
// texts too, and nothing else does.
func TestTraceFileNamesTellFilesApart(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	hexOf := func(key string) string { return key[len(key)-len("0123456789abcdef.json.gz"):] }
	seen := map[string]string{}
	for _, id := range []string{"s", "st", ""} {
		for _, window := range [][2]Position{{0, 1}, {0, 2}, {1, 2}, {1 << 32, 2}} {
			for _, g := range []group{{"t", "c"}, {"tc", ""}, {"", "tc"}, {"t", "C"}} {
				for _, content := range []string{"", "[]", "[{}]"} {
					d := namingDumper(t, id, nil)
					what := strings.Join([]string{id, g.tracker, g.service, content}, "|")
					got := hexOf(keyOf(d, window[0], window[1], at, g, content))
					if other, ok := seen[got]; ok {
						t.Errorf("%s %v and %s have the hex %s", what, window, other, got)
					}
					seen[got] = what
					other := namingDumper(t, id, &DumperOptions{Prefix: "p", Region: "eu", Level: 9})
					if again := hexOf(keyOf(other, window[0], window[1], at.Add(time.Hour), g, content)); again != got {
						t.Errorf("%s %v: %s, and with other options and at another time %s", what, window, got, again)
					}
				}
			}
		}
	}
}
