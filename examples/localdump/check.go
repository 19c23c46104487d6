package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cloudtraceservice/cts"
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
// the store: each trace must be in the bucket once, and nothing else. It uses the
// standard library's gzip, as any reader of the files would.
func check(ctx context.Context, store cts.Store, bucket obs.Client, boot string) (counts, error) {
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
	for object, err := range bucket.List(ctx, "CloudTraces/", nil) {
		if err != nil {
			return c, err
		}
		c.files++
		if err := c.file(ctx, bucket, object.Key, left); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", object.Key, err))
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

func (c *counts) file(ctx context.Context, bucket obs.Client, key string, left map[string][]byte) error {
	body, _, err := bucket.Get(ctx, key)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read from
	content, err := gzip.NewReader(body)
	if err != nil {
		return err
	}
	for t, err := range cts.NewDecoder(content, &cts.DecoderOptions{TrustExt: true}).All() {
		if err != nil {
			return err
		}
		want, ok := left[t.ID]
		if !ok {
			return fmt.Errorf("trace %s is not in the store, or in a second file", t.ID)
		}
		if !bytes.Equal(t.AppendJSON(nil), want) {
			return fmt.Errorf("trace %s differs from the store's", t.ID)
		}
		if !strings.Contains(key, "/"+t.ServiceType+"/") {
			return fmt.Errorf("trace %s of service %s lies in a wrong folder", t.ID, t.ServiceType)
		}
		delete(left, t.ID)
		if c.isRequest(t) {
			c.dumped++
		}
	}
	return nil
}
