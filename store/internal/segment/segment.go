package segment

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// Segment reads a segment. All its methods, and those of what they return, may be
// called by any number of goroutines.
type Segment struct {
	name string
	data []byte
	foot *footer
	// checks holds for each section whether it has been verified.
	checks []check

	order   lazy[Order]
	columns []columnSlot
	texts   lazy[Texts]
	words   lazy[Words]
}

// check is the state of a section's verification: 0 not yet, 1 right, 2 damaged.
type check struct{ state atomic.Uint32 }

// lazy is a part of a segment that is made when it is first asked for.
type lazy[T any] struct {
	mu sync.Mutex
	p  atomic.Pointer[T]
}

// get returns the part, and makes it if it isn't there. A failure is tried again by
// the next caller.
func (l *lazy[T]) get(makeIt func() (*T, error)) (*T, error) {
	if p := l.p.Load(); p != nil {
		return p, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.p.Load(); p != nil {
		return p, nil
	}
	p, err := makeIt()
	if err != nil {
		return nil, err
	}
	l.p.Store(p)
	return p, nil
}

// Open returns a reader of the segment in data, which must stay valid and unchanged
// as long as anything that came from it is used. Only the header and the footer are
// checked, which takes time in proportion to the number of sections. Name is used in
// errors. The error is a *Damage or wraps ErrVersion.
func Open(name string, data []byte) (*Segment, error) {
	s := &Segment{name: name, data: data}
	if len(data) < headerSize+tailSize {
		return nil, s.damage(0, max(1, int64(len(data))), "shorter than a segment")
	}
	head := data[:headerSize]
	if string(head[:len(magic)]) != magic || binary.LittleEndian.Uint32(head[headerSize-4:]) != checksum(head[:headerSize-4]) {
		return nil, s.damage(0, headerSize, "not the header of a segment")
	}
	if v := binary.LittleEndian.Uint32(head[len(magic):]); v > version {
		return nil, ErrVersion
	} else if v == 0 {
		return nil, s.damage(0, headerSize, "version 0")
	}
	for _, b := range head[len(magic)+4 : headerSize-4] {
		if b != 0 {
			return nil, s.damage(0, headerSize, "not the header of a segment")
		}
	}
	if err := s.openFooter(); err != nil {
		return nil, err
	}
	s.checks = make([]check, len(s.foot.sections))
	s.columns = make([]columnSlot, len(s.foot.columns))
	return s, nil
}

func (s *Segment) openFooter() error {
	at := int64(len(s.data) - tailSize)
	tail := s.data[at:]
	if string(tail[tailSize-len(magic):]) != magic || binary.LittleEndian.Uint32(tail[20:]) != checksum(tail[:20]) {
		return s.damage(at, tailSize, "the file does not end as a segment does: it was cut or not finished")
	}
	offset, length := binary.LittleEndian.Uint64(tail), binary.LittleEndian.Uint64(tail[8:])
	if offset < headerSize || offset > uint64(at) || length != uint64(at)-offset {
		return s.damage(at, tailSize, "the place of the footer is not in the file")
	}
	foot := s.data[offset:at]
	if checksum(foot) != binary.LittleEndian.Uint32(tail[16:]) {
		return s.damage(int64(offset), max(1, int64(length)), "the footer's checksum is wrong")
	}
	f, ok := parseFooter(foot, int64(offset))
	if !ok {
		return s.damage(int64(offset), max(1, int64(length)), "the footer contradicts itself")
	}
	f.info.FileBytes = int64(len(s.data))
	s.foot = f
	return nil
}

// Info returns what the footer says. The schema is shared: don't change it.
func (s *Segment) Info() Info { return s.foot.info }

// Rows returns the number of rows, which is at least 1.
func (s *Segment) Rows() int { return s.foot.info.Rows }

// Values returns how many different values column i of the schema has, as the footer
// says; of a Unique column, in which nearly all differ, the number of rows.
func (s *Segment) Values(i int) int { return s.foot.columns[i].length }

// Name returns the name given to Open.
func (s *Segment) Name() string { return s.name }

func (s *Segment) damage(offset, length int64, reason string) error {
	return &Damage{File: s.name, Offset: offset, Length: length, Reason: reason}
}

// lookup returns the index of a section, and -1 if there is none.
func (s *Segment) lookup(kind, column int) int {
	for i := range s.foot.sections {
		if e := &s.foot.sections[i]; e.kind == kind && e.column == column {
			return i
		}
	}
	return -1
}

// section returns the bytes of a section, and nil if there is none. Its checksums are
// verified the first time.
func (s *Segment) section(kind, column int) ([]byte, error) {
	i := s.lookup(kind, column)
	if i < 0 {
		return nil, nil
	}
	e := &s.foot.sections[i]
	b := s.data[e.offset : e.offset+e.length : e.offset+e.length]
	if s.checks[i].state.Load() == 1 || !e.hasSums() {
		return b, nil
	}
	if err := s.verifySection(e, nil); err != nil {
		return nil, err
	}
	s.checks[i].state.Store(1)
	return b, nil
}

// verifySection compares the chunks of a section with their checksums. It returns
// the first damage, and reports each if report isn't nil.
func (s *Segment) verifySection(e *section, report func(error)) error {
	var first error
	for c := int64(0); c*chunkSize < e.length; c++ {
		from, to := e.offset+c*chunkSize, e.offset+min(e.length, (c+1)*chunkSize)
		if checksum(s.data[from:to]) == binary.LittleEndian.Uint32(e.sums[c*4:]) {
			continue
		}
		err := s.damage(from, to-from, "checksum mismatch in "+e.name())
		if report == nil {
			return err
		}
		report(err)
		if first == nil {
			first = err
		}
	}
	return first
}

// malformed is the error for a section whose checksums are right and whose content
// isn't.
func (s *Segment) malformed(kind, column int) error {
	i := s.lookup(kind, column)
	if i < 0 {
		return s.damage(headerSize, 1, "a section is not there: "+(&section{kind: kind}).name())
	}
	e := &s.foot.sections[i]
	return s.damage(e.offset, max(1, e.length), "malformed: "+e.name())
}

var sectionNames = map[int]string{
	sectionTimes: "times", sectionRecords: "record times", sectionRows: "rows of ordinals",
	sectionOrdinals: "ordinals of rows", sectionPositions: "positions", sectionCodes: "codes",
	sectionValues: "values", sectionPostings: "postings", sectionHashes: "hash index",
	sectionFilter: "filter", sectionTextBlocks: "text blocks", sectionTextOffsets: "offsets of text blocks",
	sectionTextRows: "rows of text blocks", sectionTextSources: "sources of text blocks",
	sectionDictionary: "compression dictionary", sectionWords: "groups of the word filter",
	sectionWordBits: "word filter",
}

func (s *section) name() string {
	if n := sectionNames[s.kind]; n != "" {
		return n
	}
	return "unknown section"
}
