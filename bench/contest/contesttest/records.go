// Package contesttest checks that a contestant answers what it is asked: it loads
// small traces of few distinct values into it and compares every kind of question of
// the benchmark's rows with the plain loop.
package contesttest

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

// Base is the time of the first trace of [Records], in milliseconds since 1970.
const Base int64 = 1_760_000_000_000

// day is a day in milliseconds.
const day = 24 * 3600 * 1000

// Records makes n traces over about 20 days, always the same for one seed. They have
// few distinct values, many in one millisecond and many late, with texts of several
// scripts, escapes, and empty fields.
func Records(seed uint64, n int) []contest.Record {
	m := maker{rand: rand.New(rand.NewPCG(seed, 1)), now: Base, step: 20 * day / int64(max(1, n))}
	records := make([]contest.Record, n)
	for i := range records {
		t := m.trace(i)
		records[i] = contest.Record{Trace: t, JSON: t.AppendJSON(nil)}
	}
	return records
}

type maker struct {
	rand *rand.Rand
	now  int64
	step int64
}

// time mostly goes on, often stands still, and is late now and then.
func (m *maker) time() int64 {
	switch p := m.rand.IntN(10); {
	case p < 4:
		return m.now
	case p == 4:
		return max(Base, m.now-m.rand.Int64N(30*m.step))
	}
	m.now += m.rand.Int64N(3 * m.step)
	return m.now
}

// few picks one of n values, low ones more often.
func (m *maker) few(n int) int { return min(m.rand.IntN(n), m.rand.IntN(n)) }

func (m *maker) pick(values ...string) string { return values[m.few(len(values))] }

func (m *maker) trace(i int) *cts.Trace {
	t := &cts.Trace{
		ID:           fmt.Sprintf("%08x-0000-7000-8000-%012x", m.rand.Uint32(), i),
		Time:         m.time(),
		Name:         fmt.Sprintf("do%d", m.few(6)),
		Type:         cts.TypeAPI,
		Rating:       cts.Rating(m.pick("normal", "normal", "normal", "warning", "incident")),
		ServiceType:  m.pick("ECS", "IAM", "OBS", "VPC", "Ünï"),
		ResourceType: "server",
		Code:         m.pick("200", "404", ""),
		Request:      m.text(i),
		Response:     m.text(i),
		RequestID:    fmt.Sprint(m.rand.Uint64()),
		ReadOnly:     cts.Bool(m.rand.IntN(3)),
	}
	t.RecordTime = t.Time + 5
	if m.rand.IntN(4) > 0 {
		t.ResourceID = fmt.Sprintf("res-%d", m.few(resources(i)))
	}
	if m.rand.IntN(5) > 0 {
		t.User.Name = m.pick("eve", "bob", "al'ice", `do\main/x"y`, "李", "zoë", "frank")
		t.User.ID = t.User.Name
		t.User.InvokedBy = []string{"service.x"}
		t.SourceIP = m.pick("10.0.0.1", "10.0.0.11", "192.0.2.7", "2001:db8::1", "")
	}
	if m.rand.IntN(20) == 0 {
		t.Message = "left <b>early</b> & late"
		t.Ext = cts.Ext{Role: "admin", Labels: map[string]string{"a": "b"}}
	}
	return t
}

// resources grows with i: a new resource for each 8 traces.
func resources(i int) int { return i/8 + 1 }

// text is JSON with words, or empty, or short.
func (m *maker) text(i int) string {
	switch m.rand.IntN(12) {
	case 0:
		return ""
	case 1:
		return "x"
	}
	var b strings.Builder
	b.WriteString(`{"note":"`)
	for range m.rand.IntN(6) {
		b.WriteString(m.pick("alpha", "alphabet", "beta_alpha", "naïvealpha", "50%", `q\"uote`, "a<b>&c", "Alpha", "多字节"))
		b.WriteString(m.pick(" ", "-", "", "_", "\t"))
	}
	if i%97 == 0 {
		b.WriteString(" needle" + fmt.Sprint(i%4) + " ")
	}
	if i%50 == 0 {
		b.WriteString(strings.Repeat("long text ", 700))
	}
	b.WriteString(`"}`)
	return b.String()
}
