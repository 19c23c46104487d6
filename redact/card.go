package redact

import "strings"

const maxCard = 19 // digits of the longest card number

var isCardByte = byteSet("0123456789 -")

// cardsUpTo looks for card numbers between the secrets found so far, up to hi, and
// brings them all into order.
func (x *textScan) cardsUpTo(hi int) {
	if hi-x.cards < minCard {
		return
	}
	sc, last := x.sc, len(x.sc.spans)
	pos := x.cards
	for i := x.first; i < last; i++ {
		sc.cards(x.t, x.off, pos, sc.spans[i].start-x.off)
		pos = sc.spans[i].end - x.off
	}
	sc.cards(x.t, x.off, pos, hi)
	if last > x.first && len(sc.spans) > last {
		sortSpans(sc.spans[x.first:])
	}
}

// cards looks for card numbers in t[lo:hi]. It looks at every thirteenth byte only,
// as long as that can't be in one.
func (sc *scanner) cards(t string, off, lo, hi int) {
	i, known := lo, lo // t[i:known] are card bytes
	for i+minCard <= hi {
		last := i + minCard - 1
		if !isCardByte[t[last]] {
			i, known = last+1, last+1
			continue
		}
		start := last
		for start > known && isCardByte[t[start-1]] {
			start--
		}
		if start > known {
			i, known = start, last+1
			continue
		}
		end := last + 1
		for end < hi && isCardByte[t[end]] {
			end++
		}
		sc.cardRun(t, off, i, end, hi)
		i, known = end+1, end+1
	}
}

// cardRun looks at the groups of digits in t[i:end]; hi is where the part ends that
// holds no other secret.
func (sc *scanner) cardRun(t string, off, i, end, hi int) {
	for i < end {
		if t[i] == ' ' || t[i] == '-' {
			i++
			continue
		}
		stop := digitsEnd(t, i, end)
		next := stop
		if startsCard(t, i) {
			if n := cardAt(t, i, stop, end, hi); n > 0 {
				next = i + n
				sc.emitCard(t[i:next], off+i)
			}
		}
		i = next
	}
}

func digitsEnd(t string, i, end int) int {
	for i < end && '0' <= t[i] && t[i] <= '9' {
		i++
	}
	return i
}

// layouts are the groups in which card numbers are printed.
var layouts = [...][]int{{4, 4, 4, 4}, {4, 6, 5}, {4, 6, 4}, {4, 4, 4, 4, 3}, {6, 13}}

// cardAt is the length of the card number that begins with the digits t[i:stop], or 0.
func cardAt(t string, i, stop, end, hi int) int {
	var digits [maxCard]byte
	if n := stop - i; n >= minCard {
		if n > maxCard || !endsCard(t, stop, hi) {
			return 0
		}
		copy(digits[:], t[i:stop])
		if isCard(digits[:n]) {
			return n
		}
		return 0
	}
	if stop >= end {
		return 0
	}
	separator := t[stop]
	for _, layout := range layouts {
		pos, n := i, 0
		for g, size := range layout {
			if g > 0 {
				if pos >= end || t[pos] != separator {
					n = -1
					break
				}
				pos++
			}
			if digitsEnd(t, pos, end)-pos != size {
				n = -1
				break
			}
			n += copy(digits[n:], t[pos:pos+size])
			pos += size
		}
		if n > 0 && endsCard(t, pos, hi) && isCard(digits[:n]) {
			return pos - i
		}
	}
	return 0
}

// startsCard reports whether a card number may begin at i: not inside a word, a
// longer number, a fraction, a telephone number, a UUID, or behind a mask.
func startsCard(t string, i int) bool {
	if i == 0 {
		return true
	}
	switch c := t[i-1]; {
	case isWord[c], c == '+':
		return false
	case c == '-', c == '.':
		return i == 1 || !isWord[t[i-2]] && t[i-2] != '*'
	case c == '*':
		return !strings.HasSuffix(t[:i], "****") && !strings.HasSuffix(t[:i], "* *") && !strings.HasSuffix(t[:i], "*-*")
	case c == ' ':
		return !strings.HasSuffix(t[:i-1], "****") // the end of a masked one
	}
	return true
}

// endsCard is the same for the end. Beyond hi another secret begins.
func endsCard(t string, i, hi int) bool {
	if i == len(t) {
		return true
	}
	if i == hi {
		return false
	}
	switch c := t[i]; {
	case isWord[c]:
		return false
	case c == '-', c == '.':
		return i+1 == len(t) || i+1 < hi && !isWord[t[i+1]] && t[i+1] != '*'
	case c == '*':
		return !strings.HasPrefix(t[i:], "****")
	}
	return true
}

// isCard reports whether the digits are a card number: the prefix of an issuer, a
// length that this issuer uses, and a right check digit.
func isCard(digits []byte) bool {
	return issuerUses(digits, len(digits)) && luhn(digits)
}

// issuerUses knows the ranges of ISO/IEC 7812 that the card schemes publish. Visa
// cards of 13 digits are left out: none is in use, and telephone numbers and
// article numbers have that form.
func issuerUses(d []byte, n int) bool {
	p := 0
	for _, c := range d[:4] {
		p = p*10 + int(c-'0')
	}
	in := func(lo, hi int) bool { return lo <= p && p <= hi }
	switch {
	case in(4000, 4999): // Visa
		return n == 16 || n == 19
	case in(5100, 5599), in(2221, 2720): // Mastercard
		return n == 16
	case in(3400, 3499), in(3700, 3799): // American Express
		return n == 15
	case in(3000, 3059), in(3095, 3095), in(3600, 3699), in(3800, 3999): // Diners Club
		return n == 14 || n == 16
	case in(3528, 3589): // JCB
		return n == 16 || n == 19
	case in(6011, 6011), in(6440, 6599): // Discover
		return n == 16 || n == 19
	case in(6200, 6299): // UnionPay
		return 16 <= n && n <= 19
	case in(2200, 2204): // Mir
		return 16 <= n && n <= 19
	}
	return isMaestro(p)
}

// isMaestro knows the prefixes under which Maestro cards are really issued; the
// ranges reserved for it are a twentieth of all numbers.
func isMaestro(p int) bool {
	switch p {
	case 5018, 5020, 5038, 5612, 5893, 6304, 6390, 6759, 6761, 6762, 6763:
		return true
	}
	return false
}

// luhn checks the check digit, ISO/IEC 7812-1 annex B.
func luhn(digits []byte) bool {
	sum := 0
	for i, c := range digits {
		v := int(c - '0')
		if (len(digits)-i)%2 == 0 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

// emitCard notes a card number. Its last four digits stay: PCI DSS 3.4.1 lets the
// first six and the last four be seen, but the first six, the last four and a
// keyed hash together leave so few numbers that the card can be found by trying.
// Separators stay too, so that the mask has the form of the number.
func (sc *scanner) emitCard(number string, off int) {
	var digits [maxCard]byte
	n := 0
	for i := range len(number) {
		if number[i] != ' ' && number[i] != '-' {
			digits[n] = number[i]
			n++
		}
	}
	masked, left := []byte(number), n-4
	for i, c := range masked {
		if left > 0 && c != ' ' && c != '-' {
			masked[i] = '*'
			left--
		}
	}
	sc.emit(off, off+len(number), RuleCard, "", string(digits[:n]))
	sp := &sc.spans[len(sc.spans)-1]
	sp.repl = string(masked)
	sp.finding.Length = len(number)
}
