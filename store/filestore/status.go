package filestore

import (
	"sync"
	"time"

	"github.com/cloudtraceservice/cts"
)

// Status is what [Store.Status] returns: how the store is, now and since it was
// opened.
type Status struct {
	Traces      int64        // readable traces
	First, Last cts.Position // of them; 0 when there are none
	Synced      cts.Position // the last position that is synced
	Segments    int          // sealed segments
	Sealed      int64        // traces in them
	LogFiles    int          // files of the log
	LogBytes    int64        // their bytes
	QueuedBytes int64        // encoded traces that wait for their commit, or are in it

	// Failures counts the operations on files that failed, whatever became of
	// them, and LastFailure is the last one; its Err is nil if there was none.
	Failures    int64
	LastFailure Failure

	// Abandoned counts the log files that failed and were replaced.
	Abandoned int

	// Recovery is what Open found.
	Recovery Recovery
}

// Recovery is what Open found in a store that was not closed, or that was damaged.
type Recovery struct {
	Torn     *TornTail // what was cut off the end, nil for nothing
	Damaged  []Damage  // damaged places, in order of position
	MarkLost bool      // the file MARK was missing or damaged, and was made anew
}

// journal keeps what Status tells about failures and calls the Events.
type journal struct {
	events *Events
	clock  func() time.Time

	mu        sync.Mutex
	failures  int64
	last      Failure
	abandoned int
}

func (j *journal) failed(op, file string, err error) {
	f := Failure{Op: op, File: file, Err: err, Time: j.clock()}
	j.mu.Lock()
	j.failures++
	j.last = f
	j.mu.Unlock()
	if j.events.Failed != nil {
		j.events.Failed(f)
	}
}

func (j *journal) abandonedFile(old, next string, err error) {
	j.mu.Lock()
	j.abandoned++
	j.mu.Unlock()
	if j.events.LogFileAbandoned != nil {
		j.events.LogFileAbandoned(LogFileAbandoned{File: logName + "/" + old, Next: logName + "/" + next, Err: err})
	}
}

// recovered calls the events for what Open found.
func (j *journal) recovered(r Recovery) {
	if r.Torn != nil && j.events.TornTail != nil {
		j.events.TornTail(*r.Torn)
	}
	if j.events.Damaged != nil {
		for _, d := range r.Damaged {
			j.events.Damaged(d)
		}
	}
}

// Status tells how the store is. It may be called at any time, also after Close.
func (s *Store) Status() Status {
	v := s.view.Load()
	st := Status{
		Traces: v.total(), Segments: len(v.segments), Sealed: v.sealed, Synced: v.synced, LogFiles: len(v.files), LogBytes: v.bytes,
		Recovery: s.recovered,
	}
	st.First, st.Last = v.ends()
	if s.queue != nil {
		st.QueuedBytes = s.queue.size()
	}
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	st.Failures, st.LastFailure, st.Abandoned = s.journal.failures, s.journal.last, s.journal.abandoned
	return st
}
