package digest_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/digest"
)

// An auditor has a copy of the bucket, the public key, and the heads that were handed to
// the application.
func ExampleVerify() {
	w := exampleWorld()
	options := &digest.VerifyOptions{
		Keys:  []*digest.PublicKey{w.signer.Public()},
		Heads: w.heads(),
	}
	report, err := digest.Verify(context.Background(), w.bucket, options)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.OK(), report.Checked.Digests, "digests", report.Checked.Traces, "traces")

	// Somebody deletes a trace file.
	w.delete(w.writers[0].files[1][0])
	report, err = digest.Verify(context.Background(), w.bucket, options)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.OK())
	for _, finding := range report.Findings {
		if finding.Severity() == digest.Damage {
			fmt.Println(finding.Kind, "in digest", finding.Seq)
		}
	}
	// Output:
	// true 2 digests 4 traces
	// false
	// file-deleted in digest 2
}

// A proof shows that one trace was sealed, without the others.
func ExampleProve() {
	w := exampleWorld()
	proof, trace, err := digest.Prove(context.Background(), w.bucket, &digest.ProveOptions{
		Find: func(trace []byte) bool { return bytes.Contains(trace, []byte(`-1-0-1"`)) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	file := proof.AppendJSON(nil) // to be handed over with the trace

	received, err := digest.ParseProof(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	keys := []*digest.PublicKey{w.signer.Public()}
	fmt.Println(received.Verify(trace, keys))
	fmt.Println(received.Verify([]byte(`{"trace_id":"another"}`), keys))
	// Output:
	// <nil>
	// digest: proof does not hold: this trace is not number 1 of the trace file
}

// exampleWorld is a bucket with two sealed hours.
func exampleWorld() *world {
	return newWorld(&exampleTB{}, worldOptions{
		writers: 1, hours: 2, files: 1, traces: 2, begin: time.Date(2026, 3, 28, 9, 0, 0, 0, time.UTC),
	})
}

// exampleTB stands for a test in examples, which have none.
type exampleTB struct{ testing.TB }

func (*exampleTB) Helper()           {}
func (*exampleTB) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
