package segment

// phraseWords gives the words of texts to a word writer. Those of a phrase are found once.
type phraseWords struct {
	table  *phraseTable
	writer *wordWriter
	keys   []uint64   // of words and grams
	known  []keyRange // of each phrase
}

// keyRange says which keys a phrase has: the words, and from grams on the grams.
type keyRange struct {
	from, grams, to uint32 // of the keys; to is 0 if they are not found yet
	serial, group   uint32 // see seenWord
}

func newPhraseWords(t *phraseTable, w *wordWriter) *phraseWords {
	return &phraseWords{table: t, writer: w, known: make([]keyRange, len(t.ends)-1), keys: make([]uint64, 1)}
}

// note notes the words that begin in a part of a text, which is a phrase if symbol is
// not 0.
func (p *phraseWords) note(text []byte, from, to int, symbol int32) {
	w := p.writer
	if w.prints < 0 {
		return
	}
	if symbol > 0 && tokensIn(text, from, to) {
		k := &p.known[symbol-symbolPhrase]
		if k.to == 0 {
			p.find(k, p.table.phrase(int(symbol)))
		}
		w.noteKeys(k, p.keys)
		return
	}
	for i := from; i < to; {
		if byteClass[text[i]] == 0 {
			i++
			continue
		}
		end := i + 1
		for end < len(text) && byteClass[text[end]] != 0 {
			end++
		}
		if i == 0 || byteClass[text[i-1]] == 0 {
			w.word(bytesView(text[i:end]))
		}
		i = end
	}
}

// find finds the keys of a phrase.
func (p *phraseWords) find(k *keyRange, phrase []byte) {
	text := bytesView(phrase)
	k.from = uint32(len(p.keys))
	eachWord(text, func(from, to int) { p.keys = append(p.keys, wordKey(text[from:to])) })
	k.grams = uint32(len(p.keys))
	eachWord(text, func(from, to int) {
		eachGram(text[from:to], func(key uint64) { p.keys = append(p.keys, key) })
	})
	k.to = uint32(len(p.keys))
}

// tokensIn reports whether no run of bytes of one class, which is a token if it isn't too
// long for one, is cut by the ends of a part of a text.
func tokensIn(text []byte, from, to int) bool {
	return (from == 0 || (byteClass[text[from-1]]^byteClass[text[from]])&classWord != 0) &&
		(to == len(text) || (byteClass[text[to-1]]^byteClass[text[to]])&classWord != 0)
}
