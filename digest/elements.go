package digest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxElement is the largest trace that the splitter takes, in bytes: what a store
// accepts (1 MiB) and some slack for other writers.
const maxElement = 1<<20 + 64<<10

// maxNesting is how deep objects and arrays may lie in each other, as in encoding/json.
const maxNesting = 10_000

// errNotArray is wrapped by every fault that elements finds in a content.
var errNotArray = errors.New("the content is not a JSON array of traces")

// elements splits the content of a trace file, a JSON array, into its elements while it
// is read. It follows strings, escapes and nesting and nothing else: that is what decides
// where an element ends. Whether an element is valid JSON is not its business, for what is
// proven is bytes. An array that encoding/json accepts is split as encoding/json does.
//
// The buffer grows to the largest element, at most maxElement bytes and one read.
type elements struct {
	r     io.Reader
	buf   []byte
	begin int   // of what is not consumed
	end   int   // of what was read
	err   error // of r, once it ended
	state elementState
	kinds []byte // the open brackets of the element
}

// elementState is what may come next.
type elementState uint8

const (
	beforeArray  elementState = iota
	afterOpen                 // an element or the end
	afterElement              // a comma or the end
	afterArray
)

// newElements returns a splitter with a buffer of size bytes, which may grow.
func newElements(size int) *elements {
	return &elements{buf: make([]byte, size), kinds: make([]byte, 0, 16)}
}

// reset begins anew with the content that r yields.
func (e *elements) reset(r io.Reader) {
	e.r, e.begin, e.end, e.err, e.state = r, 0, 0, nil, beforeArray
}

// next returns the next element, which is valid until the next call. After the last one,
// when nothing but white space follows the array, it returns io.EOF. Errors are those of
// the reader or match errNotArray. After an error the splitter is of no more use.
func (e *elements) next() ([]byte, error) {
	if e.state == beforeArray {
		if err := e.expect('['); err != nil {
			return nil, err
		}
		e.state = afterOpen
	}
	c, err := e.peek()
	if err != nil {
		return nil, cutShort(err)
	}
	switch {
	case c == ']' && e.state != afterArray:
		e.begin++
		e.state = afterArray
		return nil, e.finish()
	case e.state == afterElement:
		if c != ',' {
			return nil, fmt.Errorf("%w: something else than a comma between two elements", errNotArray)
		}
		e.begin++
		if _, err := e.peek(); err != nil {
			return nil, cutShort(err)
		}
	}
	element, err := e.element()
	if err != nil {
		return nil, cutShort(err)
	}
	e.state = afterElement
	return element, nil
}

// expect consumes white space and one byte.
func (e *elements) expect(want byte) error {
	c, err := e.peek()
	if err != nil {
		return cutShort(err)
	}
	if c != want {
		return fmt.Errorf("%w: it does not begin with a bracket", errNotArray)
	}
	e.begin++
	return nil
}

// finish makes sure that nothing follows the array.
func (e *elements) finish() error {
	_, err := e.peek()
	if err == nil {
		return fmt.Errorf("%w: something follows the array", errNotArray)
	}
	return err
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it ends too early", errNotArray)
	}
	return err
}

// peek skips white space and returns the byte after it, which it does not consume.
func (e *elements) peek() (byte, error) {
	skipped := 0
	for {
		for ; e.begin < e.end; e.begin++ {
			if c := e.buf[e.begin]; !isSpace(c) {
				return c, nil
			}
			skipped++
		}
		if skipped > maxElement { // a few bytes of gzip may be very many
			return 0, fmt.Errorf("%w: more than %d bytes of white space", errNotArray, maxElement)
		}
		if err := e.fill(); err != nil {
			return 0, err
		}
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// fill reads more, behind what is not consumed yet.
func (e *elements) fill() error {
	if e.err != nil {
		return e.err
	}
	if e.begin > 0 {
		e.end = copy(e.buf, e.buf[e.begin:e.end])
		e.begin = 0
	}
	if e.end == len(e.buf) {
		if e.end > maxElement {
			return fmt.Errorf("%w: an element is larger than %d bytes", errNotArray, maxElement)
		}
		e.buf = append(e.buf, make([]byte, len(e.buf))...)
	}
	for range 100 {
		n, err := e.r.Read(e.buf[e.end:])
		e.end += n
		e.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	e.err = io.ErrNoProgress
	return e.err
}

// element consumes one element, from its first byte on, and returns it.
func (e *elements) element() ([]byte, error) {
	e.kinds = e.kinds[:0]
	for i := 0; ; {
		n, done, err := e.scan(i)
		if err != nil {
			return nil, err
		}
		if done {
			element := bytes.TrimRight(e.buf[e.begin:e.begin+n], " \n\t\r")
			switch {
			case len(element) == 0:
				return nil, fmt.Errorf("%w: an element is empty", errNotArray)
			case len(element) > maxElement:
				return nil, fmt.Errorf("%w: an element is larger than %d bytes", errNotArray, maxElement)
			}
			e.begin += n
			return element, nil
		}
		i = n
		if err := e.fill(); err != nil {
			return nil, err
		}
	}
}

// scan goes on at offset i of the element, outside of strings, and returns where it
// stopped: at the comma or bracket behind the element, or where more has to be read, which
// is the end of what is there or the beginning of a string that is not there whole.
func (e *elements) scan(i int) (n int, done bool, err error) {
	b := e.buf[e.begin:e.end]
	for i < len(b) {
		c := b[i]
		if !structural[c] {
			i++
			continue
		}
		switch c {
		case '"':
			end := stringEnd(b, i+1)
			if end < 0 {
				return i, false, nil
			}
			i = end
			continue
		case '{', '[':
			if len(e.kinds) == maxNesting {
				return 0, false, fmt.Errorf("%w: an element is nested more than %d levels deep", errNotArray, maxNesting)
			}
			e.kinds = append(e.kinds, c+2) // what closes it
		case '}', ']':
			if len(e.kinds) == 0 && c == ']' {
				return i, true, nil
			}
			if len(e.kinds) == 0 || e.kinds[len(e.kinds)-1] != c {
				return 0, false, fmt.Errorf("%w: brackets do not match", errNotArray)
			}
			e.kinds = e.kinds[:len(e.kinds)-1]
		case ',':
			if len(e.kinds) == 0 {
				return i, true, nil
			}
		}
		i++
	}
	return i, false, nil
}

// structural has the bytes that mean something outside of strings.
var structural = [256]bool{'"': true, '{': true, '[': true, '}': true, ']': true, ',': true}

// stringEnd returns the offset behind the quote that ends the string whose content begins
// at i, or -1.
func stringEnd(b []byte, i int) int {
	for {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		quote := i + n
		slashes := 0
		for quote-1-slashes >= i && b[quote-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return quote + 1
		}
		i = quote + 1
	}
}
