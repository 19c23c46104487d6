package redact

import "strings"

// textTrigger holds the bytes at which a rule for text may apply. Each rule looks
// back from its byte first, so that the bytes that are frequent cost little.
var textTrigger = byteSet(" \t\r\n:=>J-{[")

// textScan looks through one text. done is where the last secret ended: what lies
// before it is not looked at again.
type textScan struct {
	sc    *scanner
	t     string
	off   int
	done  int
	cards int  // where to look for card numbers from
	first int  // the first span behind it
	flat  bool // JSON in it is not looked into
	noEnd bool // no PEM end line follows

	passColon, passEnd int // the colon before and the end of the password in a URL
}

// text looks through free text.
func (sc *scanner) text(t string, off int, flat bool) {
	if len(t) < minText {
		return
	}
	x := textScan{sc: sc, t: t, off: off, first: len(sc.spans), flat: flat}
	x.triggers()
	x.cardsUpTo(len(t))
}

func (x *textScan) triggers() {
	t := x.t
	for i := 0; i < len(t); {
		if !textTrigger[t[i]] {
			i++
			continue
		}
		var next int
		switch t[i] {
		case ':':
			next = x.colon(i)
		case '=':
			next = x.assign(i)
		case '>':
			next = x.element(i)
		case 'J':
			next = x.jwt(i)
		case '-':
			next = x.pem(i)
		case '{', '[':
			next = x.embedded(i)
		default:
			next = x.scheme(i)
		}
		i = next
	}
}

// found notes a secret, if it is not masked already, and returns where to go on:
// the same place in either case, so that a second pass takes the same way.
func (x *textScan) found(start, end int, rule Rule, name string) int {
	if value := x.t[start:end]; !isMasked(value) {
		x.sc.emit(x.off+start, x.off+end, rule, name, value)
	}
	x.done = end
	return end
}

// scheme finds the credentials behind "Bearer" or "Basic" and the white space at i.
func (x *textScan) scheme(i int) int {
	if i < 5 || x.t[i-1]|0x20 != 'r' && x.t[i-1]|0x20 != 'c' {
		return i + 1
	}
	bearer := x.wordBefore(i, "bearer")
	if !bearer && !x.wordBefore(i, "basic") {
		return i + 1
	}
	start := skipSpace(x.t, i)
	end := start
	for end < len(x.t) && tokenByte[x.t[end]] {
		end++
	}
	body := end
	for end < len(x.t) && x.t[end] == '=' {
		end++
	}
	if end > body && end < len(x.t) && (tokenByte[x.t[end]] || x.t[end] == '"' || x.t[end] == '\'') {
		return i + 1 // a parameter, such as realm="x"
	}
	if strings.HasPrefix(x.t[end:], "****") {
		return i + 1 // a parameter that was one before something in it was masked
	}
	for body == end && end > start && x.t[end-1] == '.' || body == end && end > start && x.t[end-1] == ':' {
		end, body = end-1, body-1 // the end of a sentence
	}
	switch token := x.t[start:end]; {
	case bearer && looksLikeToken(token):
		return x.found(start, end, RuleBearer, "")
	case !bearer && looksLikeBasic(token):
		return x.found(start, end, RuleBasic, "")
	}
	return i + 1
}

// wordBefore reports whether the word, in any case, ends at t[end].
func (x *textScan) wordBefore(end int, word string) bool {
	start := end - len(word)
	if start < x.done || start > 0 && isWord[x.t[start-1]] {
		return false
	}
	return strings.EqualFold(x.t[start:end], word)
}

// tokenByte is token68 of RFC 7235 without its padding, and what token makers use
// beyond it.
var tokenByte = byteSet("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/|:%")

var isWord = byteSet("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")

// minToken is the length from which a word may be a token. RFC 6750 has no minimum;
// below it, prose is far more likely.
const minToken = 8

// looksLikeToken tells a token from a word of prose, such as in "bearer token
// expired" or "Bearer Authentication": it has a digit, or an upper-case letter
// behind the first place and a lower-case letter, or padding, or is longer than
// words are.
func looksLikeToken(s string) bool {
	if len(s) < minToken {
		return false
	}
	var digit, upper, lower bool
	letters, longest := 0, 0
	for i := range len(s) {
		c := s[i]
		digit = digit || '0' <= c && c <= '9'
		upper = upper || i > 0 && 'A' <= c && c <= 'Z'
		lower = lower || 'a' <= c && c <= 'z'
		letters++
		if !isWord[c] || c == '_' {
			letters = 0
		}
		longest = max(longest, letters)
	}
	return digit || upper && lower || s[len(s)-1] == '=' || longest >= 32
}

// looksLikeBasic asks for base64 with a colon inside, which is what the user name
// and password of RFC 7617 are joined with: "Basic" is also a word and the name of
// many a product tier.
func looksLikeBasic(s string) bool {
	if len(s) < minToken {
		return false
	}
	var bits uint32
	n := 0
	colon := false
	for i := range len(s) {
		v := base64Value(s[i])
		if v < 0 {
			return colon && strings.Trim(s[i:], "=") == ""
		}
		bits = bits<<6 | uint32(v)
		if n++; n%4 != 1 && byte(bits>>(6-2*((n-1)%4))) == ':' {
			colon = true
		}
	}
	return colon
}

func base64Value(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '+', c == '-':
		return 62
	case c == '/', c == '_':
		return 63
	}
	return -1
}

// jwt finds the token that begins with "eyJ", the base64url of `{"`, and has the J
// at i: header.payload.signature, the payload an object too and the signature
// possibly cut off, or the five parts of an encrypted one.
func (x *textScan) jwt(i int) int {
	t, start := x.t, i-2
	if start < x.done || t[start:i] != "ey" || start > 0 && isBase64URL[t[start-1]] {
		return i + 1
	}
	var ends [5]int
	n := 0
	for j := start; n < len(ends); j = ends[n-1] + 1 {
		end := j
		for end < len(t) && isBase64URL[t[end]] {
			end++
		}
		ends[n] = end
		if n++; end == len(t) || t[end] != '.' {
			break
		}
	}
	header := ends[0] - start
	switch {
	case header < 10 || n < 2:
		return i + 1
	case strings.HasPrefix(t[ends[0]+1:], "eyJ"):
		end := ends[1]
		if n > 2 {
			end = ends[2]
		}
		return x.found(start, end, RuleJWT, "")
	case n == 5 && ends[4] > ends[3]+1 && ends[3] > ends[2]+1 && ends[2] > ends[1]+1:
		return x.found(start, ends[4], RuleJWT, "")
	}
	return i + 1
}

var isBase64URL = byteSet("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	pemRule  = "-----"
)

// pem finds the body of a private key whose first line begins at i. Without an end
// line the body is the base64 that follows.
func (x *textScan) pem(i int) int {
	t := x.t
	if !strings.HasPrefix(t[i:], pemBegin) {
		return i + 1
	}
	label := i + len(pemBegin)
	n := strings.Index(t[label:min(label+64, len(t))], pemRule)
	if n < 0 || !strings.Contains(t[label:label+n], "PRIVATE KEY") {
		return label
	}
	start := skipNewline(t, label+n+len(pemRule))
	end := -1
	if !x.noEnd {
		end = strings.Index(t[start:], pemEnd)
		x.noEnd = end < 0
	}
	if end < 0 {
		end = base64End(t, start)
	} else {
		end += start
		for end > start && isSpace(t[end-1]) {
			end--
		}
	}
	if end <= start {
		return start
	}
	return x.found(start, end, RulePEM, "")
}

// skipNewline skips white space and line ends that were written as \n or \r.
func skipNewline(t string, i int) int {
	for i < len(t) {
		switch {
		case isSpace(t[i]):
			i++
		case t[i] == '\\' && i+1 < len(t) && (t[i+1] == 'n' || t[i+1] == 'r'):
			i += 2
		default:
			return i
		}
	}
	return i
}

// base64End is where the lines of base64 end that begin at start: lines of at least
// 16 bytes, and one that is cut by the end of the text.
func base64End(t string, start int) int {
	end := start
	for {
		line := skipNewline(t, end)
		next := line
		for next < len(t) && (base64Value(t[next]) >= 0 || t[next] == '=') {
			next++
		}
		if next-line < 16 && (next < len(t) || next == line || end == start) {
			return end
		}
		end = next
	}
}

// embedded looks into the JSON that begins at i, which may stand in quotes with its
// own quotes escaped.
func (x *textScan) embedded(i int) int {
	t := x.t
	k := skipSpace(t, i+1)
	if x.flat || k >= len(t) || x.sc.nesting >= maxNesting {
		return i + 1
	}
	var end int
	switch {
	case t[k] == '\\' && i > 0 && t[i-1] == '"':
		x.cardsUpTo(i)
		end, _ = stringEnd(t, i, '"')
		x.sc.nesting++
		x.sc.nested(t[i:end], x.off+i, codecJSON)
		x.sc.nesting--
	case t[k] == '"' || t[k] == '\'' || t[k] == '{' || t[k] == '[':
		x.cardsUpTo(i)
		end = x.sc.json(t, i, x.off, true)
	default:
		return i + 1
	}
	x.done, x.cards, x.first = end, end, len(x.sc.spans)
	return end
}
