package cts

import (
	"slices"
)

// AppendJSON appends the canonical JSON of t to dst and returns the extended
// slice. It writes what json.Marshal would write for the struct: members in the
// order of the fields, HTML characters escaped, invalid UTF-8 as \ufffd; the
// unknown members come last, as they were. It allocates nothing but room in dst,
// and nothing at all when dst has some 100 bytes more than the trace needs. What the
// capacity of dst holds behind the result may be overwritten.
//
// Canonical JSON is what stores keep, what trace files hold and what proofs are
// computed over: parsing it and appending again gives the same bytes, as long as the
// texts of t are valid UTF-8, which the Tracker makes them. It always begins with
// trace_id, time and record_time, see [PeekJSON].
func (t *Trace) AppendJSON(dst []byte) []byte {
	return t.appendJSON(dst, true)
}

// MarshalJSON implements json.Marshaler with [Trace.AppendJSON].
func (t Trace) MarshalJSON() ([]byte, error) {
	return t.AppendJSON(make([]byte, 0, 1024+len(t.Request)+len(t.Response))), nil
}

// appendJSON appends t, with the hashes of its marks or without: they depend on the
// Tracker's key and are no part of the content.
func (t *Trace) appendJSON(dst []byte, hashes bool) []byte {
	o := begin(dst)
	o.str(`,"trace_id":`, t.ID)
	o.num(`,"time":`, t.Time)
	o.num(`,"record_time":`, t.RecordTime)
	o.str(`,"trace_name":`, t.Name)
	o.str(`,"trace_type":`, string(t.Type))
	o.str(`,"trace_rating":`, string(t.Rating))
	o.opt(`,"event_type":`, string(t.EventType))
	o.str(`,"service_type":`, t.ServiceType)
	o.str(`,"resource_type":`, t.ResourceType)
	o.opt(`,"resource_name":`, t.ResourceName)
	o.opt(`,"resource_id":`, t.ResourceID)
	o.opt(`,"resource_url":`, t.ResourceURL)
	o.opt(`,"resource_account_id":`, t.ResourceAccountID)
	o.str(`,"source_ip":`, t.SourceIP)
	o.b = t.User.appendJSON(append(o.b, `,"user":`...))
	o.opt(`,"user_agent":`, t.UserAgent)
	o.opt(`,"code":`, t.Code)
	o.opt(`,"request":`, t.Request)
	o.opt(`,"response":`, t.Response)
	o.opt(`,"message":`, t.Message)
	o.opt(`,"api_version":`, t.APIVersion)
	o.opt(`,"request_id":`, t.RequestID)
	o.opt(`,"operation_id":`, t.OperationID)
	o.opt(`,"location_info":`, t.LocationInfo)
	o.opt(`,"endpoint":`, t.Endpoint)
	o.optBool(`,"read_only":`, t.ReadOnly)
	o.opt(`,"project_id":`, t.ProjectID)
	o.opt(`,"domain_id":`, t.DomainID)
	o.opt(`,"enterprise_project_id":`, t.EnterpriseProjectID)
	o.opt(`,"tracker_name":`, t.TrackerName)
	o.optNum(`,"content_length":`, t.ContentLength)
	o.optNum(`,"total_time":`, t.TotalTime)
	o.optBool(`,"is_consistent":`, t.IsConsistent)
	if !t.Ext.empty() {
		o.b = t.Ext.appendJSON(append(o.b, `,"ext":`...), hashes)
	}
	o.members(t.Unknown)
	return o.end()
}

// AppendContent appends the JSON of t less what a Tracker stamps on it: its
// record_time is 0, and the writer, the policy hash and the hashes of marks are
// left out. Two traces with one id are the same trace exactly if their contents
// are equal; that is what makes a retried append harmless. Like [Trace.AppendJSON]
// it allocates nothing but room in dst.
func (t *Trace) AppendContent(dst []byte) []byte {
	c := *t
	c.RecordTime = 0
	c.Ext.Writer, c.Ext.PolicyHash = Writer{}, ""
	return c.appendJSON(dst, false)
}

func (u *User) appendJSON(dst []byte) []byte {
	o := begin(dst)
	o.opt(`,"id":`, u.ID)
	o.opt(`,"name":`, u.Name)
	o.opt(`,"user_name":`, u.UserName)
	if !u.Domain.IsZero() {
		d := o.open(`,"domain":`)
		d.opt(`,"id":`, u.Domain.ID)
		d.opt(`,"name":`, u.Domain.Name)
		d.members(u.Domain.Unknown)
		o.close(d)
	}
	o.opt(`,"account_id":`, u.AccountID)
	o.opt(`,"access_key_id":`, u.AccessKeyID)
	o.opt(`,"principal_urn":`, u.PrincipalURN)
	o.opt(`,"principal_id":`, u.PrincipalID)
	o.opt(`,"principal_is_root_user":`, u.PrincipalIsRootUser)
	o.opt(`,"type":`, u.Type)
	o.strs(`,"invoked_by":`, u.InvokedBy)
	if a := u.SessionContext.Attributes; a != (SessionAttributes{}) {
		sc := o.open(`,"session_context":`)
		at := sc.open(`,"attributes":`)
		at.opt(`,"created_at":`, a.CreatedAt)
		at.opt(`,"mfa_authenticated":`, a.MFAAuthenticated)
		sc.close(at)
		o.close(sc)
	}
	o.opt(`,"OriginUser":`, u.OriginUser)
	o.members(u.Unknown)
	return o.end()
}

func (e *Ext) appendJSON(dst []byte, hashes bool) []byte {
	o := begin(dst)
	o.num(`,"v":`, ExtVersion)
	if e.Writer != (Writer{}) {
		w := o.open(`,"writer":`)
		w.opt(`,"id":`, e.Writer.ID)
		w.opt(`,"boot":`, e.Writer.Boot)
		o.close(w)
	}
	o.opt(`,"phase":`, string(e.Phase))
	o.opt(`,"attempt_id":`, e.AttemptID)
	o.opt(`,"outcome":`, string(e.Outcome))
	if e.Impersonator != (Principal{}) {
		p := o.open(`,"impersonator":`)
		p.opt(`,"id":`, e.Impersonator.ID)
		p.opt(`,"name":`, e.Impersonator.Name)
		o.close(p)
	}
	o.opt(`,"role":`, e.Role)
	o.opt(`,"session_id":`, e.SessionID)
	o.opt(`,"w3c_trace_id":`, e.W3CTraceID)
	o.opt(`,"w3c_span_id":`, e.W3CSpanID)
	o.opt(`,"client_id":`, e.ClientID)
	o.opt(`,"peer_ip":`, e.PeerIP)
	o.strs(`,"forwarded_for":`, e.ForwardedFor)
	e.appendLists(&o)
	e.appendLabels(&o)
	if e.Source != (Source{}) {
		s := o.open(`,"source":`)
		s.opt(`,"name":`, e.Source.Name)
		s.opt(`,"id":`, e.Source.ID)
		o.close(s)
	}
	o.opt(`,"policy_hash":`, e.PolicyHash)
	o.marks(`,"cut":`, e.Cut, hashes)
	o.marks(`,"redacted":`, e.Redacted, hashes)
	if !e.Gap.IsZero() {
		g := o.open(`,"gap":`)
		g.num(`,"count":`, e.Gap.Count)
		g.bool(`,"exact":`, e.Gap.Exact)
		g.optNum(`,"bytes":`, e.Gap.Bytes)
		g.optNum(`,"from":`, e.Gap.From)
		g.optNum(`,"to":`, e.Gap.To)
		g.opt(`,"reason":`, e.Gap.Reason)
		o.close(g)
	}
	o.raw(`,"foreign":`, e.Foreign)
	return o.end()
}

func (e *Ext) appendLists(o *object) {
	for i := range e.Authorization {
		a := &e.Authorization[i]
		m := o.item(`,"authorization":`, i)
		m.opt(`,"permission":`, a.Permission)
		m.opt(`,"resource":`, a.Resource)
		m.bool(`,"granted":`, a.Granted)
		o.close(m)
	}
	o.endItems(len(e.Authorization))
	for i := range e.Resources {
		r := &e.Resources[i]
		m := o.item(`,"resources":`, i)
		m.opt(`,"type":`, r.Type)
		m.opt(`,"id":`, r.ID)
		m.opt(`,"name":`, r.Name)
		o.close(m)
	}
	o.endItems(len(e.Resources))
	for i := range e.Changes {
		c := &e.Changes[i]
		m := o.item(`,"changes":`, i)
		m.str(`,"field":`, c.Field)
		m.opt(`,"old":`, c.Old)
		m.opt(`,"new":`, c.New)
		o.close(m)
	}
	o.endItems(len(e.Changes))
}

func (o *object) marks(key string, marks []Mark, hashes bool) {
	for i := range marks {
		m := o.item(key, i)
		m.str(`,"field":`, marks[i].Field)
		m.optNum(`,"length":`, int64(marks[i].Length))
		if hashes {
			m.opt(`,"hash":`, marks[i].Hash)
		}
		o.close(m)
	}
	o.endItems(len(marks))
}

// appendLabels appends the labels sorted by key. Up to 64, the default limit, are
// sorted without allocating.
func (e *Ext) appendLabels(o *object) {
	if len(e.Labels) == 0 {
		return
	}
	var room [64]string
	keys := room[:0]
	for k := range e.Labels {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	m := o.open(`,"labels":`)
	for _, k := range keys {
		m.anyKey(k)
		m.b = appendString(m.b, e.Labels[k])
	}
	o.close(m)
}
