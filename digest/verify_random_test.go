package digest_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/digest"
)

// mutation is one random change of a bucket.
type mutation struct {
	name    string
	touched []string // keys of which one must be named by a finding
	digests []digest.Head
	heads   bool // it may take heads that were kept elsewhere to find it
}

// vandal changes a bucket at random and puts it right again.
type vandal struct {
	*world
	random *rand.Rand
	forger *digest.Signer
	before map[string]object // of the untouched bucket
	used   map[string]bool   // keys that the mutations so far have touched
}

type object struct {
	content  []byte
	metadata map[string]string
	modTime  time.Time
}

func newVandal(t testing.TB, seed uint64) *vandal {
	w := newWorld(t, worldOptions{writers: 3, hours: 6, files: 2, traces: 2})
	v := &vandal{world: w, random: rand.New(rand.NewPCG(seed, 1)), before: map[string]object{}, forger: w.options.otherSigner()}
	for _, key := range w.keys() {
		content, o := w.get(key)
		v.before[key] = object{content, o.Metadata, o.ModTime}
	}
	return v
}

// restore makes the bucket what it was.
func (v *vandal) restore() {
	now := v.now
	for _, key := range v.keys() {
		if _, ok := v.before[key]; !ok {
			v.delete(key)
		}
	}
	for key, o := range v.before {
		if v.used[key] {
			v.now = o.modTime
			v.put(key, o.content, o.metadata)
		}
	}
	v.now, v.used = now, map[string]bool{}
}

// pick returns a key of a kind that no mutation has touched yet, or "".
func (v *vandal) pick(kinds ...digest.ObjectKind) string {
	keys := make([]string, 0, len(v.before))
	for key := range v.before {
		info, ok := digest.ParseKey(key)
		if ok && slices.Contains(kinds, info.Kind) && !v.used[key] {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	slices.Sort(keys)
	return keys[v.random.IntN(len(keys))]
}

func (v *vandal) use(keys ...string) {
	for _, key := range keys {
		v.used[key] = true
	}
}

var anyKind = []digest.ObjectKind{digest.TraceFile, digest.DigestFile, digest.SignatureFile}

// sealedUnder returns the digest with a key.
func (v *vandal) sealedUnder(key string) *digest.Sealed {
	for _, a := range v.writers {
		for _, s := range a.sealed {
			if s.Key == key {
				return s
			}
		}
	}
	return nil
}

// mutate changes something. It returns nil if what it chose can't be done any more.
func (v *vandal) mutate() *mutation {
	switch v.random.IntN(13) {
	case 0, 1:
		return v.flip()
	case 2:
		return v.truncate()
	case 3:
		return v.remove()
	case 4:
		return v.insert()
	case 5:
		return v.swap()
	case 6:
		return v.move()
	case 7:
		return v.replay()
	case 8:
		return v.forge()
	case 9:
		return v.cutTail()
	case 10:
		return v.removeChain()
	case 11:
		return v.metadata()
	}
	return v.grow()
}

func (v *vandal) change(name, key string, edit func(content []byte) []byte) *mutation {
	if key == "" {
		return nil
	}
	content, o := v.get(key)
	edited := edit(bytes.Clone(content))
	if bytes.Equal(edited, content) {
		return nil
	}
	v.use(key)
	v.put(key, edited, o.Metadata)
	return &mutation{name: name + " " + key, touched: []string{key}}
}

func (v *vandal) flip() *mutation {
	return v.change("flip", v.pick(anyKind...), func(b []byte) []byte {
		b[v.random.IntN(len(b))] ^= 1 << v.random.IntN(8)
		return b
	})
}

func (v *vandal) truncate() *mutation {
	return v.change("truncate", v.pick(anyKind...), func(b []byte) []byte { return b[:v.random.IntN(len(b))] })
}

func (v *vandal) grow() *mutation {
	return v.change("grow", v.pick(anyKind...), func(b []byte) []byte { return append(b, byte(v.random.IntN(256))) })
}

// remove deletes one object.
func (v *vandal) remove() *mutation {
	key := v.pick(anyKind...)
	if key == "" {
		return nil
	}
	v.use(key)
	v.delete(key)
	m := &mutation{name: "remove " + key, touched: []string{key}}
	if s := v.sealedUnder(key); s != nil {
		m.digests, m.heads = []digest.Head{s.Head()}, true
	}
	return m
}

// insert puts a trace file into the time that is sealed.
func (v *vandal) insert() *mutation {
	content := traceContent(1+v.random.IntN(3), fmt.Sprint("forged", v.random.Uint64()))
	at := v.begin.Add(time.Minute + time.Duration(v.random.Int64N(int64(3*time.Hour+50*time.Minute)))) // not of the last two hours
	key := fileKey("system", []string{"ECS", "IAM"}[v.random.IntN(2)], at, content)
	stored := zip(v.tb, content)
	if old := v.pick(digest.TraceFile); old != "" && v.random.IntN(3) == 0 {
		stored = v.before[old].content // a trace file once more
	}
	v.use(key)
	v.put(key, stored, nil)
	return &mutation{name: "insert " + key, touched: []string{key}}
}

// swap exchanges two objects of one kind.
func (v *vandal) swap() *mutation {
	kind := anyKind[v.random.IntN(3)]
	a := v.pick(kind)
	v.use(a)
	b := v.pick(kind)
	if a == "" || b == "" || bytes.Equal(v.before[a].content, v.before[b].content) {
		return nil
	}
	v.use(b)
	x, y := v.before[a], v.before[b]
	v.put(a, y.content, y.metadata)
	v.put(b, x.content, x.metadata)
	return &mutation{name: "swap " + a + " and " + b, touched: []string{a, b}}
}

// move gives an object another name.
func (v *vandal) move() *mutation {
	from := v.pick(anyKind...)
	if from == "" {
		return nil
	}
	var to string
	switch v.random.IntN(3) {
	case 0:
		i := strings.LastIndex(from, "/") + 1
		to = from[:i] + "x_" + from[i:]
	case 1:
		to = strings.Replace(from, "/2026/03/", "/2026/3/", 1)
	default:
		to = strings.Replace(from, "-00Z_", "-30Z_", 1)
	}
	v.use(from, to)
	v.rename(from, to)
	m := &mutation{name: "move " + from + " to " + to, touched: []string{from, to}}
	if s := v.sealedUnder(from); s != nil {
		m.digests = []digest.Head{s.Head()}
	}
	return m
}

// replay puts an older object under the name of a newer one.
func (v *vandal) replay() *mutation {
	kind := anyKind[v.random.IntN(3)]
	key, old := v.pick(kind), v.pick(kind)
	if key == "" || bytes.Equal(v.before[key].content, v.before[old].content) {
		return nil
	}
	v.use(key)
	v.put(key, v.before[old].content, v.before[old].metadata)
	return &mutation{name: "replay " + old + " as " + key, touched: []string{key}}
}

// forge signs a digest with another key, or leaves out its signature.
func (v *vandal) forge() *mutation {
	key := v.pick(digest.DigestFile)
	if key == "" || v.used[key+digest.SignatureSuffix] {
		return nil
	}
	for i, a := range v.writers {
		j := slices.IndexFunc(a.sealed, func(s *digest.Sealed) bool { return s.Key == key })
		if j < 0 {
			continue
		}
		v.use(key, key+digest.SignatureSuffix)
		if v.random.IntN(2) == 0 {
			return &mutation{name: "forge " + v.resign(i, j, v.forger), touched: []string{key}}
		}
		content, _ := v.get(key)
		v.put(key, content, nil)
		v.delete(key + digest.SignatureSuffix)
		return &mutation{name: "unsign " + key, touched: []string{key}}
	}
	return nil
}

// metadata changes what is said about the signature.
func (v *vandal) metadata() *mutation {
	key := v.pick(digest.DigestFile)
	if key == "" {
		return nil
	}
	content, o := v.get(key)
	name := []string{digest.MetaSignature, digest.MetaSignatureAlgorithm, digest.MetaKeyID}[v.random.IntN(3)]
	value := []byte(o.Metadata[name])
	i := v.random.IntN(len(value))
	if value[i]++; value[i] == 'z'+1 {
		value[i] = 'a'
	}
	o.Metadata[name] = string(value)
	v.use(key)
	v.put(key, content, o.Metadata)
	return &mutation{name: "change " + name + " of " + key, touched: []string{key}}
}

// cutTail removes the newest digests of one chain, or of all.
func (v *vandal) cutTail() *mutation {
	m := &mutation{name: "cut the tail", heads: true}
	writers, n := v.writers, 1+v.random.IntN(5)
	if v.random.IntN(2) == 0 {
		i := v.random.IntN(len(writers))
		writers = writers[i : i+1]
	}
	files := v.random.IntN(2) == 0
	return v.removeDigests(m, writers, n, files)
}

// removeChain removes all digests of a chain.
func (v *vandal) removeChain() *mutation {
	i := v.random.IntN(len(v.writers))
	return v.removeDigests(&mutation{name: "remove a chain", heads: true}, v.writers[i:i+1], 6, v.random.IntN(2) == 0)
}

func (v *vandal) removeDigests(m *mutation, writers []*worldWriter, n int, files bool) *mutation {
	var keys []string
	for _, a := range writers {
		for i := len(a.sealed) - n; i < len(a.sealed); i++ {
			keys = append(keys, a.sealed[i].Key, a.sealed[i].Key+digest.SignatureSuffix)
			if files {
				keys = append(keys, a.files[i]...)
			}
		}
		m.digests = append(m.digests, a.sealed[len(a.sealed)-1].Head())
	}
	if slices.ContainsFunc(keys, func(key string) bool { return v.used[key] }) {
		return nil
	}
	m.name += fmt.Sprintf(": %d digests of %d chains", n, len(writers))
	v.use(keys...)
	v.delete(keys...)
	return m
}

// trusted reports whether a digest is there as it was sealed, with a signature.
func (v *vandal) trusted(s *digest.Sealed) bool {
	same := func(key string) bool {
		_, err := v.bucket.Head(context.Background(), key)
		if err != nil {
			return false
		}
		content, _ := v.get(key)
		return bytes.Equal(content, v.before[key].content)
	}
	if !same(s.Key) {
		return false
	}
	_, o := v.get(s.Key)
	return maps.Equal(o.Metadata, v.before[s.Key].metadata) || same(s.Key+digest.SignatureSuffix)
}

// unproven reports whether the digests are damaged that would show a mutation of trace
// files: then nothing does, but for the damage of these digests, which is found.
func (v *vandal) unproven(m *mutation) bool {
	digests := 0
	for _, a := range v.writers {
		for i, s := range a.sealed {
			if !slices.ContainsFunc(a.files[i], func(key string) bool { return slices.Contains(m.touched, key) }) {
				continue
			}
			digests++
			if v.trusted(s) {
				return false
			}
		}
	}
	return digests > 0
}

// finds reports whether damage is reported that a mutation did.
func finds(r *digest.Report, m *mutation) bool {
	return slices.ContainsFunc(r.Findings, func(f digest.Finding) bool {
		if f.Severity() != digest.Damage {
			return false
		}
		for _, key := range m.touched {
			if strings.TrimSuffix(f.Object, digest.SignatureSuffix) == strings.TrimSuffix(key, digest.SignatureSuffix) || strings.Contains(f.Reason, key) {
				return true
			}
		}
		return slices.ContainsFunc(m.digests, func(h digest.Head) bool {
			return f.Chain == h.Chain && (f.Seq == h.Seq || f.Kind == digest.ChainDeleted)
		})
	})
}

var tamperSeed = flag.Uint64("tamper.seed", 1, "seed of the random tampering")

// TestVerifyRandomTampering changes a bucket 10,000 times, one thing or several at a time,
// and each one is found.
func TestVerifyRandomTampering(t *testing.T) {
	mutations := 10_000
	if raceEnabled || testing.Short() {
		mutations = 600
	}
	seed := *tamperSeed
	t.Logf("seed %d", seed)
	const vandals = 4
	var all sync.WaitGroup
	for i := range vandals {
		all.Go(func() { tamperAtRandom(t, seed+uint64(i), mutations/vandals) })
	}
	all.Wait()
}

func tamperAtRandom(t *testing.T, seed uint64, mutations int) {
	v := newVandal(t, seed)
	heads := v.heads()
	verify := func(heads []digest.Head) *digest.Report {
		r, err := digest.Verify(context.Background(), v.bucket, &digest.VerifyOptions{
			Keys: []*digest.PublicKey{v.signer.Public()}, Heads: heads, Parallel: 1, Now: func() time.Time { return v.now },
		})
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		return r
	}
	v.used = map[string]bool{}
	for round := 0; mutations > 0; round++ {
		if round%100 == 0 {
			if r := verify(heads); len(kinds(r)) > 0 {
				t.Errorf("seed %d: untouched:\n%s", seed, findings(r))
			}
		}
		var done []*mutation
		for range 1 + max(0, v.random.IntN(6)-2) {
			if m := v.mutate(); m != nil {
				done = append(done, m)
			}
		}
		mutations -= len(done)
		elsewhere := false
		for _, m := range done {
			elsewhere = elsewhere || m.heads
		}
		var r *digest.Report
		if elsewhere || len(done) > 1 {
			r = verify(heads)
		} else {
			r = verify(nil)
		}
		for _, m := range done {
			if !finds(r, m) && !v.unproven(m) {
				t.Errorf("seed %d round %d: %s not found of %s:\n%s", seed, round, m.name, names(done), findings(r))
			}
		}
		if v.restore(); t.Failed() {
			return
		}
	}
}

func names(ms []*mutation) string {
	var s []string
	for _, m := range ms {
		s = append(s, m.name)
	}
	return strings.Join(s, "; ")
}
