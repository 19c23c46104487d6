package cloudtrail_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/cloudtrail"
)

// FuzzMap checks that no event makes Map panic, that what it accepts is JSON which
// comes back whole, and that the trace is one that a store takes.
func FuzzMap(f *testing.F) {
	for _, seed := range []string{
		fullEvent, event(""), event(`,"requestParameters":{"a":"\ud83d\u0000<"},"x":[[]]`), "{}", "[", "",
		event(`,"userIdentity":{"type":"Role","sessionContext":{"sessionIssuer":{"type":"Role"}}},"resources":[{"ARN":"arn:a:s3::b:c/"}]`),
		event(`,"eventSource":"ec2.amazonaws.com","requestParameters":{"instancesSet":{"items":[{"instanceId":"i"}]}}`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		tr, err := cloudtrail.Map(text)
		if err != nil {
			var pe *cts.ParseError
			if !errors.As(err, &pe) || pe.Offset < 0 || pe.Offset > int64(len(text)) || pe.Line < 1 || pe.Column < 1 {
				t.Fatalf("error %v has no place in %d bytes", err, len(text))
			}
			return
		}
		if !json.Valid(text) {
			t.Fatal("Map accepted what is no JSON")
		}
		want := meaning(t, text)
		if diff := cmp.Diff(want, meaning(t, restored(t, tr))); diff != "" {
			t.Fatalf("restored (-want +got):\n%s", diff)
		}
		tr.ID, tr.RecordTime = "id", tr.Time
		if err := tr.Validate(); err != nil {
			t.Fatal(err)
		}
		stored := tr.AppendJSON(nil)
		if len(stored) > cts.MaxTraceBytes {
			return
		}
		parsed, err := cts.ParseTrace(stored)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, meaning(t, restored(t, parsed))); diff != "" {
			t.Fatalf("restored from a store (-want +got):\n%s", diff)
		}
	})
}

// FuzzReader checks that no file makes a Reader panic, that it always ends, accepts
// no file to its end that is not JSON, and that neither the size of the reads nor
// compression changes what is read.
func FuzzReader(f *testing.F) {
	e := numbered(1)
	for _, seed := range []string{
		"", e, e + "\n" + e, "[" + e + "," + e + "]", `{"Records":[` + e + `],"x":1}`, "[1,{}," + e, "\ufeff" + e, `[{"Records":[]}]`,
		`{"Records":[` + e + `,`, "\x1f\x8b", zipped(f, e), zipped(f, e, e)[:60], `{"a":"\u00`, `[-1.5e+7,true,false,null]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		opts := &cloudtrail.Options{MaxEventBytes: 512}
		r := cloudtrail.NewReader(bytes.NewReader(file), opts)
		ids, faults := read(r)
		if len(ids) > len(file) && !bytes.HasPrefix(file, []byte{0x1f, 0x8b}) {
			t.Fatalf("%d events in %d bytes", len(ids), len(file))
		}
		again, _ := read(cloudtrail.NewReader(iotest.OneByteReader(bytes.NewReader(file)), opts))
		if diff := cmp.Diff(ids, again); diff != "" {
			t.Fatalf("read byte by byte (-want +got):\n%s", diff)
		}
		if bytes.HasPrefix(file, []byte{0x1f, 0x8b}) {
			return
		}
		whole := len(ids) == 0 || ids[len(ids)-1] != "!!"
		if valid := isJSON(file); valid != whole && !(valid && allowed(faults)) {
			t.Fatalf("read to the end: %v, is JSON: %v (%v)", whole, valid, faults)
		}
		packed, _ := read(cloudtrail.NewReader(strings.NewReader(zipped(t, string(file))), opts))
		if diff := cmp.Diff(ids, packed); diff != "" {
			t.Fatalf("compressed (-want +got):\n%s", diff)
		}
	})
}

// isJSON reports whether text is a sequence of JSON values.
func isJSON(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	for {
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return err.Error() == "EOF"
		}
	}
}

// allowed reports whether the errors end with one that is ours alone: encoding/json
// nests deeper, and takes 00 for two numbers.
func allowed(faults []error) bool {
	if len(faults) == 0 {
		return false
	}
	last := faults[len(faults)-1].Error()
	return strings.Contains(last, "nested deeper") || strings.Contains(last, "malformed number")
}
