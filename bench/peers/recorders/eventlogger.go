package recorders

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/eventlogger"
	"github.com/hashicorp/eventlogger/sinks/writer"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

const traceEvent eventlogger.EventType = "trace"

type eventRecorder struct {
	*buffered
	broker *eventlogger.Broker
}

// EventLogger records with github.com/hashicorp/eventlogger, which Vault and Boundary
// audit with.
func EventLogger(w io.Writer) (contest.Recorder, error) {
	b := newBuffered(w)
	broker, err := eventlogger.NewBroker()
	if err != nil {
		return nil, fmt.Errorf("eventlogger: %w", err)
	}
	err = errors.Join(
		broker.RegisterNode("json", &eventlogger.JSONFormatter{}),
		broker.RegisterNode("sink", &writer.Sink{Writer: b}),
		broker.RegisterPipeline(eventlogger.Pipeline{
			EventType: traceEvent, PipelineID: "traces", NodeIDs: []eventlogger.NodeID{"json", "sink"},
		}),
		broker.SetSuccessThreshold(traceEvent, 1),
	)
	if err != nil {
		return nil, fmt.Errorf("eventlogger: %w", err)
	}
	return &eventRecorder{buffered: b, broker: broker}, nil
}

// Info implements [contest.Contestant].
func (*eventRecorder) Info() contest.Info {
	return contest.Info{
		Name: "eventlogger", Version: version("github.com/hashicorp/eventlogger"),
		Setup: "a pipeline of JSONFormatter and a writer sink on a bufio.Writer of 256 KiB, one success needed; its file sink has no buffer and would add a write(2) to each record",
	}
}

// Record implements [contest.Recorder].
func (e *eventRecorder) Record(ctx context.Context, t *cts.Trace) error {
	status, err := e.broker.Send(ctx, traceEvent, newPayload(t))
	return errors.Join(append(status.Warnings, err)...)
}

// payload is what the formatter of eventlogger encodes, with encoding/json.
type payload struct {
	ID           string       `json:"trace_id,omitempty"`
	Time         int64        `json:"event_time"`
	Name         string       `json:"trace_name,omitempty"`
	Type         string       `json:"trace_type,omitempty"`
	Rating       string       `json:"trace_rating,omitempty"`
	EventType    string       `json:"event_type,omitempty"`
	ServiceType  string       `json:"service_type,omitempty"`
	ResourceType string       `json:"resource_type,omitempty"`
	ResourceName string       `json:"resource_name,omitempty"`
	ResourceID   string       `json:"resource_id,omitempty"`
	SourceIP     string       `json:"source_ip,omitempty"`
	User         *payloadUser `json:"user,omitempty"`
	UserAgent    string       `json:"user_agent,omitempty"`
	Code         string       `json:"code,omitempty"`
	Request      string       `json:"request,omitempty"`
	Response     string       `json:"response,omitempty"`
	Message      string       `json:"message,omitempty"`
	RequestID    string       `json:"request_id,omitempty"`
	ProjectID    string       `json:"project_id,omitempty"`
	DomainID     string       `json:"domain_id,omitempty"`
	TrackerName  string       `json:"tracker_name,omitempty"`
	ReadOnly     *bool        `json:"read_only,omitempty"`

	user     payloadUser
	readOnly bool
}

type payloadUser struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	AccessKeyID string `json:"access_key_id,omitempty"`
}

func newPayload(t *cts.Trace) *payload {
	p := &payload{
		ID: t.ID, Time: t.Time, Name: t.Name, Type: string(t.Type), Rating: string(t.Rating), EventType: string(t.EventType),
		ServiceType: t.ServiceType, ResourceType: t.ResourceType, ResourceName: t.ResourceName, ResourceID: t.ResourceID,
		SourceIP: t.SourceIP, UserAgent: t.UserAgent, Code: t.Code, Request: t.Request, Response: t.Response,
		Message: t.Message, RequestID: t.RequestID, ProjectID: t.ProjectID, DomainID: t.DomainID, TrackerName: t.TrackerName,
	}
	if t.User.ID != "" || t.User.Name != "" {
		p.user = payloadUser{ID: t.User.ID, Name: t.User.Name, AccessKeyID: t.User.AccessKeyID}
		p.User = &p.user
	}
	if t.ReadOnly != cts.Unset {
		p.readOnly = t.ReadOnly == cts.True
		p.ReadOnly = &p.readOnly
	}
	return p
}
