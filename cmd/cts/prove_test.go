package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestProve(t *testing.T) {
	w := newWorld(t)
	w.script(t, []step{
		{"prove --id $ID --out $W/proof.json --trace $W/trace.json $W/bucket", exitClean, "", ""},
		{"prove --check $W/proof.json --key $W/public.pem $W/trace.json", exitClean, `^proven: it is number 2 of the traces in CloudTraces/eu-de/2024/06/19/system/ECS/\S+, sealed by 2024-06-19T\S+Z with key [0-9a-f]{32}\n$`, ""},
		{"prove --check $W/proof.json --key $W/other.pem --key $W/public.pem $W/trace.json", exitClean, `^proven: `, ""},
		{"prove --check $W/proof.json --key $W/other.pem $W/trace.json", exitFound, `^not proven: .*key`, ""},
		// In its file, in its time, checked at once.
		{"prove --id $ID --object $FILE --key $W/public.pem $W/bucket", exitClean, `^{"version":1,.*}\n$`, ""},
		{"prove --id $ID --from 2024-06-19T10:00 --to 2024-06-19T12:00 --region eu-de --key $W/public.pem $W/bucket", exitClean, `^{"version":1,`, ""},
		{"prove --id $ID --key $W/other.pem --out $W/none.json $W/bucket", exitFound, "", `the bucket does not prove it: .*key`},
		// Where it is not.
		{"prove --id trace-9-9 $W/bucket", exitFailed, "", `no such trace in a sealed trace file`},
		{"prove --id race-2-1 $W/bucket", exitFailed, "", `no such trace`},
		{"prove --id $ID --to 2024-06-19T09:00 $W/bucket", exitFailed, "", `no such trace`},
		{"prove --id $ID --region none $W/bucket", exitFailed, "", `no such trace`},
		{"prove --id $ID $W/none", exitFailed, "", `opening the bucket`},
		// Nothing is replaced.
		{"prove --id $ID --out $W/proof.json $W/bucket", exitFailed, "", `proof.json is there already`},
		{"prove --id $ID --trace $W/trace.json $W/bucket", exitFailed, "", `trace.json is there already`},
		{"prove --check $W/none --key $W/public.pem $W/trace.json", exitFailed, "", `none`},
		{"prove --check $W/proof.json --key $W/public.pem $W/none", exitFailed, "", `none`},
		{"prove --check $W/proof.json --key $W/none $W/trace.json", exitFailed, "", `none`},
	})
	trace, proof := w.read(t, "trace.json"), w.read(t, "proof.json")
	if !strings.HasPrefix(trace, `{"trace_id":"`+someID+`"`) || strings.Contains(proof, someID) {
		t.Errorf("trace %s\nproof %s", trace, proof)
	}
	for name, test := range map[string]struct {
		trace, proof string
		code         int
	}{
		"white space around": {"\n " + trace + "\r\n", proof, exitClean},
		"another trace":      {strings.Replace(trace, someID, "trace-2-0", 1), proof, exitFound},
		"one byte more":      {strings.Replace(trace, ",", ", ", 1), proof, exitFound},
		"no trace":           {"", proof, exitFound},
		"another number":     {trace, strings.Replace(proof, `"index":1`, `"index":0`, 1), exitFound},
		"another path":       {trace, strings.Replace(proof, `"path":["`, `"path":["00`, 1), exitFound},
		"no proof":           {trace, "nothing", exitFound},
		"another version":    {trace, strings.Replace(proof, `"version":1`, `"version":2`, 1), exitFound},
	} {
		w.write(t, "changed.json", []byte(test.proof))
		got := w.cts(t, test.trace, "prove", "--check", "$W/changed.json", "--key", "$W/public.pem", "-")
		if got.code != test.code || strings.HasPrefix(got.out, "proven") != (test.code == exitClean) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := w.cts(t, proof, "prove", "--check", "-", "--key", "$W/public.pem", "$W/trace.json"); got.code != exitClean {
		t.Errorf("the proof from standard input: %+v", got)
	}
}

// A file that was changed since it was sealed is no trace that is not there.
func TestProveChanged(t *testing.T) {
	w := newWorld(t)
	content := []byte(w.read(t, "bucket/"+w.file))
	content[len(content)/2] ^= 1
	w.write(t, "bucket/"+w.file, content)
	w.script(t, []step{
		{"prove --id $ID $W/bucket", exitFound, "", `no such trace.*not as it was sealed`},
		{"prove --id $ID --object $FILE $W/bucket", exitFound, "", `not as it was sealed`},
		{"prove --id trace-1-1 --out $W/proof.json $W/bucket", exitClean, "", ""}, // of another file
	})
}

// Ids are found however they have to be written in JSON.
func TestIsTrace(t *testing.T) {
	for _, test := range []struct {
		id, text string
		want     bool
	}{
		{"a", `{"trace_id":"a"}`, true},
		{"a", `{"request":"a","trace_id":"b"}`, false},
		{"a", `{"request":"\"trace_id\":\"a\"","trace_id":"b"}`, false},
		{`<"ü">`, `{"trace_id":"\u003c\"ü\"\u003e"}`, true},
		{"a", `a`, false},
		{"a", `{"trace_id":"a","trace_id":"a"}`, false},
		{"a", `{"trace_id":"a"`, false},
	} {
		if got := isTrace(test.id)([]byte(test.text)); got != test.want {
			t.Errorf("%q in %s: %t", test.id, test.text, got)
		}
	}
}

// The id of a trace says when it was recorded; where that is not so, the search goes on
// everywhere.
func TestProveByID(t *testing.T) {
	at := time.Date(2024, 6, 19, 10, 30, 0, 0, time.UTC) // when newWorld has the third hour dumped
	for name, early := range map[string]time.Duration{"right": 0, "of another time": -400 * 24 * time.Hour, "of the future": 400 * 24 * time.Hour} {
		id, err := uuid.NewV7()
		if err != nil {
			t.Fatal(err)
		}
		for i, ms := 5, at.Add(early).UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
			id[i] = byte(ms)
		}
		w := newWorld(t, id.String())
		w.script(t, []step{
			{"prove --id " + id.String() + " --key $W/public.pem $W/bucket", exitClean, `^{"version":1,`, ""},
			{"prove --id " + id.String() + " --tracker system --service ECS $W/bucket", exitClean, `^{"version":1,`, ""},
			{"prove --id " + id.String() + " --service EVS $W/bucket", exitFailed, "", `no such trace`},
		})
		if t.Failed() {
			t.Fatal(name)
		}
	}
}
