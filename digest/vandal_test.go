package digest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/digest"
)

// mutation is one random change of a bucket.
type mutation struct {
	name    string
	touched []string      // keys of which one must be named by a finding
	digests []digest.Head // or that one of these is not there, which has no name if the next one is gone too
	heads   bool          // it may take heads that were kept elsewhere to find it

	unproven bool // that nothing proves it will do: there are no digests in its place
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
	m := v.mutateAtRandom()
	if m == nil {
		return nil
	}
	for _, key := range m.touched { // what is done to a signature object can't be seen once its digest is gone
		if s := v.sealedUnder(strings.TrimSuffix(key, digest.SignatureSuffix)); s != nil {
			m.digests = append(m.digests, s.Head())
		}
	}
	return m
}

func (v *vandal) mutateAtRandom() *mutation {
	switch v.random.IntN(18) {
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
	case 12:
		return v.empty()
	case 13:
		return v.member()
	case 14:
		return v.header()
	case 15, 16:
		return v.copyElsewhere()
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

// empty leaves an object without content.
func (v *vandal) empty() *mutation {
	return v.change("empty", v.pick(anyKind...), func([]byte) []byte { return nil })
}

// member appends a gzip member, with or without content: what reads gzip goes on into it.
func (v *vandal) member() *mutation {
	content := []byte{}
	if v.random.IntN(2) == 0 {
		content = []byte(" ")
	}
	return v.change("member", v.pick(digest.TraceFile, digest.DigestFile), func(b []byte) []byte {
		return append(b, zip(v.tb, content)...)
	})
}

// header changes what the header of gzip says of the content, which stays the same: when
// and by which system it was compressed, or how hard.
func (v *vandal) header() *mutation {
	return v.change("header", v.pick(digest.TraceFile, digest.DigestFile), func(b []byte) []byte {
		b[4+v.random.IntN(6)] ^= 1 << v.random.IntN(8)
		return b
	})
}

// copyElsewhere puts an object into another folder too: of another day, tracker, service,
// project or region, or where dates are spelled otherwise.
func (v *vandal) copyElsewhere() *mutation {
	from := v.pick(anyKind...)
	if info, _ := digest.ParseKey(from); from == "" || info.Kind == digest.TraceFile && v.now.Sub(info.Time.Time()) < 3*time.Hour {
		return nil // the digest for such a file may still come
	}
	places := [][2]string{
		{"/2026/03/", "/2026/03/"},
		{"/2026/03/", "/2026/3/"},
		{"/03/2", "/04/2"},
		{"/03/2", "/01/2"},
		{"/system/", "/data/"},
		{"/system/", "/%/"},
		{"/eu-de/", "/eu-nl/"},
		{"/eu-de/", "/eu-de/project/"},
		{"/eu-de/", "/eu-de/2026/"},
	}
	place := places[v.random.IntN(len(places))]
	to := strings.Replace(from, place[0], place[1], 1)
	if to == from {
		to = strings.Replace(from, "eu-de_2026", "eu-nl_2026", 1)
	}
	if v.used[to] {
		return nil
	}
	v.use(from, to)
	v.put(to, v.before[from].content, v.before[from].metadata)
	return &mutation{name: "copy " + from + " to " + to, touched: []string{to}, unproven: true}
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
	m.heads = v.sealedUnder(key) != nil
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
	return &mutation{name: "move " + from + " to " + to, touched: []string{from, to}}
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
