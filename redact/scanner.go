package redact

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// A scanner looks through one text. Text inside text is decoded into a buffer one
// level up, looked through there, and the places found are brought back to where
// they stand in the level below; so only the bytes of secrets are ever replaced,
// and nothing is encoded anew.
type scanner struct {
	r       *Redactor
	level   int                  // of the text that is being looked through
	src     [maxDepth + 1]string // the text of each level
	bufs    [maxDepth + 1][]byte // what src is decoded into, reused
	spans   []span
	frames  [maxFrames]frame
	depth   int    // frames in use; may exceed maxFrames
	top     *frame // the innermost frame, or nil if it lies too deep to be known
	deep    int    // depth of the secret array beyond maxFrames, or 0
	nesting int    // calls of json under way
}

// span is a place to be replaced, in the coordinates of its level.
type span struct {
	start, end int
	repl       string
	finding    Finding
}

const (
	maxFrames  = 64  // brackets and levels that paths and secret arrays are followed through
	maxNesting = 48  // calls of json inside each other
	maxPath    = 256 // bytes of a path
	maxSegment = 64  // bytes of one name in a path
	maxKept    = 256 << 10
)

// frame is one open bracket, or the ground on which a text stands.
type frame struct {
	keyStart int // of the current key in src[level]; noKey without
	keyEnd   int
	index    int
	level    uint8
	codec    codec // of the key
	array    bool
	secret   bool // strings in this array are secrets
	masked   bool // the key itself held a secret
}

const noKey = -1

func (r *Redactor) run(s string, scan func(*scanner)) (string, []Finding) {
	if len(s) == 0 {
		return s, nil
	}
	sc, ok := r.pool.Get().(*scanner)
	if !ok {
		sc = &scanner{r: r}
	}
	sc.src[0] = s
	scan(sc)
	out, found := s, []Finding(nil)
	if len(sc.spans) > 0 {
		out, found = sc.apply(s)
	}
	sc.release()
	return out, found
}

// apply writes the text with every span replaced.
func (sc *scanner) apply(s string) (string, []Finding) {
	var b strings.Builder
	b.Grow(len(s) + len(sc.spans)*len(Mask)/2)
	found := make([]Finding, 0, len(sc.spans))
	pos := 0
	for i := range sc.spans {
		sp := &sc.spans[i]
		if sp.start >= pos {
			b.WriteString(s[pos:sp.start])
			b.WriteString(sp.repl)
		}
		pos = max(pos, sp.end)
		found = append(found, sp.finding)
	}
	b.WriteString(s[pos:])
	return b.String(), found
}

// release gives the scanner back, without what it refers to, without the secrets
// that were decoded, and without buffers that one large text made large.
func (sc *scanner) release() {
	for i := range sc.src {
		if sc.src[i] == "" {
			break
		}
		sc.src[i] = ""
		if cap(sc.bufs[i]) > maxKept {
			sc.bufs[i] = nil
		} else if len(sc.spans) > 0 {
			clear(sc.bufs[i][:cap(sc.bufs[i])])
		}
	}
	clear(sc.spans)
	if sc.spans = sc.spans[:0]; cap(sc.spans) > 1024 {
		sc.spans = nil
	}
	sc.level, sc.depth, sc.top, sc.deep, sc.nesting = 0, 0, nil, 0, 0
	sc.r.pool.Put(sc)
}

// emit notes a secret that stands at [start, end) of the current level.
func (sc *scanner) emit(start, end int, rule Rule, name, secret string) {
	sc.spans = append(sc.spans, span{start, end, Mask, Finding{
		Path: sc.path(name), Rule: rule, Length: len(secret), Hash: sc.r.Hash(secret),
	}})
}

// nested looks through a text that is encoded inside the current one, at off.
func (sc *scanner) nested(t string, off int, c codec) {
	if sc.level >= sc.r.maxDepth {
		sc.text(t, off, true)
		return
	}
	first := len(sc.spans)
	sc.level++
	sc.bufs[sc.level] = c.decode(sc.bufs[sc.level][:0], t)
	v := view(sc.bufs[sc.level])
	sc.src[sc.level] = v
	sc.value(v, 0)
	sc.level--
	if len(sc.spans) > first {
		c.relocate(sc.spans[first:], t, off)
	}
}

// unescaped looks through a text that is encoded inside the current one, at off,
// but has nothing in it that would have to be decoded.
func (sc *scanner) unescaped(t string, off int, c codec) {
	first := len(sc.spans)
	sc.value(t, off)
	for i := first; i < len(sc.spans); i++ {
		sc.spans[i].repl = c.encode(sc.spans[i].repl)
	}
}

// value looks through the whole content of a string.
func (sc *scanner) value(t string, off int) {
	if sc.nesting < maxNesting && opensJSON(t) {
		sc.json(t, 0, off, false)
		return
	}
	sc.text(t, off, false)
}

// view is the content of b without a copy. b must not change while it is in use:
// each level has its own buffer, which is filled anew only after the level was left.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (sc *scanner) push(f frame) {
	if sc.depth < maxFrames {
		f.keyStart, f.level = noKey, uint8(sc.level)
		sc.top = &sc.frames[sc.depth]
		*sc.top = f
	} else {
		sc.top = nil
		if f.secret && sc.deep == 0 {
			sc.deep = sc.depth + 1
		}
	}
	sc.depth++
}

func (sc *scanner) pop() { sc.popTo(sc.depth - 1) }

func (sc *scanner) popTo(depth int) {
	sc.depth, sc.top = depth, nil
	if 0 < depth && depth <= maxFrames {
		sc.top = &sc.frames[depth-1]
	}
	if sc.deep > depth {
		sc.deep = 0
	}
}

// inSecret reports whether strings at this place are secrets because of the array
// they are in. Too deep to know better, everything in a secret array is.
func (sc *scanner) inSecret() bool {
	if f := sc.top; f != nil {
		return f.secret
	}
	return sc.deep > 0
}

func (sc *scanner) setKey(start, end int, c codec) {
	if f := sc.top; f != nil {
		f.keyStart, f.keyEnd, f.codec, f.masked = start, end, c, false
	}
}

// path is the place being looked at, name added if there is one. It is built from
// the end, so that a long one costs no more than a short one.
func (sc *scanner) path(name string) string {
	var parts []string
	size := 0
	add := func(part string) {
		parts = append(parts, part)
		size += len(part)
	}
	if name != "" {
		add(segment(name))
	}
	for i := min(sc.depth, maxFrames) - 1; i >= 0 && size <= maxPath; i-- {
		switch f := &sc.frames[i]; {
		case f.array:
			add("[" + strconv.Itoa(f.index) + "]")
		case f.masked:
			add("." + Mask)
		case f.keyStart != noKey:
			add(segment(f.key(sc.src[f.level])))
		}
	}
	slices.Reverse(parts)
	path := strings.TrimPrefix(strings.Join(parts, ""), ".")
	if len(path) <= maxPath {
		return path
	}
	path = path[len(path)-maxPath+len("…"):]
	for len(path) > 0 && !utf8.RuneStart(path[0]) {
		path = path[1:]
	}
	return "…" + path
}

func (f *frame) key(src string) string {
	raw := src[f.keyStart:f.keyEnd]
	if f.codec == codecNone {
		return raw
	}
	return string(f.codec.decode(nil, raw[:min(len(raw), maxKeyRaw)]))
}

// segment is one name of a path with the dot or bracket before it.
func segment(name string) string {
	if len(name) > maxSegment {
		cut := maxSegment
		for cut > 0 && !utf8.RuneStart(name[cut]) {
			cut--
		}
		name = name[:cut] + "…"
	}
	name = strings.ToValidUTF8(name, "\uFFFD")
	if name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return c < ' ' || strings.ContainsRune(`.[]"\`, c)
	}) {
		return "." + name
	}
	return "[" + strconv.Quote(name) + "]"
}

func sortSpans(spans []span) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
}
