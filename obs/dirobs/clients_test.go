package dirobs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/dirobs"
)

// TestSeveralClients has clients of one folder that know nothing of each
// other, as in several processes.
func TestSeveralClients(t *testing.T) {
	dir := t.TempDir()
	clients := []*dirobs.Client{openDir(t, dir), openDir(t, dir), openDir(t, dir), openDir(t, dir)}
	for round := range 10 {
		key := fmt.Sprintf("%d/k", round)
		var wg sync.WaitGroup
		winners := make(chan string, len(clients))
		for i, c := range clients {
			wg.Go(func() {
				v := string(rune('a' + i))
				err := putVersion(t, c, key, v, true)
				switch {
				case err == nil:
					winners <- v
				case !errors.Is(err, obs.ErrExists):
					t.Error(err)
				}
				state(t, c, key)
			})
		}
		wg.Wait()
		if len(winners) != 1 {
			t.Fatalf("%d winners", len(winners))
		}
		if got, want := state(t, clients[round%4], key), <-winners; got != want {
			t.Errorf("the object is %q, the winner's is %q", got, want)
		}
		recordOf(t, dir, key) // the losers took theirs away
	}
}

// TestSeveralClientsChangeFolders puts and deletes in one folder, which comes
// and goes.
func TestSeveralClientsChangeFolders(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 4 {
		c := openDir(t, dir)
		wg.Go(func() {
			key := fmt.Sprintf("a/b/%d", i)
			for range 15 {
				if err := putVersion(t, c, key, "v", false); err != nil {
					t.Error(err)
				}
				if got := state(t, c, key); got != "v" {
					t.Errorf("%s is %q after Put", key, got)
				}
				if err := c.Delete(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := os.Remove(filepath.Join(dir, ".meta")); err != nil {
		t.Errorf("something is left: %v", err)
	}
}
