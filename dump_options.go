package cts

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/klauspost/compress/gzip"
)

// Compression is how trace files are stored (compress_type of CTS).
type Compression string

// The compressions of trace files.
const (
	CompressGzip Compression = "gzip" // one gzip member (RFC 1952), named .json.gz
	CompressJSON Compression = "json" // as it is, named .json
)

// DumperOptions configure a [Dumper]. A nil pointer and the zero value have the
// defaults. They are copied.
//
// Encryption is no option here: it is the bucket client that stores objects under a
// key, such as one of KMS, and every trace file and digest that goes through it.
// Trackers with a bucket or a key of their own have a Dumper of their own, with
// another StateName and with the other trackers Disabled.
type DumperOptions struct {
	// Prefix begins the names of trace files (file_prefix_name of CTS): up to 64
	// letters, digits, '.', '_' and '-'. Default: none.
	Prefix string

	// Region is part of the path and name of trace files: 1 to 64 letters,
	// digits, '.', '_' and '-'. Default: "local".
	Region string

	// Project is the sub-project that the traces belong to, of the same characters.
	// With it, path and name have Region-Project in place of Region, which together
	// may have 96 characters. Default: none.
	Project string

	// Compression is how trace files are stored (compress_type of CTS).
	// Default: CompressGzip.
	Compression Compression

	// WithoutServiceFolders puts the traces of all services of a tracker into one
	// file (is_sort_by_service of CTS switched off). Default: false.
	WithoutServiceFolders bool

	// Tracker returns the settings of the tracker with the given name, in place of
	// Prefix, Compression and WithoutServiceFolders above; nil for these. It is
	// called once for each tracker and cycle, by the goroutine that dumps, and its
	// answer is copied. In place of settings that are not valid the Dumper takes the
	// last that were, or those above, and its State is error until they are. A cycle
	// that was interrupted is done again with the settings it had.
	// Default: every tracker has those above.
	Tracker func(name string) *TransferOptions

	// Validation seals what is dumped with signed digest files (is_support_validate
	// of CTS). Default: nil, nothing is sealed.
	Validation *ValidationOptions

	// MaxTraces and MaxBytes (of JSON) cut a cycle when that much is waiting. One
	// cycle makes at most one file per tracker and service, and is held in memory,
	// compressed as far as it goes. While it is put into the bucket, the next one is
	// read. Defaults: 50,000 and 32 MiB.
	MaxTraces int
	MaxBytes  int64

	// MaxAge cuts a cycle when its oldest trace was recorded that long ago. It is
	// also how long a passing failure, such as throttling, may last before State is
	// error. Default: 5 minutes, as CTS.
	MaxAge time.Duration

	// PollInterval is how often Run looks for new traces. Default: 1 s.
	PollInterval time.Duration

	// Level is the level of gzip, 1 (fastest) to 9 (smallest). Default: 6.
	Level int

	// Workers is how many goroutines compress, and how many put files into the
	// bucket and verify them, at a time. With 1 everything is done by the goroutine
	// that dumps, one step after another. Default: GOMAXPROCS, at most 8.
	Workers int

	// TrustPut takes a trace file as delivered when the bucket has acknowledged the
	// put, reports no hash of what it stored, and does not let it be read back.
	// Without it, such a file is not delivered, and the error is obs.ErrDenied. It is
	// not needed where the bucket reports the hash. Default: false.
	TrustPut bool

	// CompleteMarker keeps an object in the bucket that says up to when the files of
	// this store are complete, see [DumperStatus].CompleteTo:
	//
	//	CloudTraces/REGION/Complete/STORE.json
	//	{"store":"…","position":17,"complete_to":1718785800000,"written":1718785860000}
	//
	// STORE is the store's id, followed by '_' and StateName if that is not the
	// default. Everything up to position is in the bucket, but for what is counted as
	// Damaged, Lost and Passed; complete_to and what may come in below it is said there.
	// What is quarantined, and trackers that are behind, hold back both. Times are milliseconds since 1970 UTC. It is replaced after every
	// cycle, and every MaxAge by Run when there was none. Default: false.
	CompleteMarker bool

	// States keeps the plan and the checkpoint. Default: the source, which must
	// then be a StateStore.
	States StateStore

	// StateName is the name of that state; two Dumpers on one store, into
	// different buckets, have different ones. Default: "dumper".
	StateName string

	// Events are called during dumps. Default: none.
	Events *DumperEvents

	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
}

// TransferOptions are the settings of one tracker, see [DumperOptions]. Zero fields
// have the defaults named here, not those of the Dumper.
type TransferOptions struct {
	// Prefix begins the names of trace files: up to 64 letters, digits, '.', '_' and
	// '-'. Default: none.
	Prefix string

	// Compression is how trace files are stored. Default: CompressGzip.
	Compression Compression

	// WithoutServiceFolders puts the traces of all services into one file.
	// Default: false.
	WithoutServiceFolders bool

	// Disabled passes over the traces of the tracker: they are in no file, they are
	// counted as Passed, and retention need not keep them. When the tracker is enabled
	// again, it is those behind the checkpoint that are dumped; what was passed over
	// before is not made up. Default: false.
	Disabled bool
}

const (
	defaultRegion    = "local"
	defaultStateName = "dumper"
	maxLocation      = 96 // characters of Region-Project, so that every name fits into 255
	maxWorkers       = 8
)

var (
	dumpPrefix = regexp.MustCompile(`^[0-9A-Za-z._-]{0,64}$`)
	dumpRegion = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)
)

// setDefaults fills in the defaults and returns all faults together.
func (o *DumperOptions) setDefaults() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("cts: DumperOptions."+format, args...))
	}
	fill(&o.Region, defaultRegion)
	fill(&o.StateName, defaultStateName)
	if !dumpRegion.MatchString(o.Region) {
		fault("Region: %q: want 1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit", o.Region)
	}
	if o.Project != "" && !dumpRegion.MatchString(o.Project) {
		fault("Project: %q: want up to 64 letters, digits, '.', '_' and '-', the first a letter or digit", o.Project)
	}
	if len(o.location()) > maxLocation {
		fault("Project: Region-Project has %d characters, want at most %d", len(o.location()), maxLocation)
	}
	own := o.ownSettings()
	if err := own.setDefaults("DumperOptions"); err != nil {
		faults = append(faults, err)
	}
	o.Compression = own.Compression
	if err := CheckStateName(o.StateName); err != nil {
		fault("StateName: %w", err)
	}
	if o.MaxTraces < 0 || o.MaxBytes < 0 || o.MaxAge < 0 || o.PollInterval < 0 || o.Workers < 0 {
		fault("MaxTraces, MaxBytes, MaxAge, PollInterval and Workers must not be negative")
	}
	if o.Level < 0 || o.Level > gzip.BestCompression {
		fault("Level: %d: want 1 to 9", o.Level)
	}
	o.setNumbers()
	var events DumperEvents
	if o.Events != nil {
		events = *o.Events
	}
	o.Events = &events
	if o.Clock == nil {
		o.Clock = time.Now //nolint:forbidigo // the one default of the injected clock
	}
	return errors.Join(faults...)
}

// setNumbers fills in the defaults of everything that is counted.
func (o *DumperOptions) setNumbers() {
	if o.MaxTraces == 0 {
		o.MaxTraces = 50_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 32 << 20
	}
	if o.MaxAge == 0 {
		o.MaxAge = 5 * time.Minute
	}
	if o.PollInterval == 0 {
		o.PollInterval = time.Second
	}
	if o.Level == 0 {
		o.Level = 6
	}
	if o.Workers == 0 {
		o.Workers = min(runtime.GOMAXPROCS(0), maxWorkers)
	}
}

// location is what path and name of trace files have as their region.
func (o *DumperOptions) location() string {
	if o.Project == "" {
		return o.Region
	}
	return o.Region + "-" + o.Project
}

// setDefaults fills in the defaults and returns all faults together, those of the type
// that the caller has given.
func (o *TransferOptions) setDefaults(given string) error {
	var faults []error
	if !dumpPrefix.MatchString(o.Prefix) {
		faults = append(faults, fmt.Errorf("cts: %s.Prefix: %q: want up to 64 letters, digits, '.', '_' and '-'", given, o.Prefix))
	}
	if o.Compression == "" {
		o.Compression = CompressGzip
	}
	if o.Compression != CompressGzip && o.Compression != CompressJSON {
		faults = append(faults, fmt.Errorf("cts: %s.Compression: %q: want %q or %q", given, string(o.Compression), CompressGzip, CompressJSON))
	}
	return errors.Join(faults...)
}

// errSettings: DumperOptions.Tracker returned something that is not valid.
var errSettings = errors.New("cts: settings of a tracker are not valid")

// ownSettings are those of trackers that have none.
func (o *DumperOptions) ownSettings() TransferOptions {
	return TransferOptions{Prefix: o.Prefix, Compression: o.Compression, WithoutServiceFolders: o.WithoutServiceFolders}
}

// maxSettings bounds the trackers whose settings are remembered, and maxSettingsName the
// length of their names in bytes.
const (
	maxSettings     = 2 * maxGroups
	maxSettingsName = 256
)

// settings returns the settings of a tracker. In place of what is not valid these are the
// last that were, or else the Dumper's own: what a tracker is set to must not stop the
// others, nor lose its traces.
func (d *Dumper) settings(tracker string) TransferOptions {
	o := d.opts.ownSettings()
	if d.opts.Tracker == nil {
		return o
	}
	if own := d.opts.Tracker(tracker); own != nil {
		o = *own
	}
	good, known := d.goodSettings[tracker]
	if err := o.setDefaults("TransferOptions"); err != nil {
		err = fmt.Errorf("%w: tracker %.64q: %w", errSettings, tracker, err)
		if _, again := d.badSettings[tracker]; again || len(d.badSettings) < maxSettings && len(tracker) <= maxSettingsName {
			d.badSettings[tracker] = err
		} else {
			d.beside(err)
		}
		if known {
			return good
		}
		return d.opts.ownSettings()
	}
	delete(d.badSettings, tracker)
	if known || len(d.goodSettings) < maxSettings && len(tracker) <= maxSettingsName {
		d.goodSettings[tracker] = o
	}
	return o
}

// checkSettings asks again for settings that were not valid, and returns the first fault
// that is left.
func (d *Dumper) checkSettings() error {
	for _, tracker := range slices.Sorted(maps.Keys(d.badSettings)) {
		d.settings(tracker)
	}
	for _, tracker := range slices.Sorted(maps.Keys(d.badSettings)) {
		return d.badSettings[tracker]
	}
	return nil
}
