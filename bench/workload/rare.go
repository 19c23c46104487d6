package workload

// Words that stand alone in requests, and texts that stand only inside of longer
// words, each in about 20 of a million traces.
var (
	rareWords = []string{"quincewort", "tamarillo", "bobolink", "saxifrage", "pangolin", "zibeline", "quagga", "marmoset"}
	rareParts = []string{"vexillum", "kumquat", "ostinato", "parhelion", "tachyon", "mizzenmast", "yarborough", "dulcimer"}
)

const (
	rareShare = 20e-6 // of the traces, for each word and part
	rareLeast = 4     // traces with each, at least about, in a small workload
)

// rare decides which trace gets a rare word.
type rare struct {
	each float64
}

func newRare(count int) rare {
	return rare{each: max(rareShare, rareLeast/float64(count))}
}

// append appends the members of a JSON object that hold what the next trace gets,
// which is mostly nothing.
func (w rare) append(b []byte, r random) []byte {
	u := r.Float64()
	if u >= w.each*float64(len(rareWords)+len(rareParts)) {
		return b
	}
	i := int(u / w.each)
	if i < len(rareWords) {
		return append(append(append(b, `,"note":"see ticket `...), rareWords[i]...), ` of last week"`...)
	}
	b = append(b, `,"ref":"`...)
	b = appendHex(b, r.Uint64(), 6)
	b = append(b, rareParts[min(i-len(rareWords), len(rareParts)-1)]...)
	b = appendHex(b, r.Uint64(), 4)
	return append(b, '"')
}
