package cts

import "context"

// Actor is who acts in a context: what authentication found out.
type Actor struct {
	User         User      // who
	Impersonator Principal // who really acts, in the user's name
	Role         string    // in which role
	SessionID    string    // in which session
}

// Origin is where a request came from.
type Origin struct {
	SourceIP     string   // address of the caller, as far as it is trusted
	PeerIP       string   // address of the other end of the connection
	ForwardedFor []string // addresses that the request claims to have come through
	UserAgent    string   // the client program
}

// Correlation ties a trace to other records of the same request.
type Correlation struct {
	RequestID  string // id that the service gave to the request
	ClientID   string // id that the client sent
	W3CTraceID string // W3C Trace Context trace-id
	W3CSpanID  string // W3C Trace Context parent-id
}

type (
	actorKey       struct{}
	originKey      struct{}
	correlationKey struct{}
)

// WithActor returns a context in which a acts. The Tracker fills it into traces
// recorded with that context that name no user themselves.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, &a)
}

// WithOrigin returns a context of a request from o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, &o)
}

// WithCorrelation returns a context with the ids of a request.
func WithCorrelation(ctx context.Context, c Correlation) context.Context {
	return context.WithValue(ctx, correlationKey{}, &c)
}

// ActorFrom returns the actor of a context, and whether there is one.
func ActorFrom(ctx context.Context) (Actor, bool) { return value[Actor](ctx, actorKey{}) }

// OriginFrom returns the origin of a context, and whether there is one.
func OriginFrom(ctx context.Context) (Origin, bool) { return value[Origin](ctx, originKey{}) }

// CorrelationFrom returns the ids of a context, and whether there are any.
func CorrelationFrom(ctx context.Context) (Correlation, bool) {
	return value[Correlation](ctx, correlationKey{})
}

func value[T any](ctx context.Context, key any) (T, bool) {
	if v, ok := ctx.Value(key).(*T); ok {
		return *v, true
	}
	var none T
	return none, false
}

// fillFrom fills what t does not say from the context.
func (t *Trace) fillFrom(ctx context.Context) {
	if a, ok := ctx.Value(actorKey{}).(*Actor); ok {
		if t.User.IsZero() {
			t.User = a.User
		}
		if t.Ext.Impersonator == (Principal{}) {
			t.Ext.Impersonator = a.Impersonator
		}
		fill(&t.Ext.Role, a.Role)
		fill(&t.Ext.SessionID, a.SessionID)
	}
	if o, ok := ctx.Value(originKey{}).(*Origin); ok {
		fill(&t.SourceIP, o.SourceIP)
		fill(&t.Ext.PeerIP, o.PeerIP)
		fill(&t.UserAgent, o.UserAgent)
		if t.Ext.ForwardedFor == nil {
			t.Ext.ForwardedFor = o.ForwardedFor
		}
	}
	if c, ok := ctx.Value(correlationKey{}).(*Correlation); ok {
		fill(&t.RequestID, c.RequestID)
		fill(&t.Ext.ClientID, c.ClientID)
		fill(&t.Ext.W3CTraceID, c.W3CTraceID)
		fill(&t.Ext.W3CSpanID, c.W3CSpanID)
	}
}

// fill sets an empty field.
func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
