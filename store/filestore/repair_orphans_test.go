package filestore_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// files returns the content of the files in a folder.
func (d disk) files(folder string) map[string][]byte {
	all := map[string][]byte{}
	for _, name := range d.Files() {
		if strings.HasPrefix(name, folder) {
			all["/"+name] = d.read("/" + name)
		}
	}
	return all
}

// sealAll seals what is in the log.
func (d disk) sealAll() {
	s, err := filestore.Open("/store", unsealed(filestore.Inline(filestore.Options{FS: d})))
	if err == nil {
		err = filestore.Seal(background, s)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	mustClose(d.t, s)
}

// TestOldManifestLosesNothing opens a store whose MANIFEST is from before its last
// sealing: what only the newer segments have is missing, and is neither removed nor
// written over, however often the store is opened and seals, and a repair takes it back.
func TestOldManifestLosesNothing(t *testing.T) {
	d := newSealedDisk(t)
	old := d.read("/store/MANIFEST")
	d.sealAll()
	before := d.files("store/segments/")
	d.write("/store/MANIFEST", old)
	last := 40
	for round := range 3 {
		s := open(t, d, "/store", filestore.Inline(filestore.Unmerged(filestore.Options{LockWait: -1})))
		checkLost(t, "an old manifest", s, [][2]cts.Position{{31, 40}}, nil, last)
		mustAppend(t, s, numbered(last+1, last+2)...)
		last += 2
		if round > 0 {
			if err := filestore.Seal(background, s); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, s)
		for name, content := range before {
			if got, err := d.ReadFile(name); err != nil || !cmp.Equal(got, content) {
				t.Fatalf("round %d: %s is not there as it was: %v", round, name, err)
			}
		}
	}
	mended := repairedDisk(t, d, nil)
	checkRepaired(t, mended, nil, last, last)
}

// TestRepairTakesFromTheLog repairs a store of which a segment is missing or damaged, and
// whose log files were not taken out yet: nothing is lost.
func TestRepairTakesFromTheLog(t *testing.T) {
	for name, tt := range map[string]struct {
		damage func(d disk)
		err    error
	}{
		"MANIFEST gone, and a segment before one that is not in use": {
			func(d disk) { d.remove("/store/MANIFEST"); d.remove("/store/segments/00000004.seg") }, cts.ErrCorrupt,
		},
		"MANIFEST gone":  {func(d disk) { d.remove("/store/MANIFEST") }, cts.ErrCorrupt},
		"a segment gone": {func(d disk) { d.remove("/store/segments/00000004.seg") }, nil},
		"a segment cut":  {func(d disk) { d.cut("/store/segments/00000004.seg", 300) }, nil},
		"the last segment gone": {
			func(d disk) { d.remove("/store/segments/00000005.seg") }, nil,
		},
		"MANIFEST gone, and the last segment": {
			func(d disk) { d.remove("/store/MANIFEST"); d.remove("/store/segments/00000005.seg") }, cts.ErrCorrupt,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newSealedDisk(t)
			log := d.files("store/log/")
			d.sealAll()
			if len(log) < 2 || len(d.files("store/segments/")) != 5 {
				t.Fatalf("%d log files, %d segments: the test has lost its point", len(log), len(d.files("store/segments/")))
			}
			for name, content := range log {
				d.write(name, content)
			}
			tt.damage(d)
			checkRepaired(t, repairedDisk(t, d, tt.err), nil, 40, 40)
		})
	}
}

// TestRepairOfTwoHalves repairs a segment of which every second block is damaged, beside
// one that was not in use with the other blocks damaged: all of it comes back.
func TestRepairOfTwoHalves(t *testing.T) {
	d := newSealedDisk(t)
	d.merge()
	for _, name := range []string{seg1, seg2, seg3, "/store/segments/00000004.seg", "/store/segments/00000005.seg"} {
		if name != d.newest("store/segments/") {
			if _, err := d.Stat(name); err == nil {
				d.remove(name)
			}
		}
	}
	merged := d.newest("store/segments/")
	whole := d.read(merged)
	lostBy := func(at int) [][2]cts.Position {
		c := disk{d.KillClone(), t}
		c.flip(merged, int64(at))
		report, err := filestore.Repair(background, "/store", &filestore.RepairOptions{FS: c, DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		return spans(report)
	}
	places := map[[2]cts.Position]int{} // of one block each
	for at := 40; at < len(whole) && len(places) < 4; at += 60 {
		if lost := lostBy(at); len(lost) == 1 && lost[0][1]-lost[0][0] < 12 {
			places[lost[0]] = at
		}
	}
	first, ok1 := places[[2]cts.Position{1, 10}]
	second, ok2 := places[[2]cts.Position{11, 20}]
	third, ok3 := places[[2]cts.Position{21, 30}]
	if !ok1 || !ok2 || !ok3 {
		t.Fatalf("blocks are at %v: the test has lost its point", places)
	}
	d.flip(merged, int64(second))
	other := append([]byte(nil), whole...)
	other[first] ^= 0x40
	other[third] ^= 0x40
	d.write("/store/segments/00000099.seg", other)
	checkRepaired(t, repairedDisk(t, d, nil), nil, 40, 40)
	d.flip(merged, int64(third)) // in both
	checkRepaired(t, repairedDisk(t, d, nil), [][2]cts.Position{{21, 30}}, 40, 40)
}
