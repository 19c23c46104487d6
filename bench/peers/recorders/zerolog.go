package recorders

import (
	"context"
	"io"

	"github.com/rs/zerolog"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

type zerologRecorder struct {
	*buffered
	logger zerolog.Logger
}

// Zerolog records with github.com/rs/zerolog.
func Zerolog(w io.Writer) contest.Recorder {
	b := newBuffered(w)
	return &zerologRecorder{buffered: b, logger: zerolog.New(b)}
}

// Info implements [contest.Contestant].
func (*zerologRecorder) Info() contest.Info {
	return contest.Info{
		Name: "zerolog", Version: version("github.com/rs/zerolog"),
		Setup: "fields added to the event, the user as a Dict; a locked bufio.Writer of 256 KiB behind it: its own diode writer drops records when it is full, which an audit trail must not",
	}
}

// Record implements [contest.Recorder].
func (z *zerologRecorder) Record(_ context.Context, t *cts.Trace) error {
	e := z.logger.Info().Timestamp()
	add := func(key, value string) {
		if value != "" {
			e.Str(key, value)
		}
	}
	add("trace_id", t.ID)
	e.Int64("event_time", t.Time)
	add("trace_name", t.Name)
	add("trace_type", string(t.Type))
	add("trace_rating", string(t.Rating))
	add("event_type", string(t.EventType))
	add("service_type", t.ServiceType)
	add("resource_type", t.ResourceType)
	add("resource_name", t.ResourceName)
	add("resource_id", t.ResourceID)
	add("source_ip", t.SourceIP)
	if u := &t.User; u.ID != "" || u.Name != "" {
		d := e.CreateDict().Str("id", u.ID).Str("name", u.Name)
		if u.AccessKeyID != "" {
			d.Str("access_key_id", u.AccessKeyID)
		}
		e.Dict("user", d)
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
		e.Bool("read_only", t.ReadOnly == cts.True)
	}
	e.Send()
	return nil
}
