package cts_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// service is a whole service: a tracker and a running Dumper on one world.
type service struct {
	*dumpWorld
	tracker *cts.Tracker
	dumper  *cts.Dumper
	ended   chan error // of Run
}

func startService(t *testing.T, delivery cts.Delivery) *service {
	t.Helper()
	w := newDumpWorld()
	tracker, err := cts.Open(t.Context(), w, &cts.TrackerOptions{Delivery: delivery, AppendTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s := &service{dumpWorld: w, tracker: tracker, dumper: w.dumper(t, nil), ended: make(chan error, 1)}
	go func() { s.ended <- s.dumper.Run(context.Background()) }()
	return s
}

func (s *service) options() *cts.ShutdownOptions {
	return &cts.ShutdownOptions{Trackers: []*cts.Tracker{s.tracker}, Dumpers: []*cts.Dumper{s.dumper}, Store: s}
}

// closed checks that nothing of the service goes on.
func (s *service) closed(t *testing.T) {
	t.Helper()
	if err := <-s.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := s.tracker.Record(t.Context(), op("x")); !errors.Is(err, cts.ErrClosed) {
		t.Errorf("Record after Shutdown: %v", err)
	}
	if err := s.dumper.Flush(t.Context()); !errors.Is(err, cts.ErrClosed) {
		t.Errorf("Flush after Shutdown: %v", err)
	}
	if _, err := s.Append(t.Context(), []cts.Entry{{Trace: op("x")}}); !errors.Is(err, cts.ErrClosed) {
		t.Errorf("Append after Shutdown: %v", err)
	}
}

// Everything ends in order: the requests under way are recorded, what is queued is
// stored, and all of it is in the bucket.
func TestShutdown(t *testing.T) {
	s := startService(t, cts.Queued)
	inside, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(inside)
		<-release
		if _, err := s.tracker.Record(context.Background(), op("last")); err != nil {
			t.Errorf("Record in the last request: %v", err)
		}
	}))
	defer server.Close()
	var client sync.WaitGroup
	client.Go(func() {
		if resp, err := server.Client().Get(server.URL); err != nil { //nolint:noctx // it is answered or the test hangs
			t.Error(err)
		} else {
			_ = resp.Body.Close()
		}
	})
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	opts := s.options()
	opts.Intake = []func(context.Context) error{server.Config.Shutdown, func(context.Context) error {
		close(release)
		return nil
	}, nil}
	opts.Trackers, opts.Dumpers = append(opts.Trackers, nil), append(opts.Dumpers, nil)
	left, err := cts.Shutdown(ctx, opts)
	if err != nil || !left.None() {
		t.Errorf("Shutdown: %+v, %v", left, err)
	}
	client.Wait()
	s.closed(t)
	names := map[string]bool{}
	for _, key := range s.keys(t) {
		for _, tr := range s.decode(t, key) {
			names[tr.Name] = true
		}
	}
	if !names["last"] || len(names) < 3 {
		t.Errorf("in the bucket: %v, want the last request, start and stop", names)
	}
}

// What there was no time for is counted, and the store is closed all the same.
func TestShutdownCountsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startService(t, cts.Durable)
		for range 5 {
			if _, err := s.tracker.Record(t.Context(), op("x")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.tracker.Begin(t.Context(), op("open")); err != nil {
			t.Fatal(err)
		}
		s.refuse("", obs.ErrNoBucket)
		hung := func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		opts := s.options()
		opts.Intake = []func(context.Context) error{hung}
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		left, err := cts.Shutdown(ctx, opts)
		if took := time.Since(begun); took < 10*time.Second || took > 12*time.Second {
			t.Errorf("Shutdown took %v; the intake that hangs has half of the 20 s", took)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, obs.ErrNoBucket) || !strings.Contains(err.Error(), "shutting down the intake") {
			t.Errorf("Shutdown: %v", err)
		}
		// Start, five traces, the attempt, stop.
		if want := (cts.Leftover{OpenAttempts: 1, Undelivered: 8}); left != want || left.None() {
			t.Errorf("left %+v, want %+v", left, want)
		}
		s.closed(t)
	})
}

// A bucket that hangs does not keep Shutdown behind its deadline, nor does a store that
// can't be read.
func TestShutdownKeepsItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startService(t, cts.Durable)
		if _, err := s.tracker.Record(t.Context(), op("x")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s.mu.Lock()
		s.fault = func(_ int, call string) dumpFault {
			if strings.HasPrefix(call, "put ") {
				return dumpFault{err: context.DeadlineExceeded, until: ctx.Done()}
			}
			if call == "after" && ctx.Err() != nil {
				return dumpFault{err: errBroken}
			}
			return dumpFault{}
		}
		s.mu.Unlock()
		begun := time.Now()
		left, err := cts.Shutdown(ctx, s.options())
		if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took > 11*time.Second || !left.AtLeast {
			t.Errorf("Shutdown: %+v, %v after %v", left, err, took)
		}
		s.closed(t)
	})
}

func TestShutdownOfNothing(t *testing.T) {
	for _, opts := range []*cts.ShutdownOptions{nil, {}, {Seal: true}} {
		if left, err := cts.Shutdown(t.Context(), opts); err != nil || !left.None() {
			t.Errorf("Shutdown of nothing: %+v, %v", left, err)
		}
	}
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	d := w.dumper(t, nil)
	if left, err := cts.Shutdown(t.Context(), &cts.ShutdownOptions{Seal: true, Dumpers: []*cts.Dumper{d}}); err != nil || !left.None() {
		t.Errorf("Shutdown of a Dumper that seals nothing: %+v, %v", left, err)
	}
	w.check(t)
}

// With Seal everything that was delivered is sealed before the store is closed, and
// what could not be is counted.
func TestShutdownSeals(t *testing.T) {
	for _, denied := range []bool{false, true} {
		w := newDumpWorld()
		w.add(t, sevenTraces...)
		signer, err := digest.GenerateKey(digest.Ed25519, 0)
		if err != nil {
			t.Fatal(err)
		}
		d := w.dumper(t, &cts.DumperOptions{Validation: &cts.ValidationOptions{Signer: signer}})
		if denied {
			w.refuse("/Digest/", obs.ErrDenied)
		}
		left, err := cts.Shutdown(t.Context(), &cts.ShutdownOptions{Seal: true, Dumpers: []*cts.Dumper{d}, Store: w})
		want := cts.Leftover{}
		if denied {
			want.Unsealed = 7
		}
		if left != want || errors.Is(err, obs.ErrDenied) != denied || err != nil && !denied {
			t.Errorf("Shutdown: %+v, %v; want left %+v", left, err, want)
		}
		sealed := strings.Contains(strings.Join(w.keys(t), " "), "/Digest/")
		if sealed == denied {
			t.Errorf("objects %q", w.keys(t))
		}
	}
}
