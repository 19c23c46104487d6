package redact

import "strings"

func (sc *scanner) scanText() { sc.text(sc.src[0], 0, false) }

func (sc *scanner) scanJSON() {
	t := sc.src[0]
	if looksLikeJSON(t) {
		sc.json(t, 0, 0, false)
		return
	}
	sc.text(t, 0, false)
}

func (sc *scanner) scanAny() {
	switch t := sc.src[0]; {
	case looksLikeJSON(t):
		sc.json(t, 0, 0, false)
	case looksLikeQuery(t):
		sc.query(t, 0)
	default:
		sc.text(t, 0, false)
	}
}

func (sc *scanner) scanQuery() { sc.query(sc.src[0], 0) }

// scanURL takes the URL apart at the first "#" and the first "?" before it.
func (sc *scanner) scanURL() {
	t := sc.src[0]
	fragment := len(t)
	if i := strings.IndexByte(t, '#'); i >= 0 {
		fragment = i
	}
	path := fragment
	if i := strings.IndexByte(t[:fragment], '?'); i >= 0 {
		path = i
	}
	sc.text(t[:path], 0, false)
	if path < fragment {
		sc.query(t[path+1:fragment], path+1)
	}
	if fragment < len(t) {
		sc.query(t[fragment+1:], fragment+1)
	}
}

// looksLikeJSON reports whether t begins like an object, an array or a string, or
// is a number.
func looksLikeJSON(t string) bool {
	i := skipSpace(t, 0)
	if i == len(t) {
		return false
	}
	switch c := t[i]; {
	case c == '{', c == '[', c == '"':
		return true
	case c == '-', '0' <= c && c <= '9':
		return isNumber(strings.TrimRight(t[i:], " \t\r\n"))
	}
	return false
}

// looksLikeQuery reports whether t begins with a key and "=", and has no byte that a
// query has not.
func looksLikeQuery(t string) bool {
	eq := strings.IndexByte(t, '=')
	if eq <= 0 {
		return false
	}
	for i := range eq {
		if !isName[t[i]] && t[i] != '+' && t[i] != '~' && t[i] != '*' {
			return false
		}
	}
	for i := eq; i < len(t); i++ {
		if notQuery[t[i]] {
			return false
		}
	}
	return true
}

// notQuery must not hold a byte that a mask can make disappear.
var notQuery = byteSet("\"' \t\r\n\v\f\x00<")

// query looks through pairs joined by "&".
func (sc *scanner) query(t string, off int) {
	base := sc.depth
	sc.push(frame{})
	for i := 0; i < len(t); {
		end := len(t)
		if n := strings.IndexByte(t[i:], '&'); n >= 0 {
			end = i + n
		}
		sc.pair(t[i:end], off+i)
		i = end + 1
	}
	sc.popTo(base)
}

// pair looks at one k=v.
func (sc *scanner) pair(t string, off int) {
	eq := strings.IndexByte(t, '=')
	if eq < 0 {
		sc.setKey(noKey, 0, codecNone)
		sc.encoded(t, off)
		return
	}
	name, value := t[:eq], t[eq+1:]
	sc.setKey(noKey, 0, codecNone)
	first := len(sc.spans)
	sc.encoded(name, off)
	sc.setKey(off, off+eq, codecPercent)
	if f := sc.top; f != nil {
		f.masked = len(sc.spans) > first
	}
	if !sc.secretName(name) {
		sc.encoded(value, off+eq+1)
		return
	}
	plain := value
	if codecPercent.special(value, 0) < len(value) {
		plain = string(codecPercent.decode(nil, value))
	}
	if plain != "" && !isMasked(plain) && !isLiteral(plain) {
		sc.emit(off+eq+1, off+len(t), RuleKey, "", plain)
	}
}

// encoded looks through a key or a value that is no secret by its name.
func (sc *scanner) encoded(t string, off int) {
	if len(t) < minText {
		return
	}
	if codecPercent.special(t, 0) < len(t) {
		sc.nested(t, off, codecPercent)
		return
	}
	sc.unescaped(t, off, codecPercent)
}
