// Package ctshttp records the requests of a net/http server: who asked for what, from
// where, and how it ended. Requests that change something are not let through to
// their handler unless the record of the attempt is stored.
//
// # In two lines
//
//	m, err := ctshttp.New(tracker, nil)
//	server := &http.Server{Handler: m.Outer(mux)}
//
// That records every request that comes to mux, an [http.ServeMux], under the name of
// its route: "DELETE /v1/servers/{server_id}" is recorded as deleteServer of the server
// with that id. What it can't know is who asked.
//
// # With authentication
//
// Who asked is known behind authentication, who was refused only in front of it. So
// there are two places, which share one record:
//
//	server := &http.Server{Handler: m.Outer(authenticate(m.Inner(mux)))}
//
// Authentication leaves the actor in the context, by [cts.WithActor]. The outer place
// sees what authentication refuses; the inner one knows route, path values and actor
// and begins the attempt; the outer one completes the record. Each may be used alone.
//
// With authentication per route, with another router, or where a router stands behind
// another, the inner place goes around the handlers instead:
//
//	mux.Handle("DELETE /v1/servers/{server_id}", authenticate(m.Inner(deleteServer)))
//	server := &http.Server{Handler: m.Outer(mux)}
//
// Then every route that changes something needs one. One that was forgotten shows in
// [Status.Unguarded], and Options.BeginOutside is for those who do not want to rely on
// that.
//
// # From inside a handler
//
// A handler knows more than its route tells, and adds it to the record:
//
//	ctshttp.Annotate(r.Context(), func(t *cts.Trace) {
//		t.ResourceName = server.Name
//		t.Ext.Changes = append(t.Ext.Changes, cts.Change{Field: "flavor", Old: "s6", New: "c7"})
//	})
//
// # When recording fails
//
// That is chosen per request by Options.Mode. [FailClosed], the default for methods
// that change something, stores an attempt before the handler is called, and an
// outcome afterwards; if the attempt can't be stored the client gets 503 with
// Retry-After and nothing is done. Such a refusal has no record, for there is nothing
// to write it to; [Status.Refused] counts it. [FailOpen], the default for methods that
// only read, calls the handler and records afterwards; if that fails the requests are
// counted, and as soon as something can be recorded again two traces tell from when to
// when and how many: [TraceFailOpenEntered] and [TraceFailOpenLeft]. A client that
// goes away does not cancel a record. Where the Tracker's delivery is durable a
// handler's last bytes wait for its record; with queued delivery they wait at most for
// room in the queue.
//
// # What is recorded
//
//   - code is the status. If the handler panics it is 500, or the error status that was
//     answered before. For a connection that is hijacked it is 101 and the message is
//     "hijacked": the record is completed then, and what follows is not seen.
//   - ext.outcome is success below 400, denied for 401 and 403, else failure. It is
//     unknown if nothing was answered and the request's context ended, if the handler
//     aborted the answer ([http.ErrAbortHandler]), or if the answer ended before the
//     handler did (http.TimeoutHandler between the places).
//   - trace_rating is normal for success, incident for a panic, else warning. The
//     message of a panic is its type, never its value; the panic goes on.
//   - time and total_time are when the request came and how long it took until the
//     handler returned. read_only is true for GET, HEAD, OPTIONS and TRACE.
//   - resource_url is path and query as they were sent, less the secrets.
//     content_length is what the request declared.
//   - request_id is made by the middleware and sent back in X-Request-Id. An id from
//     the client is kept in ext.client_id, if it has 1 to 128 printable characters and
//     no space, and is nothing but a claim. ext.w3c_trace_id and ext.w3c_span_id come
//     from a valid traceparent. Handlers find these ids in [cts.CorrelationFrom] and
//     the addresses in [cts.OriginFrom]; traces they record themselves have them too.
//   - Headers and response bodies are not recorded; request bodies only if
//     Options.RequestBody says so.
//
// # Names
//
// The naming rule turns method and route pattern into trace_name, resource_type and
// resource_id. "api" in front and versions (v1, v2.1) are no part of the name; the
// version is the api_version. Words lose their plural where one thing is meant.
//
//	GET    /v1/servers                      listServers         server
//	POST   /v1/servers                      createServer        server
//	GET    /v1/servers/{server_id}          showServer          server    id from server_id
//	PUT    /v1/servers/{server_id}          updateServer        server    id from server_id; so does PATCH
//	DELETE /v1/servers/{server_id}          deleteServer        server    id from server_id
//	DELETE /v1/servers                      deleteServers       server
//	POST   /v1/servers/{server_id}/start    startServer         server    id from server_id
//	GET    /v1/servers/{server_id}/status   showServerStatus    server    id from server_id
//	POST   /v1/servers/{server_id}/volumes  createVolume        volume    the server is in ext.resources
//	POST   /v1/servers/search               searchServers       server
//	GET    /health                          showHealth          health
//	PUT    /{bucket}/{key...}               updateKey           key       id from key
//	GET    /                                showRoot            root
//
// HEAD, OPTIONS, TRACE and CONNECT are their own verbs, other methods are "call". Path
// values that are not the resource's id are in ext.resources, under the literal before
// them or their own name. operation_id is the pattern, with the request's method in
// front if it has none. A request that no route takes, or whose route can't be seen,
// is named after its method alone: deleteUnrouted, of the resource_type "request";
// nothing of what the client sent is ever part of a name. Options.Routes and
// Options.Route choose other names.
//
// The outer place sees the route that http.ServeMux chose only as long as nobody in
// between replaced the request (http.StripPrefix, Request.WithContext), and an inner
// place around a router in the same way. An inner place around the handler of a route
// always sees it, as do Options.Mux, for attempts of the outer place, and
// Options.Route.
//
// # What it leaves alone
//
// Handlers get a ResponseWriter with exactly the abilities of the server's own:
// flushing, hijacking, sendfile, deadlines, full duplex, push, trailers and
// informational responses work as without the middleware. One thing does not: since
// the writer is not the server's own, [http.MaxBytesReader] does not make the server
// close the connection when the body is too large.
package ctshttp
