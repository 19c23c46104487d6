package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

var storeID = wal.StoreID{1, 2, 3}

// frameOf makes a frame of records.
func frameOf(first uint64, records ...string) wal.Frame {
	f := wal.Frame{First: first, Count: uint32(len(records))}
	for _, r := range records {
		f.Payload = wal.AppendRecord(f.Payload, []byte(r))
	}
	f.Sum = wal.Checksum(f.Payload)
	return f
}

// newLog returns a log with one file in memory that holds the frames.
func newLog(t testing.TB, frames ...wal.Frame) (*vfstest.MemFS, *wal.Log) {
	t.Helper()
	return newLogAt(t, 0, frames...)
}

// newLogAt returns a log whose first file follows on that of a number.
func newLogAt(t testing.TB, number uint64, frames ...wal.Frame) (*vfstest.MemFS, *wal.Log) {
	t.Helper()
	mem := vfstest.NewMemFS()
	log := wal.NewLog(wal.Config{FS: mem, Dir: "/", Store: storeID, MaxFile: 1 << 20, MaxDirty: 1 << 20}, number, wal.Mark{Next: 1})
	for _, f := range frames {
		if _, _, err := log.Append([]wal.Frame{f}, true); err != nil {
			t.Fatal(err)
		}
	}
	return mem, log
}

func content(t testing.TB, mem *vfstest.MemFS, number uint64) []byte {
	t.Helper()
	b, err := mem.ReadFile(wal.FileName(number))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// describe scans bytes and returns one line for each item.
func describe(t testing.TB, b []byte, number uint64) []string {
	t.Helper()
	var lines []string
	at := int64(wal.HeaderSize)
	for it, err := range wal.Scan(bytes.NewReader(b), storeID, number, wal.HeaderSize, int64(len(b))) {
		if err != nil {
			t.Fatal(err)
		}
		if it.Offset != at || it.End <= it.Offset {
			t.Fatalf("item from %d to %d where %d is due", it.Offset, it.End, at)
		}
		at = it.End
		line := fmt.Sprintf("kind %d", it.Kind)
		if it.Kind != wal.Invalid {
			line += fmt.Sprintf(" first %d count %d synced %d:", it.First, it.Count, it.Synced)
			for r := range wal.Records(it.Payload) {
				line += fmt.Sprintf(" %s %v", r.Data, r.OK)
			}
		}
		lines = append(lines, line)
	}
	if at != int64(max(len(b), wal.HeaderSize)) {
		t.Fatalf("the scan ended at %d of %d", at, len(b))
	}
	return lines
}

func TestScanReadsWhatLogWrote(t *testing.T) {
	mem, log := newLog(t, frameOf(1, "a", "b"), frameOf(3, "c"))
	want := []string{
		"kind 0 first 1 count 2 synced 64: a true b true",
		"kind 0 first 3 count 1 synced 116: c true",
	}
	if got := describe(t, content(t, mem, 1), 1); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if log.Next() != 4 || log.Synced() != (wal.Mark{File: 1, Offset: 162, Next: 4}) || log.Bytes() != 162 {
		t.Errorf("next %d, synced %+v, bytes %d", log.Next(), log.Synced(), log.Bytes())
	}
}

func TestScanPassesOverDamage(t *testing.T) {
	mem, _ := newLog(t, frameOf(1, "aaaa"), frameOf(2, "bbbb"), frameOf(3, "cccc"))
	whole := content(t, mem, 1)
	first, second := wal.HeaderSize, wal.HeaderSize+49
	tests := []struct {
		name   string
		damage func(b []byte) []byte
		want   []string // the kinds
	}{
		{"nothing", func(b []byte) []byte { return b }, []string{"0", "0", "0"}},
		{"header of the first", func(b []byte) []byte { b[first+20]++; return b }, []string{"2", "0", "0"}},
		{"payload of the second", func(b []byte) []byte { b[second+45]++; return b }, []string{"0", "1", "0"}},
		{"cut in the payload", func(b []byte) []byte { return b[:len(b)-1] }, []string{"0", "0", "1"}},
		{"cut in the header", func(b []byte) []byte { return b[:len(b)-10] }, []string{"0", "0", "2"}},
		{"cut behind the magic", func(b []byte) []byte { return b[:second+4] }, []string{"0", "2"}},
		{"bytes in between", func(b []byte) []byte { return slices.Insert(b, second, []byte("\xffct\xfe\xff")...) }, []string{"0", "2", "0", "0"}},
		{"zeros behind", func(b []byte) []byte { return append(b, make([]byte, 1<<20)...) }, []string{"0", "0", "0", "2"}},
		{"empty", func(b []byte) []byte { return b[:wal.HeaderSize] }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var kinds []string
			for _, line := range describe(t, tt.damage(bytes.Clone(whole)), 1) {
				kinds = append(kinds, line[5:6])
			}
			if !slices.Equal(kinds, tt.want) {
				t.Errorf("got %v, want %v", kinds, tt.want)
			}
		})
	}
}

func TestForeignFramesAreNotRead(t *testing.T) {
	mem, _ := newLog(t, frameOf(1, "a"))
	b := content(t, mem, 1)
	for _, foreign := range []struct {
		store  wal.StoreID
		number uint64
	}{{storeID, 2}, {wal.StoreID{9}, 1}} {
		for it, err := range wal.Scan(bytes.NewReader(b), foreign.store, foreign.number, wal.HeaderSize, int64(len(b))) {
			if err != nil || it.Kind != wal.Invalid {
				t.Errorf("file %d of %v: got %+v, %v", foreign.number, foreign.store, it, err)
			}
		}
	}
}

func TestTail(t *testing.T) {
	at := func(i int) int64 { return wal.HeaderSize + 49*int64(i) }
	zeros := make([]byte, 1000)
	// What an earlier use left, of the same layout.
	const now = 9
	mem, _ := newLogAt(t, 3, frameOf(1, "vvvv"), frameOf(2, "wwww"), frameOf(3, "xxxx"), frameOf(4, "yyyy"), frameOf(5, "zzzz"))
	old := content(t, mem, 4)
	mem, log := newLogAt(t, now-1, frameOf(1, "aaaa"), frameOf(2, "bbbb"), frameOf(3, "cccc"))
	whole := content(t, mem, now)
	for _, f := range []wal.Frame{frameOf(4, "dddd"), frameOf(5, "eeee")} {
		if _, _, err := log.Append([]wal.Frame{f}, false); err != nil {
			t.Fatal(err)
		}
	}
	unsynced := content(t, mem, now)
	mem, _ = newLogAt(t, now-1, frameOf(1, "aaaa"), frameOf(2, "bbbb"), frameOf(3, "cccc"), frameOf(4, "dddd"), frameOf(5, "eeee"))
	synced := content(t, mem, now)
	tests := []struct {
		name        string
		damage      func(b []byte) []byte
		proven      int64
		end, synced int64
		torn        int64 // if something was under way
	}{
		{"nothing", func(b []byte) []byte { return b }, 0, at(3), at(2), 0},
		{"proven by the mark", func(b []byte) []byte { return b }, at(3), at(3), at(3), 0},
		{"last frame", func(b []byte) []byte { b[at(2)+5]++; return b }, 0, at(2), at(1), 0},
		{"last frame, proven", func(b []byte) []byte { b[at(2)+5]++; return b }, at(3), at(3), at(3), 0},
		{"payload of the last frame", func(b []byte) []byte { b[at(2)+47]++; return b }, 0, at(2), at(2), at(3)},
		{"frame that a later one proves", func(b []byte) []byte { b[at(1)+5]++; return b }, 0, at(3), at(2), 0},
		{"first frame, proven by the last", func(b []byte) []byte { b[at(0)+5]++; b[at(1)+5]++; return b }, 0, at(3), at(2), 0},
		{"cut", func(b []byte) []byte { return b[:at(2)+3] }, 0, at(2), at(1), 0},
		{"cut in the payload", func(b []byte) []byte { return b[:at(2)+45] }, 0, at(2), at(2), at(2) + 45},
		{"cut below the proven end", func(b []byte) []byte { return b[:at(2)+3] }, at(3), at(2) + 3, at(3), 0},
		{"repeated frame", func(b []byte) []byte { return append(b, b[at(0):at(1)]...) }, 0, at(3), at(2), at(4)},
		{"garbage", func(b []byte) []byte { return append(b, "garbage"...) }, 0, at(3), at(2), 0},
		{"zeros", func(b []byte) []byte { return append(b, zeros...) }, 0, at(3), at(2), 0},
		{"zeros behind the proven end", func(b []byte) []byte { return append(b, zeros...) }, at(3), at(3), at(3), 0},
		{"earlier use", func(b []byte) []byte { return append(b, old[at(3):]...) }, 0, at(3), at(2), 0},
		{"last frame, proven, zeros", func(b []byte) []byte { b[at(2)+5]++; return append(b, zeros...) }, at(3), at(3), at(3), 0},
		{"cut, zeros", func(b []byte) []byte { clear(b[at(2)+45:]); return append(b, zeros...) }, 0, at(2), at(2), at(3)},
		{"cut in the header, earlier use", func(b []byte) []byte { return append(b[:at(2)+20], old[at(2)+20:]...) }, 0, at(2), at(1), 0},
		{"cut in the payload, earlier use", func(b []byte) []byte { return append(b[:at(2)+44], old[at(2)+44:]...) }, 0, at(2), at(2), at(3)},
		{"gap", func([]byte) []byte { clear(unsynced[at(3):at(4)]); return append(unsynced, zeros...) }, 0, at(3), at(3), at(5)},
		{"gap of an earlier use", func([]byte) []byte { copy(unsynced[at(3):at(4)], old[at(3):]); return unsynced }, 0, at(3), at(3), at(5)},
		{"gap, proven by what is behind it", func([]byte) []byte { clear(synced[at(3):at(4)]); return append(synced, zeros...) }, 0, at(5), at(4), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.damage(bytes.Clone(whole))
			h := wal.Header{Store: storeID, Number: now, First: 1}
			want := wal.End{Offset: tt.end, Synced: tt.synced, Torn: max(tt.end, tt.torn)}
			if got, err := wal.Tail(bytes.NewReader(b), h, int64(len(b)), tt.proven); err != nil || got != want {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestHeader(t *testing.T) {
	h := wal.Header{Store: storeID, Number: 7, First: 100}
	b := h.Append(nil)
	if len(b) != wal.HeaderSize {
		t.Fatalf("%d bytes", len(b))
	}
	if got, err := wal.ParseHeader(b); err != nil || got != h {
		t.Errorf("got %+v, %v", got, err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, err := wal.ParseHeader(bad); !errors.Is(err, wal.ErrHeader) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	if _, err := wal.ParseHeader(b[:63]); !errors.Is(err, wal.ErrHeader) {
		t.Errorf("short: %v", err)
	}
}

func TestList(t *testing.T) {
	mem := vfstest.NewMemFS()
	for _, name := range []string{"00000002.log", "123456789.log", "00000010.log", "2.log", "00000000.log", "000000003.log", "x.log", ".tmp-1", "00000004.log.bak"} {
		if err := mem.WriteFile(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	got, err := wal.List(mem, "/")
	if err != nil || !slices.Equal(got, []uint64{2, 10, 123456789}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := wal.List(mem, "/none"); err != nil || got != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestMarkSlots(t *testing.T) {
	mem := vfstest.NewMemFS()
	m := wal.Mark{File: 1, Offset: 64, Next: 1}
	f, err := wal.OpenMark(mem, "MARK", storeID, m)
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(5) {
		m.Offset, m.Next = m.Offset+50, n+2
		if err := f.Write(m); err != nil {
			t.Fatal(err)
		}
		if got, err := wal.ReadMark(mem, "MARK", storeID); err != nil || got != m {
			t.Errorf("got %+v, %v", got, err)
		}
		// Whatever becomes of the slot just written, the one before it stands.
		b, _ := mem.ReadFile("MARK")
		_, slot, _ := wal.ParseMark(b, storeID)
		clear(b[slot*512 : slot*512+40])
		if old, _, err := wal.ParseMark(b, storeID); err != nil || old.Next != m.Next-1 {
			t.Errorf("with a torn slot: %+v, %v", old, err)
		}
	}
	if err := f.Write(wal.Mark{File: 1, Offset: 64, Next: 1}); err != nil {
		t.Fatal(err)
	}
	if got, _ := wal.ReadMark(mem, "MARK", storeID); got != m {
		t.Errorf("the mark went back to %+v", got)
	}
	if _, err := wal.ReadMark(mem, "MARK", wal.StoreID{}); !errors.Is(err, wal.ErrNoMark) {
		t.Errorf("of another store: %v", err)
	}
	if _, err := wal.ReadMark(mem, "none", storeID); !errors.Is(err, wal.ErrNoMark) {
		t.Errorf("absent: %v", err)
	}
	again, err := wal.OpenMark(mem, "MARK", storeID, wal.Mark{Next: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := wal.ReadMark(mem, "MARK", storeID); got != m {
		t.Errorf("opening changed the mark to %+v", got)
	}
	if err := errors.Join(f.Close(), again.Close()); err != nil {
		t.Error(err)
	}
}

// TestLogMovesOnAfterFailedSync checks that the successor of a file whose sync failed
// holds what was not synced, and tells where it went.
func TestLogMovesOnAfterFailedSync(t *testing.T) {
	mem := vfstest.NewMemFS()
	fault := vfstest.NewFaultFS(mem)
	var told []string
	log := wal.NewLog(wal.Config{
		FS: fault, Dir: "/", Store: storeID, MaxFile: 1 << 20, MaxDirty: 1 << 20,
		Opened: func(f *wal.File) { told = append(told, "opened "+f.Name()) },
		Moved: func(from uint64, to *wal.File, delta int64) {
			told = append(told, fmt.Sprintf("moved %d %s %d", from, to.Name(), delta))
		},
		Abandoned: func(old, next string, _ error) { told = append(told, "abandoned "+old+" "+next) },
		Failed:    func(op, file string, _ error) { told = append(told, "failed "+op+" "+file) },
	}, 0, wal.Mark{Next: 1})
	appendFrame := func(f wal.Frame, sync bool) (string, int64) {
		file, offset, err := log.Append([]wal.Frame{f}, sync)
		if err != nil {
			t.Fatal(err)
		}
		return file.Name(), offset
	}
	appendFrame(frameOf(1, "a"), true)
	appendFrame(frameOf(2, "b"), false)
	fault.Set(func(op vfstest.Op) error {
		if op.Kind == vfstest.KindSync && op.Name == "/00000001.log" {
			return errors.New("no")
		}
		return nil
	})
	if file, offset := appendFrame(frameOf(3, "c"), true); file != "00000002.log" || offset != 110 {
		t.Errorf("the frame is in %s at %d", file, offset)
	}
	want := []string{
		"opened 00000001.log", "failed sync 00000001.log", "opened 00000002.log", "moved 2 00000002.log -46",
		"abandoned 00000001.log 00000002.log",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
	lines := []string{"kind 0 first 2 count 1 synced 64: b true", "kind 0 first 3 count 1 synced 64: c true"}
	if got := describe(t, content(t, mem, 2), 2); !slices.Equal(got, lines) {
		t.Errorf("got %q", got)
	}
	if h, err := wal.ParseHeader(content(t, mem, 2)); err != nil || h.First != 2 {
		t.Errorf("header %+v, %v", h, err)
	}
}

// TestLogNoticesThatItsFileIsGone takes the file away in several ways.
func TestLogNoticesThatItsFileIsGone(t *testing.T) {
	ways := map[string]func(mem *vfstest.MemFS) error{
		"removed": func(mem *vfstest.MemFS) error { return mem.Remove("/00000001.log") },
		"renamed": func(mem *vfstest.MemFS) error { return mem.Rename("/00000001.log", "/old") },
		"replaced": func(mem *vfstest.MemFS) error {
			return errors.Join(mem.Remove("/00000001.log"), mem.WriteFile("/00000001.log", nil))
		},
	}
	for name, take := range ways {
		t.Run(name, func(t *testing.T) {
			mem, log := newLog(t, frameOf(1, "a"))
			if err := take(mem); err != nil {
				t.Fatal(err)
			}
			file, _, err := log.Append([]wal.Frame{frameOf(2, "b")}, true)
			if err != nil || file.Name() != "00000002.log" {
				t.Fatalf("got %v, %v", file, err)
			}
			got := describe(t, content(t, mem.CrashClone(vfstest.CrashOptions{}), 2), 2)
			if !slices.Equal(got, []string{"kind 0 first 2 count 1 synced 64: b true"}) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestRecordsEndWhereNoneCanBe(t *testing.T) {
	payload := frameOf(1, "aaaa", "bbbb").Payload
	for cut := range payload {
		n := 0
		for r := range wal.Records(payload[:cut]) {
			if !r.OK {
				t.Errorf("cut at %d: a record is wrong", cut)
			}
			n++
		}
		if n > cut/9 {
			t.Errorf("cut at %d: %d records", cut, n)
		}
	}
	for r := range wal.Records([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01 and more")) {
		t.Errorf("got %v", r)
	}
	if _, ok := wal.CheckRecord([]byte{1, 2}); ok {
		t.Error("two bytes are a record")
	}
}

func FuzzScan(f *testing.F) {
	mem, _ := newLog(f, frameOf(1, "aaaa", "b"), frameOf(3, "cccc"))
	whole := content(f, mem, 1)
	f.Add(whole)
	f.Add(whole[:100])
	f.Add(append(bytes.Clone(whole), whole...))
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		b := bytes.Clone(whole)
		b[rng.IntN(len(b))] ^= byte(1 << rng.IntN(8))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := wal.ParseHeader(b); err == nil && !bytes.Equal(h.Append(nil)[:48], b[:48]) {
			t.Errorf("header %+v is written otherwise", h)
		}
		describe(t, b, 1)
		size := int64(len(b))
		end, err := wal.Tail(bytes.NewReader(b), wal.Header{Store: storeID, Number: 1, First: 1}, size, 0)
		if err != nil || end.Offset > size || end.Torn > size || end.Torn < end.Offset || end.Synced < wal.HeaderSize || size > wal.HeaderSize && end.Offset < wal.HeaderSize {
			t.Fatalf("%+v of %d, %v", end, size, err)
		}
		// What is kept is stable: the tail of the tail is itself.
		if again, err := wal.Tail(bytes.NewReader(b[:end.Offset]), wal.Header{Store: storeID, Number: 1, First: 1}, end.Offset, end.Synced); err != nil || again.Offset != end.Offset || again.Torn != end.Offset {
			t.Errorf("%+v, then %+v, %v", end, again, err)
		}
	})
}

func FuzzMark(f *testing.F) {
	mem := vfstest.NewMemFS()
	if _, err := wal.OpenMark(mem, "MARK", storeID, wal.Mark{File: 3, Offset: 1000, Next: 77}); err != nil {
		f.Fatal(err)
	}
	b, _ := mem.ReadFile("MARK")
	f.Add(b)
	f.Add(b[:64])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, slot, err := wal.ParseMark(b, storeID)
		if err != nil {
			if !errors.Is(err, wal.ErrNoMark) {
				t.Errorf("error %v", err)
			}
			return
		}
		if m.Next == 0 || m.Offset < 0 || slot < 0 || slot > 1 {
			t.Errorf("mark %+v in slot %d", m, slot)
		}
	})
}
