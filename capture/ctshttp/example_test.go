package ctshttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/ctshttp"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// Two places around a server: the outer one sees who was refused, the inner one knows
// who was let in.
func Example() {
	ctx := context.Background()
	store := memstore.New(nil)
	tracker, err := cts.Open(ctx, store, &cts.TrackerOptions{ServiceType: "ECS"})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := ctshttp.New(tracker, nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	authenticate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name, _, ok := r.BasicAuth()
			if !ok {
				http.Error(w, "who are you?", http.StatusUnauthorized)
				return
			}
			actor := cts.Actor{User: cts.User{Name: name}}
			next.ServeHTTP(w, r.WithContext(cts.WithActor(r.Context(), actor)))
		})
	}
	deleteServer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctshttp.Annotate(r.Context(), func(t *cts.Trace) { t.ResourceName = "web-1" })
		w.WriteHeader(http.StatusNoContent)
	})
	mux := http.NewServeMux()
	mux.Handle("DELETE /v1/servers/{server_id}", m.Inner(deleteServer))
	server := m.Outer(authenticate(mux))

	for _, name := range []string{"", "ann"} {
		r := httptest.NewRequest(http.MethodDelete, "/v1/servers/s-42", http.NoBody)
		if name != "" {
			r.SetBasicAuth(name, "secret")
		}
		server.ServeHTTP(httptest.NewRecorder(), r)
	}

	if err := tracker.Close(ctx); err != nil {
		fmt.Println(err)
	}
	own := cts.Eq(cts.FieldServiceType, "CTS")
	for e, err := range store.Query(ctx, cts.Query{Attempts: true}.Where(cts.Not(own)).OldestFirst()) {
		if err != nil {
			fmt.Println(err)
			return
		}
		t := e.Trace
		fmt.Printf("%s %q by %q: %q %s\n", t.Name, t.ResourceID, t.User.Name, t.Code, t.Ext.Outcome)
	}
	// Output:
	// deleteUnrouted "" by "": "401" denied
	// deleteServer "s-42" by "ann": "" pending
	// deleteServer "s-42" by "ann": "204" success
}

// A handler adds what only it knows.
func ExampleAnnotate() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		ctshttp.Annotate(r.Context(), func(t *cts.Trace) {
			t.ResourceName = "web-1"
			t.Ext.Changes = append(t.Ext.Changes, cts.Change{Field: "flavor", Old: "s6", New: "c7"})
			t.Ext.Authorization = append(t.Ext.Authorization, cts.Authorization{Permission: "servers.resize", Granted: true})
		})
		w.WriteHeader(http.StatusAccepted)
	}
	_ = handler
}
