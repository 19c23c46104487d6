package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
)

// openWith makes a file with the content and opens it for reading.
func openWith(t *testing.T, fsys vfs.FS, name string, content []byte) vfs.File {
	t.Helper()
	if err := vfs.WriteFileAtomic(fsys, name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestMap(t *testing.T) {
	mem := vfstest.NewMemFS()
	if err := mem.MkdirAll("/d", 0o700); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("0123456789"), 1000)
	for name, f := range map[string]vfs.File{
		"of the system": openWith(t, vfs.OS, filepath.Join(t.TempDir(), "f"), content),
		"in memory":     openWith(t, mem, "/d/f", content),
	} {
		t.Run(name, func(t *testing.T) {
			m, err := vfs.Map(f, int64(len(content)))
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(m.Bytes(), content) {
				t.Error("the mapping has another content than the file")
			}
			if m.Release(); !bytes.Equal(m.Bytes(), content) {
				t.Error("the mapping has another content after Release")
			}
			for range 2 {
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestMapRefusesMoreThanThereIs(t *testing.T) {
	mem := vfstest.NewMemFS()
	if err := mem.MkdirAll("/d", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]vfs.File{
		"of the system": openWith(t, vfs.OS, filepath.Join(t.TempDir(), "f"), []byte("short")),
		"in memory":     openWith(t, mem, "/d/f", []byte("short")),
	} {
		if _, err := vfs.Map(f, 6); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: mapping 6 bytes of 5: %v, want %v", name, err, io.ErrUnexpectedEOF)
		}
		if _, err := vfs.Map(f, -1); err == nil {
			t.Errorf("%s: a negative size was mapped", name)
		}
		m, err := vfs.Map(f, 0)
		if err != nil || len(m.Bytes()) != 0 || m.Close() != nil {
			t.Errorf("%s: an empty mapping: %v, %v", name, m, err)
		}
	}
}
