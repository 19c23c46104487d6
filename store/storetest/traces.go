package storetest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
)

// base is the time at which the traces of the suite begin: 2024-07-03 09:46:40 UTC.
const base int64 = 1_720_000_000_000

// Traces returns n valid traces with different ids, in the order in which a service
// would record them. The same seed and n give the same traces in one release;
// different seeds give different ids.
//
// They look like a real trail on a small scale: few services, users and addresses
// with most of the traffic, sessions, bursts within one millisecond, late arrivals,
// system actions without user and address, failures, attempts with and without
// outcome, bodies of JSON text of a few hundred bytes with a few large ones, all of
// [cts.Ext], unknown members, and text that JSON must escape.
func Traces(seed uint64, n int) []*cts.Trace {
	g := newGenerator(seed)
	traces := make([]*cts.Trace, 0, n)
	for len(traces) < n {
		traces = append(traces, g.next())
	}
	return traces
}

// generator makes traces one after another.
type generator struct {
	rng   *rand.Rand
	clock int64

	services, users, old *rand.Zipf
	user, service        int      // of the session under way
	resources            []string // ids that occurred
	open                 []*cts.Trace
}

func newGenerator(seed uint64) *generator {
	rng := rand.New(rand.NewPCG(seed, 0x63_74_73))
	return &generator{
		rng: rng, clock: base,
		services: rand.NewZipf(rng, 1.5, 1, uint64(len(services)-1)),
		users:    rand.NewZipf(rng, 1.4, 2, 39),
		old:      rand.NewZipf(rng, 1.1, 4, 1<<20),
	}
}

// services are a few of the services that CTS knows, with operations on them.
var services = []struct {
	name, resource string
	read, write    []string
}{
	{"ECS", "ecs", []string{"showServer", "listServers"}, []string{"createServer", "deleteServer", "rebootServer", "resizeServer"}},
	{"OBS", "object", []string{"GET.OBJECT", "HEAD.OBJECT"}, []string{"PUT.OBJECT", "DELETE.OBJECT", "COPY.OBJECT"}},
	{"IAM", "user", []string{"listUsers"}, []string{"login", "logout", "createUser", "updateUserPassword", "createAccessKey"}},
	{"VPC", "publicips", []string{"showPublicip"}, []string{"createPublicip", "deletePublicip"}},
	{"EVS", "evs", []string{"showVolume"}, []string{"createVolume", "deleteVolume", "extendVolume"}},
	{"RDS", "instance", []string{"listInstances"}, []string{"createInstance", "restartInstance"}},
	{"KMS", "cmk", []string{"listKeys"}, []string{"createKey", "encryptData", "decryptData"}},
	{"CTS", "tracker", nil, []string{"createTracker", "updateTracker"}},
}

var agents = []string{
	"", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
	"terraform-provider/1.66.2", "example-sdk-go/3.1.0 (linux; amd64)", "curl/8.5.0",
}

// oddities are values that JSON, logs or comparisons tend to get wrong.
var oddities = []string{
	"Größe – 日本語 🚀", "<script>alert(\"&\")</script>", "a\u2028b\u2029c", "tab\tline\nback\\slash/quote\"", "\x00\x1f\x7f", "İstanbul ǅ ſ",
}

func (g *generator) chance(p float64) bool { return g.rng.Float64() < p }

func pick[T any](g *generator, from ...T) T { return from[g.rng.IntN(len(from))] }

// id returns a UUID of version 7 for the clock.
func (g *generator) id() string {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:], uint64(g.clock)<<16|0x7000|g.rng.Uint64()&0x0fff)
	binary.BigEndian.PutUint64(u[8:], 1<<63|g.rng.Uint64()>>2)
	return u.String()
}

// tick moves the clock on to the next trace.
func (g *generator) tick() {
	switch {
	case g.chance(0.3): // a burst
	case g.chance(0.8):
		g.clock += g.rng.Int64N(1000)
	default:
		g.clock += int64(20_000 * g.rng.ExpFloat64())
	}
}

func (g *generator) next() *cts.Trace {
	g.tick()
	if len(g.open) > 0 && g.chance(0.4) {
		return g.outcome()
	}
	if !g.chance(0.9) {
		g.user, g.service = int(g.users.Uint64()), int(g.services.Uint64())
	}
	t := g.operation()
	g.actor(t)
	g.result(t)
	g.bodies(t)
	g.extend(t)
	if t.ReadOnly == cts.False && g.chance(0.1) {
		t.Ext.Phase, t.Ext.Outcome, t.Code, t.Response = cts.PhaseAttempt, cts.OutcomePending, "", ""
		g.open = append(g.open, t)
	}
	return t
}

// outcome ends an attempt that is open; one in five is never ended.
func (g *generator) outcome() *cts.Trace {
	attempt := g.open[0]
	g.open = g.open[1:]
	if g.chance(0.2) {
		return g.next()
	}
	t := attempt.Clone()
	t.ID, t.Time, t.RecordTime = g.id(), max(g.clock, attempt.Time), g.clock
	t.Ext.Phase, t.Ext.AttemptID = cts.PhaseOutcome, attempt.ID
	g.result(t)
	return t
}

func (g *generator) operation() *cts.Trace {
	service := services[g.service]
	t := &cts.Trace{
		ID: g.id(), Time: g.clock, RecordTime: g.clock + g.rng.Int64N(50),
		Type: pick(g, cts.TypeConsole, cts.TypeAPI, cts.TypeAPI), EventType: cts.EventSystem,
		ServiceType: service.name, ResourceType: service.resource,
		APIVersion: pick(g, "", "1.0", "v2.1"), RequestID: g.id(), TrackerName: "system",
		ProjectID: fmt.Sprintf("%032x", 7*g.rng.IntN(5)), DomainID: "d-0", EnterpriseProjectID: pick(g, "", "0"),
		ReadOnly: cts.BoolOf(len(service.read) > 0 && g.chance(0.6)),
	}
	t.Name = pick(g, service.write...)
	if t.ReadOnly == cts.True {
		t.Name = pick(g, service.read...)
	}
	if service.name == "OBS" {
		t.EventType, t.Type, t.TrackerName = cts.EventData, pick(g, cts.TypeObsAPI, cts.TypeObsSDK), "objects"
	}
	if g.chance(0.15) { // it happened earlier than it is recorded
		t.Time -= 1 + g.rng.Int64N(int64(200_000*(1+g.rng.Float64())))
	}
	if g.chance(0.75) {
		t.ResourceID = g.resource()
		t.ResourceName = t.ResourceType + "-" + t.ResourceID[:8]
		t.OperationID = pick(g, "", t.Name)
	}
	if g.chance(0.02) {
		t.ResourceName, t.LocationInfo = pick(g, oddities...), pick(g, oddities...)
	}
	return t
}

// resource returns the id of a new resource, or more often of one that was there.
func (g *generator) resource() string {
	if len(g.resources) == 0 || g.chance(0.15) {
		g.resources = append(g.resources, g.id())
	}
	back := int(g.old.Uint64() % uint64(len(g.resources)))
	return g.resources[len(g.resources)-1-back]
}

func (g *generator) actor(t *cts.Trace) {
	if g.chance(0.15) {
		t.Type = cts.TypeSystem
		return
	}
	n := g.user
	t.User = cts.User{
		ID: fmt.Sprintf("u-%04d", n), Name: fmt.Sprintf("%s%d", pick(g, "user", "user", "User"), n),
		Domain: cts.Domain{ID: "d-0", Name: "example"}, AccountID: "d-0", Type: "User",
	}
	t.SourceIP = fmt.Sprintf("192.0.2.%d", 1+(n*3+g.rng.IntN(3))%250)
	t.UserAgent = agents[(n+g.rng.IntN(2))%len(agents)]
	switch {
	case n%7 == 3:
		t.SourceIP = fmt.Sprintf("2001:db8::%x", n)
	case n%7 == 5:
		t.SourceIP = "::ffff:" + t.SourceIP
	}
	if t.Type == cts.TypeAPI || n%4 == 1 {
		t.User.AccessKeyID = fmt.Sprintf("AK%08d", n)
		t.User.PrincipalURN = "iam::d-0:user:" + t.User.Name
		t.User.SessionContext.Attributes = cts.SessionAttributes{CreatedAt: "1719990000000", MFAAuthenticated: "false"}
	}
	if n%9 == 2 {
		t.User.UserName, t.User.InvokedBy = "example/agency-"+t.User.Name, []string{"service.CBR"}
	}
}

func (g *generator) result(t *cts.Trace) {
	t.Rating, t.Ext.Outcome, t.Code, t.TotalTime = cts.RatingNormal, cts.OutcomeSuccess, pick(g, "200", "200", "201", "204"), g.rng.Int64N(3000)
	switch {
	case g.chance(0.08):
		t.Rating, t.Ext.Outcome, t.Code = cts.RatingWarning, cts.OutcomeFailure, pick(g, "400", "404", "409", "500", "ECS.0219")
		t.Message = pick(g, "quota exceeded", "the resource does not exist", "conflict: another operation is running")
	case g.chance(0.02):
		t.Rating, t.Ext.Outcome, t.Code, t.Message = cts.RatingWarning, cts.OutcomeDenied, "403", "policy does not allow the action"
	case g.chance(0.004):
		t.Rating, t.Ext.Outcome, t.Code = cts.RatingIncident, cts.OutcomeUnknown, ""
	}
}

func (g *generator) bodies(t *cts.Trace) {
	if g.chance(0.85) {
		t.Request = g.body(t, 130, 0.7)
		t.ContentLength = int64(len(t.Request))
	}
	if t.ReadOnly == cts.False && g.chance(0.5) {
		t.Response = g.body(t, 130, 1.2)
	}
}

// body returns JSON text whose length is log-normal.
func (g *generator) body(t *cts.Trace, median, sigma float64) string {
	size := int(median * math.Exp(sigma*g.rng.NormFloat64()))
	if g.chance(0.002) {
		size = 8<<10 + g.rng.IntN(24<<10)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `{%q:{"id":%q,"name":%q`, t.ResourceType, t.ResourceID, t.ResourceName)
	for b.Len() < min(size, 64<<10) {
		fmt.Fprintf(&b, `,%q:%q`, pick(g, words...), pick(g, words...)+pick(g, "", "-1", "-2", ".example.com"))
	}
	b.WriteString("}}")
	return b.String()
}

var words = []string{
	"availability_zone", "flavor", "image", "subnet", "security_group", "volume_type", "SSD", "count", "region",
	"description", "tags", "owner", "billing", "metadata", "status", "ACTIVE", "created", "updated", "network",
}

func (g *generator) extend(t *cts.Trace) {
	e := &t.Ext
	e.Writer = cts.Writer{ID: "writer-1", Boot: "boot-1"}
	e.PolicyHash = "sha256:0f"
	if t.User.ID != "" {
		e.Role = pick(g, "", "", "admin", "operator", "auditor")
		e.SessionID = fmt.Sprintf("session-%d", g.user)
	}
	if g.chance(0.2) {
		e.W3CTraceID, e.W3CSpanID = fmt.Sprintf("%032x", g.rng.Uint64()), fmt.Sprintf("%016x", g.rng.Uint64())
		e.PeerIP, e.ForwardedFor, e.ClientID = "198.51.100.7", []string{t.SourceIP, "198.51.100.7"}, "client-"+pick(g, words...)
	}
	if g.chance(0.2) {
		e.Labels = map[string]string{"env": pick(g, "prod", "test"), "team": pick(g, "storage", "network", "Ärzte")}
	}
	if g.chance(0.1) {
		e.Authorization = []cts.Authorization{{Permission: t.Name, Resource: t.ResourceID, Granted: e.Outcome != cts.OutcomeDenied}}
	}
	if t.ReadOnly == cts.False && g.chance(0.1) {
		e.Changes = []cts.Change{{Field: "name", Old: "before", New: pick(g, oddities...)}}
		e.Resources = []cts.Resource{{Type: "volume", ID: g.resource()}, {Type: "port", Name: "eth0"}}
	}
	if g.chance(0.03) {
		e.Redacted = []cts.Mark{{Field: "request.server.adminPass", Length: 12, Hash: fmt.Sprintf("%016x", g.rng.Uint64())}}
		e.Cut = []cts.Mark{{Field: "response", Length: 90_000}}
	}
	if g.chance(0.03) {
		e.Impersonator = cts.Principal{ID: "u-0001", Name: "support"}
		e.Source = cts.Source{Name: "import/example", ID: t.ID}
	}
	if g.chance(0.02) {
		t.Unknown = `"tracker_type":"system","zz":[1,2.50,{"k":null}]`
		t.User.Unknown = `"mfa_device":"\u003ctoken\u003e"`
	}
}
