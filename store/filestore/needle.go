package filestore

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/cloudtraceservice/cts"
)

// conjuncts returns the conditions that must all hold for c to hold.
func conjuncts(c cts.Condition) []cts.Condition {
	if c.Op != cts.OpAnd {
		return []cts.Condition{c}
	}
	var all []cts.Condition
	for _, part := range c.Conditions {
		all = append(all, conjuncts(part)...)
	}
	return all
}

// needles returns texts that the canonical JSON of every trace that c accepts must
// contain: of each list at least one. Canonical JSON has one way to write a string,
// so a trace without the text can be passed over without parsing it. What contains
// the text still needs [cts.Query.Match].
func needles(c cts.Condition) [][][]byte {
	var all [][][]byte
	for _, must := range conjuncts(c) {
		if must.Fold {
			continue
		}
		switch must.Op {
		case cts.OpIn:
			if anyOf, ok := texts(must); ok {
				all = append(all, anyOf)
			}
		case cts.OpPrefix, cts.OpContains, cts.OpWord:
			if anyOf, ok := parts(must); ok {
				all = append(all, anyOf)
			}
		}
	}
	return all
}

// parts returns each value of a condition as it stands inside a JSON string.
func parts(c cts.Condition) (anyOf [][]byte, ok bool) {
	for _, value := range c.Values {
		text, err := json.Marshal(value)
		if err != nil || value == "" || !utf8.ValidString(value) || strings.Contains(value, replacement) {
			return nil, false // part of a character, and what stands for one, is escaped in other ways
		}
		anyOf = append(anyOf, text[1:len(text)-1])
	}
	return anyOf, len(anyOf) > 0
}

// replacement is the character that stands for bytes that are no UTF-8. JSON has it as
// it is where it was given, and escaped where it replaces something.
const replacement = "\uFFFD"

// texts returns the JSON of each value of a condition, with the name of its member
// in front if only one member can hold it.
func texts(c cts.Condition) (anyOf [][]byte, ok bool) {
	for _, value := range c.Values {
		if value == "" || strings.Contains(value, replacement) {
			return nil, false // also true of a member that is absent; or written in two ways
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, false
		}
		if name, ok := member(c.Field); ok {
			text = append([]byte(`"`+name+`":`), text...)
		}
		anyOf = append(anyOf, text)
	}
	return anyOf, c.Field != cts.FieldReadOnly
}

// member returns the JSON member that holds a field, for fields with a member of
// their own name.
func member(f cts.Field) (string, bool) {
	switch f {
	case cts.FieldServiceType, cts.FieldTraceName, cts.FieldTraceType, cts.FieldEventType, cts.FieldTraceRating,
		cts.FieldResourceType, cts.FieldResourceID, cts.FieldResourceName, cts.FieldAccessKeyID, cts.FieldSourceIP,
		cts.FieldCode, cts.FieldRequestID, cts.FieldTraceID, cts.FieldOperationID, cts.FieldTrackerName,
		cts.FieldProjectID, cts.FieldDomainID, cts.FieldEnterpriseProjectID, cts.FieldUserAgent,
		cts.FieldOutcome, cts.FieldPhase, cts.FieldAttemptID, cts.FieldSession, cts.FieldW3CTraceID,
		cts.FieldRequest, cts.FieldResponse, cts.FieldMessage:
		return string(f), true
	}
	return "", false
}
