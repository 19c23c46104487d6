package recorders

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

type slogRecorder struct {
	*buffered
	handler slog.Handler
}

// Slog records with the JSON handler of log/slog.
func Slog(w io.Writer) contest.Recorder {
	b := newBuffered(w)
	return &slogRecorder{buffered: b, handler: slog.NewJSONHandler(b, nil)}
}

// Info implements [contest.Contestant].
func (*slogRecorder) Info() contest.Info {
	return contest.Info{
		Name: "slog", Version: runtime.Version(),
		Setup: "JSONHandler given records of attributes without a look-up of the call site, the user as a group; a bufio.Writer of 256 KiB behind it, since slog has no buffer of its own",
	}
}

// Record implements [contest.Recorder].
func (s *slogRecorder) Record(ctx context.Context, t *cts.Trace) error {
	r := slog.NewRecord(time.Now(), slog.LevelInfo, t.Name, 0)
	var room [24]slog.Attr
	r.AddAttrs(appendAttrs(room[:0], t)...)
	return s.handler.Handle(ctx, r)
}

func appendAttrs(a []slog.Attr, t *cts.Trace) []slog.Attr {
	add := func(key, value string) {
		if value != "" {
			a = append(a, slog.String(key, value))
		}
	}
	add("trace_id", t.ID)
	a = append(a, slog.Int64("event_time", t.Time))
	add("trace_type", string(t.Type))
	add("trace_rating", string(t.Rating))
	add("event_type", string(t.EventType))
	add("service_type", t.ServiceType)
	add("resource_type", t.ResourceType)
	add("resource_name", t.ResourceName)
	add("resource_id", t.ResourceID)
	add("source_ip", t.SourceIP)
	if u := &t.User; u.ID != "" || u.Name != "" {
		a = append(a, slog.Attr{Key: "user", Value: userGroup(u)})
	}
	add("user_agent", t.UserAgent)
	add("code", t.Code)
	add("request", t.Request)
	add("response", t.Response)
	add("message", t.Message)
	add("request_id", t.RequestID)
	add("project_id", t.ProjectID)
	add("domain_id", t.DomainID)
	add("tracker_name", t.TrackerName)
	if t.ReadOnly != cts.Unset {
		a = append(a, slog.Bool("read_only", t.ReadOnly == cts.True))
	}
	return a
}

func userGroup(u *cts.User) slog.Value {
	if u.AccessKeyID == "" {
		return slog.GroupValue(slog.String("id", u.ID), slog.String("name", u.Name))
	}
	return slog.GroupValue(slog.String("id", u.ID), slog.String("name", u.Name), slog.String("access_key_id", u.AccessKeyID))
}
