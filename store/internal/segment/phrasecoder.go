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
	nodes  int32
	filled int
	words  *phraseWords // nil: nobody wants to know them

	text   []byte   // that is being written
	hashes []uint64 // of its next tokens
	ends   []int32  // of these tokens
	head   int      // the first of them that is not written
	out    []byte
	acc    uint64
	n      uint
	count  []uint32 // if set, symbols are counted here and nothing is written
}

// edge leads from a node of the trie, by a token, to the next one. A key of 0 is free.
// Keys are hashes: if two are equal, what is found is not in the text, which is seen.
type edge struct {
	key    uint64 // of node and token
	target int32  // 0 if no phrase goes on there
	symbol int32  // of the phrase that ends at target; 0 if none does
}

func newPhraseCoder(t *phraseTable) *phraseCoder {
	n := len(t.ends) - 1
	c := &phraseCoder{table: t, edges: make([]edge, 1<<max(10, bits.Len(uint(3*n))))}
	goesOn := make([]bool, 1, 2*n+1) // of each node
	for s := symbolPhrase; s < symbolPhrase+n; s++ {
		phrase := t.phrase(s)
		node := int32(0)
		eachToken(phrase, func(from, to int) {
			goesOn[node] = true
			e := c.edge(node, tokenMix(phrase, from, to))
			if int(c.nodes) == len(goesOn) {
				goesOn = append(goesOn, false)
			}
			if node = e.target; to == len(phrase) {
				e.symbol = int32(s)
			}
		})
	}
	for i := range c.edges {
		if e := &c.edges[i]; e.key != 0 && !goesOn[e.target] {
			e.target = 0
		}
	}
	c.codes = make([]uint32, len(t.lengths))
	for i, s := range t.symbols {
		l := t.lengths[s]
		c.codes[s] = uint32(i-t.bases[l])<<4 | uint32(l)
	}
	return c
}

// find returns the edge from a node by a token with a hash, or the free one where it would
// be, and its key.
func (c *phraseCoder) find(node int32, token uint64) (*edge, uint64) {
	key := (token^uint64(node)*hashB)*hashA | 1
	last := uint64(len(c.edges) - 1)
	for i := key >> 32; ; i++ {
		if e := &c.edges[i&last]; e.key == key || e.key == 0 {
			return e, key
		}
	}
}

// edge returns an edge, which is made if it isn't there.
func (c *phraseCoder) edge(node int32, token uint64) *edge {
	e, key := c.find(node, token)
	if e.key != 0 {
		return e
	}
	if c.filled++; 8*c.filled > 5*len(c.edges) {
		c.grow()
		e, _ = c.find(node, token)
	}
	c.nodes++
	*e = edge{key: key, target: c.nodes}
	return e
}

func (c *phraseCoder) grow() {
	edges := c.edges
	c.edges = make([]edge, 2*len(edges))
	last := uint64(len(c.edges) - 1)
	for _, e := range edges {
		if e.key == 0 {
			continue
		}
		i := e.key >> 32
		for c.edges[i&last].key != 0 {
			i++
		}
		c.edges[i&last] = e
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

// token makes sure that token i of the text is found, and reports whether there is one.
func (c *phraseCoder) token(i int) bool {
	if i < len(c.ends) {
		return true
	}
	from := c.scanned()
	if from == len(c.text) {
		return false
	}
	to := tokenEnd(c.text, from)
	c.hashes = append(c.hashes, tokenMix(c.text, from, to))
	c.ends = append(c.ends, int32(to))
	return true
}

// scanned returns where the tokens end that are found.
func (c *phraseCoder) scanned() int {
	if n := len(c.ends); n > 0 {
		return int(c.ends[n-1])
	}
	return 0
}

// pass passes over the tokens up to a byte where one ends.
func (c *phraseCoder) pass(to int) {
	for c.head < len(c.ends) && int(c.ends[c.head]) < to {
		c.head++
	}
	if c.head++; c.head >= len(c.ends) {
		c.head, c.hashes, c.ends = 1, append(c.hashes[:0], 0), append(c.ends[:0], int32(to))
	}
}

// longest returns the symbol of the longest phrase that begins with the next token, and
// where it ends; 0 and the end of the token if there is none.
func (c *phraseCoder) longest(at int) (symbol int32, end int) {
	i := c.head
	c.token(i)
	end = int(c.ends[i])
	first := end
	for node := int32(0); c.token(i); i++ {
		e, _ := c.find(node, c.hashes[i])
		if e.key == 0 {
			break
		}
		if e.symbol > 0 {
			symbol, end = e.symbol, int(c.ends[i])
		}
		if node = e.target; node == 0 {
			break
		}
	}
	if symbol > 0 && !bytes.Equal(c.table.phrase(int(symbol)), c.text[at:end]) {
		symbol, end = 0, first
	}
	return symbol, end
}

// write writes one text and its end.
func (c *phraseCoder) write(text []byte) {
	c.text, c.head, c.hashes, c.ends = text, 0, c.hashes[:0], c.ends[:0]
	for at := 0; at < len(text); {
		symbol, end := c.longest(at)
		switch {
		case uuidAt(text, at) && end < at+uuidLength && c.uuid(text[at:at+uuidLength]):
			symbol, end = 0, at+uuidLength
		case symbol > 0:
			c.put(int(symbol))
		default:
			c.word(text[at:end])
		}
		if c.words != nil {
			c.words.note(text, at, end, symbol)
		}
		c.pass(end)
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
	c.out = c.out[:0]
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
