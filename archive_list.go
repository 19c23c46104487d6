package cts

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// dumpFile is a trace file as its key tells of it.
type dumpFile struct {
	key string

	// The folders of the file, escaped as they are; both are "" if there are not
	// two, for then it can't be told which one is missing.
	tracker, service string
}

// dumpWalk finds the trace files of a bucket. It lists no more than it must: from
// each folder that is not wanted it goes on behind it.
type dumpWalk struct {
	ctx    context.Context
	bucket obs.Client
	region string

	first, last        time.Time // dates of the folders that are wanted; zero is open
	from, before       time.Time // times of upload that are wanted: [from, before)
	trackers, services map[string]bool
}

// dumpSlack is how much earlier than its traces a file may seem to be uploaded: clocks
// differ, and it is not said anywhere in which zone the dates of folders are.
const dumpSlack = 24 * time.Hour

func newDumpWalk(ctx context.Context, bucket obs.Client, o ReadDumpOptions) *dumpWalk {
	w := &dumpWalk{
		ctx: ctx, bucket: bucket, region: o.Region, before: o.UploadedBefore,
		trackers: folderNames(o.Trackers, func(s string) string { return s }),
		services: folderNames(o.Services, strings.ToUpper),
	}
	if !o.From.IsZero() {
		w.from = o.From.Add(-dumpSlack)
		w.first = w.from.UTC().Truncate(24 * time.Hour)
	}
	if !w.before.IsZero() {
		w.last = w.before.Add(dumpSlack)
	}
	return w
}

// folderNames returns the folders that trackers or services may have, as the Dumper
// writes them and as they are, through form; nil if there are none.
func folderNames(texts []string, form func(string) string) map[string]bool {
	if len(texts) == 0 {
		return nil
	}
	names := map[string]bool{}
	for _, s := range texts {
		names[form(s)] = true
		names[form(escapeSegment(s))] = true
	}
	return names
}

// files yields the trace files. An error is the last step.
func (w *dumpWalk) files() iter.Seq2[dumpFile, error] {
	return func(yield func(dumpFile, error) bool) {
		const root = "CloudTraces/"
		if w.region != "" {
			w.inRegion(root+w.region+"/", yield)
			return
		}
		for name, err := range w.folders(root) {
			if err != nil {
				yield(dumpFile{}, err)
				return
			}
			if !w.inRegion(root+name+"/", yield) {
				return
			}
		}
	}
}

// inRegion yields the files of a region and those of the sub-projects in it.
func (w *dumpWalk) inRegion(prefix string, yield func(dumpFile, error) bool) bool {
	for name, err := range w.folders(prefix) {
		if err != nil {
			yield(dumpFile{}, err)
			return false
		}
		if isYear(name) {
			if !w.inYear(prefix+name+"/", name, yield) {
				return false
			}
			continue
		}
		for year, err := range w.folders(prefix + name + "/") {
			if err != nil {
				yield(dumpFile{}, err)
				return false
			}
			if isYear(year) && !w.inYear(prefix+name+"/"+year+"/", year, yield) {
				return false
			}
		}
	}
	return true
}

func isYear(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil && len(s) == 4
}

// inYear yields the files of a year, in order of their dates.
func (w *dumpWalk) inYear(prefix, name string, yield func(dumpFile, error) bool) bool {
	year, _ := strconv.Atoi(name)
	if !w.wantsDates(year, 1, 1, year, 12, 31) {
		return true
	}
	months, err := w.numbered(prefix, 12)
	if err != nil {
		yield(dumpFile{}, err)
		return false
	}
	for n := 1; n <= 12; n++ {
		if w.wantsDates(year, n, 1, year, n, 31) && !w.inMonth(months, year, n, yield) {
			return false
		}
	}
	return true
}

// inMonth yields the files of month n, whose folder may be there in two spellings.
func (w *dumpWalk) inMonth(months []folder, year, n int, yield func(dumpFile, error) bool) bool {
	var days []folder
	for _, month := range months {
		if month.number != n {
			continue
		}
		found, err := w.numbered(month.path+"/", 31)
		if err != nil {
			yield(dumpFile{}, err)
			return false
		}
		days = append(days, found...)
	}
	slices.SortStableFunc(days, func(a, b folder) int { return a.number - b.number })
	for _, day := range days {
		if w.wantsDates(year, n, day.number, year, n, day.number) && !w.inDay(day.path+"/", yield) {
			return false
		}
	}
	return true
}

// wantsDates reports whether a folder may hold wanted files if its dates are between
// the two given.
func (w *dumpWalk) wantsDates(year1, month1, day1, year2, month2, day2 int) bool {
	first := time.Date(year1, time.Month(month1), day1, 0, 0, 0, 0, time.UTC)
	last := time.Date(year2, time.Month(month2), day2, 0, 0, 0, 0, time.UTC)
	return (w.first.IsZero() || !last.Before(w.first)) && (w.last.IsZero() || !first.After(w.last))
}

// folder is one whose name is a number.
type folder struct {
	number int
	path   string
}

// numbered returns the folders whose names are numbers from 1 to largest, with or
// without a leading zero.
func (w *dumpWalk) numbered(prefix string, largest int) ([]folder, error) {
	var found []folder
	for name, err := range w.folders(prefix) {
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(name, 10, 8)
		if err == nil && n >= 1 && int(n) <= largest && len(name) <= 2 {
			found = append(found, folder{int(n), prefix + name})
		}
	}
	return found, nil
}

// folders yields the names of the folders right below prefix, in byte order. It looks
// at one object of each.
func (w *dumpWalk) folders(prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for after := ""; ; {
			name, err := w.nextFolder(prefix, after)
			if err != nil {
				yield("", err)
				return
			}
			if name == "" || !yield(name, nil) {
				return
			}
			after = behindFolder(prefix + name)
		}
	}
}

// nextFolder returns the first folder that has an object behind a key, or "".
func (w *dumpWalk) nextFolder(prefix, after string) (string, error) {
	for o, err := range w.bucket.List(w.ctx, prefix, &obs.ListOptions{After: after}) {
		if err != nil {
			return "", err
		}
		if name, _, ok := strings.Cut(o.Key[len(prefix):], "/"); ok && name != "" {
			return name, nil
		}
	}
	return "", nil
}

// behindFolder returns a text that is behind all keys in a folder, and before all
// others that are behind them: '0' is the character that follows '/'.
func behindFolder(folder string) string { return folder + "0" }

// patience is after how many objects of a folder that is not wanted the list is begun
// anew behind the folder: a page of a list has a thousand, and is paid for already.
const patience = 500

// inDay yields the wanted files of a date.
func (w *dumpWalk) inDay(prefix string, yield func(dumpFile, error) bool) bool {
	for after, more := "", true; more; {
		more = false
		last, passed := "", 0
		for o, err := range w.bucket.List(w.ctx, prefix, &obs.ListOptions{After: after}) {
			if err != nil {
				yield(dumpFile{}, err)
				return false
			}
			file, unwanted, ok := w.file(prefix, o.Key)
			if ok && !yield(file, nil) {
				return false
			}
			if unwanted == "" || unwanted != last {
				last, passed = unwanted, 0
			} else if passed++; passed == patience {
				after, more = behindFolder(unwanted), true
				break
			}
		}
	}
	return true
}

// file tells what an object in the folder of a date is. It returns false for what is no
// trace file or not wanted, and the folder if nothing in it is.
func (w *dumpWalk) file(prefix, key string) (file dumpFile, unwanted string, ok bool) {
	if folders, _, ok := strings.Cut(key[len(prefix)-1:], digestFolder); ok {
		return file, prefix[:len(prefix)-1] + folders + strings.TrimSuffix(digestFolder, "/"), false
	}
	info, ok := digest.ParseKey(key)
	if !ok || info.Kind != digest.TraceFile {
		return file, "", false
	}
	file.key = key
	if info.Tracker != "" && info.Service != "" {
		file.tracker, file.service = info.Tracker, info.Service
		if w.trackers != nil && !w.trackers[file.tracker] {
			return file, prefix + file.tracker, false
		}
		if w.services != nil && !w.services[strings.ToUpper(file.service)] {
			return file, prefix + file.tracker + "/" + file.service, false
		}
	}
	at := info.Time.Time()
	return file, "", (w.from.IsZero() || !at.Before(w.from)) && (w.before.IsZero() || at.Before(w.before))
}

// digestFolder is in the keys of digests, and of no trace file of a Dumper.
const digestFolder = "/Digest/"
