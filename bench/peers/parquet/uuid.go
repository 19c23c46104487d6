package parquet

import (
	"encoding/hex"
)

// textMark stands before a text of 16 bytes, which could be taken for a UUID. No
// valid UTF-8 begins with it.
const textMark = "\xff"

// packID returns an id as the columns of ids keep it: a UUID in its usual spelling as
// its 16 bytes, any other text as it is.
func packID(id string) string {
	switch len(id) {
	case 16:
		return textMark + id
	case 36:
	default:
		return id
	}
	var packed [16]byte
	at := 0
	for _, part := range [...][2]int{{0, 8}, {9, 13}, {14, 18}, {19, 23}, {24, 36}} {
		if part[0] > 0 && id[part[0]-1] != '-' {
			return id
		}
		for i := part[0]; i < part[1]; i += 2 {
			high, low := nibble(id[i]), nibble(id[i+1])
			if high|low > 15 {
				return id
			}
			packed[at] = high<<4 | low
			at++
		}
	}
	return string(packed[:])
}

// nibble returns the value of a lower-case hexadecimal digit, more than 15 for any
// other byte.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// unpackID is the inverse of packID.
func unpackID(packed string) string {
	if len(packed) != 16 {
		if len(packed) == 17 && packed[:1] == textMark {
			return packed[1:]
		}
		return packed
	}
	var text [36]byte
	b := []byte(packed)
	hex.Encode(text[0:], b[:4])
	hex.Encode(text[9:], b[4:6])
	hex.Encode(text[14:], b[6:8])
	hex.Encode(text[19:], b[8:10])
	hex.Encode(text[24:], b[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
