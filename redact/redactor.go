package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
)

// Mask is what stands in the place of a secret. It is the mask that CTS itself
// writes. A card number is the one exception: its last four digits and its
// separators stay, as in "**** **** **** 1111".
const Mask = "********"

// ErrOptions is wrapped by every error that [New] returns.
var ErrOptions = errors.New("redact: options")

// Rule names what told a secret from other text.
type Rule string

// The rules. Their names are stored in audit records and never change.
const (
	RuleKey      Rule = "key"      // the name it stood under: a JSON key, a query key, a k=v pair, an XML element
	RuleHeader   Rule = "header"   // a header that is never kept
	RuleBearer   Rule = "bearer"   // the token behind the word Bearer, RFC 6750
	RuleBasic    Rule = "basic"    // the credentials behind the word Basic, RFC 7617
	RuleJWT      Rule = "jwt"      // a JSON Web Token by its form, RFC 7519
	RulePEM      Rule = "pem"      // the body of a PEM private key, RFC 7468
	RuleUserinfo Rule = "userinfo" // the password of user:password@host in a URL, RFC 3986 section 3.2.1
	RuleCard     Rule = "card"     // a payment card number, ISO/IEC 7812
)

// Finding says where a secret was and what made it one. It never carries the
// secret.
type Finding struct {
	// Path is the place of the secret: "server.adminPass", "items[3].token", a
	// query key, a header name. JSON and URL-encoded text inside strings continue
	// the path of the string. It is empty where the place has no name. Keys that
	// hold a dot, bracket, quote or control character are quoted: a["x.y"]. A
	// path has at most 256 bytes; of a longer one the end is kept, behind "…".
	Path string

	// Rule is what told the secret from other text.
	Rule Rule

	// Length is the number of bytes of the secret itself: without quotes, with
	// JSON and percent escapes resolved, of a card number with its separators.
	Length int

	// Hash is the keyed hash of the secret, as [Redactor.Hash] computes it; of a
	// card number, the hash of its digits without separators. It is empty without
	// [Options.HashKey].
	Hash string
}

// Options changes what a [Redactor] does. Nil means all defaults.
type Options struct {
	// HashKey is the key for Finding.Hash, at least 16 bytes and kept as secret as
	// the secrets: short secrets can be guessed by whoever has it. Default: none,
	// and no hashes.
	HashKey []byte

	// Keys are further names whose values are secrets. Like the default names they
	// are compared whole, after lower-casing and after taking out the characters
	// "-", "_", ".", ":" and space. Default: none.
	Keys []string

	// KeepKeys are names taken off the default list. A name that is not on it is
	// ignored. Default: none.
	KeepKeys []string

	// Headers are names of further headers that [Redactor.Headers] keeps. Naming
	// one that is never kept, such as Authorization, is a fault. Default: none.
	Headers []string

	// MaxDepth is how many levels of text inside text (JSON in a JSON string, an
	// encoded URL in a query) are looked into, at most 16. What lies deeper is
	// searched as plain text only. Default: 8.
	MaxDepth int
}

// Redactor takes secrets out of text. It is immutable and safe for concurrent
// use. It keeps nothing of what it has seen but working memory, which is bounded.
type Redactor struct {
	keys      *keySet // names for JSON
	queryKeys *keySet // names for queries and k=v pairs: those of JSON and signatures
	headers   map[string]bool
	hashKey   []byte
	maxDepth  int
	pool      sync.Pool // of *scanner
}

const (
	defaultDepth = 8
	maxDepth     = 16
	minHashKey   = 16
)

// New returns a Redactor. opts may be nil, is copied, and may be changed
// afterwards. All faults in opts are reported together; each wraps [ErrOptions].
func New(opts *Options) (*Redactor, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{ErrOptions}, args...)...))
	}
	if n := len(o.HashKey); n > 0 && n < minHashKey {
		fault("HashKey has %d bytes, give at least %d", n, minHashKey)
	}
	if o.MaxDepth < 0 || o.MaxDepth > maxDepth {
		fault("MaxDepth is %d, give 1 to %d, or 0 for %d", o.MaxDepth, maxDepth, defaultDepth)
	}
	if o.MaxDepth == 0 {
		o.MaxDepth = defaultDepth
	}
	names := keyNames(o.Keys, o.KeepKeys, fault)
	r := &Redactor{
		keys:      newKeySet(names),
		queryKeys: newKeySet(names, queryNames(o.KeepKeys)),
		headers:   headerNames(o.Headers, fault),
		hashKey:   slices.Clone(o.HashKey),
		maxDepth:  o.MaxDepth,
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return r, nil
}

// JSON takes the secrets out of a JSON text. Valid JSON stays valid JSON. Only
// strings and numbers are masked, never a whole object or array, so that the
// shape of the text stays; a masked number becomes a string. Several texts one
// behind the other, broken, cut and single-quoted JSON and plain text are done as
// well as can be: a secret string that is cut is masked to its end. Bytes that are
// not part of a secret are never changed; if nothing is found, s itself is
// returned, with nil.
func (r *Redactor) JSON(s string) (string, []Finding) { return r.run(s, (*scanner).scanJSON) }

// Query takes the secrets out of a query string or an
// application/x-www-form-urlencoded body, without its "?". Keys are decoded before
// they are compared, and of a key such as user[password] or db.password the last
// part counts too. Values under other keys are decoded and treated as by
// [Redactor.Any]. Bytes that are not part of a secret are never changed.
func (r *Redactor) Query(s string) (string, []Finding) { return r.run(s, (*scanner).scanQuery) }

// URL takes the password, the secrets in the query and those in the fragment out
// of a URL, which may be relative and need not be valid.
func (r *Redactor) URL(s string) (string, []Finding) { return r.run(s, (*scanner).scanURL) }

// Text takes the secrets out of free text: Bearer and Basic credentials, JSON Web
// Tokens, PEM private keys, card numbers, passwords in URLs, values of k=v pairs,
// of query keys and of XML elements with a secret name, and what [Redactor.JSON]
// finds in JSON that stands in the text, also quoted.
func (r *Redactor) Text(s string) (string, []Finding) { return r.run(s, (*scanner).scanText) }

// Any treats s by its looks: as [Redactor.JSON] if it begins with a bracket or a
// quote, as [Redactor.Query] if it is a sequence of k=v pairs joined by "&" with
// no white space, else as [Redactor.Text].
func (r *Redactor) Any(s string) (string, []Finding) { return r.run(s, (*scanner).scanAny) }

// Hash returns the keyed hash of a secret, HMAC-SHA256 under [Options.HashKey] in
// lower-case hex, so that an investigator who has a secret can look for its
// findings without anyone storing it. It is empty without a key and for an empty
// secret.
func (r *Redactor) Hash(secret string) string {
	if len(r.hashKey) == 0 || secret == "" {
		return ""
	}
	mac := hmac.New(sha256.New, r.hashKey)
	mac.Write([]byte(secret))
	return hex.EncodeToString(mac.Sum(nil))
}

// Keys returns, sorted, the names in force for JSON, in the form in which they are
// compared. It serves to document and to hash what a Redactor does.
func (r *Redactor) Keys() []string { return slices.Sorted(maps.Keys(r.keys.names)) }

// AllowedHeaders returns, sorted and in canonical form, the names of the headers
// that [Redactor.Headers] keeps.
func (r *Redactor) AllowedHeaders() []string { return slices.Sorted(maps.Keys(r.headers)) }

// Headers returns a new header that holds only what is allowed to be kept, with
// the secrets in the values taken out as by [Redactor.Text]. An allowed header
// whose name is a secret key has its values masked. Headers that carry
// credentials, such as Authorization and Cookie, are left out and reported; other
// names that are not allowed are left out silently. h is not changed. The result
// of a nil header is nil.
func (r *Redactor) Headers(h http.Header) (http.Header, []Finding) {
	if h == nil {
		return nil, nil
	}
	out := make(http.Header)
	var all []Finding
	for _, name := range slices.Sorted(maps.Keys(h)) {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case neverKept(canonical):
			all = append(all, r.whole(h[name], canonical, RuleHeader)...)
		case !r.headers[canonical]:
		case r.keys.has(canonical):
			all = append(all, r.whole(h[name], canonical, RuleKey)...)
			for _, v := range h[name] {
				out[canonical] = append(out[canonical], maskValue(v))
			}
		default:
			for _, v := range h[name] {
				clean, found := r.Text(v)
				out[canonical] = append(out[canonical], clean)
				for _, f := range found {
					f.Path = joinHeader(canonical, f.Path)
					all = append(all, f)
				}
			}
		}
	}
	return out, all
}
