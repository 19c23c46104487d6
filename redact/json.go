package redact

// class tells in one look-up what a byte in a string may be part of.
type class uint8

const (
	classDigit   class = 1 << iota // of a card number
	classTrigger                   // a byte without which no rule for text but that for cards applies
	classEscape                    // a backslash
	classEnd                       // a double quote
)

var classes = func() (t [256]class) {
	for c := '0'; c <= '9'; c++ {
		t[c] = classDigit
	}
	for c := range textTrigger {
		if textTrigger[c] && c != ':' && c != '-' {
			t[c] |= classTrigger // ":" and "-" never do without "@", space, quote or "="
		}
	}
	t['@'] |= classTrigger
	t['"'] |= classEnd
	t['\\'] |= classEscape
	return t
}()

const (
	minCard = 13 // digits of the shortest card number
	minText = 5  // bytes of the shortest text in which a rule other than that for cards applies
)

// opensJSON reports whether t begins like a JSON object or array.
func opensJSON(t string) bool {
	i := skipSpace(t, 0)
	return i < len(t) && (t[i] == '{' || t[i] == '[')
}

func skipSpace(t string, i int) int {
	for i < len(t) && isSpace(t[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// json looks through JSON from t[i:]. With embedded it ends behind the first
// complete object or array, else at the end of t. It returns where it ended.
//
// It keeps to the shape that JSON has and asks for nothing more: a string before a
// colon is a key, whatever surrounds it, and a bracket too many closes nothing.
func (sc *scanner) json(t string, i, off int, embedded bool) int {
	base := sc.depth
	deep := sc.deep
	sc.deep = 0
	sc.nesting++
	sc.push(frame{})
	secret := false // the next value stands under a secret key
	for i < len(t) {
		switch c := t[i]; c {
		case '"', '\'':
			i, secret = sc.quoted(t, i, off, secret)
		case ' ', '\n', '\r', '\t', ':':
			i++
		case ',':
			secret = false
			if f := sc.top; f != nil {
				f.index++
				f.keyStart = noKey
			}
			i++
		case '{':
			sc.push(frame{})
			secret = false
			i++
		case '[':
			sc.push(frame{array: true, secret: secret || sc.inSecret()})
			secret = false
			i++
		case '}', ']':
			secret = false
			i++
			if sc.depth > base+1 {
				sc.pop()
			}
			if embedded && sc.depth == base+1 {
				t = t[:i]
			}
		default:
			i, secret = sc.bare(t, i, off, secret)
		}
	}
	sc.popTo(base)
	sc.deep = deep
	sc.nesting--
	return i
}

// quoted looks at the string whose quote is t[i]. It returns where to go on, and
// whether the string is a key whose value is a secret.
func (sc *scanner) quoted(t string, i, off int, secret bool) (int, bool) {
	start := i + 1
	end, acc := stringEnd(t, start, t[i])
	body := t[start:end]
	next := min(end+1, len(t))
	j := next
	if j < len(t) && t[j] != ':' {
		j = skipSpace(t, j)
	}
	if j < len(t) && t[j] == ':' {
		return j + 1, sc.key(body, off+start, acc)
	}
	if secret || sc.inSecret() {
		sc.secretString(body, off+start, acc)
	} else {
		sc.leaf(body, off+start, acc)
	}
	return next, false
}

// stringEnd returns where the closing quote is, or len(t), and what was passed.
func stringEnd(t string, i int, quote byte) (int, class) {
	if quote != '"' {
		return singleEnd(t, i)
	}
	var acc class
	for i < len(t) {
		c := classes[t[i]]
		acc |= c
		if c >= classEscape {
			if c == classEnd {
				return i, acc
			}
			i++
		}
		i++
	}
	return len(t), acc
}

func singleEnd(t string, i int) (int, class) {
	var acc class
	for ; i < len(t) && t[i] != '\''; i++ {
		acc |= classes[t[i]]
		if t[i] == '\\' {
			i++
		}
	}
	return min(i, len(t)), acc
}

// key notes a key and reports whether its value is a secret.
func (sc *scanner) key(body string, off int, acc class) bool {
	c := codecNone
	if acc&classEscape != 0 {
		c = codecJSON
	}
	if acc&(classTrigger|classEscape) != 0 || acc&classDigit != 0 && len(body) >= minCard {
		sc.setKey(noKey, 0, c)
		first := len(sc.spans)
		sc.leaf(body, off, acc)
		sc.setKey(off, off+len(body), c)
		if f := sc.top; f != nil {
			f.masked = len(sc.spans) > first
		}
	} else {
		sc.setKey(off, off+len(body), c)
	}
	if c == codecNone {
		return sc.r.keys.has(body)
	}
	var buf [maxKeyRaw]byte
	if len(body) > 2*maxKeyRaw {
		return false
	}
	return sc.r.keys.has(view(c.decode(buf[:0], body)))
}

// leaf looks through the content of a string.
func (sc *scanner) leaf(body string, off int, acc class) {
	switch {
	case len(body) < minText:
	case acc&classEscape != 0:
		sc.nested(body, off, codecJSON)
	case acc&classTrigger != 0:
		sc.unescaped(body, off, codecJSON)
	case acc&classDigit != 0 && len(body) >= minCard:
		sc.cards(body, off, 0, len(body))
	}
}

// secretString masks the content of a string.
func (sc *scanner) secretString(body string, off int, acc class) {
	content := body
	if acc&classEscape != 0 {
		content = string(codecJSON.decode(nil, body))
	}
	if content != "" && !isMasked(content) {
		sc.emit(off, off+len(body), RuleKey, "", content)
	}
}

// bare looks at what begins at t[i] outside quotes: a number, true, false, null,
// and in broken JSON anything else.
func (sc *scanner) bare(t string, i, off int, secret bool) (int, bool) {
	end := i
	for end < len(t) && !endsBare[t[end]] {
		end++
	}
	token := t[i:end]
	if k := skipSpace(t, end); k < len(t) && t[k] == ':' && (k+1 == len(t) || t[k+1] != '/') && isBareKey(token) {
		return k + 1, sc.key(token, off+i, classDigit|classTrigger)
	}
	switch token {
	case "true", "false", "null", "None", "True", "False":
		return end, false
	}
	secret = secret || sc.inSecret()
	if isNumber(token) && !goesOn(t, end) {
		sc.number(token, off+i, secret)
		return end, false
	}
	if secret {
		return sc.bareSecret(t, i, off), false
	}
	for end < len(t) && !endsBroken[t[end]] {
		end++
	}
	end = max(end, i+1)
	sc.text(t[i:end], off+i, true)
	return end, false
}

// isBareKey reports whether the token may be a key without quotes.
func isBareKey(token string) bool {
	for i := range len(token) {
		if c := token[i]; !isName[c] && c != '*' && c < 0x80 {
			return false
		}
	}
	return true
}

// goesOn reports whether a number is not alone, as in 4111 1111 1111 1111.
func goesOn(t string, i int) bool {
	next := i
	for next < len(t) && (t[next] == ' ' || t[next] == '\t') {
		next++
	}
	return next > i && next < len(t) && !endsBare[t[next]]
}

// bareSecret masks what stands without quotes under a secret key.
func (sc *scanner) bareSecret(t string, i, off int) int {
	stop := i
	for stop < len(t) && !endsBroken[t[stop]] && t[stop] != ',' && t[stop] != '\n' {
		stop++
	}
	end := stop
	for end > i && isSpace(t[end-1]) {
		end--
	}
	if value := t[i:end]; value != "" && !isMasked(value) {
		sc.emit(off+i, off+end, RuleKey, "", value)
	}
	return max(stop, i+1)
}

var (
	endsBare   = byteSet(" \t\r\n\"{}[],:")
	endsBroken = byteSet("\"{}[]")
)

func byteSet(bytes string) (t [256]bool) {
	for i := range len(bytes) {
		t[bytes[i]] = true
	}
	return t
}

// isNumber reports whether the token is a number of RFC 8259 section 6, leading
// zeros allowed.
func isNumber(token string) bool {
	i := 0
	if token != "" && token[0] == '-' {
		i = 1
	}
	whole := digitsEnd(token, i, len(token))
	if whole == i {
		return false
	}
	if i = whole; i < len(token) && token[i] == '.' {
		if i = digitsEnd(token, i+1, len(token)); i == whole+1 {
			return false
		}
	}
	if i < len(token) && token[i]|0x20 == 'e' {
		if i++; i < len(token) && (token[i] == '+' || token[i] == '-') {
			i++
		}
		return i < len(token) && digitsEnd(token, i, len(token)) == len(token)
	}
	return i == len(token)
}

// number masks a number that is a secret. The mask is a string, so that the text
// stays JSON.
func (sc *scanner) number(token string, off int, secret bool) {
	first := len(sc.spans)
	if secret {
		sc.emit(off, off+len(token), RuleKey, "", token)
	} else if len(token) >= minCard && len(token) <= maxCard && allDigits(token) {
		sc.cards(token, off, 0, len(token))
	}
	if len(sc.spans) > first {
		sc.spans[first].repl = `"` + sc.spans[first].repl + `"`
	}
}
