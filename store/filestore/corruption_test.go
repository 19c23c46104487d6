package filestore_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/filestore"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

func TestCorruption(t *testing.T) {
	const size = wal.HeaderSize
	tests := []struct {
		name   string
		damage func(d disk)
		lost   [][2]cts.Position // what After reports, in order
		places []string          // file and cause of each
		torn   bool              // the writer tells that something was under way
		cut    bool              // the writer takes what is lost for something that was under way
		mark   bool              // the writer misses the mark
		extra  int               // damage that Verify reports besides
		err    error             // Open and OpenReader fail
		reader bool              // only Open fails
	}{
		{name: "nothing", damage: func(disk) {}},
		{
			name:   "bit in a frame header in the middle",
			damage: func(d disk) { d.flip(log1, d.frame(log1, 2).Offset+17) },
			lost:   [][2]cts.Position{{4, 6}}, places: []string{"00000001.log no frame"},
		},
		{
			name:   "magic of a frame in the middle",
			damage: func(d disk) { d.flip(log2, d.frame(log2, 1).Offset) },
			lost:   [][2]cts.Position{{12, 13}}, places: []string{"00000002.log no frame"},
		},
		{
			name:   "bit in the body of one trace",
			damage: func(d disk) { d.flip(log2, d.frame(log2, 3).End-5) },
			lost:   [][2]cts.Position{{20, 20}}, places: []string{"00000002.log checksum"},
		},
		{
			name:   "length of the first trace of a batch",
			damage: func(d disk) { d.flip(log2, d.frame(log2, 3).Offset+wal.FrameSize) },
			lost:   [][2]cts.Position{{17, 20}}, places: []string{"00000002.log checksum"},
		},
		{
			name: "zeros over two frames",
			damage: func(d disk) {
				b := d.read(log1)
				clear(b[d.frame(log1, 1).Offset:d.frame(log1, 2).End])
				d.write(log1, b)
			},
			lost: [][2]cts.Position{{2, 6}}, places: []string{"00000001.log no frame"},
		},
		{
			name:   "middle file cut short",
			damage: func(d disk) { d.cut(log2, d.frame(log2, 1).End) },
			lost:   [][2]cts.Position{{14, 20}}, places: []string{"00000003.log missing"},
		},
		{
			name:   "middle file cut inside a frame",
			damage: func(d disk) { d.cut(log2, d.frame(log2, 3).Offset+50) },
			lost:   [][2]cts.Position{{17, 20}}, places: []string{"00000002.log checksum"},
		},
		{
			name:   "middle file missing",
			damage: func(d disk) { d.remove(log2) },
			lost:   [][2]cts.Position{{11, 20}}, places: []string{"00000003.log missing"},
		},
		{
			name:   "first file missing",
			damage: func(d disk) { d.remove(log1) },
			lost:   [][2]cts.Position{{1, 10}}, places: []string{"00000002.log missing"},
		},
		{
			name:   "last file missing",
			damage: func(d disk) { d.remove(log3) },
			lost:   [][2]cts.Position{{21, 30}}, places: []string{"00000003.log missing"},
		},
		{
			name:   "all log files missing",
			damage: func(d disk) { d.remove(log1); d.remove(log2); d.remove(log3) },
			lost:   [][2]cts.Position{{1, 30}}, places: []string{"00000003.log missing"},
		},
		{
			name:   "header of a middle file",
			damage: func(d disk) { d.flip(log2, 30) },
			extra:  1,
		},
		{
			name:   "header of the last file",
			damage: func(d disk) { d.flip(log3, 61) },
			extra:  1,
		},
		{
			name:   "last file empty",
			damage: func(d disk) { d.cut(log3, 0) },
			lost:   [][2]cts.Position{{21, 30}}, places: []string{"00000003.log missing"}, extra: 1,
		},
		{
			name:   "last frame damaged below the mark",
			damage: func(d disk) { d.flip(log3, d.frame(log3, 3).Offset+4) },
			lost:   [][2]cts.Position{{27, 30}}, places: []string{"00000003.log no frame"},
		},
		{
			name:   "last file cut below the mark",
			damage: func(d disk) { d.cut(log3, d.frame(log3, 3).Offset+7) },
			lost:   [][2]cts.Position{{27, 30}}, places: []string{"00000003.log no frame"},
		},
		{
			name: "garbage behind the end",
			damage: func(d disk) {
				d.write(log3, append(d.read(log3), "\xffct\xfe and so on"...))
			},
		},
		{
			name: "zeros behind the end",
			damage: func(d disk) {
				d.write(log3, append(d.read(log3), make([]byte, 5000)...))
			},
		},
		{
			name: "frames of another file behind the end",
			damage: func(d disk) {
				b := d.read(log2)
				d.write(log3, append(d.read(log3), b[size:]...))
			},
		},
		{
			name: "frame that was cut short behind the end",
			damage: func(d disk) {
				b := d.frameBehind(log3)
				d.write(log3, append(append(d.read(log3), b[:len(b)-9]...), make([]byte, 5000)...))
			},
			torn: true,
		},
		{
			name: "frame behind a gap behind the end",
			damage: func(d disk) {
				d.write(log3, append(append(d.read(log3), make([]byte, 5000)...), d.frameBehind(log3)...))
			},
			torn: true,
		},
		{
			name: "last frame damaged below the mark, zeros behind the end",
			damage: func(d disk) {
				d.flip(log3, d.frame(log3, 3).Offset+4)
				d.write(log3, append(d.read(log3), make([]byte, 5000)...))
			},
			lost: [][2]cts.Position{{27, 30}}, places: []string{"00000003.log no frame"},
		},
		{
			name: "garbage behind the end of a middle file",
			damage: func(d disk) {
				d.write(log1, append(d.read(log1), make([]byte, 700)...))
			},
		},
		{
			name: "two places",
			damage: func(d disk) {
				d.flip(log1, d.frame(log1, 1).Offset+2)
				d.flip(log3, d.frame(log3, 2).Offset+2)
			},
			lost: [][2]cts.Position{{2, 3}, {24, 26}}, places: []string{"00000001.log no frame", "00000003.log no frame"},
		},
		{
			name:   "MARK missing",
			damage: func(d disk) { d.remove("/store/MARK") },
			mark:   true,
		},
		{
			name:   "MARK garbage",
			damage: func(d disk) { d.write("/store/MARK", []byte("garbage")) },
			mark:   true,
		},
		{
			name: "one slot of MARK",
			damage: func(d disk) {
				d.flip("/store/MARK", 20)
			},
		},
		{
			name: "MARK missing and the last frame, which nothing proves then",
			damage: func(d disk) {
				d.flip(log3, d.frame(log3, 3).Offset+4)
				d.remove("/store/MARK")
			},
			lost: [][2]cts.Position{{27, 30}}, cut: true, mark: true,
		},
		{
			name: "MARK missing and a frame that a later one proves",
			damage: func(d disk) {
				d.flip(log3, d.frame(log3, 1).Offset+4)
				d.remove("/store/MARK")
			},
			lost: [][2]cts.Position{{22, 23}}, places: []string{"00000003.log no frame"}, mark: true,
		},
		{
			name:   "state",
			damage: func(d disk) { d.flip("/store/state/plan.state", 34) },
			extra:  1,
		},
		{
			name:   "STORE missing",
			damage: func(d disk) { d.remove("/store/STORE") },
			err:    cts.ErrCorrupt,
		},
		{
			name:   "STORE damaged",
			damage: func(d disk) { d.flip("/store/STORE", 40) },
			err:    cts.ErrCorrupt,
		},
		{
			name:   "STORE empty",
			damage: func(d disk) { d.write("/store/STORE", nil) },
			err:    cts.ErrCorrupt,
		},
		{
			name:   "newer store",
			damage: func(d disk) { d.editStore("version 1\nreader 1", "version 7\nreader 7") },
			err:    cts.ErrVersion,
		},
		{
			name:   "newer store that this release may read",
			damage: func(d disk) { d.editStore("version 1\nreader 1", "version 2\nreader 1") },
			err:    cts.ErrVersion, reader: true,
		},
		{
			name: "newer log file",
			damage: func(d disk) {
				b := d.read(log2)
				binary.LittleEndian.PutUint32(b[8:], 2)
				binary.LittleEndian.PutUint32(b[60:], wal.Checksum(b[:60]))
				d.write(log2, b)
			},
			err: cts.ErrVersion,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk(t)
			tt.damage(d)
			mended := repairedDisk(t, d, tt.err)
			opts := *unsealed(filestore.Options{FS: d, LockWait: -1})
			r, rerr := filestore.OpenReader("/store", &opts)
			if rerr == nil {
				defer r.Close()
			}
			if tt.err != nil && !tt.reader {
				if !errors.Is(rerr, tt.err) {
					t.Errorf("OpenReader: got %v, want %v", rerr, tt.err)
				}
			} else if rerr != nil {
				t.Errorf("OpenReader: %v", rerr)
			}
			s, err := filestore.Open("/store", &opts)
			if !errors.Is(err, tt.err) {
				t.Fatalf("Open: got %v, want %v", err, tt.err)
			}
			lost := tt.lost
			if tt.cut { // what is cut off is no hole for the writer
				lost = nil
			}
			last := 30
			if tt.cut {
				last = int(tt.lost[0][0]) - 1
			}
			if mended.MemFS != nil {
				checkRepaired(t, mended, lost, last, 30)
			}
			if tt.err != nil {
				return
			}
			defer func() { s.Close() }()
			checkLost(t, "writer", s, lost, tt.places, last)
			if tt.lost == nil || tt.places != nil {
				checkLost(t, "reader", r, tt.lost, tt.places, 30)
			}
			rec := s.Status().Recovery
			if (rec.Torn != nil) != tt.torn || rec.MarkLost != tt.mark {
				t.Errorf("recovery: torn %+v, mark lost %v", rec.Torn, rec.MarkLost)
			}
			if len(rec.Damaged) < len(lost) {
				t.Errorf("recovery reports %v", rec.Damaged)
			}
			checkQuarantine(t, d, rec)
			report, err := s.Verify(background)
			if err != nil || len(report.Damaged) != len(lost)+tt.extra {
				t.Errorf("Verify: %v, %v", report.Damaged, err)
			}
			goesOn(t, d, s, lost, last)
		})
	}
}

// checkLost compares what After and Query yield with what should be lost.
func checkLost(t *testing.T, who string, s *filestore.Store, lost [][2]cts.Position, places []string, last int) {
	t.Helper()
	want := idsOf(1, last)
	got, damage := ids(t, s, 0)
	for _, l := range slices.Backward(lost) {
		want = slices.Delete(want, int(l[0])-1, min(len(want), int(l[1])))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: After yields %d traces, want %d", who, len(got), len(want))
	}
	var found [][2]cts.Position
	for i, d := range damage {
		found = append(found, [2]cts.Position{d.First, d.Last})
		if i < len(places) {
			file, cause, _ := strings.Cut(places[i], " ")
			if d.File != "log/"+file || !strings.Contains(d.Err.Error(), cause) {
				t.Errorf("%s: damage is told as %v, want %s", who, d, places[i])
			}
		}
	}
	if !slices.Equal(found, lost) {
		t.Errorf("%s: lost are %v, want %v", who, found, lost)
	}
	n, holes := 0, 0
	for _, err := range s.Query(background, cts.Query{}) {
		switch {
		case errors.Is(err, cts.ErrCorrupt):
			holes++
		case err != nil:
			t.Errorf("%s: Query: %v", who, err)
		default:
			n++
		}
	}
	if n != len(want) || holes != len(lost) {
		t.Errorf("%s: Query yields %d traces and %d holes, want %d and %d", who, n, holes, len(want), len(lost))
	}
}

// checkQuarantine checks that what is named is there and holds the damaged bytes.
func checkQuarantine(t *testing.T, d disk, rec filestore.Recovery) {
	t.Helper()
	for _, damaged := range rec.Damaged {
		for _, name := range damaged.Quarantine {
			var file string
			var from, to int64
			if _, err := fmt.Sscanf(strings.ReplaceAll(name, "@", " "), "quarantine/%s %d-%d", &file, &from, &to); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !bytes.Equal(d.read("/store/"+name), d.read("/store/log/" + file)[from:to]) {
				t.Errorf("%s holds other bytes", name)
			}
		}
		if strings.Contains(damaged.Error.Err.Error(), "no frame") && len(damaged.Quarantine) == 0 {
			t.Errorf("nothing was put aside of %v", damaged.Error)
		}
	}
}

// goesOn checks that appends go on behind the damage, which stays as it is, also
// over another life of the store.
func goesOn(t *testing.T, d disk, s *filestore.Store, lost [][2]cts.Position, last int) {
	t.Helper()
	before := s.Status()
	done := mustAppend(t, s, numbered(101, 103)...)
	if int(done.First) != last+1 {
		t.Errorf("appended at %d behind %d", done.First, last)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, d, "/store", *unsealed(filestore.Options{}))
	if st := again.Status(); st.Traces != before.Traces+3 || st.Recovery.Torn != nil || st.Recovery.MarkLost {
		t.Errorf("opened again: %+v", st)
	}
	_, damage := ids(t, again, 0)
	var found [][2]cts.Position
	for _, d := range damage {
		found = append(found, [2]cts.Position{d.First, d.Last})
	}
	if !slices.Equal(found, lost) {
		t.Errorf("opened again: lost are %v, want %v", found, lost)
	}
}
