package cts

import (
	"maps"
	"slices"
)

// ExtVersion is the version of [Ext] that this release writes, as the member
// "v" of the object. An "ext" with another version, or with members that this
// version does not know, is not ours: it is kept in [Ext.Foreign].
const ExtVersion = 1

// Phase tells the two traces of one guarded operation apart.
type Phase string

// The phases. An ordinary trace has none.
const (
	PhaseAttempt Phase = "attempt" // written before the operation by Tracker.Begin
	PhaseOutcome Phase = "outcome" // written after it by Attempt.End, or by the next start for an attempt left open
)

// Outcome is the result of an operation in one word.
type Outcome string

// The outcomes.
const (
	OutcomeSuccess Outcome = "success" // it was done
	OutcomeFailure Outcome = "failure" // it was tried and failed
	OutcomeDenied  Outcome = "denied"  // it was refused: not authenticated or not allowed
	OutcomePending Outcome = "pending" // it has begun
	OutcomeUnknown Outcome = "unknown" // nobody saw how it ended
)

// Ext is what a trace needs and CTS has no field for: the one reserved member
// "ext" of a trace, omitted when zero. It is part of the trace's JSON and so of
// the trace files; readers of CTS ignore it.
type Ext struct {
	Writer        Writer            `json:"writer,omitzero"`         // who wrote the record; stamped by the Tracker
	Phase         Phase             `json:"phase,omitempty"`         // attempt or outcome
	AttemptID     string            `json:"attempt_id,omitempty"`    // trace id of the attempt that an outcome belongs to
	Outcome       Outcome           `json:"outcome,omitempty"`       // how it ended
	Impersonator  Principal         `json:"impersonator,omitzero"`   // who acted in the user's name
	Role          string            `json:"role,omitempty"`          // role in which the user acted
	SessionID     string            `json:"session_id,omitempty"`    // session of the user
	W3CTraceID    string            `json:"w3c_trace_id,omitempty"`  // W3C Trace Context trace-id, 32 hex digits
	W3CSpanID     string            `json:"w3c_span_id,omitempty"`   // W3C Trace Context parent-id, 16 hex digits
	ClientID      string            `json:"client_id,omitempty"`     // id that the client sent; never trusted as the trace's own
	PeerIP        string            `json:"peer_ip,omitempty"`       // address of the other end of the connection
	ForwardedFor  []string          `json:"forwarded_for,omitempty"` // addresses that the request claims to have come through
	Authorization []Authorization   `json:"authorization,omitempty"` // what was checked and granted
	Resources     []Resource        `json:"resources,omitempty"`     // further resources that the operation touched
	Changes       []Change          `json:"changes,omitempty"`       // fields that it changed
	Labels        map[string]string `json:"labels,omitempty"`        // the application's own; see Limits.Labels
	Source        Source            `json:"source,omitzero"`         // where an imported record was made
	PolicyHash    string            `json:"policy_hash,omitempty"`   // policy in force; stamped by the Tracker
	Cut           []Mark            `json:"cut,omitempty"`           // fields that were over their limit
	Redacted      []Mark            `json:"redacted,omitempty"`      // secrets that were taken out
	Gap           Gap               `json:"gap,omitzero"`            // traces that were lost
	Foreign       RawJSON           `json:"foreign,omitempty"`       // an "ext" that is not ours; never interpreted
}

// Writer is the process that wrote a record.
type Writer struct {
	ID   string `json:"id,omitempty"`   // the writer: one per store directory, or as configured
	Boot string `json:"boot,omitempty"` // one opening of the Tracker
}

// Principal is somebody who can act.
type Principal struct {
	ID   string `json:"id,omitempty"`   // id
	Name string `json:"name,omitempty"` // name
}

// Authorization is one decision about a permission.
type Authorization struct {
	Permission string `json:"permission,omitempty"` // the permission: servers.delete
	Resource   string `json:"resource,omitempty"`   // on what
	Granted    bool   `json:"granted"`              // the decision
}

// Resource is one of several resources of an operation.
type Resource struct {
	Type string `json:"type,omitempty"` // kind
	ID   string `json:"id,omitempty"`   // id
	Name string `json:"name,omitempty"` // name
}

// Change is one field that an operation changed. For a secret, Old and New are
// to be left empty or masked: that it changed is the record.
type Change struct {
	Field string `json:"field"`         // name of the field
	Old   string `json:"old,omitempty"` // value before
	New   string `json:"new,omitempty"` // value after
}

// Source is where an imported record came from. Together its fields identify
// the record for good: the id of the imported trace is derived from them.
type Source struct {
	Name string `json:"name,omitempty"` // the source: aws-cloudtrail/123456789012
	ID   string `json:"id,omitempty"`   // the record's id there
}

// Mark says that a value is not stored as it was given.
type Mark struct {
	Field  string `json:"field"`            // JSON name, nested ones with dots: request.server.adminPass
	Length int    `json:"length,omitempty"` // bytes that the value had; of a list or the labels, how many there were
	Hash   string `json:"hash,omitempty"`   // HMAC-SHA256 of the value in hex, when the Tracker has a HashKey
}

// Gap declares traces that were offered and are not stored.
type Gap struct {
	Count  int64  `json:"count"`            // how many; an upper bound of knowledge only if Exact is false
	Exact  bool   `json:"exact"`            // whether Count is exact; after a kill it is not known
	Bytes  int64  `json:"bytes,omitempty"`  // bytes lost, or at most lost when Exact is false
	From   int64  `json:"from,omitempty"`   // earliest moment of the loss, milliseconds since 1970 UTC
	To     int64  `json:"to,omitempty"`     // latest moment of the loss
	Reason string `json:"reason,omitempty"` // why, in words
}

// IsZero reports whether the gap declares nothing.
func (g Gap) IsZero() bool { return g == Gap{} }

// IsZero reports whether e is empty, in which case it is omitted from JSON.
func (e Ext) IsZero() bool { return e.empty() }

// empty is IsZero without a copy.
func (e *Ext) empty() bool {
	return len(e.Writer.ID)+len(e.Writer.Boot)+len(e.Phase)+len(e.AttemptID)+len(e.Outcome)+
		len(e.Impersonator.ID)+len(e.Impersonator.Name)+len(e.Role)+len(e.SessionID)+
		len(e.W3CTraceID)+len(e.W3CSpanID)+len(e.ClientID)+len(e.PeerIP)+len(e.ForwardedFor)+
		len(e.Authorization)+len(e.Resources)+len(e.Changes)+len(e.Labels)+
		len(e.Source.Name)+len(e.Source.ID)+len(e.PolicyHash)+len(e.Cut)+len(e.Redacted)+
		len(e.Foreign) == 0 && e.Gap.IsZero()
}

// clone returns a copy that shares no changeable memory.
func (e Ext) clone() Ext {
	e.ForwardedFor = slices.Clone(e.ForwardedFor)
	e.Authorization = slices.Clone(e.Authorization)
	e.Resources = slices.Clone(e.Resources)
	e.Changes = slices.Clone(e.Changes)
	e.Labels = maps.Clone(e.Labels)
	e.Cut = slices.Clone(e.Cut)
	e.Redacted = slices.Clone(e.Redacted)
	return e
}
