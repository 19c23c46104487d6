package vfstest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
)

// TestSameAsOS does the same random operations on the real file system and on
// MemFS and demands the same answers.
func TestSameAsOS(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("MemFS takes Linux as its model")
	}
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			root, err := vfs.OpenRoot(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			systems := []*player{{fs: vfs.OS, dir: t.TempDir()}, {fs: root}, {fs: vfstest.NewMemFS()}}
			rng := rand.New(rand.NewPCG(seed, 1))
			for step := range 400 {
				move := newMove(rng)
				want := systems[0].play(move)
				for _, s := range systems[1:] {
					if got := s.play(move); got != want {
						t.Fatalf("step %d, %v:\n%T says %s\n%T says %s", step, move, s.fs, got, systems[0].fs, want)
					}
				}
			}
			for _, s := range systems {
				s.closeAll()
			}
		})
	}
}

// move is one random operation on one of a few names or open files.
type move struct {
	op, name, name2 string
	file, flag      int
	off             int64
	data            []byte
}

func (m move) String() string {
	return fmt.Sprintf("%s %s %s file %d flag %#x off %d len %d", m.op, m.name, m.name2, m.file, m.flag, m.off, len(m.data))
}

func newMove(rng *rand.Rand) move {
	elem := func() string { return []string{"a", "b", "c"}[rng.IntN(3)] }
	name := func() string {
		names := []string{elem(), elem(), elem()}
		return filepath.Join(names[:1+rng.IntN(3)]...)
	}
	ops := []string{
		"open", "open", "open", "close", "write", "write", "writeat", "read", "readat", "truncate", "sync", "fstat",
		"rename", "rename", "link", "remove", "mkdir", "readdir", "stat", "syncdir", "lock", "unlock",
	}
	access := []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR}[rng.IntN(3)]
	for _, bit := range []int{os.O_CREATE, os.O_CREATE, os.O_EXCL, os.O_APPEND} {
		if rng.IntN(3) == 0 {
			access |= bit
		}
	}
	if access&os.O_CREATE == 0 {
		access &^= os.O_EXCL
	}
	if access&(os.O_WRONLY|os.O_RDWR) != 0 && rng.IntN(4) == 0 {
		access |= os.O_TRUNC
	}
	return move{
		op: ops[rng.IntN(len(ops))], name: name(), name2: name(), file: rng.IntN(4), flag: access,
		off: rng.Int64N(2000), data: bytes.Repeat([]byte{byte('a' + rng.IntN(26))}, rng.IntN(1500)),
	}
}

// player plays moves on one file system and describes what happened.
type player struct {
	fs    vfs.FS
	dir   string
	files [4]vfs.File
	locks [4]io.Closer
}

func (p *player) play(m move) string {
	name, name2 := filepath.Join(p.dir, m.name), filepath.Join(p.dir, m.name2)
	switch m.op {
	case "open":
		return p.open(m, name)
	case "rename":
		if strings.HasPrefix(m.name2+"/", m.name+"/") || strings.HasPrefix(m.name+"/", m.name2+"/") {
			return "" // systems differ in which of several errors they give
		}
		return success(p.fs.Rename(name, name2))
	case "link":
		return success(p.fs.Link(name, name2))
	case "remove":
		return outcome(p.fs.Remove(name))
	case "mkdir":
		return success(p.fs.MkdirAll(name, 0o700))
	case "syncdir":
		return outcome(p.fs.SyncDir(name))
	case "stat":
		info, err := p.fs.Stat(name)
		return outcome(err) + describe(info)
	case "readdir":
		entries, err := p.fs.ReadDir(name)
		text := outcome(err)
		for _, e := range entries {
			info, err := e.Info()
			text += fmt.Sprint(" ", e.Name(), outcome(err), describe(info))
		}
		return text
	case "lock":
		if p.locks[m.file] != nil {
			return ""
		}
		lock, err := p.fs.Lock(name)
		if err == nil {
			p.locks[m.file] = lock
		}
		return outcome(err)
	case "unlock":
		if p.locks[m.file] == nil {
			return ""
		}
		err := p.locks[m.file].Close()
		p.locks[m.file] = nil
		return outcome(err)
	}
	return p.playFile(m)
}

func (p *player) open(m move, name string) string {
	if p.files[m.file] != nil {
		return ""
	}
	f, err := p.fs.OpenFile(name, m.flag, 0o600)
	if err == nil {
		p.files[m.file] = f
	}
	return outcome(err)
}

func (p *player) playFile(m move) string {
	f := p.files[m.file]
	if f == nil {
		return ""
	}
	buf := make([]byte, len(m.data))
	switch m.op {
	case "close":
		p.files[m.file] = nil
		return outcome(f.Close())
	case "write":
		n, err := f.Write(m.data)
		return fmt.Sprint(n, outcome(err))
	case "writeat":
		n, err := f.WriteAt(m.data, m.off)
		return fmt.Sprint(n, outcome(err))
	case "read":
		n, err := io.ReadFull(f, buf)
		return fmt.Sprint(n, outcome(err), string(buf[:n]))
	case "readat":
		n, err := f.ReadAt(buf, m.off)
		return fmt.Sprint(n, outcome(err), string(buf[:n]))
	case "truncate":
		return outcome(f.Truncate(m.off))
	case "sync":
		return outcome(f.Sync())
	case "fstat":
		info, err := f.Stat()
		return outcome(err) + describe(info)
	}
	panic("unknown move " + m.op)
}

func (p *player) closeAll() {
	for i := range p.files {
		if p.files[i] != nil {
			_ = p.files[i].Close()
		}
		if p.locks[i] != nil {
			_ = p.locks[i].Close()
		}
	}
}

// outcome names the class of an error: callers may tell these apart.
func outcome(err error) string {
	for _, class := range []error{fs.ErrNotExist, fs.ErrClosed, vfs.ErrLocked, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, class) {
			return "[" + class.Error() + "]"
		}
	}
	switch {
	case err == nil:
		return "[ok]"
	case errors.Is(err, fs.ErrExist):
		return "[exists]"
	}
	return "[error]"
}

// success is the outcome of an operation on two names, or several directories:
// when more than one thing is wrong, systems differ in what they complain of.
func success(err error) string { return fmt.Sprint("success: ", err == nil) }

func describe(info fs.FileInfo) string {
	switch {
	case info == nil:
		return ""
	case info.IsDir():
		return info.Name() + " dir"
	}
	return fmt.Sprint(info.Name(), info.Mode(), info.Size())
}
