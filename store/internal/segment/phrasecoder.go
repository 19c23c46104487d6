package segment

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// phraseCoder writes texts in a phrase code. It finds the longest phrase at each token.
type phraseCoder struct {
	table  *phraseTable
	codes  []uint32 // of each symbol, its length in the lowest 4 bits
	edges  []edge   // a trie of tokens, as a hash table
	filled int
	words  *phraseWords // nil: nobody wants to know them
	tokens tokenList    // of the text that is being written

	out   []byte
	acc   uint64
	n     uint
	count []uint32 // if set, symbols are counted here and nothing is written
}

// edge is the last of the tokens that a phrase begins with. Its key is a hash of all of
// them, so that the next edge can be looked for before this one is there; 0 is free. If two
// keys are equal, what is found may not be in the text, which is seen.
type edge struct {
	key    uint64
	symbol int32 // of the phrase that ends here; 0 if none does
	more   bool  // a phrase goes on here
}

func newPhraseCoder(t *phraseTable) *phraseCoder {
	n := len(t.ends) - 1
	c := &phraseCoder{table: t, edges: make([]edge, 1<<max(10, bits.Len(uint(3*n))))}
	for s := symbolPhrase; s < symbolPhrase+n; s++ {
		phrase := t.phrase(s)
		key := uint64(0)
		c.tokens.split(phrase)
		for i, token := range c.tokens.hashes {
			key = edgeKey(key, token)
			if e := c.edge(key); i == len(c.tokens.hashes)-1 {
				e.symbol = int32(s)
			} else {
				e.more = true
			}
		}
	}
	c.codes = make([]uint32, len(t.lengths))
	for i, s := range t.symbols {
		l := t.lengths[s]
		c.codes[s] = uint32(i-t.bases[l])<<4 | uint32(l)
	}
	return c
}

// edgeKey is the key of the edge behind another, of which the key is given.
func edgeKey(before, token uint64) uint64 {
	return (bits.RotateLeft64(before, 29)^token)*hashA | 1
}

// find returns the edge with a key, or the free one where it would be.
func (c *phraseCoder) find(key uint64) *edge {
	last := uint64(len(c.edges) - 1)
	for i := key >> 32; ; i++ {
		if e := &c.edges[i&last]; e.key == key || e.key == 0 {
			return e
		}
	}
}

// edge returns the edge with a key, which is made if it isn't there.
func (c *phraseCoder) edge(key uint64) *edge {
	e := c.find(key)
	if e.key != 0 {
		return e
	}
	if c.filled++; 8*c.filled > 5*len(c.edges) {
		c.grow()
		e = c.find(key)
	}
	e.key = key
	return e
}

func (c *phraseCoder) grow() {
	edges := c.edges
	c.edges = make([]edge, 2*len(edges))
	for _, e := range edges {
		if e.key != 0 {
			*c.find(e.key) = e
		}
	}
}

// put writes a symbol, or counts it.
func (c *phraseCoder) put(symbol int) {
	if c.count != nil {
		c.count[symbol]++
		return
	}
	code := c.codes[symbol]
	c.bits(uint64(code>>4), uint(code&15))
}

// bits appends at most 32 bits, the highest first.
func (c *phraseCoder) bits(v uint64, width uint) {
	if c.count != nil {
		return
	}
	c.acc = c.acc<<width | v
	if c.n += width; c.n >= 32 {
		c.n -= 32
		c.out = binary.BigEndian.AppendUint32(c.out, uint32(c.acc>>c.n))
	}
}

// end fills the last byte with zeros.
func (c *phraseCoder) end() {
	for ; c.n >= 8; c.n -= 8 {
		c.out = append(c.out, byte(c.acc>>(c.n-8)))
	}
	if c.n > 0 {
		c.out = append(c.out, byte(c.acc<<(8-c.n)))
	}
	c.n, c.acc = 0, 0
}

// longest returns the symbol of the longest phrase that begins with a token of a text,
// and its last token; 0 and this token if there is none.
func (c *phraseCoder) longest(text []byte, first int) (symbol int32, last int) {
	key := uint64(0)
	last = first
	for i, token := range c.tokens.hashes[first:] {
		key = edgeKey(key, token)
		e := c.find(key)
		if e.symbol > 0 {
			symbol, last = e.symbol, first+i
		}
		if !e.more {
			break
		}
	}
	if symbol > 0 {
		from, to := c.tokens.begin(first), c.tokens.ends[last]
		if !bytes.Equal(c.table.phrase(int(symbol)), text[from:to]) {
			return 0, first
		}
	}
	return symbol, last
}

// write writes one text and its end.
func (c *phraseCoder) write(text []byte) {
	c.tokens.split(text)
	for i, at := 0, 0; at < len(text); i++ {
		var symbol int32
		symbol, i = c.longest(text, i)
		end := int(c.tokens.ends[i])
		switch {
		case uuidAt(text, at) && end < at+uuidLength && c.uuid(text[at:at+uuidLength]):
			symbol, end = 0, at+uuidLength
			for int(c.tokens.ends[i]) < end {
				i++
			}
		case symbol > 0:
			c.put(int(symbol))
		default:
			c.word(text[at:end])
		}
		if c.words != nil {
			c.words.note(text, at, end, symbol)
		}
		at = end
	}
	c.put(symbolEnd)
}

// uuidAt reports whether there may be a UUID in a text, whose first token begins at a byte.
func uuidAt(text []byte, at int) bool {
	return at+uuidLength <= len(text) && text[at+8] == '-' && text[at+13] == '-' &&
		(at+uuidLength == len(text) || byteClass[text[at+uuidLength]]&classWord == 0)
}

// uuid writes a UUID. It is false if text isn't one.
func (c *phraseCoder) uuid(text []byte) bool {
	var buf [16]byte
	b, ok := parseUUID(buf[:0], text)
	if !ok {
		return false
	}
	c.put(symbolUUID)
	for i := 0; i < 16; i += 4 {
		c.bits(uint64(binary.BigEndian.Uint32(b[i:])), 32)
	}
	return true
}

// word writes a token that is no phrase.
func (c *phraseCoder) word(token []byte) {
	decimal, hex := true, true
	for _, b := range token {
		decimal = decimal && b-'0' < 10
		hex = hex && hexValue[b] < 16
	}
	n := len(token)
	switch {
	case decimal && n <= maxDecimal:
		c.put(symbolDecimal + n - 1)
		v := uint64(0)
		for _, b := range token {
			v = v*10 + uint64(b-'0')
		}
		width := decimalBits[n]
		if width > 32 {
			c.bits(v>>32, width-32)
			v, width = v&(1<<32-1), 32
		}
		c.bits(v, width)
	case hex && n >= minHex:
		c.put(symbolHex + n - minHex)
		for i := 0; i < n; i += 8 {
			part := token[i:min(n, i+8)]
			v := uint64(0)
			for _, b := range part {
				v = v<<4 | uint64(hexValue[b])
			}
			c.bits(v, uint(len(part))*4)
		}
	default:
		for _, b := range token {
			c.put(int(b))
		}
	}
}

// block appends a block whose texts r holds, as methodPhrases has it:
//
//	number of texts of each row; for each row the length of its stream; the streams
func (c *phraseCoder) block(dst []byte, r *TextReader) []byte {
	dst = binary.AppendUvarint(dst, uint64(r.texts))
	c.out, c.acc, c.n = c.out[:0], 0, 0
	for row := range int(r.rows) {
		from := len(c.out)
		for i := range r.texts {
			k := row*r.texts + i
			c.write(r.buf[r.index[k]:r.index[k+1]])
		}
		c.end()
		dst = binary.AppendUvarint(dst, uint64(len(c.out)-from))
	}
	return append(dst, c.out...)
}
