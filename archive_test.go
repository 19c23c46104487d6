package cts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/memobs"
)

// readDump returns the ids of the traces that ReadDump yields.
func readDump(tb testing.TB, bucket obs.Client, opts *cts.ReadDumpOptions) []string {
	tb.Helper()
	ids := []string{}
	for d, err := range cts.ReadDump(tb.Context(), bucket, opts) {
		if err != nil {
			tb.Fatal(err)
		}
		ids = append(ids, d.Trace.ID)
	}
	return ids
}

// putFile puts an object, compressed if its name says so.
func putFile(tb testing.TB, bucket obs.Client, key, content string) {
	tb.Helper()
	body := []byte(content)
	if strings.HasSuffix(key, ".gz") {
		body = zipped(tb, body, 6)
	}
	if _, err := bucket.Put(context.Background(), key, bytes.NewReader(body), nil); err != nil {
		tb.Fatal(err)
	}
}

// dumpedWorld is a bucket into which Dumpers wrote on several days, a few of them
// traces that happened long before. It returns the ids in the order of the files.
func dumpedWorld(t *testing.T) (*dumpWorld, []string) {
	t.Helper()
	w := newDumpWorld()
	for i, at := range []time.Time{
		time.Date(2023, 12, 31, 23, 59, 0, 0, time.UTC), time.Date(2024, 1, 1, 0, 1, 0, 0, time.UTC),
		time.Date(2024, 1, 2, 12, 0, 0, 0, time.UTC), time.Date(2024, 10, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC),
	} {
		for j, g := range append(slices.Clone(sevenTraces), "/ECS", "system/", "wéird/tra ck", "data/ecs") {
			tracker, service, _ := strings.Cut(g, "/")
			happened := at.Add(-time.Duration(j) * 10 * time.Second)
			if j == 3 {
				happened = at.AddDate(-2, 0, 0) // imported
			}
			tr := &cts.Trace{
				ID: fmt.Sprintf("%d-%d", i, j), Time: happened.UnixMilli(), RecordTime: at.UnixMilli(), Name: "deleteOrder",
				ServiceType: service, TrackerName: tracker, Ext: cts.Ext{Role: "admin"},
			}
			if _, err := w.Append(t.Context(), []cts.Entry{{Trace: tr}}); err != nil {
				t.Fatal(err)
			}
		}
		opts := &cts.DumperOptions{
			Region: []string{"eu-de", "eu-de", "eu-de-2"}[i%3], WithoutServiceFolders: i == 2,
			Clock: func() time.Time { return at },
		}
		if err := w.dumper(t, opts).Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for _, key := range w.keys(t) {
		for _, tr := range w.decode(t, key) {
			ids = append(ids, tr.ID)
		}
	}
	return w, ids
}

// What a Dumper wrote comes back, each trace once, with the place where it is.
func TestReadDumpGivesBackWhatWasDumped(t *testing.T) {
	w, ids := dumpedWorld(t)
	stored := map[string][]byte{}
	for e, err := range w.Store.After(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		tr, err := e.Decode()
		if err != nil {
			t.Fatal(err)
		}
		stored[tr.ID] = bytes.Clone(e.JSON)
	}
	var got []string
	for d, err := range cts.ReadDump(t.Context(), w.objects, &cts.ReadDumpOptions{TrustExt: true}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d.Trace.ID)
		if !bytes.Equal(d.Trace.AppendJSON(nil), stored[d.Trace.ID]) {
			t.Errorf("trace %s is not the one that was stored", d.Trace.ID)
		}
		if in := w.decode(t, d.Object); d.Index >= len(in) || in[d.Index].ID != d.Trace.ID {
			t.Errorf("trace %s is not at %d of %s", d.Trace.ID, d.Index, d.Object)
		}
	}
	if len(got) != len(stored) {
		t.Errorf("%d traces, want %d", len(got), len(stored))
	}
	if diff := cmp.Diff(ids, got); diff != "" { // all dates are padded, so that keys are in their order
		t.Errorf("order of files (-want +got):\n%s", diff)
	}
	for d, err := range cts.ReadDump(t.Context(), w.objects, nil) {
		if err != nil || d.Trace.Ext.Role != "" || len(d.Trace.Ext.Foreign) == 0 {
			t.Fatalf("without TrustExt: %+v, %v", d.Trace, err)
		}
		break
	}
}

// Every choice of options yields exactly the traces that a plain loop accepts.
func TestReadDumpAgreesWithAPlainLoop(t *testing.T) {
	w, ids := dumpedWorld(t)
	all := map[string]*cts.Trace{}
	region, uploaded := map[string]string{}, map[string]time.Time{}
	for _, key := range w.keys(t) {
		m := traceFileKey.FindStringSubmatch(key)
		at, err := time.Parse("2006-01-02T15-04-05Z", key[len(key)-len("2006-01-02T15-04-05Z_0123456789abcdef.json.gz"):][:20])
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range w.decode(t, key) {
			all[tr.ID], region[tr.ID], uploaded[tr.ID] = tr, m[1], at
		}
	}
	moment := func() time.Time {
		times := []time.Time{{}, time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), time.UnixMilli(all[ids[rand.IntN(len(ids))]].Time)}
		return times[rand.IntN(len(times))].In(time.FixedZone("", 8*60*60))
	}
	some := func(of ...string) (picked []string) {
		for _, s := range of {
			if rand.IntN(4) == 0 {
				picked = append(picked, s)
			}
		}
		return picked
	}
	answers := 0
	for range 600 {
		o := cts.ReadDumpOptions{
			Region: []string{"", "", "eu-de", "eu-de-2", "eu"}[rand.IntN(5)], From: moment(), To: moment(), UploadedBefore: moment(),
			Trackers: some("system", "data", "wéird", "none", "SYSTEM"), Services: some("ECS", "evs", "OBS", "tra ck", "", "none"),
		}
		if !o.From.IsZero() && (!o.To.IsZero() && !o.From.Before(o.To) || !o.UploadedBefore.IsZero() && !o.From.Before(o.UploadedBefore)) {
			continue
		}
		want := []string{}
		for _, id := range ids {
			tr := all[id]
			at := time.UnixMilli(tr.Time)
			tracker := tr.TrackerName
			if tracker == "" {
				tracker = "system"
			}
			if (o.Region == "" || o.Region == region[id]) && (o.From.IsZero() || !at.Before(o.From)) && (o.To.IsZero() || at.Before(o.To)) &&
				(o.UploadedBefore.IsZero() || uploaded[id].Before(o.UploadedBefore)) &&
				(o.Trackers == nil || slices.Contains(o.Trackers, tracker)) &&
				(o.Services == nil || slices.ContainsFunc(o.Services, func(s string) bool { return strings.EqualFold(s, tr.ServiceType) })) {
				want = append(want, id)
			}
		}
		if diff := cmp.Diff(want, readDump(t, w.objects, &o)); diff != "" {
			t.Fatalf("%+v (-want +got):\n%s", o, diff)
		}
		if n := len(want); n > 0 && n < len(ids) {
			answers++
		}
	}
	if answers < 60 {
		t.Errorf("only %d questions had an answer that is neither nothing nor everything", answers)
	}
}

// The spellings of keys, as CTS has them and as they must not be.
func TestReadDumpKeys(t *testing.T) {
	for key, want := range map[string]bool{
		"CloudTraces/eu/2023/08/30/system/CTS/file_CloudTrace_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json.gz":           true,
		"CloudTraces/eu/2023/8/30/system/CTS/file_CloudTrace_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json.gz":            true,
		"CloudTraces/eu/2023/8/3/system/CTS/CloudTrace_eu_2023-08-03T01-50-12Z_d22ef9d12629392c.json":                     true,
		"CloudTraces/eu/2023/8/3/system/CloudTrace_eu_2023-08-03T01-50-12Z_d22ef9d12629392c.json.gz":                      true,
		"CloudTraces/eu/2017/3/28/ECS/mylog_CloudTrace_eu_2017-03-28T02-09-17Z_0faa86bc40071242.json.gz":                  true,
		"CloudTraces/eu/2017/3/28/ECS/mylog_CloudTrace_eu/_2017-03-28T02-09-17Z_0faa86bc40071242.json.gz":                 true,
		"CloudTraces/eu/2023/08/30/CloudTrace_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json.gz":                           true,
		"CloudTraces/eu/2023/08/30/system/CTS/CloudTrace_eu_2023-08-30T01-50-12Z.json.gz":                                 true,
		"CloudTraces/eu/2023/08/30/system/CTS/_CloudTrace_eu_project_2023-08-30T01-50-12Z_0123456789abcdef.json.gz":       true,
		"CloudTraces/eu/eu_project/2023/08/30/system/CTS/CloudTrace_eu_project_2023-08-30T01-50-12Z.json.gz":              true,
		"CloudTraces/eu/2023/08/30/system/CTS/CloudTrace-Digest_CloudTrace_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json": true,
		"CloudTraces/eu/2023/08/30/system/%44igest/CloudTrace_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json":              true,
		"CloudTraces/eu/2023/02/30/system/CTS/CloudTrace_eu_2023-02-30T01-50-12Z_d22ef9d12629392c.json":                   false,
		"CloudTraces/eu/2023/08/30/system/Digest/CTS/CloudTrace-Digest_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json.gz":  false,
		"CloudTraces/eu/2023/08/30/system/Digest/CloudTrace-Digest_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json.gz":      false,
		"CloudTraces/eu/2023/08/30/system/Digest/CloudTrace_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json.gz":             false,
		"CloudTraces/eu/2017/3/28/Digest/EVS/mylog_CloudTrace-Digest_eu_2017-03-28T02-09-17Z.json.gz":                     false,
		"CloudTraces/eu/2023/08/30/system/CTS/CloudTrace_CloudTrace-Digest_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json": false,
		"CloudTraces/eu/2023/08/30/system/CTS/CloudTrace_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json.gz.sig":            false,
		"CloudTraces/eu/2023/08/30/system/CTS/CloudTrace_eu_2023-08-30_d22ef9d12629392c.json.gz":                          false,
		"CloudTraces/eu/2023/08/30/system/CTS/CloudTraces_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json.gz":               false,
		"CloudTraces/eu/2023/13/30/system/CTS/CloudTrace_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json.gz":                false,
		"CloudTraces/eu/2023/12/32/system/CTS/CloudTrace_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json.gz":                false,
		"CloudTraces/eu/2023/0/30/system/CTS/CloudTrace_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json.gz":                 false,
		"CloudTraces/eu/2023/008/30/system/CTS/CloudTrace_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json.gz":               false,
		"CloudTraces/eu/23/08/30/system/CTS/CloudTrace_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json.gz":                  false,
		"CloudTraces/eu/Keys/keys.json":                                          false,
		"CloudTraces/eu/Complete/0b7f8a52-5d0f-4c57-9d1e-3c1f3a2b4c5d.json":      false,
		"CloudTraces/2023-08-30T01-50-12Z.json.gz":                               false,
		"CloudTrace/eu/2023/08/30/CloudTrace_eu_2023-08-30T01-50-12Z_d2.json.gz": false,
	} {
		bucket := memobs.New(nil)
		putFile(t, bucket, key, `[{"trace_id":"t","time":1}]`)
		if got := readDump(t, bucket, nil); (len(got) == 1) != want {
			t.Errorf("%s: read %q, want it read: %t", key, got, want)
		}
		if strings.HasPrefix(key, "CloudTraces/eu/") {
			if got := readDump(t, bucket, &cts.ReadDumpOptions{Region: "eu"}); (len(got) == 1) != want {
				t.Errorf("%s with the region: read %q, want it read: %t", key, got, want)
			}
		}
	}
}

// A folder that is missing can't decide; the trace does.
func TestReadDumpWithoutFolders(t *testing.T) {
	bucket := memobs.New(nil)
	const name = "/CloudTrace_eu_2023-08-30T01-50-12Z_d22ef9d12629392c.json"
	putFile(t, bucket, "CloudTraces/eu/2023/08/30/ECS"+name, `[{"trace_id":"a","service_type":"ECS"},{"trace_id":"b"}]`)
	putFile(t, bucket, "CloudTraces/eu/2023/08/30/data"+name, `[{"trace_id":"c","tracker_name":"data","service_type":"OBS"}]`)
	putFile(t, bucket, "CloudTraces/eu/2023/08/30/data/EVS"+name, `[{"trace_id":"d"},{"trace_id":"e","tracker_name":"other","service_type":"X"}]`)
	for _, test := range []struct {
		trackers, services []string
		want               []string
	}{
		{nil, nil, []string{"a", "b", "c", "d", "e"}},
		{[]string{"system"}, nil, []string{"a", "b"}},
		{[]string{"data"}, nil, []string{"c", "d"}},
		{nil, []string{"ecs"}, []string{"a"}},
		{nil, []string{""}, []string{"b"}},
		{nil, []string{"Evs", "OBS"}, []string{"c", "d"}},
		{[]string{"system", "data"}, []string{"EVS", "ECS"}, []string{"a", "d"}},
	} {
		got := readDump(t, bucket, &cts.ReadDumpOptions{Trackers: test.trackers, Services: test.services})
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("trackers %q, services %q (-want +got):\n%s", test.trackers, test.services, diff)
		}
	}
}

// Folders come by date, however they are spelled, and none twice.
func TestReadDumpGoesByDate(t *testing.T) {
	bucket := memobs.New(nil)
	dates := []string{"2015/12/31", "2016/1/2", "2016/1/10", "2016/02/03", "2016/2/03", "2016/2/3", "2016/2/9", "2016/02/10", "2016/10/1", "2017/01/01"}
	for _, i := range rand.Perm(len(dates)) {
		putFile(t, bucket, "CloudTraces/eu/"+dates[i]+"/system/CTS/CloudTrace_eu_2016-01-01T00-00-00Z_0123456789abcdef.json", `[{"trace_id":"`+dates[i]+`"}]`)
	}
	if diff := cmp.Diff(dates, readDump(t, bucket, nil)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The published samples of CTS, each in a file of its own.
func TestReadDumpOfGenuineTraces(t *testing.T) {
	bucket := memobs.New(nil)
	var want []*cts.Trace
	for i, s := range sampleWants() {
		text := sampleFile(t, "management/"+s.file)
		key := fmt.Sprintf("CloudTraces/eu-de/2024/%d/%d/system/ECS/f_CloudTrace_eu-de_2024-06-19T08-30-%02dZ_47b9d51830deff47.json", 1+i/4, 1+i%4, i)
		if i%2 == 0 {
			key += ".gz"
		}
		putFile(t, bucket, key, "["+text+"]")
		want = append(want, mustDecode(t, strings.NewReader(text))...)
	}
	var got []*cts.Trace
	for d, err := range cts.ReadDump(t.Context(), bucket, nil) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d.Trace)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	malformed, err := filepath.Glob(filepath.Join(samples, "malformed", "*.txt"))
	if err != nil || len(malformed) == 0 {
		t.Fatalf("%d malformed samples, %v", len(malformed), err)
	}
	for i, path := range malformed {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		putFile(t, bucket, fmt.Sprintf("CloudTraces/eu-de/2025/1/1/system/ECS/CloudTrace_eu-de_2025-01-01T00-00-%02dZ.json.gz", i), string(text))
	}
	faults := 0
	for _, err := range cts.ReadDump(t.Context(), bucket, nil) {
		var fe *cts.DumpFileError
		if err != nil && (!errors.As(err, &fe) || !fe.Damaged || !fe.Lost || !errors.Is(err, cts.ErrInvalidTrace)) {
			t.Errorf("%v, want a *DumpFileError of damage", err)
		}
		if err != nil {
			faults++
		}
	}
	if faults != len(malformed) {
		t.Errorf("%d faults, want %d", faults, len(malformed))
	}
}

func TestReadDumpOptionsReportAllFaultsTogether(t *testing.T) {
	now := time.Now()
	steps := 0
	for _, err := range cts.ReadDump(t.Context(), nil, &cts.ReadDumpOptions{Region: "a/b", From: now, To: now, UploadedBefore: now}) {
		steps++
		if !errors.Is(err, cts.ErrBadQuery) {
			t.Errorf("%v, want ErrBadQuery", err)
		}
		for _, part := range []string{"bucket", "Region", "To ", "UploadedBefore"} {
			if !strings.Contains(fmt.Sprint(err), part) {
				t.Errorf("%s is not mentioned in: %v", part, err)
			}
		}
	}
	if steps != 1 {
		t.Errorf("%d steps", steps)
	}
}

// The options are copied when ReadDump is called, and the iterator runs again.
func TestReadDumpCopiesItsOptions(t *testing.T) {
	w, _ := dumpedWorld(t)
	opts := cts.ReadDumpOptions{Trackers: []string{"system"}, Services: []string{"ECS"}}
	want := readDump(t, w.objects, &opts)
	seq := cts.ReadDump(t.Context(), w.objects, &opts)
	opts.Trackers[0], opts.Services[0], opts.Region = "data", "EVS", "none"
	for range 2 {
		got := []string{}
		for d, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, d.Trace.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" || len(got) == 0 {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// countingBucket counts the calls of List and the objects that they yield, and what is
// read of objects.
type countingBucket struct {
	obs.Client
	lists, listed, gets int
	read                int64
}

func (b *countingBucket) List(ctx context.Context, prefix string, opts *obs.ListOptions) iter.Seq2[obs.Object, error] {
	return func(yield func(obs.Object, error) bool) {
		b.lists++
		for o, err := range b.Client.List(ctx, prefix, opts) {
			b.listed++
			if !yield(o, err) {
				return
			}
		}
	}
}

func (b *countingBucket) Get(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	b.gets++
	body, o, err := b.Client.Get(ctx, key)
	return struct {
		io.Reader
		io.Closer
	}{io.TeeReader(body, countWriter{&b.read}), body}, o, err
}

type countWriter struct{ n *int64 }

func (w countWriter) Write(p []byte) (int, error) { *w.n += int64(len(p)); return len(p), nil }

// Of a large bucket only what is asked for is listed: neither the years before, nor
// the folders of others, nor the digests.
func TestReadDumpListsWhatItMust(t *testing.T) {
	bucket := &countingBucket{Client: memobs.New(nil)}
	put := func(day time.Time, folder string, n int) {
		for i := range n {
			key := "CloudTraces/eu/" + day.Format("2006/01/02/") + folder + day.Format("/CloudTrace_eu_2006-01-02T") + fmt.Sprintf("12-%02d-%02dZ.json", i/60, i%60)
			putFile(t, bucket, key, `[{"trace_id":"`+key+`","time":`+fmt.Sprint(day.UnixMilli())+`}]`)
		}
	}
	wanted := time.Date(2024, 6, 19, 0, 0, 0, 0, time.UTC)
	for days := -400; days <= 60; days += 20 {
		put(wanted.AddDate(0, 0, days), "system/ECS", 10)
	}
	put(wanted, "data/OBS", 1500)
	put(wanted, "system/Digest", 1500)
	put(wanted, "system/EVS", 1500)
	got := readDump(t, bucket, &cts.ReadDumpOptions{
		From: wanted, To: wanted.Add(time.Hour), UploadedBefore: wanted.Add(24 * time.Hour), Trackers: []string{"system"}, Services: []string{"ECS"},
	})
	if len(got) != 10 || bucket.gets != 10 {
		t.Errorf("%d traces of %d files", len(got), bucket.gets)
	}
	if bucket.lists > 20 || bucket.listed > 1600 {
		t.Errorf("%d objects listed in %d lists", bucket.listed, bucket.lists)
	}
}
