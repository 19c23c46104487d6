package workload

import (
	"math"
	"slices"
	"strings"

	"github.com/cloudtraceservice/cts"
)

// Shares and sizes of a trail, before what follows from each other.
const (
	shareSystem   = 0.20  // of the runs: nobody's
	shareConsole  = 0.35  // of all, by a person through a console
	newRun        = 0.057 // that the next trace belongs to another run
	keepService   = 0.575 // that the next trace of a run keeps the service
	keepName      = 0.44  // and then also the name
	shareReadOK   = 0.034 // of the reads that fail
	shareWriteBad = 0.145 // of the writes that fail
	shareIncident = 0.001
	shareHuge     = 0.001 // a body of 16 to 64 KiB
	shareEnormous = 1e-5  // a body of 256 KiB
	shareNoID     = 0.25  // no resource
	newData       = 0.45  // of the resources of data events that are new, before those without
	newManagement = 0.12
	recently      = 0.80 // of the known resources that are chosen by how new they are, not by how old
	sharePair     = 0.10 // of the writes, that end later
	shareRequest  = 0.90
	mostRequest   = 1400 // bytes, but for the huge ones

	runLimit    = 300_000 // milliseconds that a run lasts at most
	burstEvery  = 600     // runs; one in that many is a burst
	burstTraces = 90
	lateMedian  = 132_000 // of the last trace of a run, in milliseconds
	lateSigma   = 0.50
	lateMost    = 605_000
	swapped     = 0.125 // of the neighbours in a run
)

// trail makes the traces of a trail.
//
// It goes from run to run: traces of one user, one behind the other. A run is written
// down as a whole when it has ended and some time has passed, so that a trail is
// nearly in the order of time inside of runs, and runs overlap.
type trail struct {
	world *world
	r     random
	rare  rare
	left  int

	now     int64 // when the current run is written down
	run     run
	runs    int
	pending []pair // ends of asynchronous operations, by time
	body    []byte

	duplicates float64
	recent     [256]*cts.Trace // for duplicates
	nrecent    int
}

// run is what its traces have in common.
type run struct {
	person  *person // nil for the system
	key     string
	address string
	project string
	kind    cts.TraceType
	times   []int64
	at      int
	service int
	op      int
	begun   bool
}

// pair is an operation that ends later.
type pair struct {
	due   int64
	trace cts.Trace
}

// Trail returns the workload of that name. With a share of duplicates, each trace is
// with that probability followed soon by one that came before, exactly as it was; the
// source then yields more traces than its Count.
func Trail(seed uint64, count int, duplicates float64) *Source {
	return &Source{
		Name: TrailName, Count: count, Words: rareWords, Parts: rareParts,
		traces: func() maker {
			t := &trail{world: newWorld(seed, count), r: newRandom(seed, 3), rare: newRare(count), left: count, now: begin + lateMost, duplicates: duplicates}
			return t.next
		},
	}
}

func (g *trail) next(t *cts.Trace) bool {
	if g.duplicates > 0 && g.nrecent > 0 && g.r.chance(g.duplicates) {
		*t = *g.recent[g.r.IntN(min(g.nrecent, len(g.recent)))]
		return true
	}
	if g.left == 0 {
		return false
	}
	g.left--
	if g.run.at == len(g.run.times) {
		g.begin()
	}
	run := &g.run
	t.Time, t.RecordTime = run.times[run.at], g.now
	run.at++
	if run.person == nil && g.due() {
		g.finish(t)
	} else {
		g.fill(t)
	}
	if g.duplicates > 0 {
		kept := *t
		g.recent[g.nrecent%len(g.recent)] = &kept
		g.nrecent++
	}
	return true
}

// begin begins the next run.
func (g *trail) begin() {
	r := g.r
	run := run{times: g.run.times[:0], kind: cts.TypeSystem, begun: true, service: -1}
	run.project = g.world.projects[g.world.projectBy.draw(r)]
	if !r.chance(shareSystem) {
		p := &g.world.people[g.world.peopleBy.draw(r)]
		run.person = p
		run.address = p.addresses[min(r.IntN(len(p.addresses)), r.IntN(len(p.addresses)))]
		if run.key = p.keys[r.IntN(2)]; r.chance(0.3) {
			run.key = "HSTA" + strings.ToUpper(hexText(r, 16)) // temporary
		}
		if run.kind = cts.TypeAPI; r.chance(shareConsole / (1 - shareSystem)) {
			run.kind = cts.TypeConsole
		}
	}
	offsets := g.offsets(run.times)
	g.now += int64(r.ExpFloat64() * meanGap * float64(len(offsets)))
	last := offsets[len(offsets)-1]
	late := int64(r.logNormal(lateMedian, lateSigma))
	late = min(max(late, 1000), lateMost-last)
	for i := range offsets {
		offsets[i] += g.now - late - last
	}
	for i := 1; i < len(offsets); i++ { // neighbours change places
		if r.chance(swapped) && offsets[i] != offsets[i-1] {
			offsets[i], offsets[i-1] = offsets[i-1], offsets[i]
			i++
		}
	}
	run.times = offsets
	g.run = run
}

// offsets makes the moments of a run, from 0 on.
func (g *trail) offsets(times []int64) []int64 {
	r := g.r
	at := int64(0)
	if g.runs++; g.runs%burstEvery == burstEvery/2 {
		for range burstTraces {
			times = append(times, at)
			at += int64(r.between(8, 18))
		}
		return times
	}
	for {
		times = append(times, at)
		if r.chance(newRun) || len(times) >= 300 {
			return times
		}
		if r.chance(0.75) {
			at += int64(r.IntN(1001))
		} else {
			at += 1000 + int64(r.ExpFloat64()*20_000)
		}
		if at > runLimit {
			return times
		}
	}
}

// operation chooses what the run does next.
func (g *trail) operation() (*service, *operation) {
	r, run := g.r, &g.run
	switch {
	case run.service < 0 || !r.chance(keepService):
		run.service = g.world.service.draw(r)
		run.op = g.world.services[run.service].pick.draw(r)
	case !r.chance(keepName):
		run.op = g.world.services[run.service].pick.draw(r)
	}
	s := &g.world.services[run.service]
	return s, &s.operations[run.op]
}

// fill makes a trace of the run.
func (g *trail) fill(t *cts.Trace) {
	r, run := g.r, &g.run
	s, op := g.operation()
	t.ID = r.uuidAt(t.RecordTime)
	t.Name, t.ServiceType, t.ResourceType, t.Type = op.name, s.name, op.resourceType, run.kind
	t.EventType, t.TrackerName = cts.EventSystem, "system"
	if op.data {
		t.EventType, t.TrackerName = cts.EventData, "objects"
	}
	t.ReadOnly = cts.BoolOf(!op.write)
	t.APIVersion, t.Endpoint, t.EnterpriseProjectID = "v3", op.endpoint, "0"
	t.ProjectID, t.RequestID = run.project, r.uuid()
	t.DomainID = g.world.domains[0].ID
	if p := run.person; p != nil {
		t.User, t.UserAgent, t.SourceIP, t.DomainID = p.user, p.agent, run.address, p.user.Domain.ID
		t.User.AccessKeyID = run.key
	}
	if !r.chance(shareNoID) {
		g.resource(t, s, op)
	}
	g.result(t, op)
	g.bodies(t, op)
	if op.write && t.User.Name != "" && r.chance(sharePair) {
		t.OperationID = r.uuid()
		g.pending = append(g.pending, pair{due: t.Time + int64(r.between(60_000, 300_000)), trace: *t})
		for i := len(g.pending) - 1; i > 0 && g.pending[i].due < g.pending[i-1].due; i-- {
			g.pending[i], g.pending[i-1] = g.pending[i-1], g.pending[i]
		}
	}
}

// due reports whether an operation has ended that is to be written down now. Of one
// that ended too long ago nothing is heard any more.
func (g *trail) due() bool {
	for len(g.pending) > 0 && g.pending[0].due < g.now-lateMost {
		g.pending = slices.Delete(g.pending, 0, 1)
	}
	return len(g.pending) > 0 && g.pending[0].due <= g.now-lateMedian/4
}

// finish makes the trace of the end of an operation that was begun minutes ago. It is
// the service itself that reports it.
func (g *trail) finish(t *cts.Trace) {
	recorded := t.RecordTime
	due := g.pending[0].due
	*t = g.pending[0].trace
	g.pending = slices.Delete(g.pending, 0, 1)
	t.ID, t.Time, t.RecordTime = g.r.uuidAt(recorded), due, recorded
	t.User, t.UserAgent, t.SourceIP, t.Type = cts.User{}, "", "", cts.TypeSystem
	t.RequestID, t.Request = g.r.uuid(), ""
	g.body = append(append(g.body[:0], `{"job_id":"`...), t.OperationID...)
	g.body = append(g.body, `","status":"SUCCESS"}`...)
	t.Response, t.Code, t.Rating = string(g.body), "200", cts.RatingNormal
}

// resource chooses a resource of the service: a new one, or one seen before.
func (g *trail) resource(t *cts.Trace, s *service, op *operation) {
	r := g.r
	p := newManagement
	if op.data {
		p = newData
	}
	which := 0
	switch {
	case s.born == 0 || r.chance(p):
		s.born++
		which = s.born
	case r.chance(recently):
		which = s.born + 1 - r.growingZipf(s.born, zipfResources)
	default:
		which = r.growingZipf(s.born, zipfResources)
	}
	h := mix(uint64(which), uint64(g.run.service))
	if op.data {
		g.body = append(g.body[:0], s.buckets[h>>56%uint64(len(s.buckets))]...)
		g.body = append(append(g.body, things[h%uint64(len(things))]...), '-')
		g.body = appendHex(g.body, h>>8, 12)
		t.ResourceID = string(g.body)
		t.ResourceName = t.ResourceID[strings.LastIndexByte(t.ResourceID, '/')+1:]
		return
	}
	var b [48]byte
	t.ResourceID = string(appendUUID(b[:0], h, mix(h, 1), 4))
	text := append(append(append(b[:0], op.resourceType...), '-'), things[h%uint64(len(things))]...)
	t.ResourceName = string(appendDecimal(append(text, '-'), int(h>>32&1023)))
}

// result says how the operation went.
func (g *trail) result(t *cts.Trace, op *operation) {
	r := g.r
	t.Rating, t.Code = cts.RatingNormal, op.code
	bad := shareReadOK
	if op.write {
		bad = shareWriteBad
	}
	if r.chance(bad) {
		t.Rating, t.Code = cts.RatingWarning, g.world.codes[g.world.codeBy.draw(r)]
	}
	if r.chance(shareIncident) {
		t.Rating, t.Code = cts.RatingIncident, "500"
	}
	t.TotalTime = int64(math.Ceil(r.logNormal(12, 0.8)))
}

// bodies writes request and response.
func (g *trail) bodies(t *cts.Trace, op *operation) {
	r := g.r
	if special := g.rare.append(nil, r); special != nil || r.chance(shareRequest) {
		size := r.logNormal(130, 0.7)
		switch {
		case op.data:
			size = r.logNormal(275, 0.35)
		case op.create:
			size = r.logNormal(650, 0.7)
		}
		size = math.Min(size, mostRequest)
		if r.chance(shareEnormous) {
			size = 250 << 10
		} else if r.chance(shareHuge) {
			size = float64(r.between(16<<10, 60<<10))
		}
		g.body = body(g.body[:0], r, op.template, t.ResourceID, max(2, int(size)-len(special)))
		g.body = append(append(g.body[:len(g.body)-1], special...), '}')
		t.Request = string(g.body)
	}
	answers := 0.02
	if op.write {
		answers = 0.5
	}
	if r.chance(answers) {
		size := math.Min(r.logNormal(130, 1.3), 4<<10)
		half := len(op.template) / 2
		g.body = body(g.body[:0], r, op.template[half:], t.ResourceID, int(size))
		t.Response = string(g.body[:min(len(g.body), 4<<10)])
	}
}
