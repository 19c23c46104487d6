package ctshttp

import (
	"slices"
	"strings"
)

// irregular are plurals that the rules of singular get wrong, and words that look
// like plurals and are none.
var irregular = map[string]string{
	"cookies": "cookie", "movies": "movie", "people": "person", "children": "child", "indices": "index",
	"analyses": "analysis", "vertices": "vertex", "criteria": "criterion", "matrices": "matrix",
	"series": "series", "species": "species", "news": "news", "https": "https", "always": "always",
	"dns": "dns", "os": "os", "sms": "sms", "kms": "kms", "obs": "obs", "cts": "cts", "ecs": "ecs", "evs": "evs",
	"ims": "ims", "aws": "aws", "tls": "tls", "nfs": "nfs", "gps": "gps", "rds": "rds", "dds": "dds", "sfs": "sfs",
	"cbs": "cbs", "css": "css", "js": "js", "metrics": "metric", "settings": "setting",
}

// singular returns the singular of an English noun in lower case, and whether the
// word was a plural. Of several words joined by '-', '_' or '.' the last one counts.
func singular(word string) (string, bool) {
	head := ""
	if i := strings.LastIndexAny(word, "-_."); i >= 0 {
		head, word = word[:i+1], word[i+1:]
	}
	one, plural := singularWord(word)
	return head + one, plural
}

func singularWord(w string) (string, bool) {
	lower := strings.ToLower(w)
	if one, ok := irregular[lower]; ok {
		return one, one != lower
	}
	ends := func(suffixes ...string) bool {
		return slices.ContainsFunc(suffixes, func(s string) bool { return len(w) > len(s) && strings.HasSuffix(lower, s) })
	}
	switch {
	case len(w) < 3, !ends("s"), ends("ss", "us", "is", "as", "os"):
		return w, false
	case ends("ies") && len(w) > 4:
		return w[:len(w)-3] + "y", true
	case ends("sses", "xes", "shes", "tches", "rches", "nches", "uses", "iases"):
		return w[:len(w)-2], true
	}
	return w[:len(w)-1], true
}

// camel joins the words of s, each with a capital letter. Only ASCII letters and
// digits stay.
func camel(s string) string {
	var b strings.Builder
	start := true
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z' && start:
			c -= 'a' - 'A'
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		default:
			start = true
			continue
		}
		start = false
		b.WriteByte(c)
	}
	return b.String()
}

// uncapital returns s with a small first letter.
func uncapital(s string) string {
	if s != "" && 'A' <= s[0] && s[0] <= 'Z' {
		return string(s[0]+'a'-'A') + s[1:]
	}
	return s
}
