package workload

import (
	"fmt"
	"math"
	"strings"

	"github.com/cloudtraceservice/cts"
)

// The cardinalities of a trail of 10 million traces. Of users and addresses a smaller
// trail has fewer, by the square root of the size; the others stay.
const (
	trailServices  = 45
	namesOfService = 27 // 45 services have about 1,200
	trailUsers     = 5_000
	trailAddresses = 8_000
	trailAgents    = 300
	trailProjects  = 50
	trailCodes     = 36
)

// Zipf exponents.
const (
	zipfServices  = 1.5
	zipfNames     = 1.1
	zipfUsers     = 1.4
	zipfAddresses = 1.6
	zipfProjects  = 1.0
	zipfCodes     = 1.2
	zipfAgents    = 1.1
	zipfResources = 0.85
)

// operation is one trace name of a service.
type operation struct {
	name         string
	resourceType string
	data         bool // on an object's content
	write        bool
	create       bool
	code         string // when it succeeds
	endpoint     string
	template     []member
}

// service is a source of traces.
type service struct {
	name       string
	operations []operation
	pick       table
	buckets    []string // the beginnings of the ids of objects
	born       int      // resources seen so far
}

// person is a user with what does not change about it.
type person struct {
	user      cts.User
	keys      [2]string // access keys
	addresses []string
	agent     string
}

// world holds everything that a trail draws from.
type world struct {
	services  []service
	people    []person
	agents    []string
	projects  []string
	domains   [4]cts.Domain
	codes     []string
	service   table
	peopleBy  table
	projectBy table
	codeBy    table
}

// scaled returns a cardinality for count traces.
func scaled(full, count, least int) int {
	return max(least, int(float64(full)*math.Min(1, math.Sqrt(float64(count)/10e6))))
}

func newWorld(seed uint64, count int) *world {
	r := newRandom(seed, 2)
	w := &world{
		service:   newTable(zipf(trailServices, zipfServices)),
		projectBy: newTable(zipf(trailProjects, zipfProjects)),
		codeBy:    newTable(zipf(trailCodes, zipfCodes)),
	}
	for i := range trailServices {
		w.services = append(w.services, newService(r, i))
	}
	for i := range w.domains {
		w.domains[i] = cts.Domain{ID: hexText(r, 32), Name: fmt.Sprintf("hwc-account-%02d", i)}
	}
	for range trailProjects {
		w.projects = append(w.projects, hexText(r, 32))
	}
	for range trailAgents {
		w.agents = append(w.agents, newAgent(r))
	}
	for i := range trailCodes {
		switch {
		case i%3 == 0:
			w.codes = append(w.codes, fmt.Sprint([...]int{403, 404, 409, 400, 401, 500, 429, 503, 412, 502, 405, 504}[i/3]))
		default:
			w.codes = append(w.codes, fmt.Sprintf("%s.%04d", serviceNames[r.IntN(12)], r.IntN(900)))
		}
	}
	w.populate(r, count)
	return w
}

func hexText(r random, n int) string {
	b := make([]byte, 0, n+16)
	for len(b) < n {
		b = appendHex(b, r.Uint64(), min(16, n-len(b)))
	}
	return string(b)
}

// isData says which services' operations are mostly on objects: 0.7 of all traces come from them.
func isData(rank int) bool { return rank == 0 || rank == 1 || rank == 2 || rank == 4 }

// newService makes a service whose operations, weighted, are four fifths reading.
func newService(r random, rank int) service {
	s := service{name: serviceNames[rank], pick: newTable(zipf(namesOfService, zipfNames))}
	endpoint := strings.ToLower(s.name) + ".eu-de.example.com"
	weights := zipf(namesOfService, zipfNames)
	all, writing := 0.0, 0.0
	for range 20 {
		s.buckets = append(s.buckets, fmt.Sprintf("%s-%s/%s/", pick(r, adjectives[:]), pick(r, things[:]), pick(r, things[:])))
	}
	used := map[string]bool{}
	own := nouns[rank%len(nouns)]
	for k := range namesOfService {
		write := all > 0 && writing < 0.2*all
		all += weights[k]
		if write {
			writing += weights[k]
		}
		op := operation{data: isData(rank), write: write, endpoint: endpoint, code: "200"}
		for op.name == "" || used[op.name] {
			op.name, op.resourceType, op.create = operationName(r, op.data, write, own)
		}
		used[op.name] = true
		if op.create {
			op.code = "201"
		} else if write && r.chance(0.4) {
			op.code = "204"
		}
		op.template = newTemplate(r, 14)
		s.operations = append(s.operations, op)
	}
	return s
}

// operationName makes up a name. Creates are a third of the writes.
func operationName(r random, data, write bool, own string) (name, resourceType string, create bool) {
	noun := own
	if r.chance(0.6) {
		noun = pick(r, nouns[:])
	}
	if data {
		for {
			name = pick(r, objectNames[:])
			verb, _, _ := strings.Cut(name, ".")
			reads := verb == "GET" || verb == "HEAD" || verb == "LIST" || verb == "SELECT" || verb == "OPTIONS"
			if reads != write {
				break
			}
		}
		if r.chance(0.5) { // so that 27 different ones can be had of each kind
			name += "." + strings.ToUpper(noun)
		}
		return name, "object", false
	}
	resourceType = strings.ToLower(noun)
	switch {
	case !write:
		return pick(r, []string{"list", "show", "get", "describe", "query", "batchQuery"}) + noun + pick(r, []string{"", "s", "Detail", "Status"}), resourceType, false
	case r.chance(0.33):
		return pick(r, []string{"create", "batchCreate"}) + noun, resourceType, true
	}
	return pick(r, []string{"delete", "update", "attach", "detach", "start", "stop", "resize", "reset", "enable", "disable"}) + noun, resourceType, false
}

// newAgent makes a user agent of 25 to 285 bytes.
func newAgent(r random) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s-sdk-go/%d.%d.%d", pick(r, []string{"huaweicloud", "otc", "openstack"}), r.IntN(4), r.IntN(40), r.IntN(30))
	size := 25 + int(260*math.Pow(r.Float64(), 2))
	parts := []string{
		" (X11; Linux x86_64)", " AppleWebKit/537.36 (KHTML, like Gecko)", " Chrome/126.0.%d.%d", " Safari/537.%d",
		" terraform/1.%d.%d", " go1.%d", " cfg/retry-mode#standard", " md/installer#exe", " lang/python#3.%d.%d", " api/obs#2.%d.%d",
	}
	for i := r.IntN(len(parts)); b.Len() < size; i++ {
		part := parts[i%len(parts)]
		args := make([]any, strings.Count(part, "%d"))
		for k := range args {
			args[k] = r.IntN(200)
		}
		fmt.Fprintf(&b, part, args...)
	}
	return b.String()[:min(size, b.Len())]
}

// populate makes the users with their addresses and keys.
func (w *world) populate(r random, count int) {
	users := scaled(trailUsers, count, 60)
	addresses := make([]string, scaled(trailAddresses, count, 100))
	for i := range addresses {
		addresses[i] = fmt.Sprintf("%d.%d.%d.%d", pick(r, []int{10, 100, 160, 80}), r.IntN(256), r.IntN(256), r.between(1, 254))
	}
	addressBy := newTable(zipf(len(addresses), zipfAddresses))
	agentBy := newTable(zipf(trailAgents, zipfAgents))
	w.peopleBy = newTable(zipf(users, zipfUsers))
	for i := range users {
		p := person{agent: w.agents[agentBy.draw(r)]}
		p.user = newUser(r, i, w.domains[i%len(w.domains)])
		for k := range p.keys {
			p.keys[k] = "HPUA" + strings.ToUpper(hexText(r, 16))
		}
		for range r.between(1, 6) {
			p.addresses = append(p.addresses, addresses[addressBy.draw(r)])
		}
		w.people = append(w.people, p)
	}
}

// newUser makes a user whose JSON has 60 to 640 bytes.
func newUser(r random, i int, domain cts.Domain) cts.User {
	u := cts.User{ID: hexText(r, 32), Name: fmt.Sprintf("%s.%s%d", pick(r, adjectives[:]), pick(r, things[:]), i)}
	switch i % 10 {
	case 7: // a small one
		return u
	case 0, 1, 3, 4, 6, 9: // a user of the account
		u.UserName, u.Domain, u.AccountID, u.Type = u.Name, domain, domain.ID, "User"
		u.PrincipalURN = "iam::" + domain.ID + ":user:" + u.Name
		u.PrincipalIsRootUser = "false"
		return u
	}
	session := fmt.Sprintf("job-%s-%d", pick(r, things[:]), i)
	u.UserName, u.Domain, u.AccountID, u.Type = u.Name, domain, domain.ID, "AssumedAgency"
	u.PrincipalID = u.ID + ":" + session
	u.PrincipalURN = "sts::" + domain.ID + ":assumed-agency:" + u.Name + "/" + session
	u.PrincipalIsRootUser = "false"
	u.InvokedBy = []string{"service." + strings.ToUpper(pick(r, things[:]))}
	u.SessionContext.Attributes = cts.SessionAttributes{CreatedAt: fmt.Sprint(begin + int64(r.IntN(1e6))), MFAAuthenticated: "false"}
	if i%10 == 2 {
		u.OriginUser = pick(r, things[:])
	}
	return u
}
