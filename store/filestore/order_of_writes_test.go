package filestore_test

import (
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestOrderOfWrites compares the order of creates, writes, syncs and renames of a
// small life of a store with a golden file: a change of it is a change of what a
// crash can leave, and should be looked at.
func TestOrderOfWrites(t *testing.T) {
	mem := vfstest.NewMemFS()
	fault := vfstest.NewFaultFS(mem)
	log := vfstest.NewLogFS(fault, "/data/store")
	opts := filestore.Options{
		FS: log, LogFileBytes: 2000, NewID: func() string { return "01907a3c-5b1e-7c40-8a51-2f0e6d9c4b17" },
		Clock: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	log.Note("# open a new store")
	opts = filestore.Unsealed(filestore.Inline(opts))
	s, err := filestore.Open("/data/store", &opts)
	must(err)
	log.Note("# the first batch makes the first log file; it is used enough for the next to be prepared")
	mustAppend(t, s, numbered(1, 1)...)
	log.Note("# the second does not fit into what the first has: the prepared file is due")
	mustAppend(t, s, numbered(2, 2)...)
	log.Note("# a state")
	_, err = s.SaveState(background, "plan", []byte("x"), 0)
	must(err)
	log.Note("# a batch that fits: the file has its size already; the next one is prepared")
	mustAppend(t, s, numbered(3, 4)...)
	log.Note("# a sync that fails: the file is left for good, the batch is written again")
	failed := false
	fault.Set(func(op vfstest.Op) error {
		if op.Kind == vfstest.KindSync && strings.HasSuffix(op.Name, ".log") && !failed {
			failed = true
			return errors.New("injected")
		}
		return nil
	})
	mustAppend(t, s, numbered(5, 5)...)
	killed := mem.KillClone()
	log.Note("# a write that fails is taken back, and the rest of the file is given up")
	failed = false
	fault.Set(func(op vfstest.Op) error {
		if op.Kind == vfstest.KindWrite && strings.HasSuffix(op.Name, ".log") && !failed {
			failed = true
			return &vfstest.Torn{N: 10, Err: errors.New("injected")}
		}
		return nil
	})
	if _, err := s.Append(background, numbered(6, 6)); err == nil {
		t.Error("the append did not fail")
	}
	log.Note("# close; what is prepared is removed")
	must(s.Close())
	after := vfstest.NewLogFS(killed, "/data/store")
	after.Note("# open what a kill before the failed write leaves: what the last file has behind its content is cut off")
	opts.FS = after
	s, err = filestore.Open("/data/store", &opts)
	must(err)
	must(s.Close())

	// The length of LOCKED-BY depends on the machine.
	got := regexp.MustCompile(`(write LOCKED-BY @0) .*`).ReplaceAllString(log.String()+after.String(), "$1")
	const golden = "testdata/order_of_writes.golden"
	if *update {
		must(os.MkdirAll("testdata", 0o750))
		must(os.WriteFile(golden, []byte(got), 0o600))
	}
	want, err := os.ReadFile(golden)
	must(err)
	if string(want) != got {
		t.Errorf("the order has changed; look at it, and run the test with -update if it is right:\n%s", got)
	}
}
