package segment

import (
	"encoding/binary"
	"math/bits"
	"sort"
)

// The forms of a list of rows in a section of postings.
const (
	listSingle = 0 // one row
	listTiny   = 1 // 2 to 9 rows: 3 bits of count
	listShort  = 2 // 2 to 129 rows: 7 bits of count
	listLong   = 3 // 32 bits of count, and a bit that says whether the rows are listed
)

const (
	maxShort = runRows + 1
	lowBits  = 5 // of the field that holds the width of low bits
)

// The forms of Postings in memory.
const (
	formNone = iota
	formSingle
	formRun
	formRuns
	formPacked
)

// Postings are the rows that have some value, ascending. The zero value is empty.
type Postings struct {
	data    []byte
	bit     uint64 // of the run, of the heads of the runs, or of the first packed row
	n       int
	last    uint32 // highest row of the segment
	base    uint32 // first row of a single or a run
	form    uint8
	rowBits uint8
	low     uint8
	offBits uint8 // of the offsets in the heads of runs
}

// Len returns the number of rows.
func (p *Postings) Len() int { return p.n }

// At returns row i, counted from 0, and 0 if there is none. Its time doesn't depend
// on i.
func (p *Postings) At(i int) uint32 {
	if uint(i) >= uint(p.n) {
		return 0
	}
	switch p.form {
	case formSingle:
		return p.base
	case formRun:
		if i == 0 {
			return p.base
		}
		return p.clamp(uint64(p.base) + readRun(p.data, p.bit, p.n-1, i-1, uint(p.low)))
	case formRuns:
		base, bit, low := p.run(i / runRows)
		n := min(runRows, p.n-i&^(runRows-1)) - 1
		if i %= runRows; i == 0 {
			return p.clamp(base)
		}
		return p.clamp(base + readRun(p.data, bit, n, i-1, low))
	}
	return p.clamp(readBits(p.data, p.bit+uint64(i)*uint64(p.rowBits), uint(p.rowBits)))
}

// clamp keeps what bytes made to deceive say within the segment.
func (p *Postings) clamp(row uint64) uint32 { return uint32(min(row, uint64(p.last))) }

// run returns the head of run b of a long list.
func (p *Postings) run(b int) (base, bit uint64, low uint) {
	size := uint64(p.rowBits) + lowBits + uint64(p.offBits)
	at := p.bit + uint64(b)*size
	base = readBits(p.data, at, uint(p.rowBits))
	low = uint(readBits(p.data, at+uint64(p.rowBits), lowBits))
	bit = readBits(p.data, at+uint64(p.rowBits)+lowBits, uint(p.offBits))
	return base, p.bit + uint64((p.n+runRows-1)/runRows)*size + bit, low
}

// Search returns the first index whose row is at least row, and Len if there is none.
func (p *Postings) Search(row uint32) int {
	switch {
	case row == 0:
		return 0
	case row > p.last:
		return p.n
	}
	switch p.form {
	case formRun:
		return p.searchRun(uint64(p.base), p.bit, p.n, uint(p.low), row)
	case formRuns:
		runs := (p.n + runRows - 1) / runRows
		guess := int(uint64(row) * uint64(runs) / (uint64(p.last) + 1))
		b := searchFrom(runs, guess, func(b int) bool {
			base, _, _ := p.run(b)
			return base >= uint64(row)
		}) - 1
		if b < 0 {
			return 0
		}
		base, bit, low := p.run(b)
		return b*runRows + p.searchRun(base, bit, min(runRows, p.n-b*runRows), low, row)
	}
	return sort.Search(p.n, func(i int) bool { return p.At(i) >= row })
}

// searchRun is Search in a run of n rows with its base.
func (p *Postings) searchRun(base, bit uint64, n int, low uint, row uint32) int {
	if base >= uint64(row) {
		return 0
	}
	return 1 + searchRun(p.data, bit, n-1, low, uint64(row)-base)
}

// Read writes rows from, from+1, … to dst and returns how many there were. It takes
// less time for each than At.
func (p *Postings) Read(dst []uint32, from int) int {
	if from < 0 || from >= p.n {
		return 0
	}
	dst = dst[:min(len(dst), p.n-from)]
	for done := 0; done < len(dst); {
		i := from + done
		switch p.form {
		case formRun:
			done += p.readRun(dst[done:], uint64(p.base), p.bit, p.n, i, uint(p.low))
		case formRuns:
			base, bit, low := p.run(i / runRows)
			done += p.readRun(dst[done:], base, bit, min(runRows, p.n-i&^(runRows-1)), i%runRows, low)
		default:
			dst[done] = p.At(i)
			done++
		}
	}
	return len(dst)
}

// readRun writes values i, i+1, … of a run of n values with its base to dst.
func (p *Postings) readRun(dst []uint32, base, bit uint64, n, i int, low uint) int {
	dst = dst[:min(len(dst), n-i)]
	r := newRunReader(p.data, bit, n-1, low)
	rest := dst
	if i == 0 {
		rest[0], rest = p.clamp(base), rest[1:]
	} else {
		r.skip(i - 1)
	}
	r.fill(rest, base, p.last)
	return len(dst)
}

// lists are the postings of a column with a dictionary.
type lists struct {
	at      frames // first bit of the list of each code
	data    []byte
	rowBits uint
	last    uint32
}

func parseLists(section []byte, codes, rows int) (lists, bool) {
	if len(section) < 8 {
		return lists{}, false
	}
	size := binary.LittleEndian.Uint64(section)
	if size > uint64(len(section)-8) {
		return lists{}, false
	}
	at, ok := parseFrames(section[8:8+size], codes)
	return lists{at: at, data: section[8+size:], rowBits: rowBits(rows), last: uint32(rows - 1)}, ok
}

// rowBits is the width of a row number.
func rowBits(rows int) uint { return uint(bits.Len(uint(rows - 1))) }

// list returns the rows of a code, how many they are, and whether they are listed.
func (l *lists) list(code uint32) (p Postings, n int, ok bool) {
	if int(code) >= l.at.n {
		return Postings{}, 0, true
	}
	bit := l.at.value(int(code))
	if bit > uint64(len(l.data))*8 {
		return Postings{}, 0, true
	}
	head := readBits(l.data, bit, 9)
	p = Postings{data: l.data, last: l.last, rowBits: uint8(l.rowBits)}
	switch head & 3 {
	case listSingle:
		p.form, p.n = formSingle, 1
		p.base = p.clamp(readBits(l.data, bit+2, l.rowBits))
		return p, 1, true
	case listTiny:
		p.n = int(head>>2&7) + 2
		bit += 2 + 3
	case listShort:
		p.n = int(head>>2&127) + 2
		bit += 2 + 7
	default:
		n := int(min(readBits(l.data, bit+2, 32), uint64(l.last)+1))
		if readBits(l.data, bit+34, 1) == 0 {
			return Postings{}, n, false
		}
		p.form, p.n = formRuns, n
		p.offBits = uint8(readBits(l.data, bit+35, 6))
		p.bit = bit + 41
		return p, n, true
	}
	p.form = formRun
	p.base = p.clamp(readBits(l.data, bit, l.rowBits))
	p.low = uint8(readBits(l.data, bit+uint64(l.rowBits), lowBits))
	p.bit = bit + uint64(l.rowBits) + lowBits
	return p, p.n, true
}

// encodeLists returns the section of postings for the codes of all rows, which are
// less than length. Values of more than rows/share rows get no list.
func encodeLists(codes []uint32, length, share int) []byte {
	ends := make([]uint32, length+1)
	for _, c := range codes {
		ends[c+1]++
	}
	for c := range length {
		ends[c+1] += ends[c]
	}
	rows := make([]uint32, len(codes))
	next := append([]uint32(nil), ends[:length]...)
	for row, c := range codes {
		rows[next[c]] = uint32(row)
		next[c]++
	}
	e := listEncoder{rowBits: rowBits(len(codes))}
	at := make([]int64, length)
	for c := range length {
		at[c] = int64(e.w.bits())
		list := rows[ends[c]:ends[c+1]]
		e.write(list, len(list) <= max(1, len(codes)/share))
	}
	directory := encodeFrames(length, func(i int) int64 { return at[i] })
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(directory)))
	return append(append(out, directory...), e.w.finish()...)
}

// listEncoder writes lists of rows.
type listEncoder struct {
	w       bitWriter
	rowBits uint
	deltas  [runRows]uint64
	offsets []uint64
	lows    []uint
	runs    bitWriter
}

func (e *listEncoder) write(rows []uint32, listed bool) {
	n := len(rows)
	switch {
	case n == 1:
		e.w.write(listSingle, 2)
		e.w.write(uint64(rows[0]), e.rowBits)
	case !listed || n > maxShort:
		e.w.write(listLong, 2)
		e.w.write(uint64(n), 32)
		e.w.write(uint64(bitIf(listed, 1)), 1)
		if listed {
			e.writeRuns(rows)
		}
	default:
		if n <= 9 {
			e.w.write(listTiny|uint64(n-2)<<2, 2+3)
		} else {
			e.w.write(listShort|uint64(n-2)<<2, 2+7)
		}
		deltas, low := e.fill(rows)
		e.w.write(uint64(rows[0]), e.rowBits)
		e.w.write(uint64(low), lowBits)
		e.w.writeRun(deltas, low)
	}
}

// fill returns the distances of rows to the first of them.
func (e *listEncoder) fill(rows []uint32) (deltas []uint64, low uint) {
	deltas = e.deltas[:len(rows)-1]
	for i, row := range rows[1:] {
		deltas[i] = uint64(row - rows[0])
	}
	return deltas, runLow(len(deltas), uint64(rows[len(rows)-1]-rows[0]))
}

func (e *listEncoder) writeRuns(rows []uint32) {
	e.runs = bitWriter{buf: e.runs.buf[:0]}
	e.offsets, e.lows = e.offsets[:0], e.lows[:0]
	for from := 0; from < len(rows); from += runRows {
		deltas, low := e.fill(rows[from:min(from+runRows, len(rows))])
		e.offsets, e.lows = append(e.offsets, e.runs.bits()), append(e.lows, low)
		e.runs.writeRun(deltas, low)
	}
	width := uint(bits.Len64(e.offsets[len(e.offsets)-1]))
	e.w.write(uint64(width), 6)
	for b, offset := range e.offsets {
		e.w.write(uint64(rows[b*runRows]), e.rowBits)
		e.w.write(uint64(e.lows[b]), lowBits)
		e.w.write(offset, width)
	}
	total := e.runs.bits()
	stream := e.runs.finish()
	for done := uint64(0); done < total; done += 56 {
		n := uint(min(56, total-done))
		e.w.write(readBits(stream, done, n), n)
	}
	e.runs.buf = stream
}
