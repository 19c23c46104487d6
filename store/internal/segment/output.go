package segment

import (
	"encoding/binary"
	"hash/crc32"
	"io"
)

// output writes the sections of a segment one behind the other. The first error
// stays; after it nothing is written.
type output struct {
	w        io.Writer
	offset   int64
	sections []section
	err      error

	sum     uint32 // of the chunk that is being written
	inChunk int
}

func newOutput(w io.Writer) *output {
	o := &output{w: w}
	o.raw(appendHeader(nil))
	return o
}

func (o *output) raw(b []byte) {
	if o.err != nil || len(b) == 0 {
		return
	}
	n, err := o.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	o.err = err
	o.offset += int64(len(b))
}

// pad writes zeros up to the next aligned offset.
func (o *output) pad() {
	if n := o.offset % alignment; n != 0 {
		o.raw(make([]byte, alignment-n))
	}
}

// section writes a whole section.
func (o *output) section(kind, column int, b []byte) {
	o.begin(kind, column)
	o.write(b)
	o.end()
}

// begin begins a section that write continues and end ends.
func (o *output) begin(kind, column int) {
	o.pad()
	o.sections = append(o.sections, section{kind: kind, column: column, offset: o.offset})
	o.sum, o.inChunk = 0, 0
}

func (o *output) write(b []byte) {
	s := &o.sections[len(o.sections)-1]
	if s.hasSums() {
		for rest := b; len(rest) > 0; {
			n := min(len(rest), chunkSize-o.inChunk)
			o.sum = crc32.Update(o.sum, castagnoli, rest[:n])
			rest = rest[n:]
			if o.inChunk += n; o.inChunk == chunkSize {
				s.sums = binary.LittleEndian.AppendUint32(s.sums, o.sum)
				o.sum, o.inChunk = 0, 0
			}
		}
	}
	o.raw(b)
}

func (o *output) end() {
	s := &o.sections[len(o.sections)-1]
	s.length = o.offset - s.offset
	if o.inChunk > 0 {
		s.sums = binary.LittleEndian.AppendUint32(s.sums, o.sum)
	}
}

// finish writes footer and tail and returns what the footer says.
func (o *output) finish(info Info, columns []columnInfo) (Info, error) {
	o.pad()
	f := footer{info: info, columns: columns, sections: o.sections}
	foot := f.append(nil)
	o.raw(appendTail(foot, foot, o.offset))
	info.FileBytes = o.offset
	return info, o.err
}
