package filestore

import (
	"bytes"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// rowMaker makes rows of traces. It has one row, which it fills again and again.
type rowMaker struct {
	row    segment.Row
	parser rowParser
	trace  cts.Trace
	json   []byte
	rest   []byte
}

// parse returns the row of a trace, of which the stored JSON is given. It is valid until
// the next call, and as long as the JSON is.
func (m *rowMaker) parse(pos cts.Position, json []byte) (*segment.Row, error) {
	m.begin(pos)
	clear(m.row.Values)
	clear(m.row.Texts)
	if m.parser.parse(&m.row, json) {
		return &m.row, nil
	}
	if cts.ParseCanonical(json, &m.trace) {
		return m.make(pos, &m.trace, nil), nil
	}
	t, err := cts.ParseTrace(json)
	if err != nil {
		return nil, err
	}
	m.json = t.AppendJSON(m.json[:0])
	if bytes.Equal(m.json, json) {
		json = nil
	}
	return m.make(pos, t, json), nil
}

// make returns the row of a trace, and of its stored JSON if that is not canonical.
func (m *rowMaker) make(pos cts.Position, t *cts.Trace, json []byte) *segment.Row {
	m.begin(pos)
	m.row.Time, m.row.Record = t.Time, t.RecordTime
	for i := range layout.columns {
		m.row.Values[i] = layout.columns[i].get(t)
	}
	m.row.Texts[textRequest], m.row.Texts[textResponse], m.row.Texts[textMessage] = t.Request, t.Response, t.Message
	kind, rest := restNone, ""
	switch {
	case json != nil:
		kind, rest = restRaw, string(json)
	case hasRest(t):
		left := restOf(t)
		m.rest = left.AppendJSON(m.rest[:0])
		kind, rest = restJSON, string(m.rest)
	}
	m.row.Values[len(layout.columns)], m.row.Texts[textRest] = kind, rest
	return &m.row
}

func (m *rowMaker) begin(pos cts.Position) {
	if m.row.Values == nil {
		m.row.Values = make([]string, len(layout.schema.Columns))
		m.row.Texts = make([]string, textCount)
	}
	m.row.Position = uint64(pos)
}

// hasRest reports whether there is something in t that no column holds.
func hasRest(t *cts.Trace) bool {
	e := &t.Ext
	return len(t.Unknown)+len(t.User.Unknown)+len(t.User.Domain.Unknown)+len(e.Authorization)+len(e.Resources)+
		len(e.Changes)+len(e.Cut)+len(e.Redacted)+len(e.Foreign) != 0 || !e.Gap.IsZero()
}

// restOf returns a trace with what no column of t holds.
func restOf(t *cts.Trace) *cts.Trace {
	r := &cts.Trace{Unknown: t.Unknown}
	r.User.Unknown, r.User.Domain.Unknown = t.User.Unknown, t.User.Domain.Unknown
	r.Ext = cts.Ext{
		Authorization: t.Ext.Authorization, Resources: t.Ext.Resources, Changes: t.Ext.Changes,
		Cut: t.Ext.Cut, Redacted: t.Ext.Redacted, Gap: t.Ext.Gap, Foreign: t.Ext.Foreign,
	}
	return r
}

// addRest puts back what restOf took.
func addRest(t, r *cts.Trace) {
	t.Unknown, t.User.Unknown, t.User.Domain.Unknown = r.Unknown, r.User.Unknown, r.User.Domain.Unknown
	e := &t.Ext
	e.Authorization, e.Resources, e.Changes = r.Ext.Authorization, r.Ext.Resources, r.Ext.Changes
	e.Cut, e.Redacted, e.Gap, e.Foreign = r.Ext.Cut, r.Ext.Redacted, r.Ext.Gap, r.Ext.Foreign
}
