package storetest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"unicode"

	"github.com/cloudtraceservice/cts"
)

var conditionCases = []conformance{
	{
		name: "conditions",
		rule: withSource("Query yields exactly the traces that Query.Match accepts."),
		why:  "An index that answers otherwise than a reading of the record would find, or hide, the wrong ones.",
		run: func(s *subject) {
			corpus := append(Traces(41, 250), curious()...)
			s.append(corpus...)
			log := s.after(0)
			for what, c := range conditions(corpus) {
				for i, q := range []cts.Query{{}, {Attempts: true, Order: cts.Oldest, Limit: 7}} {
					q = q.Where(c)
					want := s.expect(q, log)
					if i == 0 && (len(want) == 0) != matchless[what] {
						s.Errorf("%s: %d of %d traces match: the case has lost its point", what, len(want), len(log))
					}
					s.same(what, s.query(q), want)
				}
			}
		},
	},
	{
		name: "random-conditions",
		rule: withSource("Query yields exactly the traces that Query.Match accepts, whatever is combined."),
		why:  "And, Or and Not meet indexes in more ways than anybody writes down.",
		run: func(s *subject) {
			corpus := Traces(43, 200)
			s.append(corpus...)
			log := s.after(0)
			seed := rand.Uint64()
			g := conditionGenerator{rng: rand.New(rand.NewPCG(seed, 0)), corpus: corpus}
			for range 100 {
				q := g.query()
				if d := difference(s.query(q), s.expect(q, log)); d != "" {
					s.Errorf("seed %d: %+v: %s", seed, q, d)
					return
				}
			}
		},
	},
}

// matchless are the conditions below that no trace of the corpus meets.
var matchless = map[string]bool{
	"eq, other case": true, "in nothing": true, "within nothing": true, "and, contradiction": true, "or of nothing": true,
	"word, only a part": true, "word, other case": true, "eq, not there": true, "less, not a number": true, "not all": true,
}

// conditions returns conditions of every kind over the values of a corpus.
func conditions(corpus []*cts.Trace) map[string]cts.Condition {
	var resource, session, w3c, attempt, request string
	for _, t := range corpus {
		if t.Ext.Phase == cts.PhaseOutcome {
			attempt = t.Ext.AttemptID
		}
		if t.Ext.Phase == "" {
			request = t.RequestID
			resource = orElse(t.ResourceID, resource)
			session = orElse(t.Ext.SessionID, session)
			w3c = orElse(t.Ext.W3CTraceID, w3c)
		}
	}
	user := corpus[0].User
	for i := 0; user.ID == ""; i++ {
		user = corpus[i].User
	}
	net := netip.MustParsePrefix
	eq, in, and, or, not := cts.Eq, cts.In, cts.And, cts.Or, cts.Not
	return map[string]cts.Condition{
		"all":                    {},
		"eq service":             eq(cts.FieldServiceType, "ECS"),
		"eq name":                eq(cts.FieldTraceName, "createServer"),
		"eq type":                eq(cts.FieldTraceType, string(cts.TypeSystem)),
		"eq event type":          eq(cts.FieldEventType, string(cts.EventData)),
		"eq rating":              eq(cts.FieldTraceRating, string(cts.RatingWarning)),
		"eq resource type":       eq(cts.FieldResourceType, "object"),
		"eq resource id":         eq(cts.FieldResourceID, resource),
		"eq user id":             eq(cts.FieldUser, user.ID),
		"eq user name":           eq(cts.FieldUser, user.Name),
		"eq other user name":     cts.Prefix(cts.FieldUser, "example/agency"),
		"eq request id":          eq(cts.FieldRequestID, request),
		"eq trace id":            eq(cts.FieldTraceID, corpus[17].ID),
		"eq tracker":             eq(cts.FieldTrackerName, "objects"),
		"eq read only":           eq(cts.FieldReadOnly, "true"),
		"eq session":             eq(cts.FieldSession, session),
		"eq w3c":                 eq(cts.FieldW3CTraceID, w3c),
		"eq attempt id":          eq(cts.FieldAttemptID, attempt),
		"eq writer":              eq(cts.FieldWriter, "writer-1"),
		"eq role":                eq(cts.FieldRole, "admin"),
		"eq outcome":             eq(cts.FieldOutcome, string(cts.OutcomeDenied)),
		"eq impersonator":        eq(cts.FieldImpersonator, "support"),
		"eq label":               eq(cts.Label("team"), "Ärzte"),
		"eq odd name":            eq(cts.FieldResourceName, oddities[1]),
		"was invalid UTF-8":      cts.Contains(cts.FieldUserAgent, "\ufffd"),
		"eq, other case":         eq(cts.FieldServiceType, "ecs"),
		"eq, ignoring case":      eq(cts.FieldServiceType, "ecs").IgnoreCase(),
		"eq odd, ignoring case":  eq(cts.Label("team"), "äRZTE").IgnoreCase(),
		"eq, not there":          eq(cts.FieldProjectID, "none"),
		"eq empty is absent":     eq(cts.FieldCode, ""),
		"in":                     in(cts.FieldCode, "403", "404", "409", "none"),
		"in, with empty":         in(cts.FieldRole, "auditor", ""),
		"in nothing":             in(cts.FieldCode),
		"prefix":                 cts.Prefix(cts.FieldTraceName, "delete"),
		"prefix, ignoring case":  cts.Prefix(cts.FieldUser, "USER").IgnoreCase(),
		"prefix of all":          cts.Prefix(cts.FieldRole, ""),
		"contains":               cts.Contains(cts.FieldRequest, `"flavor":"`),
		"contains in response":   cts.Contains(cts.FieldResponse, "ACTIVE"),
		"contains in message":    cts.Contains(cts.FieldMessage, "quota"),
		"contains, ignoring":     cts.Contains(cts.FieldUserAgent, "applewebkit").IgnoreCase(),
		"word":                   cts.Word(cts.FieldResponse, "ACTIVE"),
		"word of a message":      cts.Word(cts.FieldMessage, "quota"),
		"word, ignoring case":    cts.Word(cts.FieldUserAgent, "APPLEWEBKIT").IgnoreCase(),
		"word beyond ASCII":      cts.Word(cts.FieldMessage, "日本語"),
		"word of an address":     cts.Word(cts.FieldSourceIP, "192"),
		"word, only a part":      cts.Word(cts.FieldResponse, "ACTIV"),
		"word, other case":       cts.Word(cts.FieldMessage, "QUOTA"),
		"word, not":              not(cts.Word(cts.FieldRequest, "flavor")),
		"contains escaped":       cts.Contains(cts.FieldMessage, "tab\tline\nback\\slash"),
		"within v4":              cts.Within(cts.FieldSourceIP, net("192.0.2.0/26")),
		"within v6":              cts.Within(cts.FieldSourceIP, net("2001:db8::/32"), net("198.51.100.0/24")),
		"within mapped":          and(cts.Within(cts.FieldSourceIP, net("192.0.2.0/24")), cts.Prefix(cts.FieldSourceIP, "::ffff:")),
		"within nothing":         cts.Within(cts.FieldSourceIP),
		"less":                   cts.Less(cts.FieldCode, 201),
		"less or equal":          cts.LessEqual(cts.FieldCode, 201),
		"greater":                cts.Greater(cts.FieldCode, 399),
		"greater or equal":       cts.GreaterEqual(cts.FieldCode, 404),
		"less, not a number":     cts.Less(cts.FieldCode, -1),
		"not greater or equal":   not(cts.GreaterEqual(cts.FieldCode, 400)),
		"present":                cts.Present(cts.Label("env")),
		"absent":                 cts.Absent(cts.FieldSourceIP),
		"absent label":           cts.Absent(cts.Label("none")),
		"absent user":            cts.Absent(cts.FieldUser),
		"and":                    and(eq(cts.FieldServiceType, "ECS"), cts.GreaterEqual(cts.FieldCode, 400)),
		"and of one":             and(eq(cts.FieldServiceType, "IAM")),
		"and of nothing":         and(),
		"and, contradiction":     and(eq(cts.FieldServiceType, "ECS"), eq(cts.FieldServiceType, "IAM")),
		"or":                     or(eq(cts.FieldServiceType, "KMS"), eq(cts.FieldTraceRating, "warning")),
		"or, overlapping":        or(eq(cts.FieldServiceType, "ECS"), eq(cts.FieldTraceName, "createServer"), eq(cts.FieldReadOnly, "true")),
		"or of nothing":          or(),
		"not":                    not(eq(cts.FieldServiceType, "ECS")),
		"not not":                not(not(eq(cts.FieldServiceType, "ECS"))),
		"not all":                not(cts.Condition{}),
		"nested":                 and(or(eq(cts.FieldServiceType, "ECS"), eq(cts.FieldServiceType, "OBS")), not(or(eq(cts.FieldReadOnly, "true"), cts.Absent(cts.FieldUser)))),
		"user and address":       and(eq(cts.FieldUser, user.Name), cts.Present(cts.FieldSourceIP)),
		"phase is attempt":       eq(cts.FieldPhase, "attempt"),
		"phase is not attempt":   not(eq(cts.FieldPhase, "attempt")),
		"phase among others":     or(eq(cts.FieldPhase, "attempt"), eq(cts.FieldServiceType, "IAM")),
		"fields without a value": and(cts.Absent(cts.FieldDomainID), cts.Absent(cts.FieldOperationID), cts.Absent(cts.FieldEnterpriseProjectID)),
	}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// fields are the dimensions of a query with the text that they test.
var fields = []struct {
	field cts.Field
	value func(*cts.Trace) string
}{
	{cts.FieldServiceType, func(t *cts.Trace) string { return t.ServiceType }},
	{cts.FieldTraceName, func(t *cts.Trace) string { return t.Name }},
	{cts.FieldTraceType, func(t *cts.Trace) string { return string(t.Type) }},
	{cts.FieldEventType, func(t *cts.Trace) string { return string(t.EventType) }},
	{cts.FieldTraceRating, func(t *cts.Trace) string { return string(t.Rating) }},
	{cts.FieldResourceType, func(t *cts.Trace) string { return t.ResourceType }},
	{cts.FieldResourceID, func(t *cts.Trace) string { return t.ResourceID }},
	{cts.FieldResourceName, func(t *cts.Trace) string { return t.ResourceName }},
	{cts.FieldUser, func(t *cts.Trace) string { return t.User.ID }},
	{cts.FieldUser, func(t *cts.Trace) string { return t.User.Name }},
	{cts.FieldUser, func(t *cts.Trace) string { return t.User.UserName }},
	{cts.FieldAccessKeyID, func(t *cts.Trace) string { return t.User.AccessKeyID }},
	{cts.FieldSourceIP, func(t *cts.Trace) string { return t.SourceIP }},
	{cts.FieldCode, func(t *cts.Trace) string { return t.Code }},
	{cts.FieldRequestID, func(t *cts.Trace) string { return t.RequestID }},
	{cts.FieldTraceID, func(t *cts.Trace) string { return t.ID }},
	{cts.FieldOperationID, func(t *cts.Trace) string { return t.OperationID }},
	{cts.FieldTrackerName, func(t *cts.Trace) string { return t.TrackerName }},
	{cts.FieldProjectID, func(t *cts.Trace) string { return t.ProjectID }},
	{cts.FieldDomainID, func(t *cts.Trace) string { return t.DomainID }},
	{cts.FieldEnterpriseProjectID, func(t *cts.Trace) string { return t.EnterpriseProjectID }},
	{cts.FieldReadOnly, func(t *cts.Trace) string { return t.ReadOnly.String() }},
	{cts.FieldUserAgent, func(t *cts.Trace) string { return t.UserAgent }},
	{cts.FieldOutcome, func(t *cts.Trace) string { return string(t.Ext.Outcome) }},
	{cts.FieldPhase, func(t *cts.Trace) string { return string(t.Ext.Phase) }},
	{cts.FieldAttemptID, func(t *cts.Trace) string { return t.Ext.AttemptID }},
	{cts.FieldRole, func(t *cts.Trace) string { return t.Ext.Role }},
	{cts.FieldImpersonator, func(t *cts.Trace) string { return t.Ext.Impersonator.Name }},
	{cts.FieldSession, func(t *cts.Trace) string { return t.Ext.SessionID }},
	{cts.FieldW3CTraceID, func(t *cts.Trace) string { return t.Ext.W3CTraceID }},
	{cts.FieldWriter, func(t *cts.Trace) string { return t.Ext.Writer.ID }},
	{cts.FieldRequest, func(t *cts.Trace) string { return t.Request }},
	{cts.FieldResponse, func(t *cts.Trace) string { return t.Response }},
	{cts.FieldMessage, func(t *cts.Trace) string { return t.Message }},
	{cts.Label("env"), func(t *cts.Trace) string { return t.Ext.Labels["env"] }},
	{cts.Label("team"), func(t *cts.Trace) string { return t.Ext.Labels["team"] }},
	{cts.Label("none"), func(*cts.Trace) string { return "" }},
}

// conditionGenerator makes random queries whose operands occur in a corpus.
type conditionGenerator struct {
	rng    *rand.Rand
	corpus []*cts.Trace
}

func (g conditionGenerator) trace() *cts.Trace { return g.corpus[g.rng.IntN(len(g.corpus))] }

// query returns a query with up to three conditions, a range, an order, a limit
// and a number to skip.
func (g conditionGenerator) query() cts.Query {
	q := cts.Query{Order: cts.Order(g.rng.IntN(2)), Attempts: g.rng.IntN(3) == 0, Heads: g.rng.IntN(4) == 0}
	for range g.rng.IntN(4) {
		q = q.Where(g.condition(2))
	}
	if g.rng.IntN(2) == 0 {
		q.ByRecordTime = g.rng.IntN(2) == 0
		from, to := g.trace().Time, g.trace().Time+g.rng.Int64N(2)
		switch g.rng.IntN(4) {
		case 0:
			q.From = from
		case 1:
			q.To = to
		default:
			q.From, q.To = min(from, to), max(from, to)
		}
	}
	if g.rng.IntN(2) == 0 {
		q.Limit = 1 + g.rng.IntN(20)
	}
	if g.rng.IntN(4) == 0 {
		q.Skip = g.rng.IntN(30)
	}
	return q
}

// word returns a word of a text, or a part of one.
func (g conditionGenerator) word(text string) string {
	all := strings.FieldsFunc(text, func(r rune) bool { return r < 0x80 && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if len(all) == 0 {
		return "none"
	}
	w := all[g.rng.IntN(len(all))]
	if g.rng.IntN(4) == 0 {
		return w[:1+g.rng.IntN(len(w))]
	}
	return w
}

func (g conditionGenerator) condition(depth int) cts.Condition {
	if depth > 0 && g.rng.IntN(3) == 0 {
		var inner []cts.Condition
		for range g.rng.IntN(4) {
			inner = append(inner, g.condition(depth-1))
		}
		switch g.rng.IntN(3) {
		case 0:
			return cts.And(inner...)
		case 1:
			return cts.Or(inner...)
		}
		return cts.Not(g.condition(depth - 1))
	}
	return g.leaf()
}

func (g conditionGenerator) leaf() cts.Condition {
	f := fields[g.rng.IntN(len(fields))]
	value := f.value(g.trace())
	var c cts.Condition
	switch g.rng.IntN(10) {
	case 9:
		c = cts.Word(f.field, g.word(value))
	case 0, 1:
		c = cts.Eq(f.field, value)
	case 2:
		c = cts.In(f.field, value, f.value(g.trace()), "none")
	case 3:
		c = cts.Prefix(f.field, value[:g.rng.IntN(len(value)+1)])
	case 4:
		from := g.rng.IntN(len(value) + 1)
		c = cts.Contains(f.field, value[from:min(len(value), from+1+g.rng.IntN(8))])
	case 5:
		c = cts.Within(cts.FieldSourceIP, netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/%d", g.rng.IntN(256), 24+g.rng.IntN(9))), netip.MustParsePrefix("2001:db8::10/124"))
	case 6:
		n := []int64{199, 200, 201, 400, 404, 500}[g.rng.IntN(6)]
		c = []func(cts.Field, int64) cts.Condition{cts.Less, cts.LessEqual, cts.Greater, cts.GreaterEqual}[g.rng.IntN(4)](cts.FieldCode, n)
	case 7:
		c = cts.Present(f.field)
	default:
		c = cts.Absent(f.field)
	}
	if g.rng.IntN(5) == 0 {
		c = c.IgnoreCase()
	}
	return c
}
