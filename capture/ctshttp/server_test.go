package ctshttp_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
)

// protocols runs a test against servers of HTTP/1.1 and HTTP/2, whose handler is
// behind both places. f sees all of a request's record once finish has returned.
func protocols(t *testing.T, handler func(t *testing.T) http.HandlerFunc, test func(t *testing.T, f *fixture, url string, client *http.Client, finish func())) {
	for _, h2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP1", true: "HTTP2"}[h2], func(t *testing.T) {
			f := newFixture(t, nil)
			var handlers sync.WaitGroup // Close does not wait for those of HTTP/2
			h := f.Outer(f.Inner(handler(t)))
			server := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handlers.Add(1)
				defer handlers.Done()
				h.ServeHTTP(w, r)
			}), h2)
			test(t, f, server.URL, server.Client(), func() { server.Close(); handlers.Wait() })
		})
	}
}

func newServer(t *testing.T, h http.Handler, h2 bool) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = h2
	if h2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// TestStreaming: what a handler flushes reaches the client while the handler runs.
func TestStreaming(t *testing.T) {
	for name, flush := range map[string]func(http.ResponseWriter) error{
		"flusher":    func(w http.ResponseWriter) error { flush(w); return nil },
		"controller": func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
	} {
		next := make(chan struct{})
		handler := func(t *testing.T) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				for i := range 3 {
					write(w, fmt.Sprintf("data: %d\n\n", i))
					if err := flush(w); err != nil {
						t.Error(err)
					}
					<-next
				}
			}
		}
		t.Run(name, func(t *testing.T) {
			protocols(t, handler, func(t *testing.T, f *fixture, url string, client *http.Client, finish func()) {
				resp, err := client.Get(url)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				events := bufio.NewReader(resp.Body)
				for i := range 3 {
					line, err := events.ReadString('\n')
					if err != nil || line != fmt.Sprintf("data: %d\n", i) {
						t.Fatalf("event %d: %q, %v", i, line, err)
					}
					_, _ = events.ReadString('\n')
					check(t, "recorded while it runs", len(f.all()), 0)
					next <- struct{}{}
				}
				if _, err := events.ReadByte(); err != io.EOF {
					t.Errorf("end: %v", err)
				}
				finish()
				check(t, "code", f.one().Code, "200")
			})
		})
	}
}

func TestHijack(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		f := newFixture(t, nil)
		go1, recorded := make(chan struct{}), make(chan int)
		server := newServer(t, f.Outer(f.Inner(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			recorded <- len(f.all())
			write(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_ = rw.Flush()
			line, _ := rw.ReadString('\n')
			write(rw, "echo "+line)
			_ = rw.Flush()
			<-go1
		}))), false)
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		write(conn, fmt.Sprintf("%s /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\nContent-Length: 0\r\n\r\n", method))
		want := map[string]int{http.MethodGet: 1, http.MethodPost: 2}[method]
		check(t, "traces at the hijack", <-recorded, want)
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		write(conn, "hello\n")
		line, _ := in.ReadString('\n')
		close(go1)
		_ = conn.Close()
		server.Close()
		list := f.all()
		tr := list[len(list)-1]
		check(t, "status", resp.StatusCode, http.StatusSwitchingProtocols, "echo", line, "echo hello\n", "traces", len(list), want,
			"code", tr.Code, "101", "message", tr.Message, "hijacked", "outcome", tr.Ext.Outcome, cts.OutcomeSuccess, "rating", tr.Rating, cts.RatingNormal)
	}
}

// TestHijackSeenFromOutside: the outer place alone knows the route by then.
func TestHijackSeenFromOutside(t *testing.T) {
	for _, pattern := range []string{"GET /sessions/{id}", ""} {
		f := newFixture(t, nil)
		hijack := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
			panic(http.ErrAbortHandler) // is not seen any more
		})
		h, want := http.Handler(hijack), "getUnrouted"
		if pattern != "" {
			mux := http.NewServeMux()
			mux.Handle(pattern, hijack)
			h, want = mux, "showSession"
		}
		server := newServer(t, f.Outer(h), false)
		if resp, err := server.Client().Get(server.URL + "/sessions/7"); err == nil {
			_ = resp.Body.Close()
			t.Error("the client got an answer")
		}
		server.Close()
		for _, tr := range f.all() { // the client may have tried twice
			check(t, "name", tr.Name, want, "code", tr.Code, "101", "outcome", tr.Ext.Outcome, cts.OutcomeSuccess)
		}
		check(t, "recorded", len(f.all()) > 0, true, "unrecorded", f.Status().Unrecorded, int64(0))
	}
}

func TestHijackThatFails(t *testing.T) {
	f := newFixture(t, nil)
	server := newServer(t, f.Outer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("hijacking HTTP/2: %v", err)
		}
		w.WriteHeader(http.StatusTeapot)
	})), true)
	get(t, server.Client(), server.URL)
	server.Close()
	check(t, "code", f.one().Code, "418")
}

func TestReadFrom(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	content := strings.Repeat("content ", 10_000)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	protocols(t, func(t *testing.T) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if _, ok := w.(io.ReaderFrom); ok != (r.ProtoMajor == 1) {
				t.Errorf("HTTP/%d: the writer is an io.ReaderFrom: %t", r.ProtoMajor, ok)
			}
			http.ServeFile(w, r, name)
		}
	}, func(t *testing.T, f *fixture, url string, client *http.Client, finish func()) {
		resp, body := get(t, client, url)
		finish()
		check(t, "status", resp.StatusCode, 200, "length", resp.ContentLength, int64(len(content)), "content", body == content, true, "code", f.one().Code, "200")
	})
	protocols(t, func(*testing.T) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, struct{ io.Reader }{bytes.NewReader([]byte("copied"))})
		}
	}, func(t *testing.T, f *fixture, url string, client *http.Client, finish func()) {
		_, body := get(t, client, url)
		finish()
		check(t, "content", body, "copied", "code", f.one().Code, "200")
	})
}

func TestInformationalResponses(t *testing.T) {
	protocols(t, func(*testing.T) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNotFound)
		}
	}, func(t *testing.T, f *fixture, url string, client *http.Client, finish func()) {
		var hints []int
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { hints = append(hints, code); return nil },
		})
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		finish()
		check(t, "hints", fmt.Sprint(hints), "[103]", "status", resp.StatusCode, 404, "code", f.one().Code, "404")
	})
}

func TestTrailers(t *testing.T) {
	protocols(t, func(*testing.T) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			write(w, "body")
			w.Header().Set("X-Sum", "42")
			w.Header().Set(http.TrailerPrefix+"X-Late", "43")
		}
	}, func(t *testing.T, f *fixture, url string, client *http.Client, finish func()) {
		resp, body := get(t, client, url)
		finish()
		check(t, "body", body, "body", "trailer", resp.Trailer.Get("X-Sum"), "42", "late trailer", resp.Trailer.Get("X-Late"), "43", "code", f.one().Code, "200")
	})
}

// TestExpectContinue: a body is asked for only when the handler reads it, recorded or
// not.
func TestExpectContinue(t *testing.T) {
	for _, limit := range []int{0, 1000} {
		for _, reads := range []bool{true, false} {
			f := newFixture(t, nil)
			if limit > 0 {
				f = newFixture(t, withBody(limit))
			}
			server := newServer(t, f.Outer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if reads {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				w.WriteHeader(http.StatusCreated)
			})), false)
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			write(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if reads {
				check(t, "first status", resp.StatusCode, http.StatusContinue)
				write(conn, "{}")
				if resp, err = http.ReadResponse(in, nil); err != nil {
					t.Fatal(err)
				}
			}
			check(t, "status", resp.StatusCode, http.StatusCreated)
			_ = conn.Close()
			server.Close()
			_, outcome := f.pair()
			check(t, "code", outcome.Code, "201", "length", outcome.ContentLength, int64(2), "request", outcome.Request, map[bool]string{true: "{}"}[reads && limit > 0])
		}
	}
}

func TestResponseController(t *testing.T) {
	protocols(t, func(t *testing.T) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			c := http.NewResponseController(w)
			at := time.Now().Add(time.Hour)
			for name, err := range map[string]error{
				"read deadline": c.SetReadDeadline(at), "write deadline": c.SetWriteDeadline(at), "full duplex": c.EnableFullDuplex(),
			} {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}, func(t *testing.T, f *fixture, url string, client *http.Client, finish func()) {
		get(t, client, url)
		finish()
		check(t, "code", f.one().Code, "200")
	})
}

// TestWriterHasTheAbilitiesOfTheServer compares the interfaces of the writer with and
// without the middleware.
func TestWriterHasTheAbilitiesOfTheServer(t *testing.T) {
	abilities := func(w http.ResponseWriter) string {
		_, flusher := w.(http.Flusher)
		_, flushError := w.(interface{ FlushError() error })
		_, hijacker := w.(http.Hijacker)
		_, readerFrom := w.(io.ReaderFrom)
		_, stringWriter := w.(io.StringWriter)
		_, pusher := w.(http.Pusher)
		_, deadlines := w.(interface{ SetWriteDeadline(time.Time) error })
		return fmt.Sprint(flusher, flushError, hijacker, readerFrom, stringWriter, pusher, deadlines)
	}
	for _, h2 := range []bool{false, true} {
		f := newFixture(t, nil)
		show := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { write(w, abilities(w)) })
		bare, wrapped := newServer(t, show, h2), newServer(t, f.Outer(f.Inner(show)), h2)
		_, want := get(t, bare.Client(), bare.URL)
		_, got := get(t, wrapped.Client(), wrapped.URL)
		check(t, "abilities", got, want)
	}
}

func TestPanicOnServer(t *testing.T) {
	protocols(t, func(*testing.T) http.HandlerFunc {
		return func(http.ResponseWriter, *http.Request) { panic("hunter2") }
	}, func(t *testing.T, f *fixture, url string, client *http.Client, finish func()) {
		if resp, err := client.Post(url, "text/plain", strings.NewReader("x")); err == nil {
			_ = resp.Body.Close()
			t.Errorf("the client got %s, want that the server hangs up", resp.Status)
		}
		finish()
		_, outcome := f.pair()
		check(t, "code", outcome.Code, "500", "rating", outcome.Rating, cts.RatingIncident)
	})
}

// TestClientGoneOnServer: the client hangs up before it got anything.
func TestClientGoneOnServer(t *testing.T) {
	entered := make(chan struct{})
	protocols(t, func(*testing.T) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			entered <- struct{}{}
			<-r.Context().Done()
		}
	}, func(t *testing.T, f *fixture, url string, client *http.Client, finish func()) {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodDelete, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-entered
			cancel()
		}()
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
			t.Error("the client got an answer")
		}
		finish()
		_, outcome := f.pair()
		check(t, "code", outcome.Code, "", "outcome", outcome.Ext.Outcome, cts.OutcomeUnknown)
	})
}
