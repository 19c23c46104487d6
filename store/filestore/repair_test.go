package filestore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// contents returns all files of a disk.
func (d disk) contents() map[string]string {
	all := map[string]string{}
	for _, name := range d.Files() {
		all[name] = string(d.read("/" + name))
	}
	return all
}

// repairedDisk repairs a copy of a disk, after a dry run that must foresee it. It
// returns the copy, or none if Repair fails as Open does.
func repairedDisk(t *testing.T, d disk, open error) disk {
	t.Helper()
	mended := disk{d.KillClone(), t}
	before := mended.contents()
	dry, err := filestore.Repair(background, "/store", &filestore.RepairOptions{FS: mended, LockWait: -1, DryRun: true})
	if errors.Is(open, cts.ErrVersion) {
		if !errors.Is(err, cts.ErrVersion) {
			t.Errorf("Repair of what a newer release wrote: %v", err)
		}
		return disk{}
	}
	if err != nil {
		t.Fatalf("dry run: %v", err)
	}
	if after := mended.contents(); !cmp.Equal(before, after) {
		t.Errorf("a dry run has changed something: %s", cmp.Diff(before, after))
	}
	report, err := filestore.Repair(background, "/store", &filestore.RepairOptions{FS: mended, LockWait: -1})
	if err != nil {
		t.Fatalf("Repair: %v", err)
	}
	if report.OK() != dry.OK() || len(report.Actions) != len(dry.Actions) || report.Traces != dry.Traces ||
		!cmp.Equal(spans(report), spans(dry)) || report.StoreID != dry.StoreID || report.Oldest != dry.Oldest {
		t.Errorf("the dry run foresaw %+v, Repair did %+v", dry, report)
	}
	nothingIsDeleted(t, d, mended, report)
	return mended
}

func spans(r filestore.RepairReport) (all [][2]cts.Position) {
	for _, l := range r.Lost {
		all = append(all, [2]cts.Position{l.First, l.Last})
	}
	return all
}

// nothingIsDeleted checks that every file that is not as it was is in the quarantine,
// but for the log, of which the damaged bytes are there.
func nothingIsDeleted(t *testing.T, was, is disk, report filestore.RepairReport) {
	t.Helper()
	kept := map[string]bool{}
	for _, content := range is.contents() {
		kept[content] = true
	}
	for name, content := range was.contents() {
		if strings.HasPrefix(name, "store/log/") || strings.Contains(name, ".tmp-") || name == "store/LOCKED-BY" || kept[content] {
			continue
		}
		if _, err := is.Stat("/" + name); err == nil && report.OK() {
			continue // the mark that opening made anew
		}
		if name != "store/MANIFEST" && name != "store/MARK" || !report.OK() && slices.ContainsFunc(report.Actions, func(a filestore.RepairAction) bool { return "store/"+a.File == name }) {
			t.Errorf("what was in %s is nowhere any more: %+v", name, report.Actions)
		}
	}
	if report.OK() {
		return
	}
	var again filestore.RepairReport
	if err := json.Unmarshal(is.read("/store/"+report.Quarantine+"/REPORT.json"), &again); err != nil || !cmp.Equal(again, report) {
		t.Errorf("the report in the quarantine differs: %v, %s", err, cmp.Diff(report, again))
	}
}

// checkRepaired checks a store that was repaired: nothing is damaged but what is lost,
// appends go on, and there is nothing left to repair.
func checkRepaired(t *testing.T, d disk, lost [][2]cts.Position, last, until int) {
	t.Helper()
	again, err := filestore.Repair(background, "/store", &filestore.RepairOptions{FS: d, LockWait: -1})
	if err != nil || !again.OK() || !cmp.Equal(spans(again), lost) {
		t.Errorf("repaired again: %+v, %v, want %v lost", again, err, lost)
	}
	for _, open := range []func(string, *filestore.Options) (*filestore.Store, error){filestore.Open, filestore.OpenReader} {
		s, err := open("/store", &filestore.Options{FS: d, LockWait: -1})
		if err != nil {
			t.Errorf("repaired: %v", err)
			continue
		}
		checkLost(t, "repaired", s, lost, nil, min(last, until))
		report, err := s.Verify(background)
		if err != nil || len(report.Damaged) != len(lost) {
			t.Errorf("repaired, Verify: %v, %v, want %v lost", report.Damaged, err, lost)
		}
		mustClose(t, s)
	}
	s := open(t, d, "/store", filestore.Options{})
	if done := mustAppend(t, s, numbered(201, 203)...); int(done.First) <= last {
		t.Errorf("repaired: appended at %d behind %d", done.First, last)
	}
	if err := s.Compact(background); err != nil {
		t.Errorf("repaired, Compact: %v", err)
	}
	mustClose(t, s)
}

// newSealedDisk returns a store at rest whose first 30 traces are in three segments of
// ten, and ten more in the log, with a state and a consumer.
func newSealedDisk(t *testing.T) disk {
	d := disk{vfstest.NewMemFS(), t}
	s, err := filestore.Open("/store", unsealed(filestore.Inline(filestore.Options{FS: d})))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 40; n += 2 {
		mustAppend(t, s, numbered(n, n+1)...)
		if n%10 == 9 && n < 30 {
			if err := filestore.Seal(background, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.SaveState(background, "plan", []byte("state"), 0); err != nil {
		t.Fatal(err)
	}
	if err := s.SetConsumer(background, "dumper", 12); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	return d
}

// merge merges the segments of the disk and puts their files back, as if a crash had
// come before they were removed.
func (d disk) merge() {
	s, err := filestore.Open("/store", unsealed(filestore.Inline(filestore.Options{FS: d})))
	if err == nil {
		err = filestore.Seal(background, s)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	parts := map[string][]byte{}
	for _, name := range d.Files() {
		if strings.HasSuffix(name, ".seg") {
			parts["/"+name] = d.read("/" + name)
		}
	}
	if err := s.Compact(background); err != nil {
		d.t.Fatal(err)
	}
	mustClose(d.t, s)
	for name, content := range parts {
		d.write(name, content)
	}
}

// newest returns the file in a folder that has the highest number.
func (d disk) newest(folder string) (name string) {
	for _, n := range d.Files() {
		if strings.HasPrefix(n, folder) {
			name = "/" + n
		}
	}
	return name
}

const (
	seg1 = "/store/segments/00000001.seg"
	seg2 = "/store/segments/00000002.seg"
	seg3 = "/store/segments/00000003.seg"
)

func TestRepairOfSegments(t *testing.T) {
	type ranges = [][2]cts.Position
	for _, tt := range []struct {
		name   string
		damage func(d disk)
		before ranges // lost before the repair; nil if it is not opened
		err    error  // why
		after  ranges // lost afterwards
		oldest cts.Position
		sound  bool // nothing is to be done
	}{
		{name: "nothing", damage: func(disk) {}, sound: true},
		{
			name: "segment gone", damage: func(d disk) { d.remove(seg2) },
			before: ranges{{11, 20}}, after: ranges{{11, 20}},
		},
		{
			name: "segment cut", damage: func(d disk) { d.cut(seg2, 500) },
			before: ranges{{11, 20}}, after: ranges{{11, 20}},
		},
		{
			name: "segment with something behind it", damage: func(d disk) { d.write(seg2, append(d.read(seg2), "more"...)) },
			before: ranges{{11, 20}},
		},
		{
			name: "header of a segment", damage: func(d disk) { d.flip(seg1, 3) },
			before: ranges{{1, 10}}, after: ranges{{1, 10}},
		},
		{
			name: "another segment in the place of one", damage: func(d disk) { d.write(seg2, d.read(seg1)) },
			before: ranges{{11, 20}}, after: ranges{{11, 20}},
		},
		{
			name: "two segments", damage: func(d disk) { d.flip(seg1, 3); d.remove(seg3) },
			before: ranges{{1, 10}, {21, 30}}, after: ranges{{1, 10}, {21, 30}},
		},
		{
			name: "MANIFEST gone", damage: func(d disk) { d.remove("/store/MANIFEST") },
			err: cts.ErrCorrupt,
		},
		{
			name: "MANIFEST damaged", damage: func(d disk) { d.flip("/store/MANIFEST", 70) },
			err: cts.ErrCorrupt,
		},
		{
			name: "MANIFEST empty", damage: func(d disk) { d.write("/store/MANIFEST", nil) },
			err: cts.ErrCorrupt,
		},
		{
			name: "MANIFEST gone, and a segment", damage: func(d disk) { d.remove("/store/MANIFEST"); d.remove(seg2) },
			err: cts.ErrCorrupt, after: ranges{{11, 20}},
		},
		{
			name: "MANIFEST gone, and the last segment", damage: func(d disk) { d.remove("/store/MANIFEST"); d.remove(seg3) },
			err: cts.ErrCorrupt, after: ranges{{21, 30}},
		},
		{
			name: "MANIFEST gone, and the first segment", damage: func(d disk) { d.remove("/store/MANIFEST"); d.remove(seg1) },
			err: cts.ErrCorrupt, oldest: 11,
		},
		{
			name: "MANIFEST gone, and a segment damaged", damage: func(d disk) { d.remove("/store/MANIFEST"); d.cut(seg2, 500) },
			err: cts.ErrCorrupt, after: ranges{{11, 20}},
		},
		{
			name: "MANIFEST damaged, after a merge whose parts are there",
			damage: func(d disk) {
				d.merge()
				d.flip("/store/MANIFEST", 70)
			},
			err: cts.ErrCorrupt,
		},
		{
			name: "MANIFEST damaged, and the merged segment, whose parts are there",
			damage: func(d disk) {
				d.merge()
				d.flip("/store/MANIFEST", 70)
				d.flip(d.newest("store/segments/"), 3)
			},
			err: cts.ErrCorrupt,
		},
		{
			name: "merged segment whose parts are there",
			damage: func(d disk) {
				d.merge()
				d.cut(d.newest("store/segments/"), 800)
			},
			before: ranges{{1, 40}},
		},
		{
			name: "merged segment of which one part is there",
			damage: func(d disk) {
				d.merge()
				d.cut(d.newest("store/segments/"), 800)
				d.remove(seg1)
				d.remove(seg3)
			},
			before: ranges{{1, 40}}, after: ranges{{1, 10}, {21, 30}},
		},
		{
			name: "MANIFEST of a time before a merge",
			damage: func(d disk) {
				old := d.read("/store/MANIFEST")
				d.merge()
				for _, name := range []string{seg1, seg2, seg3} {
					d.remove(name)
				}
				d.write("/store/MANIFEST", old)
			},
			before: ranges{{1, 10}, {11, 20}, {21, 30}, {31, 40}},
		},
		{
			name: "STORE, MANIFEST and MARK gone",
			damage: func(d disk) {
				for _, name := range []string{"/store/STORE", "/store/MANIFEST", "/store/MARK"} {
					d.remove(name)
				}
			},
			err: cts.ErrCorrupt,
		},
		{
			name: "a log file beside segments", damage: func(d disk) { log := "/store/log/00000004.log"; d.flip(log, d.frame(log, 1).Offset) },
			before: ranges{{33, 34}}, after: ranges{{33, 34}},
		},
		{
			name: "state", damage: func(d disk) { d.flip("/store/state/plan.state", 34) },
			before: ranges{},
		},
		{
			name: "consumers", damage: func(d disk) { d.flip("/store/CONSUMERS", 80) },
			before: ranges{},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newSealedDisk(t)
			tt.damage(d)
			opened := disk{d.KillClone(), t}
			s, err := filestore.Open("/store", unsealed(filestore.Options{FS: opened, LockWait: -1}))
			if !errors.Is(err, tt.err) {
				t.Fatalf("Open: %v, want %v", err, tt.err)
			}
			if err == nil {
				checkLost(t, "not repaired", s, tt.before, nil, 40)
				mustClose(t, s)
				mended := repairedDisk(t, opened, nil) // opening makes nothing worse
				checkRepaired(t, mended, tt.after, 40, 40)
			}
			mended := repairedDisk(t, d, tt.err)
			report, err := filestore.Repair(background, "/store", &filestore.RepairOptions{FS: mended, DryRun: true})
			if err != nil {
				t.Fatal(err)
			}
			if tt.oldest > 0 {
				if report.Oldest != tt.oldest || report.Traces != 40-int64(tt.oldest)+1 {
					t.Errorf("%+v, want %d for the oldest", report, tt.oldest)
				}
				return
			}
			if _, err := mended.Stat("/store/quarantine/repair-0001"); errors.Is(err, fs.ErrNotExist) != tt.sound {
				t.Errorf("the quarantine: %v", err)
			}
			checkRepaired(t, mended, tt.after, 40, 40)
		})
	}
}

// TestRepairOfEveryByte damages bytes all over a segment. What was readable in another
// way comes back, nothing changes, and what is lost is told.
func TestRepairOfEveryByte(t *testing.T) {
	d := newSealedDisk(t)
	size := len(d.read(seg2))
	step, whole := 7, 0
	if testing.Short() || raceEnabled {
		step = 97
	}
	want := idsOf(1, 40)
	texts := map[string]string{}
	for n := 1; n <= 40; n++ {
		texts[traceOf(n).ID] = string(traceOf(n).AppendJSON(nil))
	}
	for at := 0; at < size; at += step {
		c := disk{d.KillClone(), t}
		c.flip(seg2, int64(at))
		report, err := filestore.Repair(background, "/store", &filestore.RepairOptions{FS: c})
		if err != nil || report.OK() {
			t.Fatalf("byte %d: %+v, %v", at, report, err)
		}
		s := open(t, c, "/store", filestore.Options{})
		got, damage := ids(t, s, 0)
		lost := 0
		for _, l := range report.Lost {
			lost += int(l.Last-l.First) + 1
		}
		if len(got)+lost != 40 || !subsequence(got, want) || len(damage) != len(report.Lost) || int64(len(got)) != report.Traces {
			t.Fatalf("byte %d: %d traces, %d lost, damage %v, report %+v", at, len(got), lost, damage, report)
		}
		for e, err := range s.After(background, 0) {
			if id, _, _, _ := cts.PeekJSON(e.JSON); err == nil && texts[id] != string(e.JSON) {
				t.Fatalf("byte %d: position %d has changed", at, e.Position)
			}
		}
		if lost == 0 {
			whole++
		}
		mustClose(t, s)
	}
	if whole == 0 {
		t.Error("all traces were saved after none of the damages: the test has lost its point")
	}
}

// TestRepairFails fails and crashes a repair at every operation. It says so, nothing is
// deleted, and another one ends as the first would have.
func TestRepairFails(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine does everything here: run without the race detector")
	}
	damages := map[string]func(d disk){
		"segments": func(d disk) {
			d.merge()
			d.cut(d.newest("store/segments/"), 800)
			d.remove(seg1)
			d.flip("/store/state/plan.state", 34)
			d.flip("/store/CONSUMERS", 80)
		},
		"manifest": func(d disk) {
			d.flip("/store/MANIFEST", 70)
			d.flip("/store/STORE", 50)
			d.write(seg2, append(d.read(seg2), 0))
			log := "/store/log/00000004.log"
			d.flip(log, d.frame(log, 1).Offset)
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newSealedDisk(t)
			damage(d)
			want := repairedDisk(t, d, nil)
			for n := 1; ; n++ {
				mem := d.KillClone()
				fault := vfstest.NewFaultFS(mem)
				var crashed []*vfstest.MemFS
				var failed vfstest.Op
				fault.OnOp = func(op vfstest.Op) {
					if op.N == n {
						failed = op
						crashed = []*vfstest.MemFS{mem.KillClone(), mem.CrashClone(vfstest.CrashOptions{Rand: rand.New(rand.NewPCG(uint64(n), 3))})}
					}
				}
				fault.Set(vfstest.FailNth(n, errDisk))
				_, err := filestore.Repair(background, "/store", &filestore.RepairOptions{FS: fault})
				if fault.Hits() == 0 {
					if err != nil || n < 20 {
						t.Errorf("%d operations, %v", n-1, err)
					}
					return
				}
				if !errors.Is(err, errDisk) {
					t.Errorf("operation %d (%s) failed: %v", n, failed, err)
				}
				for i, disks := range append(crashed, mem) {
					sameRepair(t, fmt.Sprintf("operation %d, way %d", n, i), disk{disks, t}, want, d)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// sameRepair repairs a disk on which a repair was broken off.
func sameRepair(t *testing.T, what string, d, want, was disk) {
	t.Helper()
	report, err := filestore.Repair(background, "/store", &filestore.RepairOptions{FS: d})
	if err != nil {
		t.Errorf("%s: repaired again: %v", what, err)
		return
	}
	kept := map[string]bool{}
	for _, content := range d.contents() {
		kept[content] = true
	}
	for name, content := range was.contents() {
		if strings.HasSuffix(name, ".seg") && !kept[content] {
			t.Errorf("%s: what was in %s is nowhere any more: %+v", what, name, report)
		}
	}
	a, b := open(t, d, "/store", filestore.Options{}), open(t, disk{want.KillClone(), t}, "/store", filestore.Options{})
	gotIDs, gotLost := ids(t, a, 0)
	wantIDs, wantLost := ids(t, b, 0)
	if !slices.Equal(gotIDs, wantIDs) || lostIn(gotLost) != lostIn(wantLost) {
		t.Errorf("%s: %d traces, lost %v, want %d, %v", what, len(gotIDs), gotLost, len(wantIDs), wantLost)
	}
	report2, err := a.Verify(background)
	if err != nil || lostIn(report2.Damaged) != lostIn(wantLost) {
		t.Errorf("%s: Verify: %v, %v", what, report2.Damaged, err)
	}
	mustClose(t, a)
	mustClose(t, b)
}

func lostIn(damage []*cts.CorruptionError) (n int) {
	for _, d := range damage {
		n += int(d.Last-d.First) + 1
	}
	return n
}
