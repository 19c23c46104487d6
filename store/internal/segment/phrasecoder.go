package segment

import (
	"bytes"
	"encoding/binary"
)

// eachToken calls token for each token of a text: a word or what stands between two,
// cut to pieces of at most 32 bytes.
func eachToken(text []byte, token func(from, to int)) {
	for i := 0; i < len(text); {
		from := i
		class := byteClass[text[i]] & classWord
		for i++; i < len(text) && i-from < maxToken && byteClass[text[i]]&classWord == class; i++ {
		}
		token(from, i)
	}
}

// tokenSet gives tokens numbers from 0 on.
type tokenSet struct {
	hashes []uint64 // 0 is free
	ids    []int32
	tokens []string
}

func newTokenSet() *tokenSet {
	return &tokenSet{hashes: make([]uint64, 1<<10), ids: make([]int32, 1<<10)}
}

// slot returns where a token is or would be.
func (s *tokenSet) slot(h uint64, token []byte) uint64 {
	last := uint64(len(s.hashes) - 1)
	at := h >> 8 & last
	for s.hashes[at] != 0 && (s.hashes[at] != h || s.tokens[s.ids[at]] != string(token)) {
		at = (at + 1) & last
	}
	return at
}

// guess returns the number of the first token that has the hash of a token, and -1 if
// there is none. The two can differ: to find out costs more than to compare phrases.
func (s *tokenSet) guess(token []byte) int32 {
	h := hash(token) | 1
	last := uint64(len(s.hashes) - 1)
	for at := h >> 8 & last; s.hashes[at] != 0; at = (at + 1) & last {
		if s.hashes[at] == h {
			return s.ids[at]
		}
	}
	return -1
}

// add returns the number of a token, which gets one if it has none.
func (s *tokenSet) add(token []byte) int32 {
	h := hash(token) | 1
	at := s.slot(h, token)
	if s.hashes[at] != 0 {
		return s.ids[at]
	}
	id := int32(len(s.tokens))
	s.hashes[at], s.ids[at] = h, id
	s.tokens = append(s.tokens, string(token))
	if 2*len(s.tokens) > len(s.hashes) {
		old := s.hashes
		oldIDs := s.ids
		s.hashes, s.ids = make([]uint64, 2*len(old)), make([]int32, 2*len(old))
		for i, h := range old {
			if h != 0 {
				at := s.slot(h, []byte(s.tokens[oldIDs[i]]))
				s.hashes[at], s.ids[at] = h, oldIDs[i]
			}
		}
	}
	return id
}

// phraseCoder writes texts in a phrase code. It finds the longest phrase at each token.
type phraseCoder struct {
	table  *phraseTable
	codes  []uint32 // of each symbol, its length in the lowest 4 bits
	tokens *tokenSet
	// A trie of tokens: an edge is keyed by node and token.
	edges   []uint64
	targets []int32
	filled  int
	symbols []int32 // of each node; 0 is none

	ids   []int32 // of the tokens of a text
	ends  []int32
	out   []byte
	acc   uint64
	n     uint
	count []uint32 // if set, symbols are counted here and nothing is written
}

func newPhraseCoder(t *phraseTable) *phraseCoder {
	c := &phraseCoder{
		table: t, tokens: newTokenSet(), edges: make([]uint64, 1<<10), targets: make([]int32, 1<<10), symbols: make([]int32, 1),
	}
	for s := symbolPhrase; s < symbolPhrase+len(t.ends)-1; s++ {
		phrase := t.phrase(s)
		node := int32(0)
		eachToken(phrase, func(from, to int) { node = c.edge(node, c.tokens.add(phrase[from:to])) })
		c.symbols[node] = int32(s)
	}
	c.codes = make([]uint32, len(t.lengths))
	for i, s := range t.symbols {
		l := t.lengths[s]
		c.codes[s] = uint32(i-t.bases[l])<<4 | uint32(l)
	}
	return c
}

func edgeKey(node, token int32) uint64 {
	return uint64(uint32(node))<<32 | uint64(uint32(token)) | 1<<63
}

func (c *phraseCoder) edgeSlot(key uint64) uint64 {
	last := uint64(len(c.edges) - 1)
	at := key * hashA >> 32 & last
	for c.edges[at] != 0 && c.edges[at] != key {
		at = (at + 1) & last
	}
	return at
}

// edge returns the node behind an edge, which is made if it isn't there.
func (c *phraseCoder) edge(node, token int32) int32 {
	key := edgeKey(node, token)
	at := c.edgeSlot(key)
	if c.edges[at] != 0 {
		return c.targets[at]
	}
	target := int32(len(c.symbols))
	c.symbols = append(c.symbols, 0)
	c.edges[at], c.targets[at] = key, target
	if c.filled++; 2*c.filled > len(c.edges) {
		edges, targets := c.edges, c.targets
		c.edges, c.targets = make([]uint64, 2*len(edges)), make([]int32, 2*len(edges))
		for i, key := range edges {
			if key != 0 {
				at := c.edgeSlot(key)
				c.edges[at], c.targets[at] = key, targets[i]
			}
		}
	}
	return target
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

// text writes one text and its end.
func (c *phraseCoder) text(text []byte) {
	c.ids, c.ends = c.ids[:0], c.ends[:0]
	eachToken(text, func(from, to int) {
		c.ids = append(c.ids, c.tokens.guess(text[from:to]))
		c.ends = append(c.ends, int32(to))
	})
	at := int32(0)
	for i := 0; i < len(c.ids); {
		next, symbol := i, int32(0)
		node := int32(0)
		for k := i; k < len(c.ids) && c.ids[k] >= 0; k++ {
			slot := c.edgeSlot(edgeKey(node, c.ids[k]))
			if c.edges[slot] == 0 {
				break
			}
			node = c.targets[slot]
			if s := c.symbols[node]; s > 0 {
				next, symbol = k+1, s
			}
		}
		switch {
		case c.ends[i]-at == 8 && i+8 < len(c.ends) && next < i+9 && c.ends[i+8] == at+uuidLength && c.uuid(text[at:c.ends[i+8]]):
			next = i + 9
		case symbol > 0 && bytes.Equal(c.table.phrase(int(symbol)), text[at:c.ends[next-1]]):
			c.put(int(symbol))
		default:
			c.word(text[at:c.ends[i]])
			next = i + 1
		}
		i = next
		at = c.ends[i-1]
	}
	c.put(symbolEnd)
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
			c.text(r.buf[r.index[k]:r.index[k+1]])
		}
		c.end()
		dst = binary.AppendUvarint(dst, uint64(len(c.out)-from))
	}
	return append(dst, c.out...)
}
