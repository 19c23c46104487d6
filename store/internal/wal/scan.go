package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Kind says what [Scan] found.
type Kind uint8

// The kinds of [Item].
const (
	Intact  Kind = iota // a frame
	Broken              // a frame with an intact header whose payload is damaged or cut short
	Invalid             // bytes that are no frame
)

// Item is a stretch of a log file.
type Item struct {
	Kind        Kind
	Offset, End int64 // the stretch
	First       uint64
	Count       uint32
	Synced      int64  // what the frame proves to be synced
	Payload     []byte // valid until the next step; of a broken frame what is there
}

// windowSize is how much of a file is read at a time.
const windowSize = 256 << 10

// Scan yields what is in the log file of that store and number between the
// offsets from, where a frame begins, and to, in order and without gaps. After
// bytes that are no frame it goes on at the next intact frame header. An error of
// reading is the last step; damage is not an error.
func Scan(r io.ReaderAt, store StoreID, number uint64, from, to int64) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		s := scanner{window: window{r: r, to: to}, seed: seed(store, number)}
		for off := from; off < s.to; {
			it, err := s.item(off)
			if err != nil {
				yield(Item{}, fmt.Errorf("read log file at offset %d: %w", off, err))
				return
			}
			if it.End == off || !yield(it, nil) {
				return
			}
			off = it.End
		}
	}
}

type scanner struct {
	window
	seed uint32
}

func (s *scanner) item(off int64) (Item, error) {
	b, err := s.at(off, FrameSize)
	if err != nil {
		return Item{}, err
	}
	h, ok := parseFrameHeader(b, s.seed, off)
	if !ok {
		end, err := s.search(off + 1)
		return Item{Kind: Invalid, Offset: off, End: end}, err
	}
	payload, err := s.at(off+FrameSize, int(h.length))
	if err != nil {
		return Item{}, err
	}
	it := Item{
		Offset: off, End: off + FrameSize + int64(len(payload)),
		First: h.first, Count: h.count, Synced: h.synced, Payload: payload,
	}
	if len(payload) < int(h.length) || Checksum(payload) != h.sum {
		it.Kind = Broken
	}
	return it, nil
}

// search returns the offset of the next intact frame header, or the end.
func (s *scanner) search(off int64) (int64, error) {
	for off < s.to {
		b, err := s.at(off, windowSize)
		if err != nil {
			return 0, err
		}
		i := bytes.Index(b, []byte(frameMagic))
		if i < 0 {
			if len(b) < windowSize {
				break
			}
			off += int64(len(b) - len(frameMagic) + 1)
			continue
		}
		off += int64(i)
		if b, err = s.at(off, FrameSize); err != nil {
			return 0, err
		}
		if _, ok := parseFrameHeader(b, s.seed, off); ok {
			return off, nil
		}
		off++
	}
	return s.to, nil
}

// window is a buffer that moves over a file.
type window struct {
	r     io.ReaderAt
	to    int64 // reading ends here, or where the file does
	buf   []byte
	start int64 // offset of buf
}

// at returns the n bytes at off, fewer only at the end. They are valid until the
// next call.
func (w *window) at(off int64, n int) ([]byte, error) {
	n = int(max(0, min(int64(n), w.to-off)))
	if off >= w.start && off+int64(n) <= w.start+int64(len(w.buf)) {
		return w.buf[off-w.start:][:n], nil
	}
	want := int(min(int64(max(n, windowSize)), w.to-off))
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	got, err := w.r.ReadAt(w.buf[:want], off)
	if err != nil && !errors.Is(err, io.EOF) {
		w.buf = w.buf[:0]
		return nil, err
	}
	w.buf, w.start = w.buf[:got], off
	if got < want {
		w.to = off + int64(got)
	}
	return w.buf[:min(n, got)], nil
}

// End is where the content of a log file ends.
type End struct {
	Offset int64 // of the first byte behind the content
	Synced int64 // offset up to which the file is known to have been synced; behind Offset in a file that lost its end
	Torn   int64 // end of the last frame behind Offset, Offset if there is none
}

// Tail finds where the content of the last file of a log ends. Whatever lies below
// proven is known to have been synced; a frame that says more extends that. The
// end is the first place at or behind the proven offset that is not an intact
// frame with the next position: nothing behind it was ever acknowledged. It is size
// when there is no such place.
//
// Behind the end of a file that had its size before its content are zeros, or what
// was there in an earlier use. Something was under way there only if there is a frame
// of this file: one that is damaged or cut short, or one behind a gap.
func Tail(r io.ReaderAt, h Header, size, proven int64) (End, error) {
	end := End{Synced: max(proven, HeaderSize)}
	next := h.First
	last := int64(0) // end of the last frame
	resumed := false // the item before was no frame, so positions may be missing
	var bad []Item   // places that are not what should be there
	for it, err := range Scan(r, h.Store, h.Number, HeaderSize, size) {
		if err != nil {
			return End{}, err
		}
		if it.Kind != Invalid {
			end.Synced = max(end.Synced, it.Synced)
			last = it.End
		}
		for len(bad) > 0 && bad[0].End <= end.Synced {
			bad = bad[1:]
		}
		if it.Kind != Intact || it.First < next || it.First > next && !resumed {
			place := Item{Offset: it.Offset, End: it.End}
			if it.Kind != Invalid {
				place.End = it.Offset + 1 // a frame is where it begins
			}
			bad = append(bad, place)
		}
		if resumed = it.Kind == Invalid; !resumed {
			next = it.First + uint64(it.Count)
		}
	}
	end.Offset = size
	for _, place := range bad {
		if place.End > end.Synced {
			end.Offset = max(place.Offset, end.Synced)
			break
		}
	}
	end.Torn = max(end.Offset, last)
	return end, nil
}
