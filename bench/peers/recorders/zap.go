package recorders

import (
	"context"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

type zapRecorder struct {
	buffer *zapcore.BufferedWriteSyncer
	logger *zap.Logger
}

// Zap records with go.uber.org/zap.
func Zap(w io.Writer) contest.Recorder {
	b := &zapcore.BufferedWriteSyncer{WS: zapcore.AddSync(onlyWriter{w})}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), b, zap.InfoLevel)
	return &zapRecorder{buffer: b, logger: zap.New(core)}
}

// onlyWriter hides the Sync of a file: a flush is asked for, not an fsync.
type onlyWriter struct{ io.Writer }

// Info implements [contest.Contestant].
func (*zapRecorder) Info() contest.Info {
	return contest.Info{
		Name: "zap", Version: version("go.uber.org/zap"),
		Setup: "production JSON encoder without sampling, the trace as an inlined ObjectMarshaler, the user as a nested one; its own BufferedWriteSyncer at its default of 256 kB",
	}
}

// Record implements [contest.Recorder].
func (z *zapRecorder) Record(_ context.Context, t *cts.Trace) error {
	z.logger.Info(t.Name, zap.Inline((*zapTrace)(t)))
	return nil
}

// Flush implements [contest.Recorder].
func (z *zapRecorder) Flush(context.Context) error { return z.buffer.Sync() }

// Close implements [contest.Contestant].
func (z *zapRecorder) Close() error { return z.buffer.Stop() }

type zapTrace cts.Trace

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (t *zapTrace) MarshalLogObject(e zapcore.ObjectEncoder) error {
	add := func(key, value string) {
		if value != "" {
			e.AddString(key, value)
		}
	}
	add("trace_id", t.ID)
	e.AddInt64("event_time", t.Time)
	add("trace_type", string(t.Type))
	add("trace_rating", string(t.Rating))
	add("event_type", string(t.EventType))
	add("service_type", t.ServiceType)
	add("resource_type", t.ResourceType)
	add("resource_name", t.ResourceName)
	add("resource_id", t.ResourceID)
	add("source_ip", t.SourceIP)
	if t.User.ID != "" || t.User.Name != "" {
		if err := e.AddObject("user", (*zapUser)(&t.User)); err != nil {
			return err
		}
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
		e.AddBool("read_only", t.ReadOnly == cts.True)
	}
	return nil
}

type zapUser cts.User

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (u *zapUser) MarshalLogObject(e zapcore.ObjectEncoder) error {
	e.AddString("id", u.ID)
	e.AddString("name", u.Name)
	if u.AccessKeyID != "" {
		e.AddString("access_key_id", u.AccessKeyID)
	}
	return nil
}
