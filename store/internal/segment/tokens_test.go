package segment

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The tokens of a text are what a loop over its bytes finds.
func TestTokens(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	alphabets := []string{"ab", "a-", "a1Z_\x7f\x80\xff@[`{/:", "0123456789", `{"name":"value"}`}
	var list tokenList
	for range 20_000 {
		text := make([]byte, r.IntN(200))
		from := alphabets[r.IntN(len(alphabets))]
		for i := range text {
			if text[i] = from[r.IntN(len(from))]; r.IntN(8) == 0 {
				text[i] = byte(r.Uint32())
			}
		}
		list.split(text)
		if want := tokensOf(text); !slices.Equal(list.ends, want) {
			t.Fatalf("%q: tokens end at %d, want %d", text, list.ends, want)
		}
		for i, h := range list.hashes {
			token := text[list.begin(i):list.ends[i]]
			if alone := tokenMix(token, 0, len(token)); h != alone {
				t.Fatalf("%q: the token %q has the hash %x, alone %x", text, token, h, alone)
			}
		}
	}
}

// tokensOf returns where the tokens of a text end.
func tokensOf(text []byte) (ends []int32) {
	from := 0
	for i := range text {
		if i+1 == len(text) || i+1-from == maxToken || (byteClass[text[i]]^byteClass[text[i+1]])&classWord != 0 {
			ends = append(ends, int32(i+1))
			from = i + 1
		}
	}
	return ends
}
