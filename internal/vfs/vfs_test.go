package vfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
)

// each runs a test on every implementation of FS, in a fresh directory each.
func each(t *testing.T, test func(t *testing.T, fsys vfs.FS, dir string)) {
	t.Run("OS", func(t *testing.T) { test(t, vfs.OS, t.TempDir()) })
	t.Run("Root", func(t *testing.T) { test(t, openRoot(t, t.TempDir()), ".") })
	t.Run("MemFS", func(t *testing.T) { test(t, vfstest.NewMemFS(), ".") })
	t.Run("FaultFS", func(t *testing.T) { test(t, vfstest.NewFaultFS(vfstest.NewMemFS()), "/") })
	t.Run("LogFS", func(t *testing.T) { test(t, vfstest.NewLogFS(vfs.OS, "/"), t.TempDir()) })
}

func openRoot(t *testing.T, dir string) *vfs.Root {
	t.Helper()
	root, err := vfs.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	})
	return root
}

func write(t *testing.T, fsys vfs.FS, name, content string) {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, content); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, fsys vfs.FS, name string) string {
	t.Helper()
	data, err := vfs.ReadFile(fsys, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func names(t *testing.T, fsys vfs.FS, dir string) []string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func wantIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want one that is %v", what, err, want)
	}
}

func TestFileReadsWhatWasWritten(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "file")
		f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name() != name {
			t.Errorf("Name() = %q, want %q", f.Name(), name)
		}
		if _, err := f.WriteAt([]byte("world"), 6); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 11)
		if n, err := f.ReadAt(buf, 0); n != 11 || (err != nil && !errors.Is(err, io.EOF)) || string(buf) != "hello\x00world" {
			t.Errorf("ReadAt = %d, %v, %q", n, err, buf)
		}
		if n, err := f.ReadAt(buf, 8); n != 3 || !errors.Is(err, io.EOF) {
			t.Errorf("ReadAt over the end = %d, %v; want 3, EOF", n, err)
		}
		if err := errors.Join(f.Truncate(3), f.Truncate(5), f.Sync()); err != nil {
			t.Fatal(err)
		}
		if info, err := f.Stat(); err != nil || info.Size() != 5 {
			t.Errorf("Stat = %v, %v; want size 5", info, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		wantIs(t, "second Close", f.Close(), fs.ErrClosed)
		_, err = f.Write([]byte("x"))
		wantIs(t, "Write after Close", err, fs.ErrClosed)
		if got := read(t, fsys, name); got != "hel\x00\x00" {
			t.Errorf("content = %q", got)
		}
	})
}

func TestEntries(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		in := func(elems ...string) string { return filepath.Join(append([]string{dir}, elems...)...) }
		if err := errors.Join(fsys.MkdirAll(in("a", "b"), 0o700), fsys.MkdirAll(in("a", "b"), 0o700)); err != nil {
			t.Fatal(err)
		}
		write(t, fsys, in("a", "one"), "1")
		write(t, fsys, in("a", "two"), "2")
		if err := fsys.Link(in("a", "one"), in("a", "three")); err != nil {
			t.Fatal(err)
		}
		wantIs(t, "Link onto a file", fsys.Link(in("a", "one"), in("a", "two")), fs.ErrExist)
		wantIs(t, "Link of nothing", fsys.Link(in("a", "none"), in("a", "x")), fs.ErrNotExist)
		if err := fsys.Rename(in("a", "two"), in("a", "one")); err != nil {
			t.Fatal(err)
		}
		if got := read(t, fsys, in("a", "one")) + read(t, fsys, in("a", "three")); got != "21" {
			t.Errorf("after link and rename: %q, want 21", got)
		}
		if err := fsys.Rename(in("a", "one"), in("a", "b")); err == nil {
			t.Error("Rename onto a directory succeeded")
		}
		wantIs(t, "Rename of nothing", fsys.Rename(in("a", "none"), in("a", "x")), fs.ErrNotExist)
		if err := fsys.Remove(in("a")); err == nil {
			t.Error("Remove of a full directory succeeded")
		}
		wantIs(t, "Remove of nothing", fsys.Remove(in("none")), fs.ErrNotExist)
		if got, want := names(t, fsys, in("a")), []string{"b", "one", "three"}; !slices.Equal(got, want) {
			t.Errorf("ReadDir = %q, want %q", got, want)
		}
		if err := errors.Join(fsys.Remove(in("a", "b")), fsys.SyncDir(in("a")), fsys.SyncDir(dir)); err != nil {
			t.Error(err)
		}
		if info, err := fsys.Stat(in("a")); err != nil || !info.IsDir() || info.Name() != "a" {
			t.Errorf("Stat = %v, %v", info, err)
		}
		if err := fsys.MkdirAll(in("a", "one", "x"), 0o700); err == nil {
			t.Error("MkdirAll below a file succeeded")
		}
		if err := fsys.SyncDir(in("none")); err == nil {
			t.Error("SyncDir of nothing succeeded")
		}
	})
}

func TestOpenFlags(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "file")
		_, err := fsys.OpenFile(name, os.O_RDWR, 0o600)
		wantIs(t, "open of nothing", err, fs.ErrNotExist)
		write(t, fsys, name, "abc")
		_, err = fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		wantIs(t, "exclusive open", err, fs.ErrExist)
		f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("de")); err != nil {
			t.Error(err)
		}
		if _, err := f.WriteAt([]byte("x"), 0); err == nil {
			t.Error("WriteAt on an append file succeeded")
		}
		if _, err := f.Read(make([]byte, 1)); err == nil {
			t.Error("Read of a write-only file succeeded")
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		f, err = fsys.OpenFile(name, os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("x")); err == nil {
			t.Error("Write to a read-only file succeeded")
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if got := read(t, fsys, name); got != "abcde" {
			t.Errorf("content = %q", got)
		}
	})
}

func TestLock(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		write(t, fsys, filepath.Join(dir, "file"), "")
		lock, err := fsys.Lock(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fsys.Lock(dir)
		wantIs(t, "second Lock", err, vfs.ErrLocked)
		if err := fsys.Remove(filepath.Join(dir, "file")); err != nil {
			t.Fatal(err)
		}
		_, err = fsys.Lock(dir)
		wantIs(t, "Lock after a file was removed", err, vfs.ErrLocked)
		if err := lock.Close(); err != nil {
			t.Fatal(err)
		}
		lock, err = fsys.Lock(dir)
		if err != nil {
			t.Fatalf("Lock after Close: %v", err)
		}
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
		if _, err := fsys.Lock(filepath.Join(dir, "none")); err == nil {
			t.Error("Lock of nothing succeeded")
		}
	})
}

func TestLinkHasOneWinner(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		const writers = 16
		var wg sync.WaitGroup
		wins := make(chan string, writers)
		for i := range writers {
			name := filepath.Join(dir, fmt.Sprint("from", i))
			write(t, fsys, name, name)
			wg.Go(func() {
				err := fsys.Link(name, filepath.Join(dir, "to"))
				switch {
				case err == nil:
					wins <- name
				case !errors.Is(err, fs.ErrExist):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		close(wins)
		winner := <-wins
		if _, more := <-wins; more {
			t.Error("several links to one name succeeded")
		}
		if got := read(t, fsys, filepath.Join(dir, "to")); got != winner {
			t.Errorf("content is %q, the winner's is %q", got, winner)
		}
	})
}

func TestOpenFileSurvivesRemovalAndReplacement(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows refuses to remove an open file")
	}
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "file")
		for _, end := range []string{"replace", "remove"} {
			write(t, fsys, name, "old")
			f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if end == "replace" {
				err = vfs.WriteFileAtomic(fsys, name, []byte("new"), 0o600)
			} else {
				err = fsys.Remove(name)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(f); err != nil || string(got) != "old" {
				t.Errorf("after %s the open file reads %q, %v; want old", end, got, err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRootStaysInside(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "way")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	root := openRoot(t, dir)
	for _, name := range []string{"../x", "way/secret", "way/new"} {
		if f, err := root.OpenFile(filepath.FromSlash(name), os.O_RDWR|os.O_CREATE, 0o600); err == nil {
			t.Errorf("opened %s", name)
			_ = f.Close()
		}
	}
	if err := root.MkdirAll(filepath.FromSlash("way/sub"), 0o700); err == nil {
		t.Error("made a directory outside")
	}
	if _, err := root.ReadDir("way"); err == nil {
		t.Error("listed a directory outside")
	}
	if info, err := root.Lstat("way"); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("Lstat = %v, %v; want a symbolic link", info, err)
	}
	if got, err := os.ReadDir(outside); err != nil || len(got) != 1 {
		t.Errorf("outside holds %v, %v", got, err)
	}
}

func TestRemoveDir(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		in := func(elems ...string) string { return filepath.Join(append([]string{dir}, elems...)...) }
		if err := fsys.MkdirAll(in("a", "b"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, fsys, in("file"), "x")
		for _, name := range []string{"a", "file", "none"} {
			if err := vfs.RemoveDir(fsys, in(name)); err == nil {
				t.Errorf("RemoveDir of %s succeeded", name)
			}
		}
		if runtime.GOOS != "windows" {
			if err := fsys.Remove(in("file") + "/"); err == nil {
				t.Error("Remove of a file with a slash succeeded: RemoveDir is not safe here")
			}
		}
		if got := read(t, fsys, in("file")); got != "x" {
			t.Errorf("the file is now %q", got)
		}
		for _, name := range []string{"a/b", "a"} {
			if err := vfs.RemoveDir(fsys, in(filepath.FromSlash(name))); err != nil {
				t.Error(err)
			}
		}
		if got := names(t, fsys, dir); !slices.Equal(got, []string{"file"}) {
			t.Errorf("left %q", got)
		}
	})
}

func TestWriteFileAtomic(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "file")
		for _, content := range []string{"", "one", strings.Repeat("two", 5000)} {
			if err := vfs.WriteFileAtomic(fsys, name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := read(t, fsys, name); got != content {
				t.Errorf("content has %d bytes, want %d", len(got), len(content))
			}
		}
		if got := names(t, fsys, dir); !slices.Equal(got, []string{"file"}) {
			t.Errorf("left behind: %q", got)
		}
		if err := vfs.WriteFileAtomic(fsys, filepath.Join(dir, "none", "file"), nil, 0o600); err == nil {
			t.Error("wrote into a directory that is not there")
		}
	})
}

// TestWriteFileAtomicFaults fails, tears and delays every operation in turn,
// and looks at the disk after a power loss before each of them.
func TestWriteFileAtomicFaults(t *testing.T) {
	oldContent, newContent := bytes.Repeat([]byte("o"), 3000), bytes.Repeat([]byte("n"), 2000)
	boom := errors.New("boom")
	kinds := map[string]func(int, error) vfstest.Injector{
		"fail": vfstest.FailNth, "tear": vfstest.TearNth, "late": vfstest.LateNth, "dead": vfstest.FailFrom,
	}
	for kind, injector := range kinds {
		t.Run(kind, func(t *testing.T) {
			for n := 1; ; n++ {
				mem := vfstest.NewMemFS()
				if err := mem.WriteFile("dir/file", oldContent); err != nil {
					t.Fatal(err)
				}
				fault := vfstest.NewFaultFS(mem)
				fault.Set(injector(n, boom))
				err := vfs.WriteFileAtomic(fault, "dir/file", newContent, 0o600)
				if fault.Hits() == 0 {
					if err != nil || n < 6 {
						t.Fatalf("n=%d: %v", n, err)
					}
					break
				}
				wantIs(t, fmt.Sprint("operation ", n), err, boom)
				got, err := mem.ReadFile("dir/file")
				if err != nil || !bytes.Equal(got, oldContent) && !bytes.Equal(got, newContent) {
					t.Errorf("operation %d left %d bytes, %v", n, len(got), err)
				}
				if err := vfs.RemoveTemp(mem, "dir"); err != nil {
					t.Error(err)
				}
				if got := names(t, mem, "dir"); !slices.Equal(got, []string{"file"}) {
					t.Errorf("operation %d: RemoveTemp left %q", n, got)
				}
			}
		})
	}
}

func TestReadFileLimit(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "file")
		write(t, fsys, name, "12345")
		for limit, want := range map[int64]error{5: nil, 4: vfs.ErrTooLarge, 0: vfs.ErrTooLarge, 1<<63 - 1: nil} {
			data, err := vfs.ReadFile(fsys, name, limit)
			if !errors.Is(err, want) || (err == nil) != (string(data) == "12345") {
				t.Errorf("limit %d: %q, %v", limit, data, err)
			}
		}
		_, err := vfs.ReadFile(fsys, filepath.Join(dir, "none"), 1)
		wantIs(t, "ReadFile of nothing", err, fs.ErrNotExist)
	})
}

func TestRemoveTemp(t *testing.T) {
	each(t, func(t *testing.T, fsys vfs.FS, dir string) {
		f, err := vfs.CreateTemp(fsys, dir, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if !vfs.IsTemp(f.Name()) || vfs.IsTemp(filepath.Join(vfs.TempPrefix, "file")) {
			t.Error("IsTemp is wrong")
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		write(t, fsys, filepath.Join(dir, "keep"), "")
		if err := fsys.MkdirAll(filepath.Join(dir, vfs.TempPrefix+"dir"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := vfs.RemoveTemp(fsys, dir); err != nil {
			t.Fatal(err)
		}
		if got, want := names(t, fsys, dir), []string{".tmp-dir", "keep"}; !slices.Equal(got, want) {
			t.Errorf("left %q, want %q", got, want)
		}
		wantIs(t, "RemoveTemp of nothing", vfs.RemoveTemp(fsys, filepath.Join(dir, "none")), fs.ErrNotExist)
	})
}
