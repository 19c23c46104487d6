// Package segment writes, reads and merges segments: immutable files of rows that
// are found by the values of their columns.
//
// A row has a position, two times, a value in each column, and texts. Positions
// ascend from row to row as they are added. In a segment rows are numbered by
// (time, position), so that row 0 is the oldest; the same rows counted by position
// have ordinals. Texts are large and rarely opened; they lie apart from the values
// in compressed blocks, in order of ordinals.
//
// A [Segment] reads from bytes, usually a memory mapping, that must stay valid and
// unchanged as long as it is used. [Open] looks at the header and the footer only.
// Everything else is checked against its checksum when it is first asked for, which
// is why the parts of a segment are objects that are asked for: [Segment.Order] for
// times and positions, [Segment.Column] for values and how to find them,
// [Segment.Texts] and [Segment.Words] for texts. What they return stays valid as
// long as the bytes, and all of it may be used by any number of goroutines.
//
// Bytes that are not what was written give a [*Damage]. Bytes made to deceive (with
// right checksums) may give wrong answers, never a panic or memory out of proportion.
//
// FORMAT.md describes the bytes.
package segment
