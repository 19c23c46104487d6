package cts

import "slices"

// ext reads the member "ext". What is not exactly an Ext of this version is kept
// aside whole: a field that was understood halfway would be worse than none.
func (p *traceParser) ext(e *Ext) error {
	at, depth := p.i, p.depth
	if !p.tolerant || p.trustExt {
		var got Ext
		if err := p.ours(&got); err == nil {
			*e = got
			return nil
		}
		p.i, p.depth = at, depth
	}
	b, err := p.compact(nil)
	if err != nil {
		return err
	}
	if s := string(b); s != "null" && s != "{}" {
		e.Foreign = RawJSON(b)
	}
	return nil
}

// ours reads an Ext and fails on anything that this version would not write.
func (p *traceParser) ours(e *Ext) error {
	version := int64(0)
	err := p.fields(func(name string) error {
		if name == "v" {
			return p.num(&version)
		}
		return p.extMember(e, name)
	})
	if err == nil && version != ExtVersion {
		err = p.fail(p.i, "ext of version %d", version)
	}
	return err
}

func (p *traceParser) extMember(e *Ext, name string) error {
	if v := e.textField(name); v != nil {
		return p.exact(v)
	}
	switch name {
	case "writer":
		return p.record(map[string]*string{"id": &e.Writer.ID, "boot": &e.Writer.Boot})
	case "impersonator":
		return p.record(map[string]*string{"id": &e.Impersonator.ID, "name": &e.Impersonator.Name})
	case "source":
		return p.record(map[string]*string{"name": &e.Source.Name, "id": &e.Source.ID})
	case "forwarded_for":
		list, err := p.texts()
		e.ForwardedFor = list
		return err
	case "authorization":
		return p.authorization(e)
	case "resources":
		return p.array(func() error {
			var r Resource
			err := p.record(map[string]*string{"type": &r.Type, "id": &r.ID, "name": &r.Name})
			e.Resources = append(e.Resources, r)
			return err
		})
	case "changes":
		return p.array(func() error {
			var c Change
			err := p.record(map[string]*string{"field": &c.Field, "old": &c.Old, "new": &c.New})
			e.Changes = append(e.Changes, c)
			return err
		})
	case "labels":
		e.Labels = map[string]string{}
		return p.fields(func(name string) error {
			v, err := p.str()
			e.Labels[name] = v
			return err
		})
	case "cut":
		return p.marks(&e.Cut)
	case "redacted":
		return p.marks(&e.Redacted)
	case "gap":
		return p.gap(&e.Gap)
	case "foreign":
		b, err := p.compact(nil)
		e.Foreign = RawJSON(b)
		return err
	}
	return p.fail(p.i, "unknown member %q", name)
}

// textField returns the string field with the given JSON name, nil if there is none.
func (e *Ext) textField(name string) *string {
	switch name {
	case "phase":
		return (*string)(&e.Phase)
	case "attempt_id":
		return &e.AttemptID
	case "outcome":
		return (*string)(&e.Outcome)
	case "role":
		return &e.Role
	case "session_id":
		return &e.SessionID
	case "w3c_trace_id":
		return &e.W3CTraceID
	case "w3c_span_id":
		return &e.W3CSpanID
	case "client_id":
		return &e.ClientID
	case "peer_ip":
		return &e.PeerIP
	case "policy_hash":
		return &e.PolicyHash
	}
	return nil
}

// exact reads a string and nothing else.
func (p *traceParser) exact(v *string) (err error) {
	*v, err = p.str()
	return err
}

// record reads an object of strings with the given members and no others.
func (p *traceParser) record(into map[string]*string) error {
	return p.fields(func(name string) error {
		if v := into[name]; v != nil {
			return p.exact(v)
		}
		return p.fail(p.i, "unknown member %q", name)
	})
}

func (p *traceParser) authorization(e *Ext) error {
	return p.array(func() error {
		var a Authorization
		err := p.fields(func(name string) error {
			switch name {
			case "permission":
				return p.exact(&a.Permission)
			case "resource":
				return p.exact(&a.Resource)
			case "granted":
				return p.truth(&a.Granted)
			}
			return p.fail(p.i, "unknown member %q", name)
		})
		e.Authorization = append(e.Authorization, a)
		return err
	})
}

func (p *traceParser) truth(v *bool) error {
	var b Bool
	if err := p.flag(&b); err != nil {
		return err
	}
	if b == Unset {
		return p.fail(p.i, "expected true or false")
	}
	*v = b == True
	return nil
}

func (p *traceParser) marks(into *[]Mark) error {
	var got []Mark
	err := p.array(func() error {
		var m Mark
		var length int64
		err := p.fields(func(name string) error {
			switch name {
			case "field":
				return p.exact(&m.Field)
			case "length":
				return p.num(&length)
			case "hash":
				return p.exact(&m.Hash)
			}
			return p.fail(p.i, "unknown member %q", name)
		})
		if m.Length = int(length); err == nil && int64(m.Length) != length {
			err = p.fail(p.i, "length %d is out of range", length)
		}
		got = append(got, m)
		return err
	})
	*into = slices.Clip(got)
	return err
}

func (p *traceParser) gap(g *Gap) error {
	return p.fields(func(name string) error {
		switch name {
		case "count":
			return p.num(&g.Count)
		case "exact":
			return p.truth(&g.Exact)
		case "bytes":
			return p.num(&g.Bytes)
		case "from":
			return p.num(&g.From)
		case "to":
			return p.num(&g.To)
		case "reason":
			return p.exact(&g.Reason)
		}
		return p.fail(p.i, "unknown member %q", name)
	})
}
