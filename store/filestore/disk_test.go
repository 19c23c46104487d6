package filestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// disk is a store at rest that a test damages: ten traces in each of three log
// files, in batches of 1, 2, 3 and 4.
type disk struct {
	*vfstest.MemFS
	t *testing.T
}

const (
	log1 = "/store/log/00000001.log"
	log2 = "/store/log/00000002.log"
	log3 = "/store/log/00000003.log"
)

func newDisk(t *testing.T) disk {
	mem := vfstest.NewMemFS()
	next := 1
	for file := range 3 {
		// A limit that the next batch exceeds: each life of the store begins a new file.
		opts := filestore.Options{FS: mem}
		if file > 0 {
			opts.LogFileBytes = 100
		}
		s, err := filestore.Open("/store", unsealed(opts))
		if err != nil {
			t.Fatal(err)
		}
		if file == 1 {
			if _, err := s.SaveState(background, "plan", []byte("state"), 0); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 4 {
			if i == 1 && file > 0 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = filestore.Open("/store", unsealed(filestore.Options{FS: mem})); err != nil {
					t.Fatal(err)
				}
			}
			mustAppend(t, s, numbered(next, next+i)...)
			next += i + 1
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return disk{mem, t}
}

func (d disk) read(name string) []byte {
	b, err := d.ReadFile(name)
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

func (d disk) write(name string, b []byte) {
	if err := d.WriteFile(name, b); err != nil {
		d.t.Fatal(err)
	}
}

func (d disk) remove(name string) {
	if err := errors.Join(d.Remove(name), d.SyncDir(path.Dir(name))); err != nil {
		d.t.Fatal(err)
	}
}

func (d disk) flip(name string, offset int64) {
	b := d.read(name)
	b[offset] ^= 0x40
	d.write(name, b)
}

func (d disk) cut(name string, size int64) { d.write(name, d.read(name)[:size]) }

// frame returns frame i of a log file.
func (d disk) frame(name string, i int) wal.Item {
	b := d.read(name)
	h, err := wal.ParseHeader(b)
	if err != nil {
		d.t.Fatal(err)
	}
	for it, err := range wal.Scan(bytes.NewReader(b), h.Store, h.Number, wal.HeaderSize, int64(len(b))) {
		if i--; i < 0 && err == nil {
			return it
		}
	}
	d.t.Fatalf("%s has no such frame", name)
	return wal.Item{}
}

// frameBehind returns a frame with the traces 31 to 33 as the next append would write it
// behind the end of the last file.
func (d disk) frameBehind(name string) []byte {
	clone := d.KillClone()
	end := len(d.read(name))
	s, err := filestore.Open("/store", unsealed(filestore.Options{FS: clone}))
	if err != nil {
		d.t.Fatal(err)
	}
	mustAppend(d.t, s, numbered(31, 33)...)
	if err := s.Close(); err != nil {
		d.t.Fatal(err)
	}
	return (disk{clone, d.t}).read(name)[end:]
}

// editStore replaces text in STORE and mends its checksum.
func (d disk) editStore(old, text string) {
	body, _, _ := strings.Cut(string(d.read("/store/STORE")), "crc32c ")
	if !strings.Contains(body, old) {
		d.t.Fatalf("STORE has no %q", old)
	}
	body = strings.Replace(body, old, text, 1)
	d.write("/store/STORE", fmt.Appendf(nil, "%scrc32c %08x\n", body, wal.Checksum([]byte(body))))
}
