package cts

import (
	"slices"
	"strings"

	"github.com/cloudtraceservice/cts/redact"
)

// scrubber takes the secrets out of one trace.
type scrubber struct {
	*redact.Redactor
	marks []Mark
}

// scrub takes the secrets out of every text of t in which there may be some, and
// marks them in [Ext.Redacted]. Identifiers that the service itself or its identity
// provider makes are left alone: they are evidence. Those that a client chooses (the
// resource's, its own id of the request) are searched for what has the form of a secret. It does not write into lists and
// maps that t shares with the caller's trace.
func scrub(r *redact.Redactor, t *Trace) {
	s := scrubber{Redactor: r, marks: slices.Clip(t.Ext.Redacted)}
	s.text("request", &t.Request, r.Any)
	s.text("response", &t.Response, r.Any)
	s.text("message", &t.Message, r.Text)
	s.text("resource_id", &t.ResourceID, r.Text)
	s.text("resource_name", &t.ResourceName, r.Text)
	s.text("resource_url", &t.ResourceURL, r.Text)
	s.text("location_info", &t.LocationInfo, r.Text)
	s.text("endpoint", &t.Endpoint, r.Text)
	s.text("user_agent", &t.UserAgent, r.Text)
	s.members("", &t.Unknown)
	s.members("user", &t.User.Unknown)
	s.members("user.domain", &t.User.Domain.Unknown)
	if !t.Ext.IsZero() {
		s.ext(&t.Ext)
	}
	t.Ext.Redacted = s.marks
}

func (s *scrubber) text(name string, v *string, redacted func(string) (string, []redact.Finding)) {
	if *v == "" {
		return
	}
	out, found := redacted(*v)
	if len(found) == 0 {
		return
	}
	*v = out
	s.found(name, found)
}

// found adds a mark for each finding.
func (s *scrubber) found(name string, found []redact.Finding) {
	for _, f := range found {
		field := name
		switch {
		case field == "":
			field = f.Path
		case strings.HasPrefix(f.Path, "["):
			field += f.Path
		case f.Path != "":
			field += "." + f.Path
		}
		s.marks = append(s.marks, Mark{Field: field, Length: f.Length, Hash: f.Hash})
	}
}

func (s *scrubber) members(name string, m *Members) {
	if *m == "" {
		return
	}
	out, found := s.JSON("{" + string(*m) + "}")
	if len(found) == 0 {
		return
	}
	canonical, err := NewRawJSON([]byte(out))
	if err != nil || len(canonical) < 2 {
		*m = "" // not reached as long as redacted JSON is JSON; never store what was not understood
	} else {
		*m = Members(canonical[1 : len(canonical)-1])
	}
	s.found(name, found)
}

func (s *scrubber) ext(e *Ext) {
	if e.Foreign != "" {
		wrapped := Members(`"foreign":` + string(e.Foreign))
		s.members("ext", &wrapped)
		e.Foreign, _ = wrapped.Get("foreign")
	}
	s.text("ext.client_id", &e.ClientID, s.Text)
	if len(e.Changes) > 0 {
		e.Changes = slices.Clone(e.Changes)
		for i := range e.Changes {
			c := &e.Changes[i]
			s.named("ext.changes", c.Field, &c.Old)
			s.named("ext.changes", c.Field, &c.New)
		}
	}
	if len(e.Resources) > 0 {
		e.Resources = slices.Clone(e.Resources)
		for i := range e.Resources {
			s.text("ext.resources.id", &e.Resources[i].ID, s.Text)
			s.text("ext.resources.name", &e.Resources[i].Name, s.Text)
		}
	}
	if len(e.Labels) > 0 {
		kept := make(map[string]string, len(e.Labels))
		for k, v := range e.Labels {
			s.named("ext.labels", k, &v)
			kept[k] = v
		}
		e.Labels = kept
	}
}

// named redacts a value that stands under a name of its own. Of a path, as changes
// have, the last part counts too: server.adminPass.
func (s *scrubber) named(where, name string, v *string) {
	if *v == "" {
		return
	}
	last := strings.TrimRight(name, "]")
	last = last[strings.LastIndexAny(last, "./[")+1:]
	if s.under(where, name, v) || last == name || last == "" {
		return
	}
	s.under(where+"."+strings.TrimRight(name[:strings.LastIndex(name, last)], "./["), last, v)
}

// under redacts a value as one that stands under a name, and reports whether it had
// to.
func (s *scrubber) under(where, name string, v *string) bool {
	var m Members
	m = m.add(name, string(appendString(nil, *v)))
	before := m
	s.members(where, &m)
	if m == before {
		return false
	}
	*v = redact.Mask
	if masked, ok := m.Get(name); ok {
		sc := scanner{s: string(masked)}
		if text, err := sc.str(); err == nil {
			*v = text
		}
	}
	return true
}
