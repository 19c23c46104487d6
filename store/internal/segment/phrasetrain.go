package segment

import (
	"cmp"
	"slices"
)

const (
	trainBytes  = 512 << 10 // of texts from which phrases are taken
	trainRounds = 7         // each joins pairs of phrases
	trainPairs  = 8         // how often a pair must occur to be joined
)

// trainer finds phrases: it begins with the tokens and joins pairs that follow each
// other often.
type trainer struct {
	tokens  *tokenSet
	seq     []int32 // phrases in order; -1 where nothing may be joined
	phrases []string
	counts  []int32
}

// trainPhrases returns a code for texts like those of some blocks.
func trainPhrases(blocks []TextReader) []byte {
	t := trainer{tokens: newTokenSet()}
	var list tokenList
	size := 0
	used := 0
	for i := range blocks {
		if size >= trainBytes {
			break
		}
		used++
		r := &blocks[i]
		for k := range int(r.rows) * r.texts {
			text := r.buf[r.index[k]:r.index[k+1]]
			size += len(text)
			list.split(text)
			for i, to := range list.ends {
				t.seq = append(t.seq, t.tokens.add(text[list.begin(i):to]))
			}
			t.seq = append(t.seq, -1)
		}
	}
	t.phrases = t.tokens.tokens
	t.dropRare()
	for range trainRounds {
		if !t.join() {
			break
		}
	}
	return t.choose(blocks[:used])
}

func pairKey(p, q int32) uint64 { return uint64(uint32(p))<<32 | uint64(uint32(q)) | 1<<63 }

// dropRare takes out the tokens that occur once.
func (t *trainer) dropRare() {
	t.counts = make([]int32, len(t.phrases))
	for _, p := range t.seq {
		if p >= 0 {
			t.counts[p]++
		}
	}
	for i, p := range t.seq {
		if p >= 0 && t.counts[p] < 2 {
			t.seq[i] = -1
		}
	}
}

// join makes phrases of the pairs that occur often, and more often than chance would
// have it. It is false if there are none.
func (t *trainer) join() bool {
	pairs := make(map[uint64]int32)
	total := 0
	for i, p := range t.seq[:max(0, len(t.seq)-1)] {
		if p < 0 {
			continue
		}
		total++
		if q := t.seq[i+1]; q >= 0 && len(t.phrases[p])+len(t.phrases[q]) <= maxPhrase {
			pairs[pairKey(p, q)]++
		}
	}
	for key, n := range pairs {
		p, q := int32(key>>32&0x7fffffff), int32(uint32(key))
		if n < trainPairs || float64(n)*float64(total) < 2*float64(t.counts[p])*float64(t.counts[q]) {
			delete(pairs, key)
		}
	}
	if len(pairs) == 0 || len(t.phrases)+len(pairs) > 1<<20 {
		return false
	}
	t.replace(pairs)
	return true
}

// replace puts phrases in the place of pairs. Of two pairs that overlap the more
// frequent one wins.
func (t *trainer) replace(pairs map[uint64]int32) {
	joined := make(map[uint64]int32, len(pairs))
	out := t.seq[:0]
	for i := 0; i < len(t.seq); i++ {
		p := t.seq[i]
		n := int32(0)
		if i+1 < len(t.seq) && p >= 0 && t.seq[i+1] >= 0 {
			n = pairs[pairKey(p, t.seq[i+1])]
		}
		if n > 0 && i+2 < len(t.seq) && t.seq[i+2] >= 0 && pairs[pairKey(t.seq[i+1], t.seq[i+2])] > n {
			n = 0
		}
		if n == 0 {
			out = append(out, p)
			continue
		}
		key := pairKey(p, t.seq[i+1])
		id, ok := joined[key]
		if !ok {
			id = int32(len(t.phrases))
			joined[key] = id
			t.phrases = append(t.phrases, t.phrases[p]+t.phrases[t.seq[i+1]])
			t.counts = append(t.counts, 0)
		}
		t.counts[id]++
		t.counts[p]--
		t.counts[t.seq[i+1]]--
		out = append(out, id)
		i++
	}
	t.seq = out
}

// choose keeps the phrases that are used when the texts are written, and returns the
// dictionary of them.
func (t *trainer) choose(blocks []TextReader) []byte {
	candidates := make([]string, 0, len(t.phrases))
	seen := make(map[string]bool, len(t.phrases))
	for i, p := range t.phrases {
		if t.counts[i] >= 2 && !seen[p] || i >= len(t.tokens.tokens) && !seen[p] {
			seen[p] = true
			candidates = append(candidates, p)
		}
	}
	counts := countPhrases(candidates, blocks)
	type used struct {
		phrase string
		saved  int
	}
	var kept []used
	for i, p := range candidates {
		if n := counts[symbolPhrase+i]; n >= 2 {
			kept = append(kept, used{p, int(n) * len(p)})
		}
	}
	if len(kept) > maxPhrases {
		slices.SortFunc(kept, func(a, b used) int { return cmp.Or(cmp.Compare(b.saved, a.saved), cmp.Compare(a.phrase, b.phrase)) })
		kept = kept[:maxPhrases]
	}
	phrases := make([]string, len(kept))
	for i, u := range kept {
		phrases[i] = u.phrase
	}
	slices.Sort(phrases)
	counts = countPhrases(phrases, blocks)
	for i := range counts {
		// Whatever comes must have a code.
		counts[i] = counts[i]*4 + 1
	}
	return appendPhrases(phrases, codeLengths(counts))
}

// countPhrases returns how often each symbol occurs when blocks are written.
func countPhrases(phrases []string, blocks []TextReader) []uint32 {
	lengths := make([]byte, symbolPhrase+len(phrases))
	table, ok := parsePhrases(appendPhrases(phrases, lengths))
	counts := make([]uint32, len(lengths))
	if !ok {
		return counts
	}
	c := newPhraseCoder(table)
	c.count = counts
	for i := range blocks {
		c.block(nil, &blocks[i])
	}
	return counts
}
