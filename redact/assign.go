package redact

import "strings"

// colon finds the password of a URL, and the value of a "name: value" pair, whose
// colon is at i.
func (x *textScan) colon(i int) int {
	t := x.t
	if strings.HasPrefix(t[i:], "://") {
		return x.userinfo(i)
	}
	if i == x.passColon && i > 0 {
		return x.found(i+1, x.passEnd, RuleUserinfo, "")
	}
	if i == 0 || i+1 == len(t) {
		return i + 1
	}
	if q := t[i-1]; q == '"' || q == '\'' {
		return x.assign(i)
	}
	if !isSpace(t[i+1]) {
		return i + 1
	}
	name := x.nameBefore(i)
	if !x.sc.r.queryKeys.has(name) || !plainly(name) {
		return i + 1
	}
	from := skipSpace(t, i+1)
	start, end := x.valueAt(from)
	value := t[start:end]
	quoted := start > from && !isSpace(t[start-1])
	if value != "" && !isLiteral(value) && (quoted || looksLikeToken(value) || isMasked(value)) {
		return x.found(start, end, RuleKey, name)
	}
	return i + 1
}

// plainly reports whether a secret name before a colon in prose can hardly be meant
// as a word: "session_token: abc", but not "token: expired".
func plainly(name string) bool {
	if strings.ContainsAny(name, "-_.") {
		return true
	}
	lower := strings.ToLower(name)
	return name[1:] != lower[1:] && name != strings.ToUpper(name) ||
		strings.HasPrefix(lower, "pass") || lower == "pwd"
}

// userinfo finds where the password of the URL is whose "://" is at i, for colon to
// take out when the scan, which looks at the user name too, gets there.
func (x *textScan) userinfo(i int) int {
	t, start := x.t, i+len("://")
	colon, at := -1, -1
	j := start
	for ; j < len(t) && !endsAuthority[t[j]]; j++ {
		switch t[j] {
		case ':':
			if colon < 0 {
				colon = j
			}
		case '@':
			at = j
		}
	}
	if colon < 0 || at <= colon+1 {
		return start
	}
	switch pass := t[colon+1 : at]; {
	case pass == "xxxxx": // as net/url redacts
		return start
	case strings.IndexByte(t[start:colon], '=') >= 0, strings.Contains(t[at:j], "****"),
		strings.Contains(pass, "****") && !isMasked(pass):
		return start // no user name; what ended the authority may have been masked
	}
	x.passColon, x.passEnd = colon, at
	return start
}

var endsAuthority = byteSet("/?# \t\r\n\"'<>`")

// assign finds the value of the pair k=v or 'k': v whose sign is at i.
func (x *textScan) assign(i int) int {
	t := x.t
	if t[i] == '=' && (i+1 < len(t) && t[i+1] == '=' || i > 0 && strings.IndexByte("=!<>~", t[i-1]) >= 0) {
		return i + 1 // a comparison
	}
	end := i
	if end > 0 && t[i] == '=' && t[end-1] == ':' {
		end--
	}
	for end > 0 && i-end < 3 && t[end-1] == ' ' {
		end--
	}
	spaced := t[i] == ':' || end < i
	name := x.nameBefore(end)
	if name == "" || !x.sc.secretName(name) {
		return i + 1
	}
	start := i + 1
	for spaced && start < len(t) && start-i < 3 && t[start] == ' ' {
		start++
	}
	start, stop := x.valueAt(start)
	if value := t[start:stop]; value == "" || isLiteral(value) {
		return i + 1
	}
	return x.found(start, stop, RuleKey, lastName(name))
}

// isLiteral reports whether a value says that there is none.
func isLiteral(value string) bool {
	switch value {
	case "null", "true", "false", "nil", "none", "undefined", "None", "True", "False", "NULL":
		return true
	}
	return false
}

// nameBefore is the name that ends at t[end:], without its quotes.
func (x *textScan) nameBefore(end int) string {
	t := x.t
	if end > x.done && (t[end-1] == '"' || t[end-1] == '\'') {
		if end--; end > x.done && t[end-1] == '\\' {
			end--
		}
	}
	start := end
	for start > x.done && end-start < maxKeyRaw && isName[t[start-1]] {
		start--
	}
	return t[start:end]
}

var isName = byteSet("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.%[]")

// secretName reports whether a query key is the name of a secret: as a whole, or by
// its last part, as in user[password], db.password and --password.
func (sc *scanner) secretName(name string) bool {
	keys := sc.r.queryKeys
	if strings.IndexByte(name, '%') >= 0 || strings.IndexByte(name, '+') >= 0 {
		var buf [maxKeyRaw]byte
		if len(name) > len(buf) {
			return false
		}
		name = view(codecPercent.decode(buf[:0], name))
	}
	return keys.has(name) || keys.has(lastName(name))
}

// lastName is the innermost part of a name with dots or brackets, or behind the
// question mark of a route in a fragment.
func lastName(name string) string {
	name = strings.TrimSuffix(name, "[]")
	name = strings.TrimSuffix(name, "]")
	return name[strings.LastIndexAny(name, ".[?")+1:]
}

// valueAt is the value that begins at start, without its quotes and without the
// name of an authentication scheme before it.
func (x *textScan) valueAt(start int) (int, int) {
	t := x.t
	if start >= len(t) {
		return start, start
	}
	open, escaped := start, false
	if t[open] == '\\' && open+1 < len(t) {
		open, escaped = open+1, true
	}
	if q := t[open]; q == '"' || q == '\'' {
		return open + 1, quoteEnd(t, open+1, q, escaped)
	}
	end := x.plainEnd(start)
	if isScheme(t[start:end]) && end+1 < len(t) && t[end] == ' ' {
		if second := x.plainEnd(end + 1); second > end+1 {
			return end + 1, second
		}
	}
	return start, end
}

// quoteEnd is where the closing quote is, or len(t) for a value that is cut. If the opening one was escaped,
// so is the closing one, and its backslash is no part of the value.
func quoteEnd(t string, i int, quote byte, escaped bool) int {
	for j := i; j < len(t); j++ {
		switch t[j] {
		case quote:
			for escaped && j > i && t[j-1] == '\\' {
				j--
			}
			return j
		case '\\':
			if !escaped {
				j++
			}
		}
	}
	return len(t)
}

// plainEnd is where a value without quotes ends, closing punctuation left outside.
func (x *textScan) plainEnd(start int) int {
	t, end := x.t, start
	for end < len(t) && !endsValue[t[end]] {
		switch {
		case t[end] == ',' && x.pairFollows(end+1):
			return trimClosing(t, start, end)
		case t[end] == '\\' && end+1 < len(t) && (t[end+1] == '"' || t[end+1] == '\'' || x.flat):
			return trimClosing(t, start, end)
		}
		end++
	}
	return trimClosing(t, start, end)
}

func trimClosing(t string, start, end int) int {
	for end > start && strings.IndexByte(",.)]}", t[end-1]) >= 0 {
		end--
	}
	return end
}

var endsValue = byteSet("&;\"'<>`\x00 \t\r\n\v\f")

// pairFollows reports whether a further k=v begins at i.
func (x *textScan) pairFollows(i int) bool {
	start := i
	for i < len(x.t) && i-start < 32 && (isWord[x.t[i]] || x.t[i] == '*') {
		i++
	}
	return i > start && i < len(x.t) && x.t[i] == '='
}

// isScheme reports whether a value is the first word of two, as in
// "authorization=Bearer abc".
func isScheme(word string) bool {
	if len(word) > len("negotiate") {
		return false
	}
	switch strings.ToLower(word) {
	case "bearer", "basic", "token", "digest", "negotiate", "apikey", "ntlm":
		return true
	}
	return false
}

// element finds the content of the XML element whose start tag ends at i.
func (x *textScan) element(i int) int {
	t := x.t
	start := i
	for start > x.done && i-start < maxKeyRaw && (isName[t[start-1]] || t[start-1] == ':') {
		start--
	}
	if start == i || start <= x.done || t[start-1] != '<' {
		return i + 1
	}
	name := t[start:i]
	name = name[strings.LastIndexByte(name, ':')+1:]
	if !x.sc.r.keys.has(name) {
		return i + 1
	}
	from := skipSpace(t, i+1)
	end := from
	for end < len(t) && t[end] != '<' {
		end++
	}
	for end > from && isSpace(t[end-1]) {
		end--
	}
	if value := t[from:end]; value == "" || isLiteral(value) {
		return i + 1
	}
	return x.found(from, end, RuleKey, name)
}
