package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"
)

// damageSample is a small segment that has every kind of section.
func damageSample(tb testing.TB) (Schema, []Row, []byte) {
	tb.Helper()
	g := newGenerator(5)
	g.schema = Schema{Texts: 2}
	g.kinds, g.spread, g.times = nil, 1, 5
	for i, kind := range []int{0, 2, 3, 4, 5, 6, 9, 12} {
		g.schema.Columns = append(g.schema.Columns, Column{Name: fmt.Sprintf("c%d", i), Find: true, ID: i == 3 || i == 1})
		g.kinds = append(g.kinds, kind)
	}
	rows := g.rows(50)
	data, _ := write(tb, g.schema, nil, rows)
	return g.schema, rows, data
}

func damages(s *Segment) (found []error) {
	s.Verify(func(_ int64, _, _ uint64, err error) { found = append(found, err) })
	return found
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	t.Parallel()
	_, _, data := damageSample(t)
	if found := damages(open(t, data)); len(found) != 0 {
		t.Fatal(found)
	}
	step := 1
	if raceEnabled {
		step = 97
	}
	for i := 0; i < len(data); i += step {
		broken := bytes.Clone(data)
		broken[i] ^= byte(1 + i%255)
		s, err := Open("broken.seg", broken)
		if err != nil {
			var d *Damage
			if !errors.As(err, &d) && !errors.Is(err, ErrVersion) {
				t.Fatalf("byte %d: %v", i, err)
			}
			continue
		}
		found := damages(s)
		if len(found) == 0 {
			t.Fatalf("the change of byte %d of %d is not found", i, len(data))
		}
		for _, err := range found {
			var d *Damage
			if !errors.As(err, &d) || d.File != "broken.seg" || d.Offset > int64(i) || d.Offset+d.Length <= int64(i) {
				t.Fatalf("byte %d is reported as %v", i, err)
			}
		}
	}
}

func TestCutFilesAreRefused(t *testing.T) {
	t.Parallel()
	_, _, data := damageSample(t)
	for n := range len(data) {
		if _, err := Open("cut", data[:n]); err == nil {
			t.Fatalf("a file cut to %d of %d bytes is opened", n, len(data))
		}
	}
	if _, err := Open("long", append(bytes.Clone(data), 0)); err == nil {
		t.Fatal("a file with a byte more is opened")
	}
}

func TestNewerVersionIsRefused(t *testing.T) {
	t.Parallel()
	_, _, data := damageSample(t)
	data[8] = version + 1
	sum := checksum(data[:headerSize-4])
	for i := range 4 {
		data[headerSize-4+i] = byte(sum >> (8 * i))
	}
	if _, err := Open("newer", data); !errors.Is(err, ErrVersion) {
		t.Fatalf("err = %v, want ErrVersion", err)
	}
}

// readAll calls everything with everything, within the limits of the arguments and
// beyond. It must not panic.
func readAll(s *Segment) {
	n := uint32(s.Rows())
	step := n/50 + 1
	if o, err := s.Order(); err == nil {
		for row := uint32(0); row < n; row += step {
			o.SearchTime(o.Time(row))
			o.SearchPosition(o.Position(row))
			o.Record(row)
			o.Row(o.Ordinal(row))
		}
		o.Time(math.MaxUint32)
		o.Position(math.MaxUint32)
		o.SearchTime(math.MaxInt64)
		o.SearchPosition(math.MaxUint64)
	}
	var buf []byte
	for i := range s.Info().Schema.Columns {
		c, err := s.Column(i, Values|Lookup|Filter)
		if err != nil {
			continue
		}
		var codes [100]uint32
		c.Codes(codes[:], 0, n)
		c.Keep([]uint32{0, n - 1, n, math.MaxUint32}, codes[0])
		KeepAny([]uint32{0, n - 1, n, math.MaxUint32}, []*ColumnReader{c, c}, codes[:2])
		if c.Kind() != Const {
			of := NewRowCodes([]*ColumnReader{c})
			of.Read(codes[:1], n-1)
			of.Read(codes[:1], math.MaxUint32)
		}
		for row := uint32(0); row < n+2; row += step {
			buf = c.AppendValue(buf[:0], c.Code(row))
			c.AppendValue(nil, row)
			v := string(buf)
			c.Find(v)
			c.FindPrefix(v)
			c.MayContain(v)
			c.Count(row)
			readList(c.Postings(row))
			readList(c.Rows(v))
		}
	}
	t, err := s.Texts()
	if err != nil {
		return
	}
	var r TextReader
	for ordinal := uint32(0); ordinal < n+2; ordinal += step {
		_, _ = t.Read(ordinal, &r)
		if t.Open(t.Block(ordinal), &r) == nil {
			r.Bytes()
		}
	}
	if w, err := s.Words(); err == nil {
		for g := range w.Groups() + 1 {
			w.Find(g, WordNeedle("name"))
			w.Find(g, SubstringNeedle("name-1"))
		}
	}
}

func readList(p Postings, _ bool) {
	var rows [70]uint32
	for i := 0; i < p.Len(); i += p.Len()/20 + 1 {
		p.Search(p.At(i))
		p.Read(rows[:], i)
	}
	p.At(p.Len())
}

// FuzzOpen changes bytes of a segment, and its checksums so that they are right again.
func FuzzOpen(f *testing.F) {
	_, _, data := damageSample(f)
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{100, 0, 255, 1, 200, 0, 3, 4})
	f.Add([]byte{50, 8, 128, 2})
	f.Fuzz(func(t *testing.T, changes []byte) {
		broken := bytes.Clone(data)
		for ; len(changes) >= 4; changes = changes[4:] {
			at := int(changes[0]) | int(changes[1])<<8 | int(changes[3]&1)<<16
			broken[at%len(broken)] ^= changes[2]
		}
		repair(broken)
		s, err := Open("fuzz", broken)
		if err != nil {
			return
		}
		readAll(s)
		damages(s)
		_, _ = Merge(&bytes.Buffer{}, nil, []*Segment{s})
	})
}

// repair writes the right checksums into a segment whose footer can be parsed.
func repair(data []byte) {
	fix := func(b []byte, sum uint32) {
		for i := range 4 {
			b[i] = byte(sum >> (8 * i))
		}
	}
	fix(data[headerSize-4:], checksum(data[:headerSize-4]))
	tail := data[len(data)-tailSize:]
	offset := uint64(0)
	for i := range 8 {
		offset |= uint64(tail[i]) << (8 * i)
	}
	if offset > uint64(len(data)-tailSize) {
		return
	}
	foot := data[offset : len(data)-tailSize]
	if f, ok := parseFooter(foot, int64(offset)); ok {
		for i := range f.sections {
			e := &f.sections[i]
			for c := int64(0); c*chunkSize < e.length && e.hasSums(); c++ {
				chunk := data[e.offset+c*chunkSize : e.offset+min(e.length, (c+1)*chunkSize)]
				fix(e.sums[c*4:], checksum(chunk))
			}
		}
		s := &Segment{data: data, foot: f}
		s.checks = make([]check, len(f.sections))
		if t, err := s.Texts(); err == nil {
			for b := range t.blocks {
				if offset, length := t.place(b); length >= blockHeader {
					fix(data[offset:], checksum(data[offset+4:offset+length]))
				}
			}
		}
	}
	fix(tail[16:], checksum(foot))
	fix(tail[20:], checksum(tail[:20]))
}
