package memstore

import "github.com/cloudtraceservice/cts"

// peek fills in id and times from the JSON. An id of 36 plain characters, which is
// what a UUID has, is read in place; any other goes through [cts.PeekJSON], which
// copies.
func (in *incoming) peek() error {
	head := cts.Trace{ID: "-", Name: "-"} // a plain id needs no check
	if !in.peekPlain() {
		var err error
		if in.id, in.time, in.recordTime, err = cts.PeekJSON(in.json); err != nil {
			return err
		}
		head.ID = in.id
	}
	head.Time, head.RecordTime = in.time, in.recordTime
	return head.Validate()
}

const (
	beforeID         = `{"trace_id":"`
	beforeTime       = `","time":`
	beforeRecordTime = `,"record_time":`
	beforeName       = `,"trace_name":`
	idLength         = 36
)

// peekPlain reads the head of the JSON if its id has 36 characters of which none
// could need an escape or be invalid, and reports whether it did.
func (in *incoming) peekPlain() bool {
	b := in.json
	const idEnd = len(beforeID) + idLength
	if len(b) < idEnd || string(b[:len(beforeID)]) != beforeID {
		return false
	}
	id := b[len(beforeID):idEnd]
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	time, b, ok := number(b[idEnd:], beforeTime)
	if !ok {
		return false
	}
	recordTime, b, ok := number(b, beforeRecordTime)
	if !ok || len(b) < len(beforeName) || string(b[:len(beforeName)]) != beforeName {
		return false
	}
	in.rawID, in.time, in.recordTime = id, time, recordTime
	return true
}

// number reads a member name and a whole number of 1 to 18 digits that begins with
// none but a significant one, and returns what follows.
func number(b []byte, name string) (n int64, rest []byte, ok bool) {
	if len(b) <= len(name) || string(b[:len(name)]) != name || b[len(name)] == '0' {
		return 0, nil, false
	}
	b = b[len(name):]
	i := 0
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		n = n*10 + int64(b[i]-'0')
		i++
	}
	return n, b[i:], i >= 1 && i <= 18
}
