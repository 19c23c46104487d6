package vfs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
)

// hidden is a file system whose type is not known.
type hidden struct{ vfs.FS }

// TestNamed takes a file away in several ways.
func TestNamed(t *testing.T) {
	ways := []struct {
		name string
		take func(fsys vfs.FS, path string) error
		same bool
		err  error
	}{
		{"nothing", func(vfs.FS, string) error { return nil }, true, nil},
		{"written", func(fsys vfs.FS, path string) error {
			f, err := fsys.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("more"), 3)
			return errors.Join(err, f.Close())
		}, true, nil},
		{"removed", func(fsys vfs.FS, path string) error { return fsys.Remove(path) }, false, fs.ErrNotExist},
		{"renamed", func(fsys vfs.FS, path string) error { return fsys.Rename(path, path+".old") }, false, fs.ErrNotExist},
		{"replaced", func(fsys vfs.FS, path string) error {
			return vfs.WriteFileAtomic(fsys, path, []byte("other text"), 0o600)
		}, false, nil},
		{"linked", func(fsys vfs.FS, path string) error { return fsys.Link(path, path+".too") }, true, nil},
		{"renamed and back", func(fsys vfs.FS, path string) error {
			return errors.Join(fsys.Rename(path, path+".old"), fsys.Rename(path+".old", path))
		}, true, nil},
	}
	systems := map[string]vfs.FS{"os": vfs.OS, "by stat": hidden{vfs.OS}, "memory": vfstest.NewMemFS()}
	for system, fsys := range systems {
		for _, way := range ways {
			t.Run(system+"/"+way.name, func(t *testing.T) {
				dir := t.TempDir()
				if err := fsys.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(dir, "file")
				if err := vfs.WriteFileAtomic(fsys, path, []byte("text"), 0o600); err != nil {
					t.Fatal(err)
				}
				f, err := fsys.OpenFile(path, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if err := way.take(fsys, path); err != nil {
					t.Skipf("not possible here: %v", err)
				}
				same, err := vfs.Named(fsys, path, f)
				if same != way.same || !errors.Is(err, way.err) {
					t.Errorf("got %v, %v", same, err)
				}
			})
		}
	}
	f, err := vfs.OS.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	path := f.Name()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if same, err := vfs.Named(vfs.OS, path, f); same || err == nil {
		t.Errorf("of a closed file: %v, %v", same, err)
	}
}
