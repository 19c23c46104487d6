package digest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// fileJob is a trace file to be checked.
type fileJob struct {
	File
	detail *FileDetail // nil in genuine digests of CTS
	chain  string
	seq    int64
}

func (j fileJob) finding(kind Kind, format string, args ...any) Finding {
	return Finding{Kind: kind, Object: j.Object, Chain: j.chain, Seq: j.seq, Reason: fmt.Sprintf(format, args...)}
}

// startWorkers starts what reads the trace files. The workers end when jobs is closed.
func (v *verifier) startWorkers(ctx context.Context) {
	for range v.Parallel {
		v.workers.Go(func() {
			s := newSummarizer()
			for j := range v.jobs {
				if ctx.Err() == nil {
					v.checkFile(ctx, s, j)
				}
			}
		})
	}
}

// checkFiles hands the trace files of a digest to the workers.
func (v *verifier) checkFiles(ctx context.Context, l *loaded) {
	v.ledger.mentionLate(l)
	for i, f := range l.digest.Files {
		j := fileJob{File: f}
		if x := l.digest.Extension; x != nil {
			j.detail, j.chain, j.seq = &x.Files[i], x.Chain, x.Seq
		}
		if !v.ledger.mention(f.Object) {
			v.found(j.finding(FileRepeated, "another digest lists it too"))
		}
		select {
		case v.jobs <- j:
		case <-ctx.Done():
			return
		}
	}
}

// checkFile reads a trace file and compares it with what its digest says.
func (v *verifier) checkFile(ctx context.Context, s *summarizer, j fileJob) {
	sum, fault, err := v.summarize(ctx, s, j)
	switch {
	case isAbsent(err):
		v.fileAbsent(j)
	case errors.Is(err, errOtherSize):
		v.found(v.otherSize(j, sum.Size))
	case err != nil:
		if ctx.Err() == nil {
			v.unreadable(j.Object, err)
		}
	default:
		if f := j.compare(sum, fault); f != nil {
			v.found(*f)
		}
	}
	v.progress(Progress{Files: 1, Traces: sum.Count, Bytes: sum.Size, Pending: -1})
}

var errOtherSize = errors.New("the object has another size")

// errTooMany stops reading a content that has more traces than it may.
var errTooMany = errors.New("there are more traces than the digest says")

// summarize reads the file. One of another size than it was sealed with is not read.
func (v *verifier) summarize(ctx context.Context, s *summarizer, j fileJob) (sum Summary, fault, err error) {
	body, object, err := v.bucket.Get(ctx, j.Object)
	if err != nil {
		return Summary{}, nil, err
	}
	defer body.Close() //nolint:errcheck // only read from
	limit := object.Size
	if j.detail != nil && object.Size != j.detail.Size {
		return Summary{Size: object.Size}, nil, errOtherSize
	}
	var count int64
	sum, fault, err = s.run(io.LimitReader(body, limit+1), j.HashAlgorithm == MD5, func([]byte) error {
		if count++; j.detail != nil && count > j.detail.Count {
			return errTooMany
		}
		return nil
	})
	if err == nil && sum.Size < limit { // the way to the store broke off
		err = io.ErrUnexpectedEOF
	}
	return sum, fault, err
}

func (v *verifier) otherSize(j fileJob, size int64) Finding {
	if size < j.detail.Size {
		return j.finding(FileTruncated, "it has %d bytes, and had %d when it was sealed", size, j.detail.Size)
	}
	return j.finding(FileChanged, "it has %d bytes, and had %d when it was sealed", size, j.detail.Size)
}

// compare returns what is wrong with a file that was read whole.
func (j fileJob) compare(sum Summary, fault error) *Finding {
	wrong := func(kind Kind, format string, args ...any) *Finding {
		f := j.finding(kind, format, args...)
		return &f
	}
	hash := hex.EncodeToString(sum.SHA256[:])
	if j.HashAlgorithm == MD5 {
		hash = hex.EncodeToString(sum.MD5[:])
	}
	d := j.detail
	switch {
	case hash != j.Hash:
		return wrong(FileChanged, "its %s is not the one that was sealed", j.HashAlgorithm)
	case d == nil:
		return nil // a genuine digest of CTS says no more
	case hex.EncodeToString(sum.SHA256[:]) != d.SHA256:
		return wrong(FileChanged, "its SHA-256 is not the one that was sealed")
	case errors.Is(fault, errTooMany):
		return wrong(FileCount, "it has more traces than the %d that its digest says", d.Count)
	case fault != nil:
		return wrong(FileContent, "it is as it was sealed, and no array of traces: %v", fault)
	case sum.Count != d.Count:
		return wrong(FileCount, "it has %d traces, and its digest says %d", sum.Count, d.Count)
	case hex.EncodeToString(sum.Root[:]) != d.Root:
		return wrong(FileRoot, "the Merkle root over its traces is not the one in its digest")
	}
	return nil
}

// fileAbsent takes down that a sealed file is not there. Whether it was moved turns out
// when everything was listed.
func (v *verifier) fileAbsent(j fileJob) {
	if info, ok := ParseKey(j.Object); ok && v.expired(info.Time) {
		v.found(j.finding(Expired, "it is not there, and older than the retention"))
		return
	}
	v.mu.Lock()
	kept := len(v.absent) < v.MaxFindings
	if kept {
		v.absent = append(v.absent, j)
	}
	v.mu.Unlock()
	if !kept {
		v.found(j.finding(FileDeleted, "it is sealed and not there"))
	}
}
