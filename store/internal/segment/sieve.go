package segment

import "bytes"

// Sieve says of a value, quicker than one column after the other, that none of several
// columns has it. It is immutable and safe for concurrent use.
type Sieve struct {
	form    values // of the keys in the filters
	filters []fuse
	others  []*ColumnReader // with keys of another form, or without a filter
}

// NewSieve returns the sieve of columns that were read with their Filter.
func NewSieve(columns []*ColumnReader) *Sieve {
	s := &Sieve{}
	for _, c := range columns {
		switch {
		case c.kind == Const || !c.filtered:
			s.others = append(s.others, c)
		case len(s.filters) == 0:
			s.form, s.filters = c.form, append(s.filters, c.filter)
		case s.form.sameKeys(&c.form):
			s.filters = append(s.filters, c.filter)
		default:
			s.others = append(s.others, c)
		}
	}
	return s
}

// sameKeys reports whether the keys of two tables have one form.
func (t *values) sameKeys(o *values) bool {
	return t.encoding == o.encoding && t.flags == o.flags && t.width == o.width && bytes.Equal(t.prefix, o.prefix)
}

// MayContain is false if no column has the value.
func (s *Sieve) MayContain(value string) bool {
	for _, c := range s.others {
		if c.MayContain(value) {
			return true
		}
	}
	if len(s.filters) == 0 {
		return false
	}
	var buf [64]byte
	key, ok := s.form.keyOf(buf[:0], value)
	if !ok {
		return false
	}
	// What is read of the filters is far from each other and not in any cache. The
	// reads go on side by side, because nothing waits for one of them.
	h := hash(key)
	for i := range s.filters {
		if s.filters[i].has(h) {
			return true
		}
	}
	return false
}
