package digest

import (
	"crypto/sha256"
	"maps"

	"github.com/cloudtraceservice/cts/obs"
)

// ledger has the trace files that were listed or mentioned by a digest in the last days,
// by key. If too many of them are mentioned by no digest, it drops these and is crowded:
// then everything is listed a second time in the end, see verifier.lookAgain, which needs
// to know of the late ones.
type ledger struct {
	files   map[string]listed
	open    int // that no digest mentions
	maxOpen int // of them that it keeps
	crowded bool
	late    map[keyHash]struct{} // mentioned by other digests than those of their day and the next
}

// maxOpen is how many trace files that no digest mentions are kept: about 100 MB.
const maxOpen = 300_000

// keyHash stands for a key where there may be very many.
type keyHash [16]byte

func hashKey(key string) keyHash {
	sum := sha256.Sum256([]byte(key))
	return keyHash(sum[:16])
}

// listed is what the list says of a trace file.
type listed struct {
	size      int64
	modTime   Stamp
	time      Stamp // of the name, or of the folder if there is none or another day in it
	mentioned bool
}

func newLedger() *ledger {
	return &ledger{files: map[string]listed{}, maxOpen: maxOpen, late: map[keyHash]struct{}{}}
}

// list takes down a file that was listed.
func (l *ledger) list(key string, f listed) {
	if _, ok := l.files[key]; ok || l.crowded {
		return
	}
	l.files[key] = f
	if l.open++; l.open > l.maxOpen {
		l.crowded, l.open = true, 0
		maps.DeleteFunc(l.files, func(_ string, f listed) bool { return !f.mentioned })
	}
}

// waits reports whether digests that come may matter to files that were listed.
func (l *ledger) waits() bool { return l.open > 0 || l.crowded }

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

// mentionAll takes down the files of a digest.
func (l *ledger) mentionAll(d *loaded) {
	for _, f := range d.digest.Files {
		l.mention(f.Object)
	}
	l.mentionLate(d)
}

// mentionLate takes down those files of a digest that it is not the time for.
func (l *ledger) mentionLate(d *loaded) {
	for _, f := range d.digest.Files {
		if info, ok := ParseKey(f.Object); !d.punctual(info) || !ok {
			l.late[hashKey(f.Object)] = struct{}{}
		}
	}
}

// punctual reports whether the digest is found where digests for a file are that was
// delivered without delay: in the folder of the day of the file or the next, by itself and
// with a signature that holds.
func (l *loaded) punctual(file KeyInfo) bool {
	days := l.info.Date - file.Date
	return l.plain() && l.info.Root == file.Root && (days == 0 || days == secondsPerDay)
}

// plain reports whether nothing but the digest itself is needed to trust it.
func (l *loaded) plain() bool {
	return l.err == nil && l.digest != nil && l.doubt == nil && l.key == l.at
}

// forget drops the mentioned files of three days ago and before.
func (l *ledger) forget(date Stamp) {
	maps.DeleteFunc(l.files, func(_ string, f listed) bool { return f.mentioned && f.time < date-2*secondsPerDay })
}

// listedAs returns what the list says of an object that was found in the folder of a day,
// if it is a trace file or may be taken for one. It returns false for other objects, and
// those with a time outside of the range.
func (v *verifier) listedAs(o obs.Object, info KeyInfo, known bool, date Stamp) (listed, bool) {
	f := listed{size: o.Size, modTime: StampOf(o.ModTime), time: info.Time}
	switch {
	case known && info.Kind != TraceFile:
		return listed{}, false
	case !known || midnight(f.time) != date:
		f.time = date
	case f.time < v.from || f.time >= v.to:
		return listed{}, false
	}
	return f, true
}
