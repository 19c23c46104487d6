package ctshttp

import (
	"cmp"
	"net/http"
	"slices"
	"sync"

	"github.com/cloudtraceservice/cts"
)

// routeAhead tells the route that a request will take, or has taken if it comes from a
// router; the operation is nil if that can't be told.
func (m *Middleware) routeAhead(mux *http.ServeMux, r *http.Request) (Route, *operation) {
	pattern := r.Pattern
	if mux != nil {
		_, pattern = mux.Handler(r)
	}
	return m.routeBy(r, pattern)
}

// routeHere tells the route that a request has taken. At an outer place that is known
// afterwards, if nobody in between replaced the request.
func (m *Middleware) routeHere(r *http.Request) (Route, *operation) {
	return m.routeBy(r, r.Pattern)
}

func (m *Middleware) routeBy(r *http.Request, pattern string) (Route, *operation) {
	var route Route
	if m.opts.Route != nil {
		route = m.opts.Route(r)
	}
	switch pattern = cmp.Or(route.Pattern, pattern); {
	case pattern != "":
		return route, m.names.of(r.Method, pattern)
	case route != Route{}:
		return route, unrouted(r.Method)
	}
	return route, nil
}

// words are what the route of a request says in its trace.
type words struct {
	name, serviceType, operationID, apiVersion string
	resourceType, resourceID, resourceName     string
	resources                                  int // further ones, in front of the list
}

// named writes what a route says into the trace: what Options.Route said goes before
// Options.Routes, and that before the naming rule. What the application wrote by
// Annotate stays. A later, better known route replaces the words of an earlier one.
// rec.mu is held.
func (rec *record) named(r *http.Request, route Route, op *operation) {
	switch {
	case op == nil && rec.op != nil:
		return
	case op == nil:
		op = unrouted(r.Method)
	case rec.op != nil && rec.op.pattern == op.pattern && op.pattern != "":
		return
	}
	listed, tr, was := rec.m.opts.Routes[op.pattern], &rec.trace, rec.words
	now := words{
		name:         cmp.Or(route.Name, listed.Name, op.name),
		serviceType:  cmp.Or(route.ServiceType, listed.ServiceType, rec.m.opts.ServiceType),
		operationID:  op.id,
		apiVersion:   op.apiVersion,
		resourceType: cmp.Or(route.ResourceType, listed.ResourceType, op.resourceType),
		resourceName: cmp.Or(route.ResourceName, listed.ResourceName),
	}
	idValue := cmp.Or(route.IDValue, listed.IDValue, op.idValue)
	now.resourceID = cmp.Or(route.ResourceID, op.value(r, idValue), listed.ResourceID)
	now.resources = rec.further(r, op, idValue)
	replace(&tr.Name, was.name, now.name)
	replace(&tr.ServiceType, was.serviceType, now.serviceType)
	replace(&tr.OperationID, was.operationID, now.operationID)
	replace(&tr.APIVersion, was.apiVersion, now.apiVersion)
	replace(&tr.ResourceType, was.resourceType, now.resourceType)
	replace(&tr.ResourceID, was.resourceID, now.resourceID)
	replace(&tr.ResourceName, was.resourceName, now.resourceName)
	fill(&tr.EventType, cmp.Or(route.EventType, listed.EventType))
	if v := cmp.Or(route.ReadOnly, listed.ReadOnly); v != cts.Unset {
		tr.ReadOnly = v
	}
	rec.op, rec.words = op, now
}

// further puts the other path values in front of the further resources, in place of
// those that an earlier route put there, and returns how many they are.
func (rec *record) further(r *http.Request, op *operation, idValue string) int {
	var found []cts.Resource
	for _, s := range op.values {
		if s.text == idValue {
			continue
		}
		if v := op.value(r, s.text); v != "" {
			found = append(found, cts.Resource{Type: s.kind, ID: v})
		}
	}
	list := rec.trace.Ext.Resources
	if n := min(rec.words.resources, len(list)); n+len(found) > 0 {
		rec.trace.Ext.Resources = slices.Concat(found, list[n:])
	}
	return len(found)
}

// replace sets a field that still says what was written before.
func replace(field *string, was, now string) {
	if *field == was || *field == "" {
		*field = now
	}
}

// maxNames bounds the operations that are remembered. A service has fewer routes
// unless Options.Route makes patterns of what clients send.
const maxNames = 4096

// names remembers what the naming rule made of patterns.
type names struct {
	mu    sync.RWMutex
	known map[[2]string]*operation // by method and pattern
}

func (n *names) of(method, pattern string) *operation {
	if !knownMethod(method) {
		method = ""
	}
	key := [2]string{method, pattern}
	n.mu.RLock()
	op := n.known[key]
	n.mu.RUnlock()
	if op != nil {
		return op
	}
	op = nameOperation(method, pattern)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known = map[[2]string]*operation{}
	}
	if len(n.known) < maxNames {
		n.known[key] = op
	}
	return op
}
