package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/ctshttp"
)

// service is a small cloud: servers, volumes and users, kept in memory. It knows
// nothing of auditing but the few lines in which it says what a request was about.
type service struct {
	mu      sync.Mutex
	servers map[string]*server
	volumes map[string]*volume
	next    int
}

type server struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Flavor string `json:"flavor"`
}

type volume struct {
	ID       string `json:"id"`
	Size     int    `json:"size"`
	Attached string `json:"attached,omitempty"`
}

func newService() *service {
	return &service{servers: map[string]*server{}, volumes: map[string]*volume{}}
}

// handler returns the service's routes.
func (s *service) handler() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/{project_id}/servers", s.listServers)
	mux.HandleFunc("POST /v1/{project_id}/servers", s.createServer)
	mux.HandleFunc("GET /v1/{project_id}/servers/{server_id}", s.showServer)
	mux.HandleFunc("PUT /v1/{project_id}/servers/{server_id}", s.resizeServer)
	mux.HandleFunc("DELETE /v1/{project_id}/servers/{server_id}", s.deleteServer)
	mux.HandleFunc("POST /v1/{project_id}/volumes", s.createVolume)
	mux.HandleFunc("POST /v1/{project_id}/volumes/{volume_id}/attach", s.attachVolume)
	mux.HandleFunc("DELETE /v1/{project_id}/volumes/{volume_id}", s.deleteVolume)
	mux.HandleFunc("POST /v1/{project_id}/users/{user_id}/password", s.changePassword)
	mux.HandleFunc("POST /v1/{project_id}/reports", func(http.ResponseWriter, *http.Request) {
		panic("the bug that an audit trail helps to find")
	})
	return mux
}

// id returns the id of a new resource.
func (s *service) id(kind string) string {
	s.next++
	return fmt.Sprintf("%s-%04d", kind, s.next)
}

func (s *service) listServers(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	names := make([]string, 0, len(s.servers))
	for id := range s.servers {
		names = append(names, id)
	}
	s.mu.Unlock()
	slices.Sort(names)
	reply(w, http.StatusOK, names[:min(len(names), 20)])
}

func (s *service) createServer(w http.ResponseWriter, r *http.Request) {
	var body server
	if !read(w, r, &body) {
		return
	}
	if body.Flavor == "" {
		refuse(w, r, http.StatusBadRequest, "flavor is missing")
		return
	}
	s.mu.Lock()
	created := server{ID: s.id("server"), Name: body.Name, Flavor: body.Flavor}
	s.servers[created.ID] = &created
	s.mu.Unlock()
	ctshttp.Annotate(r.Context(), func(t *cts.Trace) { t.ResourceID, t.ResourceName = created.ID, created.Name })
	reply(w, http.StatusCreated, created)
}

// find returns a copy of the server of the request, or answers that there is none.
func (s *service) find(w http.ResponseWriter, r *http.Request) (server, bool) {
	s.mu.Lock()
	found, ok := s.servers[r.PathValue("server_id")]
	var c server
	if ok {
		c = *found
	}
	s.mu.Unlock()
	if !ok {
		refuse(w, r, http.StatusNotFound, "there is no such server")
		return c, false
	}
	ctshttp.Annotate(r.Context(), func(t *cts.Trace) { t.ResourceName = c.Name })
	return c, true
}

func (s *service) showServer(w http.ResponseWriter, r *http.Request) {
	if found, ok := s.find(w, r); ok {
		reply(w, http.StatusOK, found)
	}
}

func (s *service) resizeServer(w http.ResponseWriter, r *http.Request) {
	var body server
	if !read(w, r, &body) {
		return
	}
	found, ok := s.find(w, r)
	if !ok {
		return
	}
	ctshttp.Annotate(r.Context(), func(t *cts.Trace) {
		t.Ext.Changes = append(t.Ext.Changes, cts.Change{Field: "flavor", Old: found.Flavor, New: body.Flavor})
	})
	found.Flavor = body.Flavor
	s.mu.Lock()
	if s.servers[found.ID] != nil {
		s.servers[found.ID] = &found
	}
	s.mu.Unlock()
	reply(w, http.StatusOK, found)
}

func (s *service) deleteServer(w http.ResponseWriter, r *http.Request) {
	found, ok := s.find(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	delete(s.servers, found.ID)
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (s *service) createVolume(w http.ResponseWriter, r *http.Request) {
	var body volume
	if !read(w, r, &body) {
		return
	}
	if body.Size <= 0 || body.Size > 1000 {
		refuse(w, r, http.StatusUnprocessableEntity, "a volume has 1 to 1000 GB")
		return
	}
	s.mu.Lock()
	created := volume{ID: s.id("volume"), Size: body.Size}
	s.volumes[created.ID] = &created
	s.mu.Unlock()
	ctshttp.Annotate(r.Context(), func(t *cts.Trace) { t.ResourceID = created.ID })
	reply(w, http.StatusCreated, created)
}

func (s *service) attachVolume(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Server string `json:"server_id"`
	}
	if !read(w, r, &body) {
		return
	}
	s.mu.Lock()
	v, ok := s.volumes[r.PathValue("volume_id")]
	if ok {
		v.Attached = body.Server
	}
	s.mu.Unlock()
	if !ok {
		refuse(w, r, http.StatusNotFound, "there is no such volume")
		return
	}
	ctshttp.Annotate(r.Context(), func(t *cts.Trace) {
		t.Ext.Resources = append(t.Ext.Resources, cts.Resource{Type: "server", ID: body.Server})
	})
	w.WriteHeader(http.StatusAccepted)
}

func (s *service) deleteVolume(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	v, ok := s.volumes[r.PathValue("volume_id")]
	attached := ok && v.Attached != ""
	if ok && !attached {
		delete(s.volumes, v.ID)
	}
	s.mu.Unlock()
	switch {
	case !ok:
		refuse(w, r, http.StatusNotFound, "there is no such volume")
	case attached:
		refuse(w, r, http.StatusConflict, "the volume is attached")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// changePassword hands the whole request to the audit trail, password and all: that
// it is not in there afterwards is the work of redaction.
func (s *service) changePassword(w http.ResponseWriter, r *http.Request) {
	var body map[string]string
	if !read(w, r, &body) {
		return
	}
	request, err := json.Marshal(body)
	if err != nil {
		refuse(w, r, http.StatusBadRequest, err.Error())
		return
	}
	ctshttp.Annotate(r.Context(), func(t *cts.Trace) { t.Request = string(request) })
	w.WriteHeader(http.StatusNoContent)
}

// tokens are the users of the service by their bearer tokens.
var tokens = map[string]cts.Actor{
	"token-of-alice": {User: cts.User{ID: "u-1001", Name: "alice"}, Role: "admin"},
	"token-of-bob":   {User: cts.User{ID: "u-1002", Name: "bob"}, Role: "operator"},
	"token-of-carol": {User: cts.User{ID: "u-1003", Name: "carol"}, Role: "operator"},
	"token-of-dave":  {User: cts.User{ID: "u-1004", Name: "dave"}, Role: "viewer"},
}

// authenticate finds out who calls, and refuses the others.
func authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor, ok := tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		if !ok {
			refuse(w, r, http.StatusUnauthorized, "who are you?")
			return
		}
		next.ServeHTTP(w, r.WithContext(cts.WithActor(r.Context(), actor)))
	})
}

// authorize refuses viewers everything that changes something.
func authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor, _ := cts.ActorFrom(r.Context())
		granted := actor.Role != "viewer" || r.Method == http.MethodGet
		ctshttp.Annotate(r.Context(), func(t *cts.Trace) {
			t.Ext.Authorization = append(t.Ext.Authorization, cts.Authorization{Permission: r.Method, Granted: granted})
		})
		if !granted {
			refuse(w, r, http.StatusForbidden, "viewers may not change anything")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// read decodes the body of a request, or answers that it can't be.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(into); err != nil {
		refuse(w, r, http.StatusBadRequest, "the body is not JSON")
		return false
	}
	return true
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client is gone
}

// refuse answers with an error, and leaves it in the trace.
func refuse(w http.ResponseWriter, r *http.Request, code int, why string) {
	ctshttp.Annotate(r.Context(), func(t *cts.Trace) { t.Message = why })
	reply(w, code, map[string]string{"error": why})
}
