package ctshttp_test

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/ctshttp"
)

const deletePattern = "DELETE /v1/{project_id}/servers/{server_id}"

// routes is a ServeMux whose handlers are wrapped.
func routes(wrap func(http.Handler) http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle(deletePattern, wrap(answer(http.StatusNoContent)))
	mux.Handle("GET /v1/servers", wrap(answer(http.StatusOK)))
	return mux
}

func unwrapped(h http.Handler) http.Handler { return h }

func TestOuterAlone(t *testing.T) {
	f := newFixture(t, &ctshttp.Options{Clock: stepClock(5 * time.Millisecond), ServiceType: "ECS"})
	h := f.Outer(routes(unwrapped))
	r := request(http.MethodDelete, "/v1/p1/servers/s%2F1?force=1&token=abc123secret")
	r.Header.Set("User-Agent", "curl/8")
	r.Header.Set("X-Request-Id", "mine")
	w := serve(h, r)
	attempt, outcome := f.pair()
	for _, tr := range []*cts.Trace{attempt, outcome} {
		check(t, "name", tr.Name, "deleteServer", "type", tr.Type, cts.TypeAPI, "service", tr.ServiceType, "ECS",
			"resource type", tr.ResourceType, "server", "resource id", tr.ResourceID, "s/1",
			"url", tr.ResourceURL, "/v1/p1/servers/s%2F1?force=1&token=********",
			"operation", tr.OperationID, deletePattern, "version", tr.APIVersion, "v1", "read only", tr.ReadOnly, cts.False,
			"source", tr.SourceIP, "192.0.2.1", "peer", tr.Ext.PeerIP, "192.0.2.1", "agent", tr.UserAgent, "curl/8",
			"client id", tr.Ext.ClientID, "mine", "request id", tr.RequestID, w.Header().Get("X-Request-Id"))
		if len(tr.Ext.Resources) != 1 || tr.Ext.Resources[0] != (cts.Resource{Type: "project", ID: "p1"}) {
			t.Errorf("further resources %+v", tr.Ext.Resources)
		}
		if len(tr.Ext.Redacted) != 1 || tr.Ext.Redacted[0].Field != "resource_url.token" {
			t.Errorf("redacted %+v", tr.Ext.Redacted)
		}
	}
	if attempt.RequestID == "" || attempt.RequestID == "mine" {
		t.Errorf("request id %q", attempt.RequestID)
	}
	check(t, "code before", attempt.Code, "", "outcome before", attempt.Ext.Outcome, cts.OutcomePending,
		"code", outcome.Code, "204", "rating", outcome.Rating, cts.RatingNormal, "outcome", outcome.Ext.Outcome, cts.OutcomeSuccess,
		"total time", outcome.TotalTime, int64(5), "time", attempt.Time, outcome.Time)
}

func TestInnerAlone(t *testing.T) {
	f := newFixture(t, nil)
	h := authenticate(routes(f.Inner))
	check(t, "status", serve(h, request(http.MethodDelete, "/v1/p1/servers/s1")).Code, http.StatusUnauthorized,
		"traces of the refused", len(f.all()), 0)
	serve(h, asUser(request(http.MethodDelete, "/v1/p1/servers/s1"), "ann"))
	attempt, outcome := f.pair()
	for _, tr := range []*cts.Trace{attempt, outcome} {
		check(t, "name", tr.Name, "deleteServer", "id", tr.ResourceID, "s1", "user", tr.User.Name, "ann")
	}
	check(t, "code", outcome.Code, "204")
}

func TestBothPlaces(t *testing.T) {
	type want struct {
		status                         int
		name, user, resource, outcome  string
		rating                         cts.Rating
		attempt                        bool
		readOnly                       cts.Bool
		operation, resourceType, extra string
	}
	for name, c := range map[string]struct {
		method, target, user string
		want                 want
	}{
		"changes": {"DELETE", "/v1/p1/servers/s1", "ann", want{
			204, "deleteServer", "ann", "s1", "success", cts.RatingNormal, true, cts.False, deletePattern, "server", "",
		}},
		"reads": {"GET", "/v1/servers", "ann", want{
			200, "listServers", "ann", "", "success", cts.RatingNormal, false, cts.True, "GET /v1/servers", "server", "",
		}},
		"refused": {"DELETE", "/v1/p1/servers/s1", "", want{
			401, "deleteUnrouted", "", "", "denied", cts.RatingWarning, false, cts.False, "", "request", "",
		}},
		"no route": {"PUT", "/nowhere/x1", "ann", want{
			404, "putUnrouted", "", "", "failure", cts.RatingWarning, false, cts.False, "", "request", "",
		}},
		"other method": {"PUT", "/v1/servers", "ann", want{
			405, "putUnrouted", "", "", "failure", cts.RatingWarning, false, cts.False, "", "request", "",
		}},
		"strange method": {"BREW", "/v1/servers", "ann", want{
			405, "callUnrouted", "", "", "failure", cts.RatingWarning, false, cts.False, "", "request", "",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			r := request(c.method, c.target)
			if c.user != "" {
				asUser(r, c.user)
			}
			w := serve(f.Outer(authenticate(routes(f.Inner))), r)
			var tr *cts.Trace
			if c.want.attempt {
				var attempt *cts.Trace
				attempt, tr = f.pair()
				check(t, "user of the attempt", attempt.User.Name, c.want.user, "name of the attempt", attempt.Name, c.want.name)
			} else {
				tr = f.one()
			}
			check(t, "status", w.Code, c.want.status, "name", tr.Name, c.want.name, "user", tr.User.Name, c.want.user,
				"resource", tr.ResourceID, c.want.resource, "outcome", string(tr.Ext.Outcome), c.want.outcome,
				"rating", tr.Rating, c.want.rating, "read only", tr.ReadOnly, c.want.readOnly,
				"operation", tr.OperationID, c.want.operation, "resource type", tr.ResourceType, c.want.resourceType,
				"request id", tr.RequestID, w.Header().Get("X-Request-Id"), "url", tr.ResourceURL, c.target)
			check(t, "status of the middleware", f.Status(), ctshttp.Status{})
		})
	}
}

// TestRoutersInside: the inner place sees the route behind everything that replaces
// the request, and one record says it all.
func TestRoutersInside(t *testing.T) {
	f := newFixture(t, nil)
	sub := http.NewServeMux()
	sub.Handle("DELETE /servers/{id}", f.Inner(answer(http.StatusAccepted)))
	top := http.NewServeMux()
	top.Handle("/api/", http.StripPrefix("/api", sub))
	replacing := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		type key struct{}
		top.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, 1)))
	})
	serve(f.Outer(authenticate(replacing)), asUser(request(http.MethodDelete, "/api/servers/s1?x=1"), "ann"))
	attempt, outcome := f.pair()
	for _, tr := range []*cts.Trace{attempt, outcome} {
		check(t, "name", tr.Name, "deleteServer", "id", tr.ResourceID, "s1", "operation", tr.OperationID, "DELETE /servers/{id}",
			"url", tr.ResourceURL, "/api/servers/s1?x=1", "user", tr.User.Name, "ann")
	}
	check(t, "code", outcome.Code, "202")
}

func TestOuterSeesNoRouteBehindReplacedRequest(t *testing.T) {
	replace := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r.Clone(r.Context())) })
	}
	f := newFixture(t, nil)
	mux := routes(unwrapped)
	serve(f.Outer(replace(mux)), request(http.MethodGet, "/v1/servers"))
	check(t, "name", f.one().Name, "getUnrouted")

	f = newFixture(t, &ctshttp.Options{Mux: mux}) // names the attempt all the same
	serve(f.Outer(replace(mux)), request(http.MethodDelete, "/v1/p/servers/s1"))
	attempt, outcome := f.pair()
	check(t, "attempt", attempt.Name, "deleteServer", "id", attempt.ResourceID, "s1", "outcome", outcome.Name, "deleteServer")
}

func TestOuterNamesAfterwards(t *testing.T) {
	f := newFixture(t, nil)
	passing := func(next http.Handler) http.Handler { // hides the mux, and leaves the request alone
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) })
	}
	serve(f.Outer(passing(routes(unwrapped))), request(http.MethodDelete, "/v1/p/servers/s1"))
	attempt, outcome := f.pair()
	check(t, "attempt", attempt.Name, "deleteUnrouted", "outcome", outcome.Name, "deleteServer",
		"resource", outcome.ResourceID, "s1", "type", outcome.ResourceType, "server")
}

func TestNestedPlaces(t *testing.T) {
	f := newFixture(t, nil)
	h := f.Outer(f.Outer(routes(func(h http.Handler) http.Handler { return f.Inner(f.Inner(h)) })))
	serve(h, request(http.MethodDelete, "/v1/p/servers/s1"))
	f.pair()
	f = newFixture(t, nil)
	serve(f.Inner(f.Inner(f.Outer(answer(http.StatusOK)))), request(http.MethodGet, "/"))
	f.one()
}

// TestTwoMiddlewares: each has a record of its own, and both have the same ids.
func TestTwoMiddlewares(t *testing.T) {
	a, b := newFixture(t, nil), newFixture(t, nil)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ctshttp.Annotate(r.Context(), func(tr *cts.Trace) { tr.ResourceName = "web" }) {
			t.Error("no record")
		}
		w.WriteHeader(http.StatusTeapot)
	})
	serve(a.Outer(b.Outer(a.Inner(b.Inner(handler)))), request(http.MethodGet, "/x"))
	one, two := a.one(), b.one()
	check(t, "ids", one.RequestID, two.RequestID, "code", one.Code, "418", "code", two.Code, "418",
		"resource", one.ResourceName, "web", "resource", two.ResourceName, "web")
}

// TestInnerAroundRouter: one inner place guards all routes.
func TestInnerAroundRouter(t *testing.T) {
	passing := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) })
	}
	for _, outer := range []bool{true, false} {
		for _, hidden := range []bool{true, false} {
			f := newFixture(t, nil)
			h := http.Handler(routes(unwrapped))
			if hidden {
				h = passing(h)
			}
			if h = authenticate(f.Inner(h)); outer {
				h = f.Outer(h)
			}
			serve(h, asUser(request(http.MethodDelete, "/v1/p1/servers/s1"), "ann"))
			attempt, outcome := f.pair()
			check(t, "user", attempt.User.Name, "ann", "outcome's user", outcome.User.Name, "ann", "unguarded", f.Status().Unguarded, int64(0))
			if !hidden {
				check(t, "attempt", attempt.Name, "deleteServer", "id", attempt.ResourceID, "s1")
			}
			check(t, "outcome", outcome.Name, "deleteServer", "id", outcome.ResourceID, "s1")
			before := len(f.all())
			check(t, "status", serve(h, asUser(request(http.MethodGet, "/nowhere"), "ann")).Code, http.StatusNotFound)
			list := f.all()
			check(t, "traces", len(list)-before, 1, "name", list[before].Name, "getUnrouted", "user", list[before].User.Name, "ann")
		}
	}
}

func TestUnguarded(t *testing.T) {
	f := newFixture(t, nil)
	mux := routes(f.Inner)
	mux.Handle("POST /v1/keys", answer(http.StatusCreated)) // forgotten
	serve(f.Outer(mux), request(http.MethodPost, "/v1/keys"))
	tr := f.one()
	check(t, "name", tr.Name, "createKey", "rating", tr.Rating, cts.RatingWarning, "outcome", tr.Ext.Outcome, cts.OutcomeSuccess,
		"message", tr.Message, "not guarded: the route has no inner place", "count", f.Status().Unguarded, int64(1))

	f = newFixture(t, &ctshttp.Options{BeginOutside: true})
	mux = routes(f.Inner)
	mux.Handle("POST /v1/keys", answer(http.StatusCreated))
	serve(f.Outer(mux), request(http.MethodPost, "/v1/keys"))
	_, outcome := f.pair()
	check(t, "rating", outcome.Rating, cts.RatingNormal, "count", f.Status().Unguarded, int64(0))
}

func TestBeginOutside(t *testing.T) {
	f := newFixture(t, &ctshttp.Options{BeginOutside: true})
	mux := routes(f.Inner)
	f = &fixture{Middleware: f.Middleware, t: t, store: f.store, tracker: f.tracker}
	serve(f.Outer(authenticate(mux)), asUser(request(http.MethodDelete, "/v1/p/servers/s1"), "ann"))
	attempt, outcome := f.pair()
	check(t, "actor of the attempt", attempt.User.Name, "", "actor of the outcome", outcome.User.Name, "ann", "name", outcome.Name, "deleteServer")
}

func TestSkip(t *testing.T) {
	asked := 0
	f := newFixture(t, &ctshttp.Options{Skip: func(r *http.Request) bool { asked++; return r.URL.Path == "/healthz" }})
	h := f.Outer(f.Inner(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" && ctshttp.Annotate(r.Context(), func(*cts.Trace) { t.Error("a skipped request has a record") }) {
			t.Error("annotated")
		}
	})))
	w := serve(h, request(http.MethodPost, "/healthz"))
	check(t, "traces", len(f.all()), 0, "asked", asked, 1, "header", w.Header().Get("X-Request-Id"), "")
	serve(h, request(http.MethodGet, "/healthz2"))
	f.one()
	check(t, "asked", asked, 2)
}

func TestRouteOptions(t *testing.T) {
	opts := &ctshttp.Options{
		ServiceType: "ECS",
		Routes: map[string]ctshttp.Route{
			"POST /login":    {Name: "login", ResourceType: "session", ServiceType: "IAM", EventType: cts.EventGlobal},
			"POST /search":   {ReadOnly: cts.True},
			"PUT /x/{a}/{b}": {IDValue: "a", ResourceName: "the x"},
		},
		Route: func(r *http.Request) ctshttp.Route {
			switch r.URL.Path {
			case "/own":
				return ctshttp.Route{Pattern: "/own/{id}", ResourceID: "7"}
			case "/named":
				return ctshttp.Route{Name: "doIt"}
			}
			return ctshttp.Route{}
		},
	}
	mux := http.NewServeMux()
	for _, pattern := range []string{"POST /login", "POST /search", "PUT /x/{a}/{b}", "/own", "/named"} {
		mux.Handle(pattern, answer(http.StatusOK))
	}
	for _, c := range []struct {
		method, target                         string
		name, service, resource, id, rname, op string
		event                                  cts.EventType
		readOnly                               cts.Bool
	}{
		{"POST", "/login", "login", "IAM", "session", "", "", "POST /login", cts.EventGlobal, cts.False},
		{"POST", "/search", "createSearch", "ECS", "search", "", "", "POST /search", cts.EventSystem, cts.True},
		{"PUT", "/x/1/2", "updateX", "ECS", "x", "1", "the x", "PUT /x/{a}/{b}", cts.EventSystem, cts.False},
		{"DELETE", "/own", "deleteOwn", "ECS", "own", "7", "", "DELETE /own/{id}", cts.EventSystem, cts.False},
		{"DELETE", "/named", "doIt", "ECS", "named", "", "", "DELETE /named", cts.EventSystem, cts.False},
	} {
		for _, alone := range []bool{true, false} {
			f := newFixture(t, opts)
			h := http.Handler(mux)
			if alone {
				h = f.Outer(h)
			} else {
				inner := http.NewServeMux()
				for pattern := range opts.Routes {
					inner.Handle(pattern, f.Inner(answer(http.StatusOK)))
				}
				inner.Handle("/own", f.Inner(answer(http.StatusOK)))
				inner.Handle("/named", f.Inner(answer(http.StatusOK)))
				h = f.Outer(inner)
			}
			serve(h, request(c.method, c.target))
			attempt, outcome := f.pair()
			for _, tr := range []*cts.Trace{attempt, outcome} {
				check(t, c.target+" name", tr.Name, c.name, "service", tr.ServiceType, c.service, "type", tr.ResourceType, c.resource,
					"id", tr.ResourceID, c.id, "resource name", tr.ResourceName, c.rname, "operation", tr.OperationID, c.op,
					"event", tr.EventType, c.event, "read only", tr.ReadOnly, c.readOnly)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	f := newFixture(t, &ctshttp.Options{
		NewRequestID: func(*http.Request) string { return "r1" }, ClientIDHeader: "X-Client", ResponseHeader: "X-Id", TraceHeader: "X-Trace",
	})
	r := request(http.MethodPost, "/x")
	r.Header.Set("X-Client", "c1")
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	var seen cts.Correlation
	w := serve(f.Outer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen, _ = cts.CorrelationFrom(r.Context()) })), r)
	attempt, outcome := f.pair()
	check(t, "header", w.Header().Get("X-Id"), "r1", "trace header", w.Header().Get("X-Trace"), attempt.ID, "request id", outcome.RequestID, "r1",
		"client", outcome.Ext.ClientID, "c1", "W3C", outcome.Ext.W3CTraceID, "0af7651916cd43dd8448eb211c80319c", "span", outcome.Ext.W3CSpanID, "b7ad6b7169203331",
		"context", seen, cts.Correlation{RequestID: "r1", ClientID: "c1", W3CTraceID: outcome.Ext.W3CTraceID, W3CSpanID: outcome.Ext.W3CSpanID})

	f = newFixture(t, &ctshttp.Options{ResponseHeader: "-"})
	if w := serve(f.Outer(answer(http.StatusOK)), request(http.MethodPost, "/x")); len(w.Header()) != 0 {
		t.Errorf("headers %v", w.Header())
	}
}

func TestNewFaults(t *testing.T) {
	_, err := ctshttp.New(nil, &ctshttp.Options{
		TrustedProxies: []netip.Prefix{{}}, ClientIDHeader: "a b", ResponseHeader: "ä", TraceHeader: "x:y", RequestBody: -1,
		Routes: map[string]ctshttp.Route{"": {}},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"tracker", "TrustedProxies", "ClientIDHeader", "ResponseHeader", "TraceHeader", "RequestBody", "Routes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not name %s", err, want)
		}
	}
}

func TestOptionsAreCopied(t *testing.T) {
	opts := &ctshttp.Options{Routes: map[string]ctshttp.Route{"GET /x": {Name: "seeX"}}}
	f := newFixture(t, opts)
	opts.Routes["GET /x"] = ctshttp.Route{Name: "other"}
	mux := http.NewServeMux()
	mux.Handle("GET /x", answer(http.StatusOK))
	serve(f.Outer(mux), request(http.MethodGet, "/x"))
	check(t, "name", f.one().Name, "seeX")
}
