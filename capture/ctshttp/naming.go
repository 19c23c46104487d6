package ctshttp

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// maxName is the most bytes of a trace_name (CTS: 100 characters).
const maxName = 100

// unroutedType is the resource_type of requests that no route takes.
const unroutedType = "request"

// operation is what the naming rule makes of a method and a route pattern.
type operation struct {
	pattern      string // as the router knows it, "" for unrouted ones
	id           string // operation_id: the pattern, with the method in front
	name         string // trace_name
	resourceType string
	apiVersion   string
	idValue      string    // path value that is the resource_id, "" for none
	values       []segment // all path values
	segments     []segment // all of the path
}

// segment is one part of a pattern's path.
type segment struct {
	text string // literal, or name of the path value
	wild bool   // it is a path value
	rest bool   // which takes all that follows
	kind string // of a path value: what it identifies
}

var version = regexp.MustCompile(`^v[0-9]+(\.[0-9]+)*((alpha|beta|rc)[0-9]*)?$`)

// unrouted is the operation of requests that no route takes, or whose route can't be
// seen. There are ten of them, whatever clients send.
func unrouted(method string) *operation {
	verb := "call"
	if knownMethod(method) {
		verb = strings.ToLower(method)
	}
	return &operation{name: verb + "Unrouted", resourceType: unroutedType}
}

func knownMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// verb is what a method does with one resource, or with a collection of them.
func verb(method string, collection bool) string {
	switch method {
	case http.MethodGet:
		if collection {
			return "list"
		}
		return "show"
	case http.MethodPost:
		return "create"
	case http.MethodPut, http.MethodPatch:
		return "update"
	case http.MethodDelete, http.MethodHead, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return strings.ToLower(method)
	}
	return "call"
}

// nameOperation applies the naming rule of the package comment.
func nameOperation(method, pattern string) *operation {
	if pattern == "" {
		return unrouted(method)
	}
	path := strings.TrimSpace(pattern)
	op := &operation{pattern: pattern, id: path}
	if before, after, ok := strings.Cut(path, " "); ok && !strings.Contains(before, "/") {
		path = strings.TrimSpace(after)
	} else if knownMethod(method) {
		op.id = method + " " + path
	}
	if slash := strings.IndexByte(path, '/'); slash > 0 { // a host
		path = path[slash:]
	}
	op.parse(path)
	op.describe(method)
	if len(op.name) > maxName {
		op.name = op.name[:maxName]
	}
	return op
}

// parse reads the segments of a path: literals, {name}, {name...}, {name:expression},
// :name and *, and {$}, which stands for nothing.
func (op *operation) parse(path string) {
	for part := range strings.SplitSeq(path, "/") {
		s := segment{text: part}
		switch {
		case part == "" || part == "{$}":
			continue
		case part == "*":
			s.wild, s.rest = true, true
		case part[0] == ':' && len(part) > 1:
			s.wild, s.text = true, part[1:]
		case part[0] == '{':
			name := strings.TrimSuffix(part[1:], "}")
			name, _, _ = strings.Cut(name, ":")
			s.text, s.rest = strings.CutSuffix(name, "...")
			s.wild = true
		}
		op.segments = append(op.segments, s)
	}
	for i := range op.segments {
		s := &op.segments[i]
		switch {
		case s.wild && i > 0 && op.noun(i-1):
			s.kind, _ = singular(op.segments[i-1].text)
		case s.wild:
			s.kind = valueKind(s.text)
		case op.apiVersion == "" && version.MatchString(s.text):
			op.apiVersion = s.text
		}
	}
}

// noun reports whether a segment is a literal that names something: not a version,
// nor "api" in front.
func (op *operation) noun(i int) bool {
	s := op.segments[i]
	return !s.wild && !version.MatchString(s.text) && (i > 0 || s.text != "api" && s.text != "apis")
}

// valueKind is what a path value identifies by its own name: project for project_id.
func valueKind(name string) string {
	for _, suffix := range []string{"_id", "-id", "Id", "ID"} {
		if kind, ok := strings.CutSuffix(name, suffix); ok && kind != "" {
			return kind
		}
	}
	return name
}

// describe finds the resource and the name.
func (op *operation) describe(method string) {
	last, value := -1, -1
	for i, s := range op.segments {
		if s.wild {
			value = i
		} else if op.noun(i) {
			last = i
		}
	}
	switch {
	case last < 0 && value < 0:
		op.resourceType = "root"
		op.name = verb(method, false) + "Root"
	case value > last: // one resource
		op.resourceType = op.segments[value].kind
		if last >= 0 {
			op.resourceType, _ = singular(op.segments[last].text)
		}
		op.name = verb(method, false) + camel(op.resourceType)
	default:
		value = op.describeEnd(method, last, value)
	}
	for i, s := range op.segments {
		if s.wild {
			op.values = append(op.values, s)
		}
		if i == value {
			op.idValue = s.text
		}
	}
}

// describeEnd names a route that ends in the literal at last: a collection, a thing
// of which there is one, or an action on or a part of what stands before. It returns
// the path value that is the resource's id, -1 if none is.
func (op *operation) describeEnd(method string, last, value int) int {
	end := op.segments[last].text
	one, plural := singular(end)
	owner := op.owner(last)
	if plural || owner < 0 {
		op.resourceType = one
		noun := one
		if plural && method != http.MethodPost {
			noun = end
		}
		op.name = verb(method, plural) + camel(noun)
		return -1
	}
	op.resourceType, _ = singular(op.segments[owner].text)
	noun := op.segments[owner].text
	item := value > owner
	if item {
		noun = op.resourceType
	} else {
		value = -1
	}
	noun = camel(noun)
	for i := owner + 1; i < last; i++ {
		if op.noun(i) {
			noun += camel(op.segments[i].text)
		}
	}
	action := uncapital(camel(end))
	if method == http.MethodPost && action != "" && (action[0] < '0' || action[0] > '9') {
		op.name = action + noun
	} else {
		op.name = verb(method, false) + noun + camel(end)
	}
	return value
}

// owner returns the literal that the one at last belongs to: the nearest before it
// that is a plural or has a path value behind it, else the one right before it.
func (op *operation) owner(last int) int {
	nearest := -1
	for i := last - 1; i >= 0; i-- {
		if !op.noun(i) {
			continue
		}
		if _, plural := singular(op.segments[i].text); plural || op.segments[i+1].wild {
			return i
		}
		if nearest < 0 {
			nearest = i
		}
	}
	return nearest
}

// value returns a path value of r: what its router found, else what stands at its
// place in the path.
func (op *operation) value(r *http.Request, name string) string {
	if name == "" {
		return ""
	}
	if v := r.PathValue(name); v != "" {
		return v
	}
	return op.match(r.URL.EscapedPath(), name)
}

// match finds a path value in an escaped path that the pattern matches.
func (op *operation) match(path, name string) string {
	path = strings.TrimPrefix(path, "/")
	found := ""
	for _, s := range op.segments {
		part, after, _ := strings.Cut(path, "/")
		if s.rest {
			part = path
		}
		text, err := url.PathUnescape(part)
		if err != nil || part == "" || !s.wild && text != s.text {
			return ""
		}
		if s.wild && s.text == name {
			found = text
		}
		path = after
	}
	return found
}
