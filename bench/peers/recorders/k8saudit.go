package recorders

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	authnv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	bufferedplugin "k8s.io/apiserver/plugin/pkg/audit/buffered"
	logplugin "k8s.io/apiserver/plugin/pkg/audit/log"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

// queueEvents is the size of the queue: the apiserver's default for its log backend.
const queueEvents = 10_000

type k8sRecorder struct {
	out     *buffered
	backend audit.Backend
	stop    chan struct{}
	once    sync.Once
	events  sync.Pool

	queued  atomic.Int64 // events taken and not yet written
	failed  atomic.Int64
	waiting atomic.Int64 // goroutines that wait for the queue
	mu      sync.Mutex
	moved   *sync.Cond // signalled on mu when queued went down and somebody is waiting
}

// K8sAudit records with the audit packages of the Kubernetes API server: its buffered
// backend in front of its log backend.
func K8sAudit(w io.Writer) (contest.Recorder, error) {
	k := &k8sRecorder{out: newBuffered(w), stop: make(chan struct{})}
	k.moved = sync.NewCond(&k.mu)
	k.events.New = func() any { return new(k8sEvent) }
	k.backend = bufferedplugin.NewBackend(
		k8sLog{logplugin.NewBackend(k.out, logplugin.FormatJson, auditv1.SchemeGroupVersion), k},
		bufferedplugin.BatchConfig{BufferSize: queueEvents, MaxBatchSize: 1},
	)
	if err := k.backend.Run(k.stop); err != nil {
		return nil, fmt.Errorf("k8saudit: %w", err)
	}
	return k, nil
}

// Info implements [contest.Contestant].
func (*k8sRecorder) Info() contest.Info {
	return contest.Info{
		Name: "k8saudit", Version: "k8s.io/apiserver " + version("k8s.io/apiserver"),
		Setup: "buffered backend with the apiserver's defaults for files (queue of 10,000 events, no batches, no throttle, not asynchronous) over the log backend writing JSON into a bufio.Writer of 256 KiB; " +
			"the project as namespace, what an Event has no field for as annotations, request and response too, since their text may be cut and an Event's objects have to be whole; a full queue makes the caller wait instead of dropping the event",
	}
}

// k8sLog is the log backend, with its events counted.
type k8sLog struct {
	audit.Backend
	recorder *k8sRecorder
}

// ProcessEvents implements audit.Sink.
func (l k8sLog) ProcessEvents(events ...*auditinternal.Event) bool {
	ok := l.Backend.ProcessEvents(events...)
	k := l.recorder
	if !ok {
		k.failed.Add(int64(len(events)))
	}
	k.queued.Add(-int64(len(events)))
	if k.waiting.Load() > 0 {
		k.mu.Lock()
		k.moved.Broadcast()
		k.mu.Unlock()
	}
	return ok
}

// Record implements [contest.Recorder]. It waits while the queue is full.
func (k *k8sRecorder) Record(_ context.Context, t *cts.Trace) error {
	for k.queued.Add(1) > queueEvents {
		k.queued.Add(-1)
		k.await(queueEvents * 3 / 4)
	}
	e, _ := k.events.Get().(*k8sEvent)
	e.set(t)
	k.backend.ProcessEvents(&e.Event) // it takes a copy
	k.events.Put(e)
	return nil
}

// await returns when at most n events are queued.
func (k *k8sRecorder) await(n int64) {
	k.waiting.Add(1)
	defer k.waiting.Add(-1)
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.queued.Load() > n {
		k.moved.Wait()
	}
}

// Flush implements [contest.Recorder].
func (k *k8sRecorder) Flush(ctx context.Context) error {
	k.await(0)
	if n := k.failed.Load(); n > 0 {
		return fmt.Errorf("k8saudit: %d events could not be written", n)
	}
	return k.out.Flush(ctx)
}

// Close implements [contest.Contestant].
func (k *k8sRecorder) Close() error {
	var err error
	k.once.Do(func() {
		err = k.Flush(context.Background())
		close(k.stop)
		k.backend.Shutdown()
		err = errors.Join(err, k.out.Close())
	})
	return err
}

// k8sEvent is an event with room for what it points to.
type k8sEvent struct {
	auditinternal.Event
	ip     [1]string
	object auditinternal.ObjectReference
	status metav1.Status
}

// set makes e the event of t.
func (e *k8sEvent) set(t *cts.Trace) {
	notes := e.Annotations
	if notes == nil {
		notes = make(map[string]string, 12)
	}
	clear(notes)
	e.Event = auditinternal.Event{
		Level: auditinternal.LevelRequestResponse, Stage: auditinternal.StageResponseComplete,
		AuditID: types.UID(t.ID), Verb: t.Name, UserAgent: t.UserAgent,
		RequestReceivedTimestamp: metav1.NewMicroTime(time.UnixMilli(t.Time)),
		StageTimestamp:           metav1.NewMicroTime(time.Now()),
		User:                     authnv1.UserInfo{Username: t.User.Name, UID: t.User.ID},
		Annotations:              notes,
	}
	if t.SourceIP != "" {
		e.ip[0] = t.SourceIP
		e.SourceIPs = e.ip[:]
	}
	e.object = auditinternal.ObjectReference{
		Resource: t.ResourceType, Name: t.ResourceName, UID: types.UID(t.ResourceID), APIGroup: t.ServiceType,
		Namespace: t.ProjectID,
	}
	e.ObjectRef = &e.object
	e.status = metav1.Status{Message: t.Message, Reason: metav1.StatusReason(t.Rating)}
	if code, err := strconv.ParseInt(t.Code, 10, 32); err == nil {
		e.status.Code = int32(code)
	} else {
		note(notes, "code", t.Code)
	}
	e.ResponseStatus = &e.status
	note(notes, "request", t.Request)
	note(notes, "response", t.Response)
	note(notes, "trace_type", string(t.Type))
	note(notes, "event_type", string(t.EventType))
	note(notes, "access_key_id", t.User.AccessKeyID)
	note(notes, "request_id", t.RequestID)
	note(notes, "domain_id", t.DomainID)
	note(notes, "tracker_name", t.TrackerName)
	note(notes, "read_only", t.ReadOnly.String())
}

func note(notes map[string]string, key, value string) {
	if value != "" {
		notes[key] = value
	}
}
