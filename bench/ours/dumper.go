package ours

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs/dirobs"
)

// Dumper is the Dumper, from a file store into a folder.
type Dumper struct {
	db     *DB
	dir    string
	public *digest.PublicKey // of the last Seal
}

var _ contest.Dumper = (*Dumper)(nil)

// NewDumper returns a dumper that keeps its store in dir.
func NewDumper(dir string) *Dumper { return &Dumper{dir: dir} }

// Info implements [contest.Contestant].
func (d *Dumper) Info() contest.Info {
	return contest.Info{
		Name: Name, Version: Version,
		Setup: "Dumper with its default options from a filestore that holds the traces into a dirobs folder: gzip level 6, a file for each service and cycle, planned, hashed, synced and verified; reading the store is part of the time, filling it is not",
	}
}

// Close implements [contest.Contestant].
func (d *Dumper) Close() error {
	if d.db == nil {
		return nil
	}
	return d.db.Close()
}

// Prepare puts the records that will be dumped into a new store.
func (d *Dumper) Prepare(ctx context.Context, records []contest.Record) error {
	if err := errors.Join(d.Close(), os.RemoveAll(d.dir)); err != nil {
		return err
	}
	db, err := Open(ctx, d.dir)
	if err != nil {
		return err
	}
	d.db = db
	const batch = 1000
	for len(records) > 0 {
		n := min(batch, len(records))
		if err := db.Load(ctx, records[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return db.Finish(ctx)
}

// Dump implements [contest.Dumper]. The records are the ones of Prepare.
func (d *Dumper) Dump(ctx context.Context, records []contest.Record, dir string) (size int64, err error) {
	bucket, err := dirobs.Open(dir, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, bucket.Close()) }()
	var files int64
	dumper, err := cts.NewDumper(d.db.store, bucket, &cts.DumperOptions{
		StateName: "dump-" + filepath.Base(dir),
		Events:    &cts.DumperEvents{FileDumped: func(f cts.FileInfo) { files += f.Stored }},
	})
	if err != nil {
		return 0, err
	}
	if err := dumper.Flush(ctx); err != nil {
		return 0, err
	}
	if n := dumper.Status().Traces; n != int64(len(records)) {
		return 0, fmt.Errorf("ours: %d of %d traces were dumped", n, len(records))
	}
	return files, nil
}

// Seal dumps the records of Prepare into a folder and seals the files with a digest.
func (d *Dumper) Seal(ctx context.Context, dir string) (err error) {
	signer, err := digest.GenerateKey(digest.Ed25519, 0)
	if err != nil {
		return err
	}
	d.public = signer.Public()
	bucket, err := dirobs.Open(dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bucket.Close()) }()
	dumper, err := cts.NewDumper(d.db.store, bucket, &cts.DumperOptions{
		StateName: "seal-" + filepath.Base(dir), Validation: &cts.ValidationOptions{Signer: signer},
	})
	if err != nil {
		return err
	}
	return dumper.Seal(ctx)
}

// VerifyDump verifies a folder that Seal has filled, and returns how many traces are
// proven.
func (d *Dumper) VerifyDump(ctx context.Context, dir string) (traces int64, err error) {
	bucket, err := dirobs.Open(dir, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, bucket.Close()) }()
	report, err := digest.Verify(ctx, bucket, &digest.VerifyOptions{Keys: []*digest.PublicKey{d.public}})
	if err != nil {
		return 0, err
	}
	if !report.OK() {
		return 0, fmt.Errorf("ours: an untouched bucket is not clean: %v", report.Findings[0])
	}
	return report.Checked.Traces, nil
}
