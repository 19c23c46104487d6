package digest

import (
	"slices"
	"strings"
	"time"
)

// ObjectKind is what an object of the bucket is, by its key.
type ObjectKind int

// The kinds of objects under CloudTraces/.
const (
	TraceFile     ObjectKind = iota + 1 // a trace file
	DigestFile                          // a digest
	SignatureFile                       // the signature object of a digest
	KeysFile                            // the key history of a region
	CompleteFile                        // a marker that says up to when a writer's traces are complete
)

// KeyInfo is what a key says of its object.
type KeyInfo struct {
	Kind    ObjectKind
	Root    string // everything before the date folders, such as CloudTraces/eu-de
	Date    Stamp  // midnight of its date folders; 0 if it lies in none
	Tracker string // folder of the tracker, escaped as in the key; "" if there is none, as in 2017
	Service string // folder of the service, escaped as in the key; "" if there is none
	Prefix  string // file prefix, without its '_'
	Region  string // as in the file name, with the project if there is one
	Time    Stamp  // of the file name
	ID      string // 16 hex digits at the end of the name; "" if there are none, as in digests of CTS
	Gzip    bool   // the name says that the object is compressed
}

// keyRoot is the first segment of every key.
const keyRoot = "CloudTraces"

// ParseKey takes a key apart. It reports false for a key that is none of this layout.
//
// It takes keys as this project makes them, and those of CTS itself: with date
// folders that are not padded (2017/3/28), without a service folder, without a tracker
// folder (Digest/EVS/…, 2017), and with the slash before the time that examples of CTS
// show. One folder alone above a trace file is taken for the tracker's.
func ParseKey(key string) (KeyInfo, bool) {
	segments := strings.Split(key, "/")
	if len(segments) < 4 || segments[0] != keyRoot || segments[1] == "" {
		return KeyInfo{}, false
	}
	if info, ok := parseOther(segments); ok {
		return info, true
	}
	at := 2 // of the year; a sub-project may have a folder of its own
	date, ok := parseDate(segments[at:])
	if !ok {
		at++
		if date, ok = parseDate(segments[at:]); !ok {
			return KeyInfo{}, false
		}
	}
	info := KeyInfo{Root: strings.Join(segments[:at], "/"), Date: date}
	folders, name := segments[at+3:len(segments)-1], segments[len(segments)-1]
	if last := len(folders) - 1; last >= 0 && strings.HasPrefix(name, "_") && strings.Contains(folders[last], "CloudTrace") {
		folders, name = folders[:last], folders[last]+name
	}
	if !info.parseName(name) || !info.parseFolders(folders) {
		return KeyInfo{}, false
	}
	return info, true
}

// parseOther parses the keys that lie in no date folder.
func parseOther(segments []string) (KeyInfo, bool) {
	n := len(segments)
	info := KeyInfo{Root: strings.Join(segments[:n-2], "/")}
	switch {
	case n > 5:
		return KeyInfo{}, false
	case segments[n-2] == "Keys" && segments[n-1] == "keys.json":
		info.Kind = KeysFile
	case segments[n-2] == "Complete" && strings.HasSuffix(segments[n-1], ".json"):
		info.Kind = CompleteFile
	default:
		return KeyInfo{}, false
	}
	return info, true
}

// parseDate parses the three folders of a date, padded or not, with something behind
// them.
func parseDate(segments []string) (Stamp, bool) {
	if len(segments) < 4 || len(segments[0]) != 4 || len(segments[1]) > 2 || len(segments[2]) > 2 {
		return 0, false
	}
	y, okY := digits(segments[0])
	m, okM := digits(segments[1])
	d, okD := digits(segments[2])
	t := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	if !okY || !okM || !okD || y < 1 || t.Month() != time.Month(m) || t.Day() != d {
		return 0, false
	}
	return StampOf(t), true
}

// digits parses one to four decimal digits.
func digits(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, len(s) >= 1 && len(s) <= 4
}

// parseName parses [PREFIX_]CloudTrace[-Digest]_REGION_TIME[_ID].json[.gz][.sig].
func (info *KeyInfo) parseName(name string) bool {
	name, signature := strings.CutSuffix(name, SignatureSuffix)
	name, info.Gzip = strings.CutSuffix(name, ".gz")
	name, ok := strings.CutSuffix(name, ".json")
	if !ok {
		return false
	}
	if i := len(name) - 17; i > 0 && name[i] == '_' && isHex(name[i+1:], 16) {
		name, info.ID = name[:i], name[i+1:]
	}
	i := len(name) - len(stampLayout) - 1
	if i <= 0 || name[i] != '_' {
		return false
	}
	at, err := ParseStamp(name[i+1:])
	if err != nil {
		return false
	}
	info.Time, name = at, name[:i]
	info.Kind = TraceFile
	prefix, region, ok := cutLast(name, "CloudTrace_")
	if p, r, isDigest := cutLast(name, "CloudTrace-Digest_"); isDigest && (!ok || len(r) < len(region)) {
		info.Kind, prefix, region, ok = DigestFile, p, r, true
	}
	if !ok {
		return false
	}
	info.Prefix, info.Region = prefix, region
	if signature {
		if info.Kind != DigestFile {
			return false
		}
		info.Kind = SignatureFile
	}
	return true
}

// cutLast cuts name at the last marker that begins it or follows a '_'.
func cutLast(name, marker string) (prefix, region string, ok bool) {
	i := strings.LastIndex("_"+name, "_"+marker)
	if i < 0 || len(name) == i+len(marker) {
		return "", "", false
	}
	return strings.TrimSuffix(name[:i], "_"), name[i+len(marker):], true
}

// parseFolders parses the folders between the date and the name. A digest lies in a
// folder Digest, at the top or in that of a tracker, and nothing else does.
func (info *KeyInfo) parseFolders(folders []string) bool {
	at := slices.Index(folders, digestFolder)
	if (at >= 0) != (info.Kind != TraceFile) || at > 1 || slices.Contains(folders, "") {
		return false
	}
	if at != 0 && len(folders) > 0 {
		info.Tracker, folders = folders[0], folders[1:]
	}
	if at >= 0 {
		folders = folders[1:]
	}
	if len(folders) == 1 {
		info.Service = folders[0]
	}
	return len(folders) <= 1 && info.Service != digestFolder
}

// digestFolder is the folder of the digests of a tracker.
const digestFolder = "Digest"

// SignatureSuffix is what the key of a signature object has behind that of its digest.
const SignatureSuffix = ".sig"

// Layout is where the digests of one chain lie, and how they are called.
type Layout struct {
	// Root is everything before the date folders, such as "CloudTraces/eu-de".
	Root string

	// Tracker and Service are the folders of the tracker and, in a chain of one
	// service, of the service: single segments of a key, already escaped.
	Tracker, Service string

	// Prefix begins the names, with a '_' behind it unless it is empty.
	Prefix string

	// Region is as in the names.
	Region string
}

// Key returns the key of the digest of the chain that ends at end:
//
//	ROOT/YYYY/MM/DD/TRACKER/Digest/[SERVICE/][PREFIX_]CloudTrace-Digest_REGION_YYYY-MM-DDTHH-MM-SSZ_HEX.json.gz
//
// where HEX is the first 16 digits of the chain's id.
func (l Layout) Key(chain string, end Stamp) string {
	var b strings.Builder
	b.WriteString(l.Root + end.Time().Format("/2006/01/02/") + l.Tracker + "/" + digestFolder + "/")
	if l.Service != "" {
		b.WriteString(l.Service + "/")
	}
	if l.Prefix != "" {
		b.WriteString(l.Prefix + "_")
	}
	b.WriteString("CloudTrace-Digest_" + l.Region + "_" + end.String() + "_" + chain[:min(16, len(chain))] + ".json.gz")
	return b.String()
}

// KeysKey returns the key of the key history below a root such as "CloudTraces/eu-de".
func KeysKey(root string) string { return root + "/Keys/keys.json" }
