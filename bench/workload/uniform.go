package workload

import (
	"fmt"
	"strconv"
	"time"

	"github.com/cloudtraceservice/cts"
)

// What a uniform workload is made of.
const (
	uniformNames     = 300
	uniformServices  = 30
	uniformTypes     = 80
	uniformUsers     = 2_000
	uniformAddresses = 5_000
	tracesPerID      = 8 // of a resource
)

// begin is the time of the first trace of every workload.
var begin = time.Date(2024, 6, 3, 0, 0, 0, 0, time.UTC).UnixMilli()

// meanGap is the mean time between two traces, in milliseconds: a million cover 14 days.
const meanGap = 14 * 24 * 3600 * 1000 / 1e6

// uniform makes the traces of a uniform workload.
type uniform struct {
	r         random
	rare      rare
	seed      uint64
	left      int
	resources int
	now       int64
	body      []byte

	names, services, types, users, userIDs, addresses []string
}

// Uniform returns the workload of that name.
func Uniform(seed uint64, count int) *Source {
	return &Source{
		Name: UniformName, Count: count, Words: rareWords, Parts: rareParts,
		traces: func() maker { return newUniform(seed, count).next },
	}
}

func newUniform(seed uint64, count int) *uniform {
	u := &uniform{
		r: newRandom(seed, 1), rare: newRare(count), seed: seed,
		left: count, resources: max(1, count/tracesPerID), now: begin,
	}
	verbs := []string{"create", "delete", "update", "list", "show", "attach", "detach", "resize", "start", "stop"}
	for i := range uniformNames {
		u.names = append(u.names, fmt.Sprintf("%s%s", verbs[i%len(verbs)], nouns[i/len(verbs)]))
	}
	for i := range uniformServices {
		u.services = append(u.services, serviceNames[i])
	}
	for i := range uniformTypes {
		u.types = append(u.types, fmt.Sprintf("%s%d", nouns[i%len(nouns)], i/len(nouns)))
	}
	for i := range uint64(uniformUsers) {
		u.users = append(u.users, fmt.Sprintf("user-%04d", i))
		u.userIDs = append(u.userIDs, string(appendHex(appendHex(nil, mix(seed, i), 16), mix(i, seed), 8)))
	}
	for i := range uint64(uniformAddresses) {
		h := mix(seed^77, i)
		u.addresses = append(u.addresses, fmt.Sprintf("10.%d.%d.%d", h&255, h>>8&255, 1+h>>16&127))
	}
	return u
}

func (u *uniform) next(t *cts.Trace) bool {
	if u.left == 0 {
		return false
	}
	u.left--
	r := u.r
	u.now += r.Int64N(2420)
	user := r.IntN(uniformUsers)
	name := r.IntN(uniformNames)
	resource := r.Uint64N(uint64(u.resources))

	t.ID = r.uuid()
	t.Time, t.RecordTime = u.now, u.now+r.Int64N(20)
	t.Name = u.names[name]
	t.ServiceType = u.services[r.IntN(uniformServices)]
	t.ResourceType = u.types[r.IntN(uniformTypes)]
	t.ResourceID = string(appendUUID(nil, mix(u.seed^1, resource), mix(u.seed^2, resource), 4))
	t.SourceIP = u.addresses[r.IntN(uniformAddresses)]
	t.User.ID, t.User.Name = u.userIDs[user], u.users[user]
	t.Type, t.EventType, t.TrackerName = cts.TypeAPI, cts.EventSystem, "system"
	t.Rating, t.Code = cts.RatingNormal, "200"
	switch p := r.IntN(100); {
	case p == 0:
		t.Rating, t.Code = cts.RatingIncident, "500"
	case p < 6:
		t.Rating, t.Code = cts.RatingWarning, "403"
	}
	t.RequestID = r.uuid()
	t.Request = u.text(true)
	t.Response = u.text(false)
	return true
}

var uniformKeys = [...]string{"name", "flavor", "image", "zone", "subnet", "size", "status", "owner", "stage", "mode", "count", "policy"}

// text returns a JSON object of 100 to 600 bytes.
func (u *uniform) text(request bool) string {
	r := u.r
	size := min(590, 100+int(r.ExpFloat64()*52))
	b := u.body[:0]
	b = append(b, `{"id":"`...)
	b = appendHex(b, r.Uint64(), 8)
	b = append(b, '"')
	for i := r.IntN(len(uniformKeys)); len(b) < size; i++ {
		b = append(append(append(b, ',', '"'), uniformKeys[i%len(uniformKeys)]...), '"', ':')
		if i%4 == 3 {
			b = appendDecimal(b, r.IntN(64))
			continue
		}
		b = append(append(append(append(append(b, '"'), pick(r, adjectives[:8])...), '-'), pick(r, things[:16])...), '"')
	}
	if request {
		b = u.rare.append(b, r)
	}
	b = append(b, '}')
	u.body = b
	return string(b)
}

// appendDecimal appends v, which is not negative.
func appendDecimal(b []byte, v int) []byte { return strconv.AppendInt(b, int64(v), 10) }
