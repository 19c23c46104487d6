package child

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// Traces of one Load, and how many are made before the clock runs.
const (
	batchTraces = 1000
	ahead       = 50_000
)

// Load loads the whole workload.
func (s *Service) Load(_ struct{}, reply *Loaded) error {
	for chunk := range s.source.Chunks(ahead) {
		collect()
		for from := 0; from < len(chunk); from += batchTraces {
			batch := chunk[from:min(len(chunk), from+batchTraces)]
			begun := time.Now()
			if err := s.db.Load(s.ctx, batch); err != nil {
				return err
			}
			reply.Nanos += int64(time.Since(begun))
			reply.Traces += len(batch)
		}
	}
	begun := time.Now()
	err := s.db.Finish(s.ctx)
	reply.Nanos += int64(time.Since(begun))
	return err
}

// newest is the question that an opened database must be able to answer.
var newest = contest.Question{Row: "open", Limit: 1, Heads: true}

// Reopen closes the database, opens it again and asks for the newest trace. The time
// begins after the close.
func (s *Service) Reopen(_ struct{}, reply *Opened) error {
	if err := s.close(); err != nil {
		return err
	}
	collect()
	begun := time.Now()
	if err := s.open(reply); err != nil {
		return err
	}
	_, err := s.db.Ask(s.ctx, newest)
	reply.Nanos = int64(time.Since(begun))
	if errors.Is(err, contest.ErrUnsupported) {
		return nil
	}
	return err
}

// Ask asks a block of questions.
func (s *Service) Ask(a Asking, replies *[]Reply) error {
	spent := time.Duration(0)
	for i, q := range a.Questions {
		if spent >= a.Budget && (i >= a.Least || spent >= 2*a.Budget) {
			break
		}
		begun := time.Now()
		answer, err := s.db.Ask(s.ctx, q)
		took := time.Since(begun)
		spent += took
		r := Reply{Nanos: int64(took), Unsupported: errors.Is(err, contest.ErrUnsupported)}
		switch {
		case r.Unsupported:
		case err != nil:
			r.Error = err.Error()
		default:
			r.Digest = Digest(answer)
		}
		*replies = append(*replies, r)
	}
	return nil
}

// Answer gives the whole answer to a question.
func (s *Service) Answer(q contest.Question, reply *contest.Answer) (err error) {
	*reply, err = s.db.Ask(s.ctx, q)
	return err
}

// verifier is a database that can check what it holds.
type verifier interface {
	Verify(ctx context.Context) (int64, error)
	Traces() int64
}

// Verify lets the database check itself.
func (s *Service) Verify(_ struct{}, reply *Verified) error {
	v, ok := s.db.(verifier)
	if !ok {
		return fmt.Errorf("%s: %w", s.setup.Name, contest.ErrUnsupported)
	}
	collect()
	begun := time.Now()
	n, err := v.Verify(s.ctx)
	*reply = Verified{Traces: v.Traces(), Bytes: n, Nanos: int64(time.Since(begun))}
	return err
}
