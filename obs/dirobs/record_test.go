package dirobs

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"key":"k","size":3,"sha256":"`+strings.Repeat("0a", 32)+`","mod_time":"2026-01-02T03:04:05.000000006Z"}`), "k")
	f.Add([]byte(`{"version":1,"key":"k","size":-1}`), "k")
	f.Add([]byte(`{"version":1`), "k")
	f.Add([]byte(`[]`), "")
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		r, err := parseRecord(data, key)
		if err != nil {
			return
		}
		if r.Key != key || r.Size < 0 || len(r.SHA256) != 64 || r.Version != recordVersion {
			t.Fatalf("took %+v for a record of %q", r, key)
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if r2, err := parseRecord(again, key); err != nil || r2.Size != r.Size || !r2.ModTime.Equal(r.ModTime) || len(r2.Metadata) != len(r.Metadata) {
			t.Fatalf("%+v became %+v, %v", r, r2, err)
		}
	})
}

func FuzzRecordDir(f *testing.F) {
	f.Add("a/b", "a")
	f.Add("0123456789abcdef.json", "0123456789abcdef.json~")
	f.Add("0123456789abcdef.json/x", "0123456789ABCDEF.json/x")
	f.Fuzz(func(t *testing.T, a, b string) {
		pathA, errA := objectPath(a)
		pathB, errB := objectPath(b)
		if errA != nil || errB != nil {
			return
		}
		dir := recordDir(pathA)
		if a != b && dir == recordDir(pathB) {
			t.Errorf("%q and %q have the same records", a, b)
		}
		if !filepath.IsLocal(dir) || !strings.HasPrefix(dir, metaDir) {
			t.Errorf("%q has its records in %q", a, dir)
		}
		for segment := range strings.SplitSeq(filepath.ToSlash(dir), "/") {
			if isRecordName(segment) {
				t.Errorf("the folder %q of %q has the name of a record in it", dir, a)
			}
		}
	})
}
