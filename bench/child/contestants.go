// Package child runs each contestant in a process of its own: the benchmark executes
// itself again, tells the new process over a pipe what to do, and gets back what was
// measured inside of it. So contestants share no heap, no garbage collector and no
// fate: one that crashes is reported and the others go on.
package child

import (
	"context"
	"io"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// Contestants are all that a process can be.
type Contestants struct {
	Databases []Database
	Durables  []Durable
	Recorders []Recorder
	Dumpers   []Dumper
}

// Database opens a [contest.Database] on a directory.
type Database struct {
	Name string
	Open func(ctx context.Context, dir string) (contest.Database, error)
}

// Durable opens a [contest.Durable] on a directory.
type Durable struct {
	Name string
	Open func(ctx context.Context, dir string) (contest.Durable, error)
}

// Recorder opens a [contest.Recorder] that writes to w, which is buffered by nobody,
// or keeps its files in dir.
type Recorder struct {
	Name string
	Open func(ctx context.Context, dir string, w io.Writer) (contest.Recorder, error)
}

// Dumper opens a [contest.Dumper] that may keep things in dir.
type Dumper struct {
	Name string
	Open func(ctx context.Context, dir string) (contest.Dumper, error)
}

// The roles in which a contestant can run.
const (
	RoleDatabase = "database"
	RoleDurable  = "durable log"
	RoleRecorder = "recorder"
	RoleDumper   = "dumper"
)
