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
	slots  []tokenSlot
	tokens []string
}

// tokenSlot is a token in the hash table. A hash of 0 is free.
type tokenSlot struct {
	hash uint64
	id   int32
}

func newTokenSet() *tokenSet { return &tokenSet{slots: make([]tokenSlot, 1<<10)} }

// tokenHash is also the key that a word has in the word filter.
func tokenHash(token []byte) uint64 { return hash(token) | 1 }

// slot returns where a token is or would be.
func (s *tokenSet) slot(h uint64, token []byte) *tokenSlot {
	last := uint64(len(s.slots) - 1)
	at := &s.slots[h>>8&last]
	for i := h >> 8; at.hash != 0 && (at.hash != h || s.tokens[at.id] != string(token)); at = &s.slots[i&last] {
		i++
	}
	return at
}

// guess returns the number of the first token that has a hash, and -1 if there is none.
// It may be another token: to find out costs more than to compare phrases.
func (s *tokenSet) guess(h uint64) int32 {
	last := uint64(len(s.slots) - 1)
	for i := h >> 8; ; i++ {
		switch at := &s.slots[i&last]; at.hash {
		case h:
			return at.id
		case 0:
			return -1
		}
	}
}

// add returns the number of a token, which gets one if it has none.
func (s *tokenSet) add(token []byte) int32 {
	h := tokenHash(token)
	at := s.slot(h, token)
	if at.hash != 0 {
		return at.id
	}
	id := int32(len(s.tokens))
	*at = tokenSlot{h, id}
	s.tokens = append(s.tokens, string(token))
	if 2*len(s.tokens) > len(s.slots) {
		old := s.slots
		s.slots = make([]tokenSlot, 2*len(old))
		for _, o := range old {
			if o.hash != 0 {
				*s.slot(o.hash, []byte(s.tokens[o.id])) = o
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
	edges  []edge // a trie of tokens, as a hash table
	nodes  int32
	filled int

	words *wordWriter // if set, it is given the words of the texts

	ids   []int32 // of the tokens of a text
	ends  []int32
	out   []byte
	acc   uint64
	n     uint
	count []uint32 // if set, symbols are counted here and nothing is written
}

// edge leads from a node of the trie, by a token, to the next one. A key of 0 is free.
type edge struct {
	key    uint64 // of node and token
	target int32
	symbol int32 // of the phrase that ends at target; 0 if none does
}

func newPhraseCoder(t *phraseTable) *phraseCoder {
	c := &phraseCoder{table: t, tokens: newTokenSet(), edges: make([]edge, 1<<10)}
	for s := symbolPhrase; s < symbolPhrase+len(t.ends)-1; s++ {
		phrase := t.phrase(s)
		node := int32(0)
		eachToken(phrase, func(from, to int) {
			e := c.edge(node, c.tokens.add(phrase[from:to]))
			if node = e.target; to == len(phrase) {
				e.symbol = int32(s)
			}
		})
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

// find returns the edge with a key, or the free one where it would be.
func (c *phraseCoder) find(key uint64) *edge {
	last := uint64(len(c.edges) - 1)
	for i := key * hashA >> 32; ; i++ {
		if e := &c.edges[i&last]; e.key == key || e.key == 0 {
			return e
		}
	}
}

// edge returns an edge, which is made if it isn't there.
func (c *phraseCoder) edge(node, token int32) *edge {
	key := edgeKey(node, token)
	if e := c.find(key); e.key != 0 {
		return e
	}
	if c.filled++; 2*c.filled > len(c.edges) {
		edges := c.edges
		c.edges = make([]edge, 2*len(edges))
		for _, e := range edges {
			if e.key != 0 {
				*c.find(e.key) = e
			}
		}
	}
	c.nodes++
	e := c.find(key)
	*e = edge{key: key, target: c.nodes}
	return e
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

// tokenize finds the tokens of a text, and notes its words.
func (c *phraseCoder) tokenize(text []byte) {
	c.ids, c.ends = c.ids[:0], c.ends[:0]
	behind := 0 // of the last word
	eachToken(text, func(from, to int) {
		h := tokenHash(text[from:to])
		id := c.tokens.guess(h)
		c.ids = append(c.ids, id)
		c.ends = append(c.ends, int32(to))
		if c.words != nil && from >= behind && byteClass[text[from]] != 0 {
			behind = c.note(text, from, to, h)
		}
	})
}

// note gives the word that begins with a token of that hash to the word writer, and
// returns where the word ends.
func (c *phraseCoder) note(text []byte, from, to int, h uint64) (end int) {
	end = to
	for end < len(text) && byteClass[text[end]] != 0 {
		end++
	}
	word := bytesView(text[from:end])
	if end > to { // a word is a token, but for a long one
		h = wordKey(word)
	}
	c.words.note(h, word)
	return end
}

// text writes one text and its end.
func (c *phraseCoder) text(text []byte) {
	c.tokenize(text)
	at := int32(0)
	for i := 0; i < len(c.ids); {
		next, symbol := i, int32(0)
		node := int32(0)
		for k := i; k < len(c.ids) && c.ids[k] >= 0; k++ {
			e := c.find(edgeKey(node, c.ids[k]))
			if e.key == 0 {
				break
			}
			if node = e.target; e.symbol > 0 {
				next, symbol = k+1, e.symbol
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
