// Package demo shows an audit trail at work, from the handler to the sealed bucket. It
// is what examples/localdump and examples/s3dump have in common: they differ in where
// the bucket is.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// Options say what to show.
type Options struct {
	// Dir is the folder for the store and the keys.
	Dir string

	// Bucket is where the traces are dumped, and BucketName what digests call it.
	Bucket     obs.Client
	BucketName string

	// Region is the folder below CloudTraces that this trail has for itself.
	// Default: one made of the id of the store.
	Region string

	// Requests is how many requests are made, at least 1.
	Requests int
}

// StoreDir returns the folder of the store below dir.
func StoreDir(dir string) string { return filepath.Join(dir, "store") }

// Run starts a small service, wraps it in the middleware, drives requests at it, asks the
// trail the questions that an operator asks, dumps and seals it, reads the bucket back
// and checks, trace by trace and by the digests, that it holds exactly what was recorded.
//
// It prints what it does to out; the last line says how it went, and the error is nil
// only if everything agrees.
func Run(ctx context.Context, out io.Writer, opts Options) (err error) {
	store, err := filestore.Open(StoreDir(opts.Dir), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if id := store.ID(); opts.Region == "" {
		opts.Region = "demo-" + id[len(id)-12:]
	}
	fmt.Fprintf(out, "The traces are dumped into CloudTraces/%s.\n", opts.Region)
	signer, err := loadKeys(opts.Dir)
	if err != nil {
		return err
	}
	tracker, err := cts.Open(ctx, store, &cts.TrackerOptions{ServiceType: "DEMO"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tracker.Close(context.WithoutCancel(ctx))) }()
	kept := &heads{}
	dumper, err := cts.NewDumper(store, opts.Bucket, &cts.DumperOptions{
		Prefix: "demo", Region: opts.Region, MaxTraces: 1000, MaxAge: time.Minute,
		Validation: &cts.ValidationOptions{Signer: signer, BucketName: opts.BucketName, Sealed: kept.add},
	})
	if err != nil {
		return err
	}

	if err := serve(ctx, out, tracker, dumper, opts.Requests); err != nil {
		return err
	}
	if err := tracker.Flush(ctx); err != nil {
		return err
	}
	if err := answer(ctx, out, store); err != nil {
		return err
	}
	boot := tracker.Status().Writer.Boot
	if err := tracker.Close(ctx); err != nil { // the stop is a trace too, and to be dumped
		return err
	}
	if err := dumper.Seal(ctx); err != nil {
		return err
	}
	c, err := check(ctx, store, opts.Bucket, opts.Region, boot)
	err = errors.Join(err, verify(ctx, out, opts, signer.Public(), store.ID(), kept.newest()))
	offered := tracker.Status().Offered
	if n := opts.Requests; err == nil && (offered != int64(n) || c.stored != n || c.dumped != n) {
		err = fmt.Errorf("made %d requests, %d were recorded, %d are stored, %d are dumped", n, offered, c.stored, c.dumped)
	}
	verified := "ok"
	if err != nil {
		verified = "failed"
	}
	fmt.Fprintf(out, "\nrecorded=%d stored=%d dumped=%d files=%d own=%d verified=%s\n", offered, c.stored, c.dumped, c.files, c.own, verified)
	return err
}

// heads are the newest digests of the chains, as they were sealed. A service would send
// them somewhere out of reach of whoever can change the bucket.
type heads struct {
	mu   sync.Mutex
	last map[string]digest.Head // by chain
}

func (h *heads) add(head digest.Head) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last == nil {
		h.last = map[string]digest.Head{}
	}
	h.last[head.Chain] = head
}

func (h *heads) newest() (newest []digest.Head) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, head := range h.last {
		newest = append(newest, head)
	}
	return newest
}
