package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/workload"
)

// Argument is the first argument of a process that is a child.
const Argument = "-child-of-the-benchmark"

// The files of a child over which it is told what to do.
const (
	inFile  = 3
	outFile = 4
)

// Serve is the main function of a child. It ends when its parent has gone, and returns
// the exit code.
func Serve(ctx context.Context, all Contestants) int {
	s := &Service{ctx: ctx, all: all}
	server := rpc.NewServer()
	if err := server.RegisterName("Child", s); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	server.ServeConn(pipe{ReadCloser: os.NewFile(inFile, "in"), out: os.NewFile(outFile, "out")})
	if err := s.close(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// pipe makes a connection of two pipes.
type pipe struct {
	io.ReadCloser
	out io.WriteCloser
}

func (p pipe) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p pipe) Close() error                { return errors.Join(p.ReadCloser.Close(), p.out.Close()) }

// Service is what a parent can ask of a child, one thing at a time.
type Service struct {
	ctx    context.Context //nolint:containedctx // of the process
	all    Contestants
	setup  Setup
	source *workload.Source
	before int64

	db       contest.Database
	log      contest.Durable
	recorder contest.Recorder
	dumper   contest.Dumper
	output   *os.File

	reader  *workload.Reader // of traces that were not appended yet
	pass    int              // how often the workload was gone through
	left    []contest.Record // that were made for a burst of appends and not appended
	renewed int64            // new ids that traces were given
	records []contest.Record // for recording and dumping
}

// Open makes the child what it is to be.
func (s *Service) Open(setup Setup, reply *Opened) (err error) {
	s.setup = setup
	if s.source, err = setup.Workload.Source(); err != nil {
		return err
	}
	s.reader = s.source.Reader()
	s.before = anonymous()
	return s.open(reply)
}

func (s *Service) open(reply *Opened) error {
	begun := time.Now()
	c, err := s.contestant()
	reply.Nanos = int64(time.Since(begun))
	if err != nil {
		return err
	}
	reply.Info = c.Info()
	return nil
}

// contestant opens the one that the setup names.
func (s *Service) contestant() (c contest.Contestant, err error) {
	name, dir := s.setup.Name, s.setup.Dir
	switch s.setup.Role {
	case RoleDatabase:
		for _, d := range s.all.Databases {
			if d.Name == name {
				s.db, err = d.Open(s.ctx, dir)
				return s.db, err
			}
		}
	case RoleDurable:
		for _, d := range s.all.Durables {
			if d.Name == name {
				s.log, err = d.Open(s.ctx, dir)
				return s.log, err
			}
		}
	case RoleRecorder:
		for _, d := range s.all.Recorders {
			if d.Name == name {
				return s.openRecorder(d)
			}
		}
	case RoleDumper:
		for _, d := range s.all.Dumpers {
			if d.Name == name {
				s.dumper, err = d.Open(s.ctx, dir)
				return s.dumper, err
			}
		}
	}
	return nil, fmt.Errorf("no %s is named %q", s.setup.Role, name)
}

func (s *Service) openRecorder(d Recorder) (contest.Contestant, error) {
	w := io.Discard
	if s.setup.Output != "" {
		f, err := os.Create(s.setup.Output)
		if err != nil {
			return nil, err
		}
		s.output, w = f, f
	}
	var err error
	s.recorder, err = d.Open(s.ctx, s.setup.Dir, w)
	return s.recorder, err
}

// Close closes the contestant.
func (s *Service) Close(struct{}, *struct{}) error { return s.close() }

func (s *Service) close() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
		s.db = nil
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
		s.log = nil
	}
	if s.recorder != nil {
		errs = append(errs, s.recorder.Close())
		s.recorder = nil
	}
	if s.dumper != nil {
		errs = append(errs, s.dumper.Close())
		s.dumper = nil
	}
	if s.output != nil {
		errs = append(errs, s.output.Close())
		s.output = nil
	}
	return errors.Join(errs...)
}

// Memory measures the memory after a collection.
func (s *Service) Memory(_ struct{}, reply *Memory) error {
	s.records = nil
	reply.Before, reply.Now = s.before, anonymous()
	return nil
}

// collect makes what happens next not pay for the garbage of what was before.
func collect() { runtime.GC() }

// anonymous returns the anonymous memory in bytes after a collection.
func anonymous() int64 {
	debug.FreeOSMemory()
	return residentAnonymous(os.Getpid())
}

// DiskUsage returns the bytes that the files below a directory occupy.
func DiskUsage(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += occupied(info)
		}
		return err
	})
	return total, err
}
