package workload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

// Profile is what can be measured of a trail. Times are in milliseconds, shares in 0
// to 1, of all traces unless something else is said.
type Profile struct {
	Traces     int     // different ones
	Duplicates float64 // offered again, of all that were offered

	Bytes struct{ P50, P90, P99 int } // of JSON
	Huge  float64                     // of at least 16 KiB
	Zstd  float64                     // JSON, one a line, to what zstd -3 makes of it

	Services, Names, Users, Addresses, Agents, Projects, Codes int
	TopService, TopName, TopUser, TopAddress, TopProject       float64 // of the most frequent one; of user and address, among traces that have one

	ReadOnly, Data             float64
	Console, API, System       float64
	NoAddress, NoUser          float64
	NoResource                 float64
	Incident                   float64
	Failed, FailedR, FailedW   float64 // of all, of the reads, of the writes
	Resources                  float64 // different ones
	NewData, NewManagement     float64 // first seen, of the traces of the kind that have a resource
	SeenOnceOrTwice            float64 // of the resources
	SameUser, SameService      float64 // as the trace before
	SameName                   float64
	ShortGaps                  float64 // up to 1 s, of the neighbours with one user
	LongGap                    float64 // mean of what the other gaps of a run have over 1 s
	Peak                       float64 // traces of the busiest second to the mean
	Swapped                    float64 // neighbours of which the first is the later
	LateMedian, LateMost       float64
	LateSigma                  float64 // deviation of the logarithm
	Pairs                      float64 // asynchronous operations, of the writes of users
	PairLeast, PairMost        float64
	Request                    float64
	ResponseR, ResponseW       float64 // with one, of the reads and of the writes
	RequestMedian, ObjectSize  float64 // bytes: of management requests other than creates, of object events
	CreateSize, ResponseMedian float64
	ResponseMost               float64
	UserLeast, UserMost        int // bytes of the user's JSON
	AgentLeast, AgentMost      int
	Days                       float64 // that a million traces would cover
	Order                      bool    // record times never go back
}

// meter measures a profile.
type meter struct {
	p                                                                Profile
	services, names, users, addresses, projects, agents, codes, seen map[string]int
	ids                                                              map[string]bool
	seconds                                                          map[int64]int
	sizes                                                            []int
	late, mgmt, object, create, response                             []float64
	pairs                                                            map[string]int64
	reads, writes, userWrites, dups, gaps, longs, offered            int
	newData, newMgmt, dataIDs, mgmtIDs                               int
	longSum                                                          float64
	first, last                                                      int64
	before                                                           *cts.Trace
	run                                                              []int64
	zip                                                              *zstd.Encoder
	plain, zipped                                                    int64
}

// Measure reads traces and measures them.
func Measure(chunks iter.Seq[[]contest.Record]) (Profile, error) {
	m := &meter{
		services: map[string]int{}, names: map[string]int{}, users: map[string]int{}, addresses: map[string]int{}, projects: map[string]int{},
		agents: map[string]int{}, codes: map[string]int{}, seen: map[string]int{}, ids: map[string]bool{}, seconds: map[int64]int{},
		pairs: map[string]int64{}, first: math.MaxInt64,
	}
	m.p.Order = true
	m.p.UserLeast, m.p.AgentLeast, m.p.PairLeast = math.MaxInt, math.MaxInt, math.Inf(1)
	var err error
	if m.zip, err = zstd.NewWriter(countWriter{&m.zipped}, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(3)), zstd.WithEncoderConcurrency(1)); err != nil {
		return Profile{}, err
	}
	for chunk := range chunks {
		for _, r := range chunk {
			if err := m.add(r); err != nil {
				return Profile{}, err
			}
		}
	}
	if err := m.zip.Close(); err != nil {
		return Profile{}, err
	}
	if len(m.sizes) < 2 {
		return Profile{}, errors.New("workload: too few traces for a profile")
	}
	m.finish()
	return m.p, nil
}

type countWriter struct{ n *int64 }

func (w countWriter) Write(p []byte) (int, error) { *w.n += int64(len(p)); return len(p), nil }

var _ io.Writer = countWriter{}

var newline = []byte{'\n'}

func (m *meter) add(r contest.Record) error {
	t := r.Trace
	m.offered++
	if m.ids[t.ID] {
		m.dups++
		return nil
	}
	m.ids[t.ID] = true
	for _, b := range [][]byte{r.JSON, newline} {
		if _, err := m.zip.Write(b); err != nil {
			return err
		}
	}
	m.plain += int64(len(r.JSON) + 1)
	m.sizes = append(m.sizes, len(r.JSON))
	m.count(t)
	m.kinds(t)
	m.sizesOf(t)
	m.neighbours(t)
	m.inRun(t)
	m.first, m.last = min(m.first, t.Time), max(m.last, t.Time)
	m.seconds[t.Time/1000]++
	m.late = append(m.late, float64(t.RecordTime-t.Time))
	m.before = t
	return nil
}

// count counts values.
func (m *meter) count(t *cts.Trace) {
	m.services[t.ServiceType]++
	m.names[t.ServiceType+" "+t.Name]++
	m.projects[t.ProjectID]++
	if t.User.Name != "" {
		m.users[t.User.Name]++
	} else {
		m.p.NoUser++
	}
	if t.SourceIP != "" {
		m.addresses[t.SourceIP]++
	} else {
		m.p.NoAddress++
	}
	if t.UserAgent != "" {
		m.agents[t.UserAgent]++
		m.p.AgentLeast, m.p.AgentMost = min(m.p.AgentLeast, len(t.UserAgent)), max(m.p.AgentMost, len(t.UserAgent))
	}
	if t.ResourceID == "" {
		m.p.NoResource++
		return
	}
	key := t.ServiceType + " " + t.ResourceID
	m.seen[key]++
	fresh := m.seen[key] == 1
	switch {
	case isEnd(t): // the end of a pair has the resource of its beginning
	case t.EventType == cts.EventData:
		m.dataIDs++
		m.newData += bit(fresh)
	default:
		m.mgmtIDs++
		m.newMgmt += bit(fresh)
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// kinds counts what sort of trace it is.
func (m *meter) kinds(t *cts.Trace) {
	p := &m.p
	switch t.Type {
	case cts.TypeConsole:
		p.Console++
	case cts.TypeAPI:
		p.API++
	case cts.TypeSystem:
		p.System++
	}
	if t.EventType == cts.EventData {
		p.Data++
	}
	read := t.ReadOnly == cts.True
	if read {
		m.reads++
	} else {
		m.writes++
	}
	switch t.Rating {
	case cts.RatingIncident:
		p.Incident++
	case cts.RatingWarning:
		p.Failed++
		m.codes[t.Code]++
		if read {
			p.FailedR++
		} else {
			p.FailedW++
		}
	}
	if !read && t.User.Name != "" {
		m.userWrites++
	}
	if t.OperationID == "" {
		return
	}
	begun, ok := m.pairs[t.OperationID]
	if !ok {
		m.pairs[t.OperationID] = t.Time
		return
	}
	after := float64(t.Time - begun)
	p.PairLeast, p.PairMost = math.Min(p.PairLeast, after), math.Max(p.PairMost, after)
}

// sizesOf counts bytes.
func (m *meter) sizesOf(t *cts.Trace) {
	n := float64(len(t.Request))
	switch {
	case t.Request == "":
	case t.EventType == cts.EventData:
		m.object = append(m.object, n)
	case strings.HasPrefix(t.Name, "create") || strings.HasPrefix(t.Name, "batchCreate"):
		m.create = append(m.create, n)
	default:
		m.mgmt = append(m.mgmt, n)
	}
	if t.Request != "" {
		m.p.Request++
	}
	if t.Response != "" && !isEnd(t) {
		m.response = append(m.response, float64(len(t.Response)))
		if t.ReadOnly == cts.True {
			m.p.ResponseR++
		} else {
			m.p.ResponseW++
		}
	}
	if t.User.Name != "" {
		if json := t.AppendJSON(nil); true {
			at := bytes.Index(json, []byte(`"user":{`))
			n := userBytes(json[at+len(`"user":`):])
			m.p.UserLeast, m.p.UserMost = min(m.p.UserLeast, n), max(m.p.UserMost, n)
		}
	}
}

// userBytes returns the length of the JSON object that text begins with.
func userBytes(text []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(text)
}

// neighbours compares a trace with the one before.
func (m *meter) neighbours(t *cts.Trace) {
	b := m.before
	if b == nil {
		return
	}
	p := &m.p
	p.Order = p.Order && t.RecordTime >= b.RecordTime
	p.SameService += float64(bit(t.ServiceType == b.ServiceType))
	p.SameName += float64(bit(t.ServiceType == b.ServiceType && t.Name == b.Name))
	p.Swapped += float64(bit(t.Time < b.Time))
	if t.User.Name != b.User.Name {
		return
	}
	p.SameUser++
}

// inRun collects the times of the traces that were written down together.
func (m *meter) inRun(t *cts.Trace) {
	if isEnd(t) {
		return
	}
	if m.before != nil && (t.RecordTime != m.before.RecordTime || t.User.Name != m.before.User.Name) {
		m.endRun()
	}
	m.run = append(m.run, t.Time)
}

// endRun counts the gaps of a run.
func (m *meter) endRun() {
	slices.Sort(m.run)
	for i := 1; i < len(m.run); i++ {
		m.gaps++
		gap := float64(m.run[i] - m.run[i-1])
		if gap <= 1000 {
			m.p.ShortGaps++
			continue
		}
		m.longs++
		m.longSum += gap - 1000
	}
	m.run = m.run[:0]
}

// isEnd reports whether t is the end of an asynchronous operation, which is not like
// the traces around it.
func isEnd(t *cts.Trace) bool { return strings.HasPrefix(t.Response, `{"job_id"`) }

// finish makes shares of the counts.
func (m *meter) finish() {
	p := &m.p
	p.Traces = len(m.sizes)
	n := float64(p.Traces)
	p.Duplicates = float64(m.dups) / float64(m.offered)
	slices.Sort(m.sizes)
	p.Bytes.P50, p.Bytes.P90, p.Bytes.P99 = quantile(m.sizes, 0.5), quantile(m.sizes, 0.9), quantile(m.sizes, 0.99)
	for i, size := range m.sizes {
		if size >= 16<<10 {
			p.Huge = float64(len(m.sizes)-i) / n
			break
		}
	}
	p.Zstd = float64(m.plain) / float64(m.zipped)
	p.Services, p.Names, p.Users, p.Addresses = len(m.services), len(m.names), len(m.users), len(m.addresses)
	p.Agents, p.Projects, p.Codes = len(m.agents), len(m.projects), len(m.codes)
	top := func(count map[string]int, of float64) float64 { return float64(count[keys(count)[0]]) / of }
	p.TopService, p.TopProject = top(m.services, n), top(m.projects, n)
	p.TopName = float64(m.names[keys(m.names)[0]]) / float64(m.services[keys(m.services)[0]])
	p.TopUser, p.TopAddress = top(m.users, n-p.NoUser), top(m.addresses, n-p.NoAddress)

	p.FailedR /= float64(m.reads)
	p.FailedW /= float64(m.writes)
	p.ResponseR /= float64(m.reads)
	p.ResponseW /= float64(m.writes)
	p.ReadOnly = float64(m.reads) / n
	for _, v := range []*float64{
		&p.Data, &p.Console, &p.API, &p.System, &p.NoAddress, &p.NoUser, &p.NoResource, &p.Incident, &p.Failed, &p.Request,
	} {
		*v /= n
	}
	for _, v := range []*float64{&p.SameUser, &p.SameService, &p.SameName, &p.Swapped} {
		*v /= n - 1
	}
	m.finishResources(n)
	m.endRun()
	p.ShortGaps /= float64(m.gaps)
	p.LongGap = m.longSum / float64(m.longs)
	p.Pairs = float64(len(m.pairs)) / float64(m.userWrites)
	p.Days = float64(m.last-m.first) / n * 1e6 / (24 * 3600 * 1000)
	m.finishTimes(n)
	m.finishSizes()
}

func (m *meter) finishResources(n float64) {
	p := &m.p
	rare := 0
	for _, count := range m.seen {
		rare += bit(count <= 2)
	}
	p.Resources = float64(len(m.seen)) / n
	p.SeenOnceOrTwice = float64(rare) / float64(len(m.seen))
	p.NewData = float64(m.newData) / float64(m.dataIDs)
	p.NewManagement = float64(m.newMgmt) / float64(m.mgmtIDs)
}

func (m *meter) finishTimes(n float64) {
	p := &m.p
	busiest := 0
	for _, count := range m.seconds {
		busiest = max(busiest, count)
	}
	p.Peak = float64(busiest) / (n / (float64(m.last-m.first) / 1000))
	slices.Sort(m.late)
	p.LateMedian, p.LateMost = quantile(m.late, 0.5), m.late[len(m.late)-1]
	sum, squares := 0.0, 0.0
	for _, v := range m.late {
		l := math.Log(math.Max(v, 1))
		sum += l
		squares += l * l
	}
	p.LateSigma = math.Sqrt(math.Max(0, squares/n-sum/n*sum/n))
}

func (m *meter) finishSizes() {
	p := &m.p
	for _, s := range []struct {
		values []float64
		to     *float64
	}{{m.mgmt, &p.RequestMedian}, {m.object, &p.ObjectSize}, {m.create, &p.CreateSize}, {m.response, &p.ResponseMedian}} {
		slices.Sort(s.values)
		if len(s.values) > 0 {
			*s.to = quantile(s.values, 0.5)
		}
	}
	if k := len(m.response); k > 0 {
		p.ResponseMost = m.response[k-1]
	}
}

// Check compares the profile of a trail that was made with the one it should have,
// and returns an error with every figure that is off. Count is the size of the trail
// and duplicates its share; the profile may be of its beginning only.
func (p Profile) Check(count int, duplicates float64) error {
	var faults []error
	in := func(what string, got, lo, hi float64) {
		if !(got >= lo && got <= hi) {
			faults = append(faults, fmt.Errorf("%s: %.4g, want %.4g to %.4g", what, got, lo, hi))
		}
	}
	p.checkSizes(in)
	p.checkNumbers(in, count)
	p.checkShares(in)
	p.checkOrder(in)
	d := duplicates
	in("duplicates", p.Duplicates, d*0.8, d*1.2)
	if !p.Order {
		faults = append(faults, errors.New("record times go back"))
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("workload: the trail is not as real ones are: %w", errors.Join(faults...))
}

type interval func(what string, got, lo, hi float64)

func (p Profile) checkSizes(in interval) {
	in("bytes, median", float64(p.Bytes.P50), 1200, 1600)
	in("bytes, 90 %", float64(p.Bytes.P90), 1700, 2400)
	in("bytes, 99 %", float64(p.Bytes.P99), 2000, 2875)
	in("share of 16 KiB and more", p.Huge, 0.0004, 0.002)
	in("compression by zstd -3", p.Zstd, 8, 14)
	in("request, median", p.RequestMedian, 115, 165)
	in("request of an object event, median", p.ObjectSize, 260, 310)
	in("request of a create, median", p.CreateSize, 560, 760)
	in("response, median", p.ResponseMedian, 115, 165)
	in("response, most", p.ResponseMost, 0, 4096)
	in("user, least bytes", float64(p.UserLeast), 60, 200)
	in("user, most bytes", float64(p.UserMost), 500, 640)
	in("user agent, least bytes", float64(p.AgentLeast), 25, 60)
	in("user agent, most bytes", float64(p.AgentMost), 150, 285)
}

func (p Profile) checkNumbers(in interval, count int) {
	n := float64(min(p.Traces, count))
	seen := math.Min(1, n/2000) // a short sample has not seen everything
	in("services", float64(p.Services), 0.7*trailServices*seen, trailServices)
	in("names", float64(p.Names), 0.4*1200*math.Min(1, n/20e3), 1260)
	users := float64(scaled(trailUsers, count, 60))
	in("users", float64(p.Users), users*0.35*math.Min(1, n/float64(count)), users)
	in("addresses", float64(p.Addresses), 20, float64(scaled(trailAddresses, count, 100)))
	in("user agents", float64(p.Agents), 20, trailAgents)
	in("projects", float64(p.Projects), 0.8*trailProjects, trailProjects)
	in("codes of failures", float64(p.Codes), 25, trailCodes)
	in("share of the busiest service (Zipf 1.5)", p.TopService, 0.38, 0.48)
	in("share of its most frequent name (Zipf 1.1)", p.TopName, 0.24, 0.38)
	in("share of the busiest user (Zipf 1.4)", p.TopUser, 0.24, 0.50)
	in("share of the busiest address (Zipf 1.6, by users)", p.TopAddress, 0.20, 0.75)
	in("share of the busiest project (Zipf 1.0)", p.TopProject, 0.15, 0.30)
	in("resources to traces", p.Resources, 0.20, 0.33)
	in("new resources of data events", p.NewData, 0.42, 0.48)
	in("new resources of management events", p.NewManagement, 0.10, 0.16)
	in("resources seen once or twice", p.SeenOnceOrTwice, 0.45, 0.68)
}

func (p Profile) checkShares(in interval) {
	in("read-only", p.ReadOnly, 0.77, 0.83)
	in("data events", p.Data, 0.65, 0.75)
	in("console", p.Console, 0.29, 0.41)
	in("API", p.API, 0.39, 0.51)
	in("system", p.System, 0.16, 0.24)
	in("no address", p.NoAddress, 0.16, 0.24)
	in("no user", p.NoUser, 0.16, 0.24)
	in("no resource", p.NoResource, 0.235, 0.265)
	in("failed", p.Failed, 0.049, 0.063)
	in("failed writes", p.FailedW, 0.11, 0.17)
	in("failed reads", p.FailedR, 0.028, 0.050)
	in("incidents", p.Incident, 0.0005, 0.0016)
	in("with a request", p.Request, 0.86, 0.92)
	in("reads with a response", p.ResponseR, 0.015, 0.025)
	in("writes with a response", p.ResponseW, 0.40, 0.55)
	in("writes that end later", p.Pairs, 0.085, 0.115)
	in("end of those, least", p.PairLeast, 60_000, 120_000)
	in("end of those, most", p.PairMost, 240_000, 300_000)
}

func (p Profile) checkOrder(in interval) {
	in("same user as before", p.SameUser, 0.935, 0.965)
	in("same service as before", p.SameService, 0.62, 0.68)
	in("same name as before", p.SameName, 0.27, 0.33)
	in("gaps of up to 1 s in a run", p.ShortGaps, 0.70, 0.82)
	in("mean of the other gaps, less that", p.LongGap, 15_000, 25_000)
	in("busiest second to the mean", p.Peak, 50, 110)
	in("neighbours in the wrong order", p.Swapped, 0.12, 0.18)
	in("lateness, median", p.LateMedian, 160_000, 240_000)
	in("lateness, most", p.LateMost, 450_000, 610_000)
	in("lateness, deviation of the logarithm", p.LateSigma, 0.3, 0.7)
	in("days of a million", p.Days, 12, 16)
}
