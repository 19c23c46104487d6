package workload

// member is one member of the request or response of an operation: a name, and how
// its value is made.
type member struct {
	name  string
	kind  byte // 'w' a word, 'p' a pair of words, 'n' a number, 'h' random digits, 'b' a boolean, 'i' the resource's id
	words [6]string
}

// newTemplate makes the members of an operation.
func newTemplate(r random, n int) []member {
	const kinds = "wwpwbwnwpwibwwnwhw"
	t := make([]member, n)
	first := r.IntN(len(kinds))
	for i := range t {
		m := &t[i]
		m.name = pick(r, adjectives[:]) + "_" + pick(r, things[:])
		m.kind = kinds[(first+i)%len(kinds)]
		for k := range m.words {
			m.words[k] = pick(r, things[:])
		}
	}
	return t
}

// append appends the member with a value.
func (m *member) append(b []byte, r random, id string) []byte {
	b = append(append(append(b, '"'), m.name...), '"', ':')
	u := r.Uint64()
	word := m.words[min(u&7, u>>3&7, u>>6&7)%6] // the first ones more often
	switch m.kind {
	case 'w':
		return append(append(append(b, '"'), word...), '"')
	case 'p':
		b = append(append(append(b, '"'), word...), '-')
		return append(append(b, m.words[min(u>>12&7, u>>15&7)%6]...), '"')
	case 'n':
		return appendDecimal(b, int(u>>18&255))
	case 'b':
		if u>>18&7 == 0 {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case 'i':
		return append(append(append(b, '"'), id...), '"')
	}
	return append(appendHex(append(b, '"'), u, 8), '"')
}

// body appends a JSON object of about size bytes: the members of the template over
// and over, in nested objects after the first time.
func body(b []byte, r random, template []member, id string, size int) []byte {
	from := len(b)
	b = append(b, '{')
	depth := 0
	for i := 0; ; i++ {
		m := &template[i%len(template)]
		if i > 0 {
			b = append(b, ',')
		}
		if i > 0 && i%len(template) == 0 {
			b = append(append(append(b, '"'), m.name...), `_more":{`...)
			depth++
		}
		b = m.append(b, r, id)
		if len(b)-from+depth+1 >= size {
			break
		}
	}
	for range depth {
		b = append(b, '}')
	}
	return append(b, '}')
}
