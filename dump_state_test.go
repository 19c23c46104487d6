package cts_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs"
)

// verbs returns the calls that were made, without keys.
func (w *dumpWorld) verbs() string {
	var verbs []string
	for _, call := range w.calls {
		verb, _, _ := strings.Cut(call, " ")
		verbs = append(verbs, verb)
	}
	return strings.Join(verbs, " ")
}

// A plan is saved before the first put of its cycle and has all the names; the one
// checkpoint of the cycle comes after the last file was read back.
func TestDumpPlansBeforeItPuts(t *testing.T) {
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	w.fault = func(_ int, call string) dumpFault {
		if key, ok := strings.CutPrefix(call, "put "); ok {
			st, _ := w.state(t)
			planned := slices.ContainsFunc(st.Plan.Files, func(f map[string]any) bool { return f["key"] == key })
			if !planned {
				t.Errorf("%s is put and not in the saved plan", key)
			}
		}
		return dumpFault{}
	}
	d := w.dumper(t, smallCycles)
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	const want = "load after plan put head get put head get put head get checkpoint after plan put head get put head get checkpoint"
	if got := w.verbs(); got != want {
		t.Errorf("calls:\n got %s\nwant %s", got, want)
	}
	w.calls = nil
	if err := d.Flush(t.Context()); err != nil || w.verbs() != "after" {
		t.Errorf("with nothing to dump: %v, calls %s", err, w.verbs())
	}
	w.check(t)
}

// killedAt returns a world whose process was killed at the n-th call with the given
// verb, before or after that took effect, and the state it left.
func killedAt(t *testing.T, verb string, n int, done bool, opts *cts.DumperOptions) (*dumpWorld, savedState) {
	t.Helper()
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	w.fault = func(_ int, call string) dumpFault {
		if strings.HasPrefix(call, verb) {
			n--
		}
		if n == 0 {
			return dumpFault{err: errCutOff, kill: true, done: done}
		}
		return dumpFault{}
	}
	if err := w.dumper(t, opts).Flush(t.Context()); !errors.Is(err, errCutOff) {
		t.Fatalf("the process was not killed: %v", err)
	}
	w.mend()
	st, _ := w.state(t)
	return w, st
}

// The interrupted cycle is done again under its own names, whatever the options and
// the day are now; they count for the next one.
func TestDumpRedoesThePlanExactly(t *testing.T) {
	now := time.Date(2024, 6, 19, 23, 59, 59, 0, time.UTC)
	clock := func() time.Time { return now }
	for n := 1; n <= 3; n++ {
		for _, done := range []bool{false, true} {
			w, st := killedAt(t, "put", n, done, &cts.DumperOptions{MaxTraces: 4, Clock: clock, Level: 1})
			var want []string
			for _, f := range st.Plan.Files {
				want = append(want, fmt.Sprint(f["key"]))
			}
			late := now.Add(24 * time.Hour)
			d := w.dumper(t, &cts.DumperOptions{
				MaxTraces: 2, Prefix: "p", Region: "eu-de", WithoutServiceFolders: true, Level: 9, Clock: func() time.Time { return late },
			})
			if err := d.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.check(t)
			var got, next []string
			for _, key := range w.keys(t) {
				if strings.Contains(key, "/2024/06/19/") {
					got = append(got, key)
				} else if next = append(next, key); !strings.HasPrefix(key, "CloudTraces/eu-de/2024/06/20/") || strings.Contains(key, "ECS") {
					t.Errorf("a file of the next cycle is named %s", key)
				}
			}
			if slices.Sort(want); !slices.Equal(got, want) || len(want) != 3 || len(next) != 3 {
				t.Errorf("killed at put %d: planned\n%q\nin the bucket\n%q\nand of the next cycles %d files", n, want, got, len(next))
			}
		}
	}
}

// olderEncoder edits the saved plan, and the objects that exist, so that they are as
// a release with another JSON form would have made them. It returns the new keys.
func (w *dumpWorld) olderEncoder(t *testing.T) (delivered []string) {
	t.Helper()
	st, generation := w.state(t)
	for _, f := range st.Plan.Files {
		old := fmt.Sprint(f["key"])
		key := strings.TrimSuffix(old, ".json.gz")
		key = key[:len(key)-16] + "0123456789abcdef.json.gz"
		f["key"], f["sha256"] = key, strings.Repeat("0", 64)
		if !slices.Contains(w.keys(t), old) {
			continue
		}
		content, _ := w.content(t, old)
		content = append([]byte(" "), content...)
		sum := sha256.Sum256(content)
		f["sha256"], f["bytes"] = hex.EncodeToString(sum[:]), len(content)
		w.put(t, key, zipped(t, content, 6))
		if err := w.objects.Delete(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		delivered = append(delivered, key)
	}
	data, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Store.SaveState(t.Context(), "dumper", data, generation); err != nil {
		t.Fatal(err)
	}
	return delivered
}

func (w *dumpWorld) put(t *testing.T, key string, object []byte) {
	t.Helper()
	if _, err := w.objects.Put(t.Context(), key, bytes.NewReader(object), nil); err != nil {
		t.Fatal(err)
	}
}

// ids returns how often each trace is in the bucket.
func (w *dumpWorld) ids(t *testing.T) map[string]int {
	t.Helper()
	ids := map[string]int{}
	for _, key := range w.keys(t) {
		if strings.Contains(key, "/Digest/") {
			continue
		}
		content, _ := w.content(t, key)
		for tr, err := range cts.NewDecoder(bytes.NewReader(content), nil).All() {
			if err != nil {
				t.Fatal(err)
			}
			ids[tr.ID]++
		}
	}
	return ids
}

// What another release delivered stays, what it only planned is planned anew.
func TestDumpOfAPlanThatCannotBeReproduced(t *testing.T) {
	want := map[string]int{}
	for i := range sevenTraces {
		want[fmt.Sprint("trace-", i+1)] = 1
	}
	for puts := 1; puts <= 3; puts++ {
		w, _ := killedAt(t, "put", puts, true, smallCycles)
		delivered := w.olderEncoder(t)
		if len(delivered) != puts {
			t.Fatalf("%d files delivered, want %d", len(delivered), puts)
		}
		w.calls = nil
		d := w.dumper(t, smallCycles)
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, w.ids(t)); diff != "" {
			t.Errorf("%d files delivered, then (-want +got):\n%s", puts, diff)
		}
		keys := w.keys(t)
		for _, key := range delivered {
			if !slices.Contains(keys, key) || slices.Contains(w.calls, "put "+key) {
				t.Errorf("the delivered file %s did not stay as it was", key)
			}
		}
		replanned := strings.HasPrefix(strings.SplitN(w.verbs(), " put", 2)[0], "load after get get get plan")
		if puts < 3 && !replanned || len(keys) != 5 {
			t.Errorf("%d files, calls %s: the new plan is not saved before it is followed", len(keys), w.verbs())
		}
		if st, _ := w.state(t); st.Plan != nil || st.Position != 7 {
			t.Errorf("state %+v", st)
		}
	}
}

// Only the hash in the saved plan is wrong: the names still say what was meant.
func TestDumpOfAPlanWithWrongHashes(t *testing.T) {
	for puts := 1; puts <= 3; puts++ {
		w, st := killedAt(t, "put", puts, true, smallCycles)
		for _, f := range st.Plan.Files {
			f["sha256"] = strings.Repeat("0", 64)
		}
		data, err := json.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Store.SaveState(t.Context(), "dumper", data, 1); err != nil {
			t.Fatal(err)
		}
		if err := w.dumper(t, smallCycles).Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.check(t)
	}
}

// While the bucket does not tell what lies under the name of a file that has changed
// since it was planned, that file waits, or its traces could get into two files.
func TestDumpDoesNotReplanWhatItCannotRead(t *testing.T) {
	readings := 0
	different := func() string { // what the bucket yields, another text each time
		readings++
		return strings.Repeat(fmt.Sprint(readings%10), 1000)
	}
	for name, test := range map[string]struct {
		fault dumpFault
		want  error
	}{
		"denied":    {dumpFault{err: obs.ErrDenied}, obs.ErrDenied},
		"cut short": {dumpFault{spoil: func(r io.Reader) io.Reader { return io.LimitReader(r, 60) }}, io.ErrUnexpectedEOF},
		"empty":     {dumpFault{spoil: func(io.Reader) io.Reader { return strings.NewReader("") }}, io.ErrUnexpectedEOF},
		"broken":    {dumpFault{err: errBroken, done: true}, errBroken},
		"differs":   {dumpFault{spoil: func(io.Reader) io.Reader { return strings.NewReader(different()) }}, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			w, st := killedAt(t, "get", 2, false, smallCycles) // two of three files are delivered
			w.damaged[4] = true                                // one of the two traces of system/ECS
			w.calls = nil
			hidden := fmt.Sprint("get ", st.Plan.Files[1]["key"])
			w.fault = func(_ int, call string) dumpFault {
				if call == hidden {
					return test.fault
				}
				return dumpFault{}
			}
			d := w.dumper(t, smallCycles)
			if err := d.Flush(t.Context()); !errors.Is(err, test.want) {
				t.Errorf("Flush: %v, want %v", err, test.want)
			}
			if got := w.verbs(); strings.Contains(got, "plan") || strings.Contains(got, "checkpoint") || strings.Count(got, "put") != 2 {
				t.Errorf("calls %s: want the other two files put, and the plan kept", got)
			}
			w.mend()
			if err := d.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.check(t)
		})
	}
}

// Of a file that has changed since it was planned nobody may ever say whether it was
// delivered: after MaxAge it is delivered anew, so that the others do not wait for ever.
func TestDumpReplansWhatItMayNotRead(t *testing.T) {
	w, _ := killedAt(t, "put", 2, false, smallCycles)
	w.damaged[4] = true // one of the two traces of system/ECS, which was not delivered
	w.deny("get")
	now := time.Now()
	opts := *smallCycles
	opts.TrustPut, opts.Clock = true, func() time.Time { return now }
	d := w.dumper(t, &opts)
	for range 3 {
		if err := d.Flush(t.Context()); !errors.Is(err, obs.ErrDenied) || d.Status().Position != 0 {
			t.Errorf("Flush: %v, %+v", err, d.Status())
		}
		now = now.Add(2 * time.Minute)
	}
	if err := d.Flush(t.Context()); err != nil || d.Status().Position != 7 {
		t.Errorf("after MaxAge: %v, %+v", err, d.Status())
	}
	w.check(t)
}

// A trace that could not be read when a cycle was planned is readable again when the
// cycle is done again: it is taken in, also where its name is too long for one more.
func TestDumpTakesInWhatCanBeReadAgain(t *testing.T) {
	w := newDumpWorld()
	for i := range 3 {
		w.add(t, fmt.Sprint("system/", i, strings.Repeat("x", 300_000)))
	}
	w.damaged[1] = true
	w.fault = func(_ int, call string) dumpFault {
		if strings.HasPrefix(call, "put ") {
			return dumpFault{err: errCutOff, kill: true}
		}
		return dumpFault{}
	}
	if err := w.dumper(t, nil).Flush(t.Context()); !errors.Is(err, errCutOff) {
		t.Fatal(err)
	}
	w.mend()
	clear(w.damaged)
	if err := w.dumper(t, nil).Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.check(t)
}

// Two Dumpers with one state: one of them loses, and nothing is dumped twice.
func TestDumpOfTwoWithOneState(t *testing.T) {
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	rival, err := cts.NewDumper(w.Store, w.objects, smallCycles)
	if err != nil {
		t.Fatal(err)
	}
	once := true
	w.fault = func(_ int, call string) dumpFault {
		if strings.HasPrefix(call, "put") && once {
			once = false
			if err := rival.Flush(t.Context()); err != nil {
				t.Errorf("rival: %v", err)
			}
		}
		return dumpFault{}
	}
	d := w.dumper(t, smallCycles)
	if err := d.Flush(t.Context()); !errors.Is(err, cts.ErrStateConflict) {
		t.Errorf("Flush: %v, want ErrStateConflict", err)
	}
	if err := d.Flush(t.Context()); err != nil {
		t.Errorf("Flush again: %v", err)
	}
	w.check(t)
}

// A state that is not this Dumper's ends Run at once, and nothing is dumped.
func TestDumpRefusesForeignStates(t *testing.T) {
	id := newDumpWorld().ID()
	for text, want := range map[string]error{
		`{"v":1,"store_id":"another","position":3}`:               cts.ErrForeignCheckpoint,
		`{"v":2,"store_id":"` + id + `","position":3}`:            cts.ErrVersion,
		`{"v":2,"store_id":"another"}`:                            cts.ErrVersion,
		`{"store_id":"` + id + `","position":3}`:                  cts.ErrVersion,
		`{"v":1,"store_id":"` + id + `","position":`:              cts.ErrVersion,
		`{"v":1,"store_id":"` + id + `","position":-1}`:           cts.ErrVersion,
		`{"v":1,"store_id":"` + id + `","position":"3"}`:          cts.ErrVersion,
		`{"v":1,"store_id":"` + id + `","position":3,"plan":"x"}`: cts.ErrVersion,
		`[]`: cts.ErrVersion, `null`: cts.ErrVersion, `{}`: cts.ErrVersion, ` `: cts.ErrVersion, "\xff": cts.ErrVersion,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newDumpWorld()
			w.add(t, sevenTraces...)
			if _, err := w.Store.SaveState(t.Context(), "dumper", []byte(text), 0); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			err := w.dumper(t, nil).Run(ctx)
			if !errors.Is(err, want) || !strings.Contains(fmt.Sprint(err), "state dumper") {
				t.Errorf("state %q: %v, want %v", text, err, want)
			}
			if data, _, _ := w.Store.LoadState(t.Context(), "dumper"); string(data) != text || len(w.keys(t)) > 0 {
				t.Errorf("state %q: it was changed to %q, %d files", text, data, len(w.keys(t)))
			}
		})
	}
}
