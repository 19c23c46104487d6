package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// client is one caller of the service: a user at an address.
type client struct {
	token   string
	address string
	agent   string
}

var clients = []client{
	{"token-of-alice", "203.0.113.10", "console/2.4"},
	{"token-of-alice", "203.0.113.11", "terraform/1.9"},
	{"token-of-bob", "198.51.100.7", "ops-cli/0.8"},
	{"token-of-bob", "198.51.100.8", "ops-cli/0.8"},
	{"token-of-carol", "192.0.2.77", "sdk-go/3.1"},
	{"token-of-dave", "203.0.113.99", "Mozilla/5.0"},
	{"token-of-mallory", "192.0.2.66", "curl/8.5"}, // of nobody who is known
}

// traffic drives requests at the service.
type traffic struct {
	base   string
	http   *http.Client
	total  int
	next   atomic.Int64
	done   atomic.Int64
	panics atomic.Int64 // requests that made the service panic
}

// workers is how many requests are under way at a time.
const workers = 8

// drive makes all requests and returns the first error that is not the service's.
func (t *traffic) drive(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for w := range workers {
		group.Go(func() error {
			l := &life{traffic: t, rand: rand.New(rand.NewPCG(1, uint64(w)))}
			for t.next.Add(1) <= int64(t.total) {
				if err := l.act(ctx); err != nil {
					return err
				}
				t.done.Add(1)
			}
			return nil
		})
	}
	return group.Wait()
}

// life is what one worker does, and the resources that it has made.
type life struct {
	*traffic
	rand    *rand.Rand
	servers []string
	volumes []string
	crashed bool
}

// act makes one request: mostly reads, some changes, and some that go wrong.
func (l *life) act(ctx context.Context) error {
	c := clients[l.rand.IntN(len(clients))]
	switch n := l.rand.IntN(100); {
	case n < 30:
		return l.call(ctx, c, "GET", "/servers", nil, nil)
	case n < 50 && len(l.servers) > 0:
		return l.call(ctx, c, "GET", "/servers/"+l.pick(l.servers), nil, nil)
	case n < 53:
		return l.call(ctx, c, "GET", "/servers/server-none", nil, nil)
	case n < 68:
		flavor := []string{"s1.small", "s1.medium", "m2.large", ""}[l.rand.IntN(4)] // "" is refused
		return l.call(ctx, c, "POST", "/servers", map[string]string{"name": fmt.Sprintf("web-%d", l.rand.IntN(100)), "flavor": flavor}, &l.servers)
	case n < 78 && len(l.servers) > 0:
		return l.call(ctx, c, "PUT", "/servers/"+l.pick(l.servers), map[string]string{"flavor": "m2.large"}, nil)
	case n < 83 && len(l.servers) > 3:
		return l.call(ctx, c, "DELETE", "/servers/"+l.pick(l.servers), nil, nil)
	case n < 90:
		return l.call(ctx, c, "POST", "/volumes", map[string]int{"size": l.rand.IntN(1100)}, &l.volumes)
	case n < 94 && len(l.volumes) > 0 && len(l.servers) > 0:
		return l.call(ctx, c, "POST", "/volumes/"+l.pick(l.volumes)+"/attach", map[string]string{"server_id": l.pick(l.servers)}, nil)
	case n < 97 && len(l.volumes) > 0:
		return l.call(ctx, c, "DELETE", "/volumes/"+l.pick(l.volumes), nil, nil)
	case n == 99 && !l.crashed && l.panics.CompareAndSwap(0, 1):
		l.crashed = true
		return l.call(ctx, clients[0], "POST", "/reports", nil, nil)
	}
	return l.call(ctx, c, "POST", "/users/u-1002/password", map[string]string{"password": "correct horse battery staple"}, nil)
}

func (l *life) pick(ids []string) string { return ids[l.rand.IntN(len(ids))] }

// call makes a request, and keeps the id of what it made.
func (l *life) call(ctx context.Context, c client, method, path string, body any, made *[]string) error {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, l.base+"/v1/p-01"+path, content)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("User-Agent", c.agent)
	r.Header.Set("X-Forwarded-For", c.address) // what the load balancer in front of the service says
	response, err := l.http.Do(r)
	if err != nil {
		if l.crashed && errors.Is(err, io.EOF) { // the panic cut the connection
			return nil
		}
		return err
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if made != nil && response.StatusCode == http.StatusCreated {
		var created struct{ ID string }
		if err := json.Unmarshal(answer, &created); err != nil {
			return err
		}
		*made = append(*made, created.ID)
	}
	return nil
}
