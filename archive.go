package cts

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts/obs"
)

// ReadDumpOptions say which traces of a bucket [ReadDump] yields. A nil pointer and
// the zero value have the defaults. They are copied.
type ReadDumpOptions struct {
	// Region is the folder below CloudTraces that is read: a region, or a region and
	// its project as the Dumper writes them. Default: every region.
	Region string

	// From and To limit the time of the operations to [From, To), in milliseconds.
	// A zero time leaves its side open. Default: all times.
	From, To time.Time

	// UploadedBefore leaves out the files that were put at that time or later. A
	// file is put after its traces happened, at some time: minutes later as a rule,
	// days later after an outage, years later if they were imported. Only whoever
	// knows how late can end the reading, so that To alone reads everything from
	// From to the newest file. Default: nothing is left out.
	UploadedBefore time.Time

	// Trackers are the trackers whose traces are wanted. A trace that names none
	// belongs to the folder that it is in, or to "system". Default: all.
	Trackers []string

	// Services are the services whose traces are wanted. Letter case is ignored, as
	// CTS writes the folders in upper case. A trace that names none belongs to the
	// folder that it is in. Default: all.
	Services []string

	// TrustExt is that of [DecoderOptions]: it is right for a bucket into which only
	// Dumpers of this module write. Default: false.
	TrustExt bool
}

// DumpedTrace is a trace in a trace file.
type DumpedTrace struct {
	Trace  *Trace
	Object string // the key of the file
	Index  int    // the trace's place in it, from 0
}

// DumpFileError is a file of a bucket that [ReadDump] could not read, or one trace
// in it. It carries no bytes of a trace.
type DumpFileError struct {
	// Object is the key of the file.
	Object string

	// Index is the place of the trace at fault, from 0.
	Index int

	// Lost is true if nothing of the file can be read from Index on, and false if
	// only this trace can't.
	Lost bool

	// Damaged is true if the content of the object is at fault: it was changed or
	// cut off after it had been put, or somebody else put it. It is false if the
	// object could not be got or not to its end; another try may succeed.
	Damaged bool

	// Err says why.
	Err error
}

// Error implements error.
func (e *DumpFileError) Error() string {
	switch {
	case !e.Damaged:
		return fmt.Sprintf("cts: trace file %q could not be read behind %d traces: %v", e.Object, e.Index, e.Err)
	case e.Lost:
		return fmt.Sprintf("cts: trace file %q is damaged behind %d traces: %v", e.Object, e.Index, e.Err)
	}
	return fmt.Sprintf("cts: trace file %q: trace at index %d is damaged: %v", e.Object, e.Index, e.Err)
}

// Unwrap returns Err.
func (e *DumpFileError) Unwrap() error { return e.Err }

// ReadDump yields the traces in the trace files of a bucket, those of a [Dumper] and
// those of CTS; nil options are all of them. It goes through regions by name, in each
// through the dates of upload, and in each through the files by their keys, so that
// the traces come in the order of their files and not of their time. Attempts are
// among them. A file of [Dumper] has each of its traces once; CTS may deliver one
// again, in another file.
//
// What CTS writes otherwise than this module is understood: dates with and without
// leading zeros, no folder for the service, or for the tracker (as in 2017), files that
// are not compressed, and all that [Decoder] accepts in them. A file counts as uploaded
// at the time in its name. Because neither clocks nor the dates of folders are exact,
// reading begins a day before From. Digest files and whatever else is in the bucket
// is passed over.
//
// A file that is damaged or can't be got, and a trace that can't be read, are yielded
// as a [*DumpFileError], and the caller may go on. Traces yielded before it are what the
// damaged file said; whether a file is the one that was put is what digests prove, and
// nothing that ReadDump checks. Every other error is the last step: [ErrBadQuery] for
// options that contradict themselves, errors of listing the bucket, and the context's.
//
// Memory is bounded by one trace and the names of a few folders, whatever the bucket
// holds. A yielded trace is the caller's. The iterator may be left at any step and run
// more than once.
func ReadDump(ctx context.Context, bucket obs.Client, opts *ReadDumpOptions) iter.Seq2[DumpedTrace, error] {
	var o ReadDumpOptions
	if opts != nil {
		o = *opts
		o.Trackers, o.Services = slices.Clone(o.Trackers), slices.Clone(o.Services)
	}
	return func(yield func(DumpedTrace, error) bool) {
		if err := o.validate(bucket); err != nil {
			yield(DumpedTrace{}, err)
			return
		}
		r := dumpReader{
			ctx: ctx, bucket: bucket, trustExt: o.TrustExt, yield: yield,
			want: dumpFilter{from: millis(o.From), to: millis(o.To), trackers: o.Trackers, services: o.Services},
		}
		for file, err := range newDumpWalk(ctx, bucket, o).files() {
			if err != nil {
				yield(DumpedTrace{}, err)
				return
			}
			if !r.read(file) {
				return
			}
		}
	}
}

// validate returns all faults together.
func (o *ReadDumpOptions) validate(bucket obs.Client) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{ErrBadQuery}, args...)...))
	}
	if bucket == nil {
		fault("ReadDump needs a bucket")
	}
	if o.Region != "" && (strings.Contains(o.Region, "/") || obs.ValidateKey(o.Region) != nil) {
		fault("ReadDumpOptions.Region: %q: want the name of one folder", o.Region)
	}
	if !o.From.IsZero() && !o.To.IsZero() && !o.From.Before(o.To) {
		fault("ReadDumpOptions.To is not behind From")
	}
	if !o.From.IsZero() && !o.UploadedBefore.IsZero() && !o.From.Before(o.UploadedBefore) {
		fault("ReadDumpOptions.UploadedBefore is not behind From")
	}
	return errors.Join(faults...)
}

// dumpFilter says which traces of a file are wanted.
type dumpFilter struct {
	from, to           int64 // milliseconds; 0 is open
	trackers, services []string
}

// accepts reports whether t in file is wanted. The folders of the file are wanted, if
// it has any.
func (w *dumpFilter) accepts(t *Trace, file dumpFile) bool {
	if w.from != 0 && t.Time < w.from || w.to != 0 && t.Time >= w.to {
		return false
	}
	if len(w.trackers) > 0 && (t.TrackerName != "" || file.tracker == "") {
		name := t.TrackerName
		if name == "" {
			name = "system"
		}
		if !slices.Contains(w.trackers, name) {
			return false
		}
	}
	if len(w.services) == 0 || t.ServiceType == "" && file.service != "" {
		return true
	}
	return slices.ContainsFunc(w.services, func(s string) bool { return strings.EqualFold(s, t.ServiceType) })
}
