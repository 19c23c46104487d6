package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// Process is a child as its parent sees it. One call is made at a time.
type Process struct {
	Role, Name string
	Opened     Opened

	command *exec.Cmd
	client  *rpc.Client
	said    tail
	ended   chan struct{} // closed when the process has ended
	patient time.Duration
}

// ErrMissing says that a contestant could not be set up.
var ErrMissing = errors.New("can't be set up")

// Start starts a process and opens a contestant in it. A contestant that can't be
// opened is [ErrMissing]. No single call may last longer than patience.
func Start(ctx context.Context, setup Setup, patience time.Duration) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process{Role: setup.Role, Name: setup.Name, patient: patience, ended: make(chan struct{})}
	childIn, toChild, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	fromChild, childOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.command = exec.Command(self, Argument) //nolint:gosec,noctx // this program; it is ended by Close
	p.command.ExtraFiles = []*os.File{childIn, childOut}
	p.command.Stdout, p.command.Stderr = &p.said, &p.said
	apart(p.command)
	err = p.command.Start()
	_, _ = childIn.Close(), childOut.Close() // the child has them
	if err != nil {
		return nil, errors.Join(err, toChild.Close(), fromChild.Close())
	}
	p.client = rpc.NewClient(pipe{ReadCloser: fromChild, out: toChild})
	go func() {
		_ = p.command.Wait() // why it ended shows in the calls
		close(p.ended)
	}()
	if err := p.call(ctx, "Open", setup, &p.Opened); err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return p, nil
}

// call calls a method of the [Service].
func (p *Process) call(ctx context.Context, method string, args, reply any) error {
	call := p.client.Go("Child."+method, args, reply, make(chan *rpc.Call, 1))
	late := time.NewTimer(p.patient)
	defer late.Stop()
	var err error
	select {
	case <-call.Done:
		err = call.Error
	case <-late.C:
		p.kill()
		err = fmt.Errorf("no reply within %s", p.patient)
	case <-ctx.Done():
		p.kill()
		return context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	var said rpc.ServerError
	if !errors.As(err, &said) { // the process itself is gone
		p.kill()
		if last := p.said.String(); last != "" {
			return fmt.Errorf("%s: %w; it said: %s", method, err, last)
		}
	}
	return fmt.Errorf("%s: %w", method, err)
}

// kill ends the process and all that it started.
func (p *Process) kill() {
	killAll(p.command)
	<-p.ended
}

// Close lets the contestant close and ends the process.
func (p *Process) Close() error {
	select {
	case <-p.ended:
		return p.client.Close()
	default:
	}
	err := p.call(context.Background(), "Close", struct{}{}, &struct{}{})
	_ = p.client.Close() // the child ends by that
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		err = errors.Join(err, errors.New("the process did not end"))
	}
	killAll(p.command) // what it may have left behind
	<-p.ended
	return err
}

// Load is [Service.Load].
func (p *Process) Load(ctx context.Context) (r Loaded, err error) {
	err = p.call(ctx, "Load", struct{}{}, &r)
	return r, err
}

// Reopen is [Service.Reopen].
func (p *Process) Reopen(ctx context.Context) (r Opened, err error) {
	err = p.call(ctx, "Reopen", struct{}{}, &r)
	return r, err
}

// Memory is [Service.Memory].
func (p *Process) Memory(ctx context.Context) (r Memory, err error) {
	err = p.call(ctx, "Memory", struct{}{}, &r)
	return r, err
}

// Ask is [Service.Ask].
func (p *Process) Ask(ctx context.Context, a Asking) (r []Reply, err error) {
	err = p.call(ctx, "Ask", a, &r)
	return r, err
}

// Answer is [Service.Answer].
func (p *Process) Answer(ctx context.Context, q contest.Question) (r contest.Answer, err error) {
	err = p.call(ctx, "Answer", q, &r)
	return r, err
}

// Verify is [Service.Verify].
func (p *Process) Verify(ctx context.Context) (r Verified, err error) {
	err = p.call(ctx, "Verify", struct{}{}, &r)
	return r, err
}

// Append is [Service.Append].
func (p *Process) Append(ctx context.Context, a Appending) (r Appends, err error) {
	err = p.call(ctx, "Append", a, &r)
	return r, err
}

// Record is [Service.Record].
func (p *Process) Record(ctx context.Context, a Recording) (r Recorded, err error) {
	err = p.call(ctx, "Record", a, &r)
	return r, err
}

// Dump is [Service.Dump].
func (p *Process) Dump(ctx context.Context, d Dumping) (r Dumped, err error) {
	err = p.call(ctx, "Dump", d, &r)
	return r, err
}

// Seal is [Service.Seal].
func (p *Process) Seal(ctx context.Context, d Dumping) error {
	return p.call(ctx, "Seal", d, &struct{}{})
}

// VerifyDump is [Service.VerifyDump].
func (p *Process) VerifyDump(ctx context.Context, d Dumping) (r Verified, err error) {
	err = p.call(ctx, "VerifyDump", d, &r)
	return r, err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 64 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - most; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	const lines = 12
	for _, sign := range []string{"panic: ", "fatal error: "} { // what matters comes first
		if at := bytes.Index(t.text, []byte(sign)); at >= 0 {
			all := strings.SplitN(string(t.text[at:]), "\n", lines+1)
			return strings.TrimSpace(strings.Join(all[:min(lines, len(all))], "\n"))
		}
	}
	all := strings.Split(string(bytes.TrimSpace(t.text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
