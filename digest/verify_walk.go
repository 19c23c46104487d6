package digest

import (
	"context"
	"fmt"
	"strings"

	"github.com/cloudtraceservice/cts/obs"
)

// ledger has the trace files that were listed or mentioned by a digest in the last days,
// by key.
type ledger struct {
	files map[string]listed
	open  int // that no digest mentions
}

// listed is what the list says of a trace file.
type listed struct {
	size      int64
	modTime   Stamp
	time      Stamp // of the name, or of the folder if there is none or another day in it
	mentioned bool
}

func newLedger() *ledger { return &ledger{files: map[string]listed{}} }

// list takes down an object that was listed.
func (l *ledger) list(o obs.Object, at Stamp) {
	if _, ok := l.files[o.Key]; !ok {
		l.files[o.Key] = listed{size: o.Size, modTime: StampOf(o.ModTime), time: at}
		l.open++
	}
}

// mention takes down that a digest mentions a file. It reports whether it is the first.
func (l *ledger) mention(key string) bool {
	f, ok := l.files[key]
	if f.mentioned {
		return false
	}
	if ok {
		l.open--
	} else if info, ok := ParseKey(key); ok {
		f.time = info.Time
	}
	f.mentioned = true
	l.files[key] = f
	return true
}

func (l *ledger) mentionAll(d *Digest) {
	for _, f := range d.Files {
		l.mention(f.Object)
	}
}

// forget drops the mentioned files of three days ago and before.
func (l *ledger) forget(date Stamp) {
	for key, f := range l.files {
		if f.mentioned && f.time < date-2*secondsPerDay {
			delete(l.files, key)
		}
	}
}

// walkRoot reads the digests below a root day by day. Behind the time range it goes on
// while there are chains that may go on within it, or files in it that a later digest may
// mention.
func (v *verifier) walkRoot(ctx context.Context, root string) error {
	for d, err := range days(ctx, v.bucket, root, v.from) {
		if err != nil {
			return err
		}
		var digests []keyed
		switch {
		case d.date < v.to:
			digests, err = v.listDay(ctx, d)
		case v.done(root):
			return nil
		default:
			digests, err = digestKeys(ctx, v.bucket, d)
		}
		if err != nil {
			return err
		}
		if err := v.readDay(ctx, digests); err != nil {
			return err
		}
		v.ledger.forget(d.date)
	}
	return nil
}

// done reports whether nothing behind the time range can matter.
func (v *verifier) done(root string) bool {
	if v.ledger.open > 0 {
		return false
	}
	for _, c := range v.chains {
		if c.folder.Root == root && !c.covered && !c.report.Ended {
			return false
		}
	}
	return true
}

// listDay lists everything of a day. Trace files go to the ledger; the keys of digests
// are returned in the order of their times.
func (v *verifier) listDay(ctx context.Context, d day) ([]keyed, error) {
	var digests []keyed
	known := map[string]bool{}
	var signatures []string
	for _, folder := range d.folders {
		for o, err := range v.bucket.List(ctx, folder, nil) {
			if err != nil {
				return nil, fmt.Errorf("listing: %w", err)
			}
			info, ok := ParseKey(o.Key)
			switch {
			case !ok || info.Kind == TraceFile:
				at := info.Time
				if !ok || midnight(at) != d.date {
					at = d.date
				} else if at < v.from || at >= v.to {
					continue
				}
				v.ledger.list(o, at)
			case info.Kind == DigestFile:
				digests = append(digests, keyed{o.Key, info})
				known[o.Key] = true
			case info.Kind == SignatureFile && info.Time > v.from && info.Time < v.to:
				signatures = append(signatures, o.Key)
			}
		}
	}
	for _, key := range signatures {
		if of := strings.TrimSuffix(key, SignatureSuffix); !known[of] {
			v.orphan(ctx, key, of)
		}
	}
	sortKeyed(digests)
	return digests, nil
}

// orphan reports a signature object whose digest was not listed. No writer puts one
// before its digest, and nothing else has a use for it.
func (v *verifier) orphan(ctx context.Context, key, of string) {
	info, _ := ParseKey(key)
	f := Finding{Kind: SignatureAdded, Object: key, Chain: info.ID, Reason: "it is the signature object of a digest that is not there: that one was deleted or moved, or this one added"}
	switch _, err := v.bucket.Head(ctx, of); {
	case err == nil: // put since
		return
	case !isAbsent(err):
		if ctx.Err() == nil {
			v.unreadable(of, err)
		}
		return
	case v.expired(info.Time):
		f.Kind, f.Reason = Expired, "its digest is not there, and older than the retention"
	}
	v.found(f)
}

// readDay takes the digests of a day into account: those that end in the range, and the
// first of each chain that ends behind it. The others behind it are only asked for the
// files that are still without a digest.
func (v *verifier) readDay(ctx context.Context, digests []keyed) error {
	var in, behind []keyed
	passed := map[string]bool{}
	for _, k := range digests {
		if k.info.Time <= v.from {
			continue
		}
		name := k.info.chainName()
		c := v.chains[name]
		if passed[name] || c != nil && c.covered {
			behind = append(behind, k)
			continue
		}
		in = append(in, k)
		passed[name] = k.info.Time >= v.to
	}
	for l := range v.loadAll(ctx, in) {
		v.take(ctx, v.chain(l.origin()), l)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if v.ledger.open == 0 {
		return nil
	}
	for l := range v.loadAll(ctx, behind) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.digest != nil && l.doubt == nil && l.err == nil {
			v.chain(l.origin()).saw(l.slim().digest)
			v.ledger.mentionAll(l.digest)
		}
	}
	return nil
}

// origin returns what the key of the digest says: its own key if that can be trusted.
func (l *loaded) origin() KeyInfo {
	if l.key != l.at && l.doubt == nil {
		if info, ok := ParseKey(l.key); ok {
			return info
		}
	}
	return l.info
}
