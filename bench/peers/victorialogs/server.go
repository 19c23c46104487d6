package victorialogs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// server is one running process of VictoriaLogs.
type server struct {
	cmd    *exec.Cmd
	url    string
	client *http.Client
	log    *tail
	exited chan struct{} // closed when the process has ended
}

// start runs the program on dir and a free port of the loopback, and returns when it
// is healthy.
func start(ctx context.Context, dir string) (*server, error) {
	program, err := Binary(ctx)
	if err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, fmt.Errorf("victorialogs: %w", err)
	}
	s := &server{
		url:    "http://" + addr,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true}},
		log:    &tail{},
		exited: make(chan struct{}),
	}
	s.cmd = exec.Command(program, "-storageDataPath="+dir, "-httpListenAddr="+addr,
		"-retentionPeriod=100y", "-futureRetention=100y", "-insert.maxLineSizeBytes=2MB", "-loggerLevel=WARN")
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("victorialogs: %w", err)
	}
	go func() {
		_ = s.cmd.Wait() // an early end is reported with the log, a late one was asked for
		close(s.exited)
	}()
	if err := s.awaitHealth(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *server) awaitHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if _, err := s.get(ctx, "/health"); err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("victorialogs: the server ended at its start: %s", s.log)
		case <-ctx.Done():
			return fmt.Errorf("victorialogs: the server did not become healthy: %w: %s", ctx.Err(), s.log)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// stop asks the process to end, as an init system does, and waits for it.
func (s *server) stop() error {
	s.client.CloseIdleConnections()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		_ = s.cmd.Process.Kill() // where there are no signals
	}
	select {
	case <-s.exited:
		return nil
	case <-time.After(time.Minute):
		_ = s.cmd.Process.Kill()
		<-s.exited
		return errors.New("victorialogs: the server did not end within a minute and was killed")
	}
}

// get reads a small page.
func (s *server) get(ctx context.Context, path string) ([]byte, error) {
	return s.do(ctx, http.MethodGet, path, "", nil)
}

// do sends one request and returns the whole reply.
func (s *server) do(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("victorialogs: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // all of it was read
	reply, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("victorialogs: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("victorialogs: %s %s: %s: %s", method, path, resp.Status, last(reply, 500))
	}
	return reply, nil
}

// metric returns the sum of the metrics whose line begins with name.
func (s *server) metric(ctx context.Context, name string) (float64, error) {
	page, err := s.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(page)) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && strings.HasPrefix(line, name) {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
			if err != nil {
				return 0, fmt.Errorf("victorialogs: metric %s: %w", name, err)
			}
			sum, found = sum+v, true
		}
	}
	if !found {
		return 0, fmt.Errorf("victorialogs: the server has no metric %s", name)
	}
	return sum, nil
}

// tail keeps the end of what the server says, for messages of errors.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append([]byte(nil), last(append(t.text, p...), 2000)...)
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
