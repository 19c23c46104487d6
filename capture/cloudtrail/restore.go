package cloudtrail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudtraceservice/cts"
)

// ErrIncomplete is returned by [Restore] for a trace that does not hold a whole
// event: it comes from elsewhere, or was cut by the limits of a Tracker.
var ErrIncomplete = errors.New("cloudtrail: the trace does not hold a whole event")

// Restore returns the event of which [Map] made t, as compact JSON. It is equal to
// the original but for the order of its members: requestParameters and
// responseElements come last. What redaction masked stays masked. An error is
// [ErrIncomplete].
func Restore(t *cts.Trace) ([]byte, error) {
	rest, ok := t.Unknown.Get(Member)
	if !ok || len(rest) < len("{}") || rest[0] != '{' {
		return nil, fmt.Errorf("%w: there is no object %q in it", ErrIncomplete, Member)
	}
	for _, mark := range t.Ext.Cut {
		if slices.Contains([]string{"request", "response", "unknown"}, mark.Field) {
			return nil, fmt.Errorf("%w: its %s was cut from %d bytes", ErrIncomplete, mark.Field, mark.Length)
		}
	}
	event := []byte(strings.TrimSuffix(string(rest), "}"))
	for _, body := range []struct{ name, text string }{
		{"requestParameters", t.Request},
		{"responseElements", t.Response},
	} {
		switch {
		case body.text == "":
			continue
		case !json.Valid([]byte(body.text)):
			return nil, fmt.Errorf("%w: its %s are no JSON", ErrIncomplete, body.name)
		case len(event) > len("{"):
			event = append(event, ',')
		}
		event = append(event, `"`+body.name+`":`+body.text...)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, append(event, '}')); err != nil {
		return nil, fmt.Errorf("%w: it is no JSON: %w", ErrIncomplete, err)
	}
	return b.Bytes(), nil
}
