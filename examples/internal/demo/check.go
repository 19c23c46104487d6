package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// counts compares the store with the bucket.
type counts struct {
	stored int // traces of this run's requests in the store
	own    int // starts, stops, gaps and attempts of this run in the store
	dumped int // traces of this run's requests in the bucket
	files  int // trace files in the bucket

	boot     string          // of this run
	attempts map[string]bool // ids of this run's attempts
}

// check reads every trace file and compares it, trace by trace and byte by byte, with
// the store: each trace must be in the bucket once, and nothing else.
func check(ctx context.Context, store cts.Store, bucket obs.Client, region, boot string) (counts, error) {
	c := counts{boot: boot, attempts: map[string]bool{}}
	left := map[string][]byte{} // canonical JSON of the traces not yet found, by id
	for e, err := range store.After(ctx, 0) {
		if err != nil {
			return c, err
		}
		t, err := e.Decode()
		if err != nil {
			return c, err
		}
		left[t.ID] = bytes.Clone(e.JSON)
		switch {
		case t.Ext.Writer.Boot != boot:
		case c.isRequest(t):
			c.stored++
		default:
			c.own++
		}
	}
	var wrong []error
	file := ""
	for dumped, err := range cts.ReadDump(ctx, bucket, &cts.ReadDumpOptions{Region: region, TrustExt: true}) {
		var damaged *cts.DumpFileError
		if err != nil && !errors.As(err, &damaged) {
			return c, err
		}
		if err == nil {
			if dumped.Object != file {
				file = dumped.Object
				c.files++
			}
			err = c.compare(dumped, left)
		}
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	for id := range left {
		wrong = append(wrong, fmt.Errorf("trace %s is in no file", id))
	}
	return c, errors.Join(wrong...)
}

// isRequest reports whether a trace is that of a request of this run: not one of the
// tracker about itself, not the attempt that precedes the request's own, and not the
// outcome that this run gave to an attempt of a former one that was killed.
func (c *counts) isRequest(t *cts.Trace) bool {
	switch {
	case t.Ext.Writer.Boot != c.boot, t.ServiceType == "CTS" && t.ResourceType == "tracker":
		return false
	case t.Ext.Phase == cts.PhaseAttempt:
		c.attempts[t.ID] = true
		return false
	}
	return t.Ext.Phase != cts.PhaseOutcome || c.attempts[t.Ext.AttemptID]
}

// compare compares a trace in the bucket with what is left of the store's.
func (c *counts) compare(dumped cts.DumpedTrace, left map[string][]byte) error {
	t := dumped.Trace
	want, ok := left[t.ID]
	switch {
	case !ok:
		return fmt.Errorf("%s: trace %s is not in the store, or in a second file", dumped.Object, t.ID)
	case !bytes.Equal(t.AppendJSON(nil), want):
		return fmt.Errorf("%s: trace %s differs from the store's", dumped.Object, t.ID)
	case !strings.Contains(dumped.Object, "/"+t.ServiceType+"/"):
		return fmt.Errorf("%s: trace %s of service %s lies in a wrong folder", dumped.Object, t.ID, t.ServiceType)
	}
	delete(left, t.ID)
	if c.isRequest(t) {
		c.dumped++
	}
	return nil
}

// verify checks the bucket by its digests, as an auditor would who has the public key,
// and the heads that the service handed out.
func verify(ctx context.Context, out io.Writer, opts Options, key *digest.PublicKey, writer string, heads []digest.Head) error {
	report, err := digest.Verify(ctx, opts.Bucket, &digest.VerifyOptions{
		Keys: []*digest.PublicKey{key}, Region: opts.Region, BucketName: opts.BucketName,
		Writers: []string{writer}, Heads: heads,
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nIs the bucket complete and unchanged?\n  %d digests in %d chains were checked, and %d files with %d traces.\n",
		report.Checked.Digests, len(report.Chains), report.Checked.Files, report.Checked.Traces)
	for _, finding := range report.Findings {
		fmt.Fprintf(out, "  %v\n", finding)
	}
	if !report.OK() {
		return errors.New("the bucket is not as it was sealed")
	}
	return nil
}
