package workload

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/cloudtrail"
)

// InputName is the name of the workload that is read from files.
const InputName = "input"

// Files reads real traces: AWS CloudTrail files, and whatever [cts.Decoder] reads,
// plain or gzip, told apart by what is in them. Of a folder it reads all files below
// whose names end in .json, .jsonl or .ndjson, also with .gz. The traces keep the
// order in which they are found, and are all in memory.
//
// What the questions need is brought about: imported events get an id and record time
// as the Tracker would give them; of traces with the same id the first counts; and
// where a user's name, id and second name are not in a one to one relation the name
// decides. Events that can't be read are reported beside the source, joined.
func Files(paths ...string) (*Source, error) {
	in := input{ids: map[string]bool{}, byID: map[string]string{}}
	for _, path := range paths {
		in.path(path)
	}
	if len(in.traces) == 0 {
		return nil, errors.Join(append(in.faults, errors.New("workload: the files hold no traces"))...)
	}
	for i := range in.traces {
		in.oneToOne(&in.traces[i].User)
	}
	s := &Source{Name: InputName, Count: len(in.traces)}
	s.traces = func() maker {
		next := 0
		return func(t *cts.Trace) bool {
			if next == len(in.traces) {
				return false
			}
			*t = in.traces[next]
			next++
			return true
		}
	}
	s.Words, s.Parts = rareTokens(in.traces)
	return s, errors.Join(in.faults...)
}

// input collects traces.
type input struct {
	traces []cts.Trace
	ids    map[string]bool
	byID   map[string]string // user id → name
	faults []error
}

func (in *input) fault(path string, err error) {
	const most = 20
	if len(in.faults) < most {
		in.faults = append(in.faults, fmt.Errorf("%s: %w", path, err))
	}
}

// path reads a file, or what is below a folder.
func (in *input) path(path string) {
	info, err := os.Stat(path)
	if err != nil {
		in.fault(path, err)
		return
	}
	if !info.IsDir() {
		in.file(path)
		return
	}
	err = filepath.WalkDir(path, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && isTraceFile(name) {
			in.file(name)
		}
		return err
	})
	if err != nil {
		in.fault(path, err)
	}
}

func isTraceFile(name string) bool {
	switch filepath.Ext(strings.TrimSuffix(name, ".gz")) {
	case ".json", ".jsonl", ".ndjson":
		return true
	}
	return false
}

// file reads one file.
func (in *input) file(name string) {
	f, err := os.Open(name)
	if err != nil {
		in.fault(name, err)
		return
	}
	defer func() { _ = f.Close() }() // it was only read
	text := bufio.NewReaderSize(f, 64<<10)
	if magic, _ := text.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(text)
		if err != nil {
			in.fault(name, err)
			return
		}
		text = bufio.NewReaderSize(z, 64<<10)
	}
	for t, err := range decode(text) {
		if err == nil {
			err = in.add(t)
		}
		if err != nil {
			in.fault(name, err)
		}
	}
}

// decode reads CloudTrail or CTS.
func decode(text *bufio.Reader) iter.Seq2[*cts.Trace, error] {
	start, err := text.Peek(16 << 10)
	if err != nil && !errors.Is(err, io.EOF) {
		return func(yield func(*cts.Trace, error) bool) { yield(nil, err) }
	}
	if bytes.Contains(start, []byte(`"eventSource"`)) || bytes.Contains(start, []byte(`"eventID"`)) || bytes.Contains(start, []byte(`"Records"`)) {
		return cloudtrail.NewReader(text, nil).All()
	}
	return cts.NewDecoder(text, &cts.DecoderOptions{TrustExt: true}).All()
}

// add takes one trace.
func (in *input) add(t *cts.Trace) error {
	if t.ID == "" && t.Ext.Source != (cts.Source{}) {
		t.ID = cts.ImportedID(t.Ext.Source)
	}
	if t.RecordTime == 0 {
		t.RecordTime = t.Time
	}
	t.Ext.Phase = "" // an attempt is asked for like any other
	if err := t.Validate(); err != nil {
		return err
	}
	if size := len(t.AppendJSON(nil)); size > cts.MaxTraceBytes {
		return fmt.Errorf("%w: a trace of %d bytes", cts.ErrTooLarge, size)
	}
	if in.ids[t.ID] {
		return nil
	}
	in.ids[t.ID] = true
	in.traces = append(in.traces, *t)
	return nil
}

// oneToOne makes the id, name and second name of a user mean the same.
func (in *input) oneToOne(u *cts.User) {
	for _, name := range []string{u.UserName, u.ID} {
		if u.Name == "" {
			u.Name = name
		}
	}
	if u.UserName != u.Name {
		u.UserName = ""
	}
	if u.ID == "" {
		return
	}
	if name, ok := in.byID[u.ID]; ok && name != u.Name {
		u.ID = u.Name
	}
	in.byID[u.ID] = u.Name
}

// rareTokens finds words of requests that are in few traces, and texts that stand
// only inside of such words.
func rareTokens(traces []cts.Trace) (words, parts []string) {
	const least, most, number = 8, 40, 8 // letters of a word, and how many words
	in := map[string]int{}
	for i := range traces {
		here := map[string]bool{}
		for _, w := range strings.FieldsFunc(traces[i].Request, notInWord) {
			if len(w) >= least && len(w) <= most && !here[w] {
				here[w] = true
				in[w]++
			}
		}
	}
	var rare []string
	for _, w := range keys(in) {
		if in[w] <= max(1, len(traces)/1000) && ascii(w) {
			rare = append(rare, w)
		}
	}
	sort.Slice(rare, func(i, j int) bool { return hashText(rare[i]) < hashText(rare[j]) })
	for i := 0; i < len(rare) && len(words) < number; i++ {
		words = append(words, rare[i])
	}
	for i := len(words); i < len(rare) && len(parts) < number; i++ {
		parts = append(parts, rare[i][1:len(rare[i])-1])
	}
	return words, parts
}

// notInWord separates words. An underscore and what is not ASCII do not: whether they
// belong to a word is seen differently, and such words are not asked for.
func notInWord(c rune) bool {
	return c != '_' && c < utf8.RuneSelf && !unicode.IsLetter(c) && !unicode.IsDigit(c)
}

func ascii(w string) bool {
	for i := range len(w) {
		if w[i] >= utf8.RuneSelf || w[i] == '_' {
			return false
		}
	}
	return true
}

func hashText(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h, 3)
}
