package cts

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Field is a dimension of a query. Besides the constants there is one field per
// label, see [Label].
type Field string

// The fields of a query.
const (
	FieldServiceType         Field = "service_type"
	FieldTraceName           Field = "trace_name"
	FieldTraceType           Field = "trace_type"
	FieldEventType           Field = "event_type"
	FieldTraceRating         Field = "trace_rating"
	FieldResourceType        Field = "resource_type"
	FieldResourceID          Field = "resource_id"
	FieldResourceName        Field = "resource_name"
	FieldUser                Field = "user" // the id or a name of the user
	FieldAccessKeyID         Field = "access_key_id"
	FieldSourceIP            Field = "source_ip"
	FieldCode                Field = "code" // numeric
	FieldRequestID           Field = "request_id"
	FieldTraceID             Field = "trace_id"
	FieldOperationID         Field = "operation_id"
	FieldTrackerName         Field = "tracker_name"
	FieldProjectID           Field = "project_id"
	FieldDomainID            Field = "domain_id"
	FieldEnterpriseProjectID Field = "enterprise_project_id"
	FieldReadOnly            Field = "read_only" // "true" or "false"
	FieldUserAgent           Field = "user_agent"

	FieldOutcome      Field = "outcome"
	FieldPhase        Field = "phase"
	FieldAttemptID    Field = "attempt_id" // the attempt that an outcome belongs to
	FieldRole         Field = "role"
	FieldImpersonator Field = "impersonator" // the id or the name
	FieldSession      Field = "session_id"
	FieldW3CTraceID   Field = "w3c_trace_id"
	FieldWriter       Field = "writer" // the id of the writer

	FieldRequest  Field = "request"
	FieldResponse Field = "response"
	FieldMessage  Field = "message"
)

const labelPrefix = "labels."

// Label returns the field of the label with the given key.
func Label(key string) Field { return labelPrefix + Field(key) }

// values returns the values of f in t: several where a field means any of them,
// and "" for one that is absent.
func (f Field) values(t *Trace) (a, b, c string) {
	switch f {
	case FieldUser:
		return t.User.ID, t.User.Name, t.User.UserName
	case FieldAccessKeyID:
		return t.User.AccessKeyID, "", ""
	case FieldImpersonator:
		return t.Ext.Impersonator.ID, t.Ext.Impersonator.Name, ""
	case FieldSession:
		return t.Ext.SessionID, "", ""
	case FieldWriter:
		return t.Ext.Writer.ID, "", ""
	case FieldReadOnly:
		return t.ReadOnly.String(), "", ""
	}
	if v := t.textField(string(f)); v != nil {
		return *v, "", ""
	}
	if v := t.Ext.textField(string(f)); v != nil {
		return *v, "", ""
	}
	if key, ok := strings.CutPrefix(string(f), labelPrefix); ok {
		return t.Ext.Labels[key], "", ""
	}
	return "", "", ""
}

// known reports whether f is one of the fields above.
func (f Field) known() bool {
	switch f {
	case FieldServiceType, FieldTraceName, FieldTraceType, FieldEventType, FieldTraceRating, FieldResourceType,
		FieldResourceID, FieldResourceName, FieldUser, FieldAccessKeyID, FieldSourceIP, FieldCode, FieldRequestID,
		FieldTraceID, FieldOperationID, FieldTrackerName, FieldProjectID, FieldDomainID, FieldEnterpriseProjectID,
		FieldReadOnly, FieldUserAgent, FieldOutcome, FieldPhase, FieldAttemptID, FieldRole, FieldImpersonator,
		FieldSession, FieldW3CTraceID, FieldWriter, FieldRequest, FieldResponse, FieldMessage:
		return true
	}
	return len(f) > len(labelPrefix) && f[:len(labelPrefix)] == labelPrefix
}

// Op is what a [Condition] tests.
type Op uint8

// The operations. Their numbers are part of cursors: append only.
const (
	OpAll          Op = iota // always true: the zero Condition
	OpAnd                    // all of Conditions
	OpOr                     // one of Conditions
	OpNot                    // not the one in Conditions
	OpIn                     // the field is one of Values
	OpPrefix                 // the field begins with one of Values
	OpContains               // the field contains one of Values
	OpWithin                 // the field is an address in one of Networks
	OpLess                   // the field is a number less than Number
	OpLessEqual              // …
	OpGreater                // …
	OpGreaterEqual           // …
	OpPresent                // the field is not empty
	OpWord                   // the field contains one of Values as a word
)

// Condition is one test of a trace, or several combined. Build it with the
// functions below; the fields are there for stores to read. Comparisons are of
// bytes and sensitive to case unless [Condition.IgnoreCase] was asked for.
type Condition struct {
	Op         Op
	Field      Field          // what is tested
	Values     []string       // operands of OpIn, OpPrefix, OpContains, OpWord
	Fold       bool           // ignore case
	Networks   []netip.Prefix // operands of OpWithin
	Number     int64          // operand of the numeric comparisons
	Conditions []Condition    // operands of OpAnd, OpOr, OpNot
}

// Eq accepts traces whose field has the value. The value "" is [Absent].
func Eq(f Field, value string) Condition { return In(f, value) }

// In accepts traces whose field has one of the values.
func In(f Field, values ...string) Condition {
	return Condition{Op: OpIn, Field: f, Values: append([]string(nil), values...)}
}

// Prefix accepts traces whose field begins with the value.
func Prefix(f Field, value string) Condition {
	return Condition{Op: OpPrefix, Field: f, Values: []string{value}}
}

// Contains accepts traces whose field contains the value.
func Contains(f Field, value string) Condition {
	return Condition{Op: OpContains, Field: f, Values: []string{value}}
}

// Word accepts traces whose field contains the word. Words are the longest runs of
// ASCII letters, ASCII digits and bytes from 0x80 on, so that letters of every
// alphabet make words and everything else parts them: "adminPass" is a word of
// {"adminPass":1}, "admin" is none. The operand must be one word. A store can look
// words up where it has to read for [Contains].
func Word(f Field, word string) Condition {
	return Condition{Op: OpWord, Field: f, Values: []string{word}}
}

// Within accepts traces whose field is an address in one of the networks. IPv4
// addresses mapped into IPv6 count as IPv4, on both sides. It is for [FieldSourceIP].
func Within(f Field, networks ...netip.Prefix) Condition {
	c := Condition{Op: OpWithin, Field: f, Networks: append([]netip.Prefix(nil), networks...)}
	for i, n := range c.Networks {
		if n.Addr().Is4In6() && n.Bits() >= 96 {
			c.Networks[i] = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
		}
	}
	return c
}

// Less accepts traces whose field is a whole number less than n. It and the
// following are for [FieldCode].
func Less(f Field, n int64) Condition { return Condition{Op: OpLess, Field: f, Number: n} }

// LessEqual accepts numbers of at most n.
func LessEqual(f Field, n int64) Condition { return Condition{Op: OpLessEqual, Field: f, Number: n} }

// Greater accepts numbers above n.
func Greater(f Field, n int64) Condition { return Condition{Op: OpGreater, Field: f, Number: n} }

// GreaterEqual accepts numbers of at least n.
func GreaterEqual(f Field, n int64) Condition {
	return Condition{Op: OpGreaterEqual, Field: f, Number: n}
}

// Present accepts traces in which the field is there and not empty.
func Present(f Field) Condition { return Condition{Op: OpPresent, Field: f} }

// Absent accepts traces in which the field is missing or empty.
func Absent(f Field) Condition { return Not(Present(f)) }

// And accepts traces that all conditions accept.
func And(conditions ...Condition) Condition {
	return Condition{Op: OpAnd, Conditions: append([]Condition(nil), conditions...)}
}

// Or accepts traces that at least one condition accepts.
func Or(conditions ...Condition) Condition {
	return Condition{Op: OpOr, Conditions: append([]Condition(nil), conditions...)}
}

// Not accepts traces that the condition does not accept.
func Not(c Condition) Condition { return Condition{Op: OpNot, Conditions: []Condition{c}} }

// IgnoreCase returns c comparing without regard to case: both sides in lower case,
// by Unicode's simple rules. It holds for every condition that c combines.
func (c Condition) IgnoreCase() Condition {
	c.Fold = true
	c.Conditions = append([]Condition(nil), c.Conditions...)
	for i := range c.Conditions {
		c.Conditions[i] = c.Conditions[i].IgnoreCase()
	}
	return c
}

// Match reports whether c accepts t.
func (c Condition) Match(t *Trace) bool {
	switch c.Op {
	case OpAll:
		return true
	case OpAnd:
		for i := range c.Conditions {
			if !c.Conditions[i].Match(t) {
				return false
			}
		}
		return true
	case OpOr:
		for i := range c.Conditions {
			if c.Conditions[i].Match(t) {
				return true
			}
		}
		return false
	case OpNot:
		return len(c.Conditions) == 1 && !c.Conditions[0].Match(t)
	}
	v1, v2, v3 := c.Field.values(t)
	if v1 == "" && v2 == "" && v3 == "" {
		return c.matchValue("")
	}
	return v1 != "" && c.matchValue(v1) || v2 != "" && c.matchValue(v2) || v3 != "" && c.matchValue(v3)
}

func (c Condition) matchValue(v string) bool {
	switch c.Op {
	case OpPresent:
		return v != ""
	case OpWithin:
		return c.within(v)
	case OpLess, OpLessEqual, OpGreater, OpGreaterEqual:
		return c.compare(v)
	}
	if c.Fold {
		v = strings.ToLower(v)
	}
	for _, want := range c.Values {
		if c.Fold {
			want = strings.ToLower(want)
		}
		switch c.Op {
		case OpIn:
			if v == want {
				return true
			}
		case OpPrefix:
			if strings.HasPrefix(v, want) {
				return true
			}
		case OpContains:
			if strings.Contains(v, want) {
				return true
			}
		case OpWord:
			if containsWord(v, want) {
				return true
			}
		}
	}
	return false
}

// wordByte reports whether c is part of words. Lower case of what is, is too, so that
// words are the same before and after folding.
func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// isWord reports whether s is one word.
func isWord(s string) bool {
	for i := range len(s) {
		if !wordByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// containsWord reports whether the word is one of the words of s.
func containsWord(s, word string) bool {
	for from := 0; ; {
		i := strings.Index(s[from:], word)
		if i < 0 || word == "" {
			return false
		}
		begin, end := from+i, from+i+len(word)
		if (begin == 0 || !wordByte(s[begin-1])) && (end == len(s) || !wordByte(s[end])) {
			return true
		}
		from = end // a word that begins before end would be part of this run
	}
}

func (c Condition) within(v string) bool {
	addr, err := netip.ParseAddr(v)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	for _, n := range c.Networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

func (c Condition) compare(v string) bool {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return false
	}
	switch c.Op {
	case OpLess:
		return n < c.Number
	case OpLessEqual:
		return n <= c.Number
	case OpGreater:
		return n > c.Number
	}
	return n >= c.Number
}

// mentions reports whether c tests the field anywhere.
func (c Condition) mentions(f Field) bool {
	if c.Field == f && c.Op > OpNot {
		return true
	}
	for i := range c.Conditions {
		if c.Conditions[i].mentions(f) {
			return true
		}
	}
	return false
}

// Bounds of a condition, so that a query from outside can't exhaust the stack.
const maxConditionDepth = 64

func (c Condition) validate(depth int) error {
	if depth > maxConditionDepth {
		return fmt.Errorf("%w: conditions are nested deeper than %d", ErrBadQuery, maxConditionDepth)
	}
	switch {
	case c.Op > OpWord:
		return fmt.Errorf("%w: operation %d does not exist", ErrBadQuery, c.Op)
	case c.Op == OpNot && len(c.Conditions) != 1:
		return fmt.Errorf("%w: Not takes one condition, found %d", ErrBadQuery, len(c.Conditions))
	case c.Op > OpNot && !c.Field.known():
		return fmt.Errorf("%w: there is no field %q", ErrBadQuery, c.Field)
	case c.Op >= OpLess && c.Op <= OpGreaterEqual && c.Field != FieldCode:
		return fmt.Errorf("%w: field %s is not a number", ErrBadQuery, c.Field)
	case c.Op == OpWithin && c.Field != FieldSourceIP:
		return fmt.Errorf("%w: field %s is not an address", ErrBadQuery, c.Field)
	}
	for _, v := range c.Values {
		if c.Op == OpWord && !isWord(v) {
			return fmt.Errorf("%w: field %s: the operand of Word is not one word of letters and digits", ErrBadQuery, c.Field)
		}
	}
	for _, n := range c.Networks {
		if !n.IsValid() {
			return fmt.Errorf("%w: field %s: invalid network", ErrBadQuery, c.Field)
		}
	}
	for i := range c.Conditions {
		if err := c.Conditions[i].validate(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// appendIdentity appends an unambiguous form of c, for the hash in cursors.
func (c Condition) appendIdentity(b []byte) []byte {
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = append(b, byte(c.Op), bit(c.Fold))
	text(string(c.Field))
	b = binary.AppendVarint(b, c.Number)
	b = binary.AppendUvarint(b, uint64(len(c.Values)))
	for _, v := range c.Values {
		text(v)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Networks)))
	for _, n := range c.Networks {
		text(n.String())
	}
	b = binary.AppendUvarint(b, uint64(len(c.Conditions)))
	for i := range c.Conditions {
		b = c.Conditions[i].appendIdentity(b)
	}
	return b
}
