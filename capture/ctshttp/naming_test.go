package ctshttp

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestNameOperation(t *testing.T) {
	for _, c := range []struct {
		method, pattern                string
		name, resourceType, id, parent string // id and parent are path values
	}{
		{"GET", "GET /v1/servers", "listServers", "server", "", ""},
		{"POST", "POST /v1/servers", "createServer", "server", "", ""},
		{"GET", "GET /v1/servers/{server_id}", "showServer", "server", "server_id", ""},
		{"PUT", "PUT /v1/servers/{server_id}", "updateServer", "server", "server_id", ""},
		{"PATCH", "PATCH /v1/servers/{server_id}", "updateServer", "server", "server_id", ""},
		{"DELETE", "DELETE /v1/{project_id}/servers/{server_id}", "deleteServer", "server", "server_id", "project:project_id"},
		{"DELETE", "DELETE /v1/servers", "deleteServers", "server", "", ""},
		{"POST", "POST /v1/servers/{server_id}/start", "startServer", "server", "server_id", ""},
		{"POST", "POST /v1/servers/{server_id}/os/reinstall", "reinstallServerOs", "server", "server_id", ""},
		{"GET", "GET /v1/servers/{server_id}/status", "showServerStatus", "server", "server_id", ""},
		{"PUT", "PUT /v1/servers/{server_id}/metadata", "updateServerMetadata", "server", "server_id", ""},
		{"POST", "POST /v1/servers/{server_id}/volumes", "createVolume", "volume", "", "server:server_id"},
		{"DELETE", "/v1/servers/{s}/volumes/{v}", "deleteVolume", "volume", "v", "server:s"},
		{"POST", "POST /v1/servers/search", "searchServers", "server", "", ""},
		{"POST", "POST /v1/{project_id}/servers/batch-stop", "batchStopServers", "server", "", "project:project_id"},
		{"POST", "POST /v1/servers/2fa", "createServers2fa", "server", "", ""},
		{"GET", "GET /health", "showHealth", "health", "", ""},
		{"POST", "POST /login", "createLogin", "login", "", ""},
		{"PUT", "/{bucket}/{key...}", "updateKey", "key", "key", "bucket:bucket"},
		{"PUT", "/files/{path...}", "updateFile", "file", "path", ""},
		{"GET", "GET /{$}", "showRoot", "root", "", ""},
		{"GET", "/", "showRoot", "root", "", ""},
		{"GET", "/v1/", "showRoot", "root", "", ""},
		{"GET", "GET /api/v2.1/security-groups/{id}/rules/{rule}", "showRule", "rule", "rule", "security-group:id"},
		{"POST", "POST /apis/v1beta1/security-groups", "createSecurityGroup", "security-group", "", ""},
		{"GET", "GET api.example.com/v1/policies/{id}", "showPolicy", "policy", "id", ""},
		{"HEAD", "GET /v1/servers/{id}", "headServer", "server", "id", ""},
		{"OPTIONS", "/v1/servers", "optionsServers", "server", "", ""},
		{"BREW", "/v1/servers/{id}", "callServer", "server", "id", ""},
		{"GET", "/v1/servers/:id", "showServer", "server", "id", ""},                      // other routers
		{"GET", "/v1/servers/{id:[0-9]+}", "showServer", "server", "id", ""},              //
		{"GET", "/static/*", "showStatic", "static", "*", ""},                             //
		{"GET", "", "getUnrouted", "request", "", ""},                                     // no route
		{"BREW", "", "callUnrouted", "request", "", ""},                                   //
		{"GET", "/" + strings.Repeat("x", 300), "show" + "X" + "…", "…", "", ""},          // cut
		{"GET", "GET /sözial/{id}", "showSZial", "sözial", "id", ""},                      // ASCII only
		{"GET", "GET /v1/addresses/{a}", "showAddress", "address", "a", ""},               //
		{"POST", "POST /tenants/{t}/users/{u}/lock", "lockUser", "user", "u", "tenant:t"}, //
	} {
		op := nameOperation(c.method, c.pattern)
		parent := ""
		for _, v := range op.values {
			if v.text != op.idValue {
				parent = v.kind + ":" + v.text
			}
		}
		if c.resourceType == "…" {
			c.name, c.resourceType = op.name[:maxName], op.resourceType
			if !strings.HasPrefix(op.name, "showXxx") || len(op.name) != maxName {
				t.Errorf("%s: long name %q", c.pattern, op.name)
			}
		}
		if op.name != c.name || op.resourceType != c.resourceType || op.idValue != c.id || parent != c.parent {
			t.Errorf("%s %q: %s %s id=%s parent=%s, want %s %s id=%s parent=%s", c.method, c.pattern,
				op.name, op.resourceType, op.idValue, parent, c.name, c.resourceType, c.id, c.parent)
		}
	}
}

func TestOperationID(t *testing.T) {
	for _, c := range []struct{ method, pattern, id, version string }{
		{"DELETE", "DELETE /v1/servers/{id}", "DELETE /v1/servers/{id}", "v1"},
		{"DELETE", "/v2.1/servers/{id}", "DELETE /v2.1/servers/{id}", "v2.1"},
		{"DELETE", "example.com/servers/{id}", "DELETE example.com/servers/{id}", ""},
		{"BREW", "/servers/{id}", "/servers/{id}", ""},
		{"HEAD", "GET /api/v3/x", "GET /api/v3/x", "v3"},
		{"GET", "/vault/v9x/v1beta2", "GET /vault/v9x/v1beta2", "v1beta2"},
	} {
		if op := nameOperation(c.method, c.pattern); op.id != c.id || op.apiVersion != c.version {
			t.Errorf("%s %q: id %q version %q, want %q and %q", c.method, c.pattern, op.id, op.apiVersion, c.id, c.version)
		}
	}
}

func TestSingular(t *testing.T) {
	for many, one := range map[string]string{
		"servers": "server", "policies": "policy", "ties": "tie", "addresses": "address", "boxes": "box", "patches": "patch",
		"branches": "branch", "searches": "search", "caches": "cache", "dishes": "dish", "statuses": "status",
		"databases": "database", "aliases": "alias", "vms": "vm", "ips": "ip", "sizes": "size", "security-groups": "security-group",
		"Servers": "Server", "cookies": "cookie", "children": "child", "metrics": "metric",
	} {
		if got, plural := singular(many); got != one || !plural {
			t.Errorf("singular(%q) = %q, %t, want %q", many, got, plural, one)
		}
	}
	for _, word := range []string{"status", "address", "dns", "analysis", "alias", "series", "health", "os", "s", "", "ecs", "search"} {
		if got, plural := singular(word); got != word || plural {
			t.Errorf("singular(%q) = %q, %t, want it unchanged", word, got, plural)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct{ pattern, path, name, want string }{
		{"/v1/servers/{id}", "/v1/servers/a%2Fb", "id", "a/b"},
		{"/v1/servers/{id}", "/v2/servers/x", "id", ""},
		{"/v1/servers/{id}", "/v1/servers", "id", ""},
		{"/files/{path...}", "/files/a/b/c", "path", "a/b/c"},
		{"/a/{x}/b/{y}", "/a/1/b/2", "x", "1"},
		{"/a/{x}/b/{y}", "/a/1/b/%zz", "y", ""},
		{"/a/{x}", "", "x", ""},
	} {
		if got := nameOperation("GET", c.pattern).match(c.path, c.name); got != c.want {
			t.Errorf("%s matched with %s: %s = %q, want %q", c.pattern, c.path, c.name, got, c.want)
		}
	}
}

// TestMatchAgreesWithServeMux: what is read off the path ahead is what the router
// finds.
func TestMatchAgreesWithServeMux(t *testing.T) {
	for pattern, target := range map[string]string{
		"/v1/{p}/servers/{id}": "/v1/p%20q/servers/x%2fy", "/f/{path...}": "/f/a/b%20c", "/x/{id}/": "/x/1/more",
	} {
		mux, seen := http.NewServeMux(), false
		mux.HandleFunc(pattern, func(_ http.ResponseWriter, r *http.Request) {
			seen = true
			op := nameOperation(r.Method, r.Pattern)
			for _, v := range op.values {
				if got, want := op.match(r.URL.EscapedPath(), v.text), r.PathValue(v.text); got != want {
					t.Errorf("%s: %s = %q, want %q", target, v.text, got, want)
				}
			}
		})
		mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, http.NoBody))
		if !seen {
			t.Errorf("%s does not match %s", target, pattern)
		}
	}
}

func TestNamesAreBounded(t *testing.T) {
	var n names
	for i := range maxNames + 100 {
		n.of("GET", strings.Repeat("/x", i%64)+"/"+strings.Repeat("y", i/64))
	}
	if len(n.known) != maxNames {
		t.Errorf("%d names are remembered, want %d", len(n.known), maxNames)
	}
	if a, b := n.of("BREW1", "/a/b/c/new"), n.of("BREW2", "/a/b/c/new"); a.name != b.name {
		t.Errorf("unknown methods have names of their own: %s, %s", a.name, b.name)
	}
}

var traceName = regexp.MustCompile(`^[a-z][A-Za-z0-9]{0,99}$`)

func FuzzNameOperation(f *testing.F) {
	f.Add("GET", "GET /v1/{project_id}/servers/{id...}", "/v1/p/servers/a/b")
	f.Add("BREW", "{:}//{$}/{/:a/*", "")
	f.Add("POST", "/a/b/c/d/es", "%")
	f.Fuzz(func(t *testing.T, method, pattern, path string) {
		op := nameOperation(method, pattern)
		if !traceName.MatchString(op.name) {
			t.Errorf("name %q", op.name)
		}
		for _, v := range op.values {
			op.match(path, v.text)
		}
	})
}
