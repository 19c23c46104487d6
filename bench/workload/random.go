package workload

import (
	"math"
	"math/rand/v2"
	"sort"
)

// random is a source of random values that gives the same ones for the same seed.
type random struct {
	*rand.Rand
}

// newRandom returns the stream of a seed that has the given number.
func newRandom(seed, stream uint64) random {
	return random{rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15^stream))} //nolint:gosec // reproducible by design, and no secret
}

// chance reports true with probability p.
func (r random) chance(p float64) bool { return r.Float64() < p }

// pick returns one of the values, each as likely.
func pick[T any](r random, values []T) T { return values[r.IntN(len(values))] }

// logNormal returns a value with the given median; the logarithm of the values has the deviation sigma.
func (r random) logNormal(median, sigma float64) float64 {
	return median * math.Exp(sigma*r.NormFloat64())
}

// between returns a value in [lo, hi].
func (r random) between(lo, hi int) int { return lo + r.IntN(hi-lo+1) }

const hexDigits = "0123456789abcdef"

// appendHex appends n hex digits of v, at most 16.
func appendHex(b []byte, v uint64, n int) []byte {
	for i := n - 1; i >= 0; i-- {
		b = append(b, hexDigits[v>>(4*i)&15])
	}
	return b
}

// appendUUID appends a UUID of the given bits, of which six are replaced by version and variant.
func appendUUID(b []byte, hi, lo uint64, version byte) []byte {
	hi = hi&^0xf000 | uint64(version)<<12
	lo = lo&^(3<<62) | 2<<62
	b = append(appendHex(b, hi>>32, 8), '-')
	b = append(appendHex(b, hi>>16, 4), '-')
	b = append(appendHex(b, hi, 4), '-')
	b = append(appendHex(b, lo>>48, 4), '-')
	return appendHex(b, lo, 12)
}

// uuid returns a random UUID.
func (r random) uuid() string {
	var b [36]byte
	return string(appendUUID(b[:0], r.Uint64(), r.Uint64(), 4))
}

// uuidAt returns a UUID of version 7 for a time in milliseconds.
func (r random) uuidAt(ms int64) string {
	var b [36]byte
	return string(appendUUID(b[:0], uint64(ms)<<16|r.Uint64()&0xfff, r.Uint64(), 7))
}

// mix returns bits that depend on all bits of both arguments: a value for something
// that is named by two numbers (SplitMix64).
func mix(a, b uint64) uint64 {
	z := a*0x9e3779b97f4a7c15 ^ (b+0x632be59bd9b4e019)*0xd1342543de82ef95
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// table draws from 0 to n-1 with given weights, in constant time (Vose's alias method).
type table struct {
	keep  []float64
	other []int
}

func newTable(weights []float64) table {
	n := len(weights)
	total := 0.0
	for _, w := range weights {
		total += w
	}
	t := table{keep: make([]float64, n), other: make([]int, n)}
	var small, large []int
	for i, w := range weights {
		t.keep[i] = w * float64(n) / total
		if t.keep[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		t.other[s] = l
		t.keep[l] -= 1 - t.keep[s]
		if t.keep[l] < 1 {
			large, small = large[:len(large)-1], append(small, l)
		}
	}
	for _, i := range append(small, large...) {
		t.keep[i], t.other[i] = 1, i
	}
	return t
}

// zipf returns the weights 1/k^s of n ranks.
func zipf(n int, s float64) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = math.Pow(float64(i+1), -s)
	}
	return w
}

func (t table) draw(r random) int {
	i := r.IntN(len(t.keep))
	if r.Float64() < t.keep[i] {
		return i
	}
	return t.other[i]
}

// growingZipf draws a rank of 1 to n by Zipf with an exponent below 1, for n that
// changes from draw to draw: by the integral of the weights.
func (r random) growingZipf(n int, s float64) int {
	e := 1 - s
	lo, hi := math.Pow(0.5, e), math.Pow(float64(n)+0.5, e)
	x := math.Pow(lo+r.Float64()*(hi-lo), 1/e)
	return min(n, max(1, int(x+0.5)))
}

// quantile returns the q-quantile of sorted values.
func quantile[T any](sorted []T, q float64) T {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// keys returns the keys of a count, the most frequent first.
func keys(count map[string]int) []string {
	list := make([]string, 0, len(count))
	for k := range count {
		list = append(list, k)
	}
	sort.Slice(list, func(i, j int) bool {
		if count[list[i]] != count[list[j]] {
			return count[list[i]] > count[list[j]]
		}
		return list[i] < list[j]
	})
	return list
}
