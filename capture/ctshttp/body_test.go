package ctshttp_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/ctshttp"
)

func TestRequestBody(t *testing.T) {
	const body = `{"name":"web","adminPass":"hunter2"}`
	for name, c := range map[string]struct {
		method, contentType, encoding string
		limit                         int
		want                          string
	}{
		"off":         {"POST", "application/json", "", 0, ""},
		"JSON":        {"POST", "application/json; charset=utf-8", "", 1000, `{"name":"web","adminPass":"********"}`},
		"JSON suffix": {"PATCH", "application/merge-patch+json", "", 1000, `{"name":"web","adminPass":"********"}`},
		"exactly":     {"POST", "application/json", "", len(body), `{"name":"web","adminPass":"********"}`},
		"cut":         {"POST", "application/json", "", 30, `{"name":"web","adminPass":"***`},
		"text":        {"POST", "text/plain", "", 1000, ""},
		"form":        {"POST", "application/x-www-form-urlencoded", "", 1000, ""},
		"no type":     {"POST", "", "", 1000, ""},
		"compressed":  {"POST", "application/json", "gzip", 1000, ""},
		"reading":     {"GET", "application/json", "", 1000, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, &ctshttp.Options{RequestBody: c.limit})
			var read string
			h := f.Outer(f.Inner(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(iotest.OneByteReader(r.Body))
				if err != nil {
					t.Error(err)
				}
				read = string(b)
			})))
			r := httptest.NewRequest(c.method, "/x", strings.NewReader(body))
			r.Header.Set("Content-Type", c.contentType)
			r.Header.Set("Content-Encoding", c.encoding)
			serve(h, r)
			list := f.all()
			tr := list[len(list)-1]
			check(t, "read", read, body, "request", tr.Request, c.want, "length", tr.ContentLength, int64(len(body)))
			cut := len(tr.Ext.Cut) == 1 && tr.Ext.Cut[0] == cts.Mark{Field: "request", Length: len(body)}
			check(t, "marked as cut", cut, name == "cut")
		})
	}
}

// Wherever the limit falls, no part of a secret is left: it is taken out before the cut.
func TestRequestBodyIsRedactedBeforeItIsCut(t *testing.T) {
	const body = `{"n":"4111111111111111","h":"Bearer abcdefghijklmnop0123","adminPass":"hunter2hunter2"}`
	for limit := 1; limit < len(body); limit++ {
		f := newFixture(t, &ctshttp.Options{RequestBody: limit})
		h := f.Inner(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
		}))
		r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		serve(h, r)
		list := f.all()
		got := list[len(list)-1].Request
		for _, part := range []string{"4111", "abcd", "hunt"} {
			if strings.Contains(got, part) {
				t.Fatalf("limit %d: %q", limit, got)
			}
		}
	}
}

func TestRequestBodyIsNotChanged(t *testing.T) {
	f := newFixture(t, &ctshttp.Options{RequestBody: 4})
	broken := errors.New("cable cut")
	closed := 0
	h := f.Outer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		check(t, "read", string(b), "12345678", "error", errors.Is(err, broken), true)
		_ = r.Body.Close()
		ctshttp.Annotate(r.Context(), func(tr *cts.Trace) { tr.Request = "my own" })
	}))
	r := request(http.MethodPost, "/x")
	r.Header.Set("Content-Type", "application/json")
	r.Body = body{io.MultiReader(strings.NewReader("12345678"), iotest.ErrReader(broken)), &closed}
	before := r.Body
	serve(h, r)
	_, outcome := f.pair()
	check(t, "request", outcome.Request, "my own", "closed", closed, 1, "the caller's body", r.Body == before, true)
}

type body struct {
	io.Reader
	closed *int
}

func (b body) Close() error { *b.closed++; return nil }
