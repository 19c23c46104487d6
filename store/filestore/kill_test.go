package filestore_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// Environment of the process that is killed, and how often to kill one.
const (
	childDir   = "FILESTORE_CHILD_DIR"
	childLife  = "FILESTORE_CHILD_LIFE"
	childLevel = "FILESTORE_CHILD_LEVEL"
	killsVar   = "FILESTORE_KILLS"
)

func TestMain(m *testing.M) {
	if os.Getenv(childDir) != "" {
		appendForever()
		return
	}
	os.Exit(m.Run())
}

// childTrace is trace n of goroutine g in a life of the child.
func childTrace(life, g, n int) *cts.Trace {
	t := traceOf(n)
	t.ID = fmt.Sprintf("01907a3c-5b1e-7c40-%04x-%04x%08x", life, g, n)
	return t
}

// appendForever is the child: it appends from several goroutines and prints the ids
// that were acknowledged.
func appendForever() {
	life, _ := strconv.Atoi(os.Getenv(childLife))
	level, _ := strconv.Atoi(os.Getenv(childLevel))
	s, err := filestore.Open(os.Getenv(childDir), &filestore.Options{Sync: filestore.SyncLevel(level), LogFileBytes: 64 << 10})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := 1; ; n += 2 {
				a, b := childTrace(life, g, n), childTrace(life, g, n+1)
				_, err := s.Append(background, []cts.Entry{{Trace: a}, {Trace: b}})
				mu.Lock()
				if err != nil {
					fmt.Println("error", err)
				}
				fmt.Printf("%s\n%s\n", a.ID, b.ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestKill kills a process that appends under load, again and again on one store,
// and looks each time for everything that the process had acknowledged.
func TestKill(t *testing.T) {
	kills := 6
	if v, err := strconv.Atoi(os.Getenv(killsVar)); err == nil {
		kills = v
	}
	if testing.Short() {
		kills = 3
	}
	exe, err := os.Executable()
	if err != nil {
		t.Skipf("the test binary is not known: %v", err)
	}
	dir := t.TempDir()
	all := map[string]bool{}
	torn := 0
	for life := range kills {
		for _, id := range killedChild(t, exe, dir, life) {
			all[id] = true
		}
		s := open(t, nil, dir, filestore.Options{})
		seen := map[string]bool{}
		got, damage := ids(t, s, 0)
		for _, id := range got {
			if seen[id] {
				t.Errorf("%s is there twice", id)
			}
			seen[id] = true
		}
		lost := 0
		for id := range all {
			if !seen[id] {
				lost++
			}
		}
		if lost > 0 || damage != nil {
			t.Fatalf("life %d: %d of %d acknowledged traces are lost, damage %v", life, lost, len(all), damage)
		}
		if s.Status().Recovery.Torn != nil {
			torn++
		}
		if life%3 == 0 {
			verify(t, s)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d torn tails, %d traces acknowledged", kills, torn, len(all))
}

// killedChild runs a child until it has acknowledged some traces, kills it, and
// returns all ids that it printed.
func killedChild(t *testing.T, exe, dir string, life int) []string {
	t.Helper()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir, childLife+"="+strconv.Itoa(life), childLevel+"="+strconv.Itoa(life%3))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("no child can be started: %v", err)
	}
	var acks []string
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // the child is dead; a line without its end was not printed whole
		}
		if strings.HasPrefix(line, "error") {
			t.Error(line)
		} else {
			acks = append(acks, strings.TrimSuffix(line, "\n"))
		}
		if len(acks) == 500+137*life {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatalf("the child ended by itself: %s", stderr.String())
	}
	return acks
}
