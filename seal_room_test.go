package cts

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/digest"
)

// crowdedState returns a state with so many chains and files that one more of each makes
// it crowded, with the largest names that there are.
func crowdedState(t *testing.T, signer *digest.Signer, awkward bool) *dumpState {
	t.Helper()
	st := &dumpState{StoreID: strings.Repeat("s", 36), Position: 1 << 60}
	s := &sealing{opts: ValidationOptions{PerService: true, Signer: signer}, root: "CloudTraces/eu-de"}
	name := func(i int) string {
		if awkward {
			return fmt.Sprint(strings.Repeat("\x01", 1000), i)
		}
		return fmt.Sprint("service", i)
	}
	now := time.Unix(1_800_000_000, 0)
	for i := 0; !st.crowded(); i++ {
		c := s.chain(st, name(i%300), name(i%300), now)
		var random [96]byte
		if _, err := rand.Read(random[:]); err != nil {
			t.Fatal(err)
		}
		c.Add(digest.PendingFile{
			Object: fmt.Sprintf("CloudTraces/eu-de/2026/11/22/%x/%x/CloudTrace_eu-de_2026-11-22T22-00-00Z_%016x.json.gz", random[:], random[:], i),
			Count:  50_000, Root: fmt.Sprintf("%x", random[:32]), Size: 1 << 40, SHA256: fmt.Sprintf("%x", random[32:64]), MD5: fmt.Sprintf("%x", random[64:80]),
			Delivered: digest.StampOf(now), Mark: 1 << 60, Oldest: now.UnixMilli(),
		})
	}
	return st
}

// TestSealStateHasRoom checks that what crowded counts is no less than what the state
// takes, with every chain cut once.
func TestSealStateHasRoom(t *testing.T) {
	for _, awkward := range []bool{false, true} {
		signer, err := digest.GenerateKey(digest.RSA, 2048)
		if err != nil {
			t.Fatal(err)
		}
		st := crowdedState(t, signer, awkward)
		size := func() int {
			data, err := json.Marshal(st)
			if err != nil {
				t.Fatal(err)
			}
			return len(data)
		}
		if got := size(); got > maxUnsealedBytes+maxUnsealedBytes/8 {
			t.Errorf("awkward %v: %d bytes when it is crowded", awkward, got)
		}
		// The one chain with everything makes the largest digest.
		all := digest.NewChain(digest.ChainOptions{Writer: st.StoreID}, time.Unix(1_800_000_000, 0))
		for _, c := range st.Chains {
			for _, f := range c.Pending {
				f.Delivered = all.Start
				all.Pending = append(all.Pending, f)
			}
			c.Pending = nil
		}
		sealed, err := all.Cut(&digest.CutOptions{
			End: all.Start + 60, Signer: signer, Layout: digest.Layout{Root: "CloudTraces/eu-de", Tracker: "%", Region: "eu-de"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := all.Advance(sealed); err != nil {
			t.Fatal(err)
		}
		st.Chains, st.Sealed = append(st.Chains, all), sealed
		if got := size(); got > MaxStateBytes*3/4 {
			t.Errorf("awkward %v: %d bytes with the digest of all", awkward, got)
		}
		again := &dumpState{}
		data, err := json.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, again); err != nil || !bytes.Equal(again.Sealed.Bytes, sealed.Bytes) {
			t.Errorf("awkward %v: the digest does not survive in the state: %v", awkward, err)
		}
	}
}

func TestSealUnsealed(t *testing.T) {
	s := &sealing{opts: ValidationOptions{}}
	st := &dumpState{StoreID: "s", Position: 30}
	check := func(traces, oldest int64, to Position) {
		t.Helper()
		gotTraces, gotOldest, gotTo := s.unsealed(st)
		if gotTraces != traces || gotOldest != oldest || gotTo != to {
			t.Errorf("%d traces, oldest %d, sealed to %d; want %d, %d, %d", gotTraces, gotOldest, gotTo, traces, oldest, to)
		}
	}
	check(0, 0, 30)
	add := func(tracker string, traces int, oldest int64, from Position) {
		file := plannedFile{Key: tracker, Tracker: tracker, Traces: traces, Root: strings.Repeat("0", 64), Oldest: oldest}
		s.delivered(st, file, storedFile{size: 1, from: from, at: 1000})
	}
	add("a", 3, 500, 20)
	check(3, 500, 20)
	add("b", 4, 400, 10) // such as one that was set aside for a while
	check(7, 400, 10)
	s.delivered(st, plannedFile{Key: "c", Tracker: "c", Traces: 9}, storedFile{}) // planned without validation
	check(7, 400, 10)
	st.Sealed = &digest.Sealed{Files: 1, Count: 5, Mark: 8, Oldest: 600}
	check(12, 400, 8)
	st.Chains[0].Planned = &digest.Sealed{Files: 2, Count: 2, Mark: 7, Oldest: 300}
	check(14, 300, 7)
	st.Chains = nil
	check(5, 600, 8)
	st.Sealed = &digest.Sealed{} // an empty one
	check(0, 0, 30)
}
