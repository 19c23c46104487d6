package vfstest

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/cloudtraceservice/cts/internal/vfs"
)

// LogFS wraps a file system and writes down the operations that change it, one
// line each, in the order in which they returned:
//
//	create log/00000001.log
//	write log/00000001.log @64 +128
//	truncate log/00000001.log to 4096
//	sync log/00000001.log
//	rename .tmp-1 -> CURRENT
//	syncdir .
//	sync log/00000001.log !input/output error
//
// Names have slashes and are relative to the root given; temporary names are
// numbered in order of appearance; what comes after an exclamation mark is the
// innermost cause of a failure.
type LogFS struct {
	hookFS
	root string

	mu    sync.Mutex
	lines []string
	temps map[string]int
}

// NewLogFS returns a LogFS over fsys that prints names relative to root.
func NewLogFS(fsys vfs.FS, root string) *LogFS {
	l := &LogFS{root: path.Join("/", filepath.ToSlash(root)), temps: map[string]int{}}
	l.hookFS = hookFS{fs: fsys, hook: l.intercept}
	return l
}

func (l *LogFS) intercept(op Op, run func(n int) error) error {
	err := run(int(op.Len))
	if !op.Kind.Changes() {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	op.Name = l.name(op.Name)
	if op.NewName != "" {
		op.NewName = l.name(op.NewName)
	}
	line := op.String()
	if err != nil {
		line += " !" + cause(err).Error()
	}
	l.lines = append(l.lines, line)
	return err
}

// Note adds a line of the test's own.
func (l *LogFS) Note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// String returns the lines so far, each ended by a newline.
func (l *LogFS) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return ""
	}
	return strings.Join(l.lines, "\n") + "\n"
}

// Reset forgets the lines; the numbers of temporary names go on.
func (l *LogFS) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = nil
}

var tempName = regexp.MustCompile(regexp.QuoteMeta(vfs.TempPrefix) + `[0-9a-f]+`)

func (l *LogFS) name(name string) string {
	name = path.Join("/", filepath.ToSlash(name))
	if rel, ok := strings.CutPrefix(name, strings.TrimSuffix(l.root, "/")+"/"); ok {
		name = rel
	} else if name == l.root {
		name = "."
	}
	if name == "" {
		name = "."
	}
	return tempName.ReplaceAllStringFunc(name, func(temp string) string {
		if l.temps[temp] == 0 {
			l.temps[temp] = len(l.temps) + 1
		}
		return fmt.Sprintf("%s%d", vfs.TempPrefix, l.temps[temp])
	})
}

// cause returns the innermost error, whose text has no file name.
func cause(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || inner.Unwrap() == nil {
			return err
		}
		err = inner.Unwrap()
	}
}
