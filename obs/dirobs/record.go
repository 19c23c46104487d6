package dirobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/obs"
)

// record is what is kept of one Put beside the content: a JSON object in a file
// of its own, .meta/<key>/<16 hexadecimal digits>.json. Fields that are not
// known are ignored; a version that is not known makes the file as good as
// absent.
type record struct {
	// Version is 1.
	Version int `json:"version"`
	// Key is the object's key.
	Key string `json:"key"`
	// Size is the length of the content in bytes.
	Size int64 `json:"size"`
	// SHA256 is the hash of the content in 64 hexadecimal digits.
	SHA256 string `json:"sha256"`
	// ModTime is the modification time of the file, in RFC 3339 with
	// nanoseconds, in UTC.
	ModTime time.Time `json:"mod_time"`

	ContentType     string            `json:"content_type,omitempty"`
	ContentEncoding string            `json:"content_encoding,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`
}

const (
	recordVersion = 1
	recordSuffix  = ".json"
	recordDigits  = 16

	// maxRecord bounds a record: six bytes in JSON for each byte of key,
	// metadata and types, and the rest.
	maxRecord = 64 << 10

	// maxRecords bounds the records that are read for one object. There is one,
	// and one more for each Put under way or killed.
	maxRecords = 1024
)

// recordDir returns the folder of the records of the object at path. A segment
// that could be taken for the name of a record, which is 16 hexadecimal digits,
// ".json" and any number of "~", gets one more "~": so files and folders under
// .meta never have the same name.
func recordDir(path string) string {
	segments := strings.Split(filepath.ToSlash(path), "/")
	for i, s := range segments {
		if isRecordName(strings.TrimRight(s, "~")) {
			segments[i] = s + "~"
		}
	}
	return filepath.Join(metaDir, filepath.Join(segments...))
}

// isRecordName reports whether name is that of a record, ignoring case.
func isRecordName(name string) bool {
	if len(name) != recordDigits+len(recordSuffix) || !strings.EqualFold(name[recordDigits:], recordSuffix) {
		return false
	}
	_, err := hex.DecodeString(name[:recordDigits])
	return err == nil
}

// recordName returns the name of the record whose content is written to the
// temporary file temp: the random digits of both are the same.
func recordName(temp string) string {
	return strings.TrimPrefix(filepath.Base(temp), vfs.TempPrefix) + recordSuffix
}

// parseRecord returns an error unless data is a record of the object key. It
// never quotes data.
func parseRecord(data []byte, key string) (record, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, errors.New("record is not the JSON expected")
	}
	sum, err := hex.DecodeString(r.SHA256)
	switch {
	case r.Version != recordVersion:
		return record{}, fmt.Errorf("record has version %d", r.Version)
	case r.Key != key:
		return record{}, errors.New("record is of another key")
	case r.Size < 0 || err != nil || len(sum) != sha256.Size:
		return record{}, errors.New("record has no size or hash")
	}
	return r, nil
}

// has reports whether r was made for a file of this size and time.
func (r record) has(info fs.FileInfo) bool {
	return r.Size == info.Size() && r.ModTime.Equal(info.ModTime())
}

// records returns the records of the object at path by their file names.
// Damaged ones are left out: an object whose record is damaged is one without
// metadata.
func (c *Client) records(path, key string) (map[string]record, error) {
	dir := recordDir(path)
	entries, err := c.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := map[string]record{}
	for _, e := range entries {
		if !isRecordName(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		if len(found) == maxRecords {
			return nil, fmt.Errorf("there are more than %d records in %s; remove those older than the object", maxRecords, dir)
		}
		name := filepath.Join(dir, e.Name())
		data, err := vfs.ReadFile(c.fs, name, maxRecord)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, vfs.ErrTooLarge) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if r, err := parseRecord(data, key); err == nil {
			found[name] = r
		}
	}
	return found, nil
}

// match returns the record, if any, that belongs to the content of f, and the
// hash of the content if it took one to find out.
func match(f io.ReaderAt, info fs.FileInfo, records map[string]record, copyAll copier) (record, []byte, error) {
	var exact, sized []record
	for _, r := range records {
		if r.has(info) {
			exact = append(exact, r)
		}
		if r.Size == info.Size() {
			sized = append(sized, r)
		}
	}
	if len(exact) == 1 {
		return exact[0], nil, nil
	}
	if len(sized) == 0 {
		return record{}, nil, nil
	}
	hash := sha256.New()
	if _, err := copyAll(hash, io.NewSectionReader(f, 0, info.Size())); err != nil {
		return record{}, nil, err
	}
	sum := hash.Sum(nil)
	var best record
	for _, r := range sized {
		if r.SHA256 == hex.EncodeToString(sum) && r.newer(best) {
			best = r
		}
	}
	return best, sum, nil
}

// newer orders the records of one content: a killed Put may have left one with
// other metadata, and the last is that of the Put that was repeated. The rest
// makes the order total.
func (r record) newer(than record) bool {
	if than.Version == 0 || !r.ModTime.Equal(than.ModTime) {
		return than.Version == 0 || r.ModTime.After(than.ModTime)
	}
	a, aerr := json.Marshal(r)
	b, berr := json.Marshal(than)
	return aerr == nil && berr == nil && bytes.Compare(a, b) > 0
}

// object describes the file of info, of which r is the record, if it has one.
func object(key string, info fs.FileInfo, r record, sum []byte) obs.Object {
	return obs.Object{
		Key: key, Size: info.Size(), ModTime: info.ModTime(), ETag: etag(info), SHA256: sum,
		ContentType: r.ContentType, ContentEncoding: r.ContentEncoding, Metadata: r.Metadata,
	}
}

// etag tells versions apart by time, size and, as clocks are coarse, the
// number of the file.
func etag(info fs.FileInfo) string {
	return fmt.Sprintf("%x-%x-%s", info.ModTime().UnixNano(), info.Size(), fileNumber(info))
}
