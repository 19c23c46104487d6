package dirobs_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/dirobs"
)

func openFS(t *testing.T, fsys vfs.FS) *dirobs.Client {
	t.Helper()
	c, err := dirobs.OpenFS(fsys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// version is what one Put stores. All versions have the same size and several
// sectors.
func version(v string) (string, *obs.PutOptions) {
	return strings.Repeat(v, 1500), &obs.PutOptions{ContentType: "text/" + v, Metadata: map[string]string{"version": v}}
}

func putVersion(t *testing.T, c *dirobs.Client, key, v string, ifAbsent bool) error {
	t.Helper()
	content, opts := version(v)
	opts.IfAbsent = ifAbsent
	o, err := c.Put(t.Context(), key, strings.NewReader(content), opts)
	if err == nil && (o.Size != 1500 || len(o.SHA256) != 32) {
		t.Errorf("Put describes %+v", o)
	}
	return err
}

// state returns the version of the object, "" if it is absent, and fails the
// test for anything between: half an object, or one with other metadata.
func state(t *testing.T, c *dirobs.Client, key string) string {
	t.Helper()
	r, o, err := c.Get(t.Context(), key)
	if errors.Is(err, obs.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Errorf("Get: %v", err)
		return "error"
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || len(data) == 0 {
		t.Errorf("read %d bytes: %v", len(data), err)
		return "error"
	}
	v := string(data[:1])
	content, opts := version(v)
	if string(data) != content || o.ContentType != opts.ContentType || !maps.Equal(o.Metadata, opts.Metadata) {
		t.Errorf("half an object: %d bytes beginning with %s, type %q, metadata %v", len(data), v, o.ContentType, o.Metadata)
	}
	return v
}

// scenario is a change of one object with the states it may leave.
type scenario struct {
	name   string
	setup  func(t *testing.T, c *dirobs.Client)
	change func(t *testing.T, c *dirobs.Client) error
	before string
	after  string
}

const key = "2026/1/traces.json.gz"

func scenarios() []scenario {
	putOld := func(t *testing.T, c *dirobs.Client) {
		if err := putVersion(t, c, key, "o", false); err != nil {
			t.Fatal(err)
		}
	}
	return []scenario{
		{
			"first put", func(*testing.T, *dirobs.Client) {},
			func(t *testing.T, c *dirobs.Client) error { return putVersion(t, c, key, "n", true) }, "", "n",
		},
		{
			"put where an empty folder is", func(t *testing.T, c *dirobs.Client) {
				if err := putVersion(t, c, key+"/below", "o", false); err != nil {
					t.Fatal(err)
				}
			},
			func(t *testing.T, c *dirobs.Client) error {
				return errors.Join(c.Delete(t.Context(), key+"/below"), putVersion(t, c, key, "n", true))
			}, "", "n",
		},
		{
			"overwrite", putOld,
			func(t *testing.T, c *dirobs.Client) error { return putVersion(t, c, key, "n", false) }, "o", "n",
		},
		{
			"delete", putOld,
			func(t *testing.T, c *dirobs.Client) error { return c.Delete(t.Context(), key) }, "o", "",
		},
	}
}

// start returns a disk on which the setup is done and synced.
func (s scenario) start(t *testing.T) *vfstest.MemFS {
	t.Helper()
	mem := vfstest.NewMemFS()
	s.setup(t, openFS(t, mem))
	return mem
}

// repeat opens the bucket on a disk that a fault or crash left, demands one of
// the two states, and that the change succeeds when it is repeated.
func (s scenario) repeat(t *testing.T, what string, disk *vfstest.MemFS) string {
	t.Helper()
	c := openFS(t, disk)
	got := state(t, c, key)
	if got != s.before && got != s.after {
		t.Errorf("%s: the object is %q, want %q or %q", what, got, s.before, s.after)
	}
	if err := s.change(t, c); err != nil && (!errors.Is(err, obs.ErrExists) || got != s.after) {
		t.Errorf("%s: repeated: %v", what, err)
	}
	// Success, and ErrExists too, mean that the state is durable.
	if end := state(t, openFS(t, disk.CrashClone(vfstest.CrashOptions{})), key); end != s.after {
		t.Errorf("%s: after repeating and a power loss the object is %q, want %q", what, end, s.after)
	}
	return got
}

// TestEveryOperationFails fails, tears and delays every operation of every
// change, and stops the disk at it.
func TestEveryOperationFails(t *testing.T) {
	kinds := map[string]func(int, error) vfstest.Injector{
		"fail": vfstest.FailNth, "tear": vfstest.TearNth, "late": vfstest.LateNth, "dead": vfstest.FailFrom,
	}
	for _, s := range scenarios() {
		for kind, injector := range kinds {
			t.Run(s.name+"/"+kind, func(t *testing.T) {
				for n := 1; ; n++ {
					mem := s.start(t)
					fault := vfstest.NewFaultFS(mem)
					var failed vfstest.Op
					inject := injector(n, syscall.EIO)
					fault.Set(func(op vfstest.Op) error {
						err := inject(op)
						if err != nil && failed.N == 0 {
							failed = op
						}
						return err
					})
					err := s.change(t, openFS(t, fault))
					if fault.Hits() == 0 {
						if err != nil || n < 3 {
							t.Fatalf("operation %d: %v", n, err)
						}
						return
					}
					what := fmt.Sprintf("operation %d, %v", n, failed)
					// Only the removal of what is not needed may fail in silence,
					// since the change has taken place by then.
					silent := failed.Kind == vfstest.KindRemove && failed.Name != path.Clean(key)
					if err == nil && !silent || err != nil && !errors.Is(err, syscall.EIO) {
						t.Errorf("%s: got %v, want EIO", what, err)
					}
					got := s.repeat(t, what, mem.KillClone())
					if err == nil && got != s.after {
						t.Errorf("%s: success, and the object is %q", what, got)
					}
					s.repeat(t, what+", and power loss", mem.CrashClone(vfstest.CrashOptions{}))
				}
			})
		}
	}
}

// TestCrashAtEveryOperation takes the disk before every operation of every
// change: as a kill leaves it, as a power loss does, and with luck.
func TestCrashAtEveryOperation(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			mem := s.start(t)
			fault := vfstest.NewFaultFS(mem)
			seen := map[string]bool{}
			crash := func(what string) {
				seen[s.repeat(t, what+", killed", mem.KillClone())] = true
				seen[s.repeat(t, what+", power loss", mem.CrashClone(vfstest.CrashOptions{}))] = true
				for seed := range uint64(20) {
					rng := rand.New(rand.NewPCG(seed, 1))
					s.repeat(t, fmt.Sprint(what, ", seed ", seed), mem.CrashClone(vfstest.CrashOptions{Rand: rng}))
				}
			}
			fault.OnOp = func(op vfstest.Op) { crash(op.String()) }
			if err := s.change(t, openFS(t, fault)); err != nil {
				t.Fatal(err)
			}
			if got := state(t, openFS(t, mem.CrashClone(vfstest.CrashOptions{})), key); got != s.after {
				t.Errorf("the change returned, and after a power loss the object is %q", got)
			}
			if !seen[s.before] || fault.Count() < 3 {
				t.Errorf("saw only %v in %d operations", seen, fault.Count())
			}
		})
	}
}

// TestReadingFails fails every operation of Get, Head and List.
func TestReadingFails(t *testing.T) {
	mem := vfstest.NewMemFS()
	if err := putVersion(t, openFS(t, mem), key, "o", false); err != nil {
		t.Fatal(err)
	}
	reads := map[string]func(c *dirobs.Client) error{
		"Head": func(c *dirobs.Client) error { _, err := c.Head(t.Context(), key); return err },
		"Get": func(c *dirobs.Client) error {
			r, _, err := c.Get(t.Context(), key)
			if err != nil {
				return err
			}
			_, err = io.ReadAll(r)
			return errors.Join(err, r.Close())
		},
		"List": func(c *dirobs.Client) error {
			for _, err := range c.List(t.Context(), "2026/", nil) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			fault := vfstest.NewFaultFS(mem)
			c := openFS(t, fault)
			fault.CountAll = true
			for n := 1; ; n++ {
				fault.Set(vfstest.FailNth(n, syscall.EIO))
				err := read(c)
				if fault.Hits() == 0 {
					if err != nil || n < 2 {
						t.Errorf("operation %d: %v", n, err)
					}
					return
				}
				typed, ok := errors.AsType[*obs.Error](err)
				if !errors.Is(err, syscall.EIO) || !ok || !strings.EqualFold(typed.Op, name) {
					t.Errorf("operation %d: got %v, want an *obs.Error that is EIO", n, err)
				}
			}
		})
	}
}

// TestErrorsSayWhatToDo gives the sentinel for each cause.
func TestErrorsSayWhatToDo(t *testing.T) {
	tests := map[error]error{
		syscall.ENOSPC: obs.ErrFull, syscall.EDQUOT: obs.ErrFull, syscall.EACCES: obs.ErrDenied, syscall.EPERM: obs.ErrDenied,
		syscall.EROFS: obs.ErrDenied, syscall.ENAMETOOLONG: obs.ErrInvalidKey,
	}
	for cause, want := range tests {
		for _, kind := range []vfstest.Kind{vfstest.KindCreate, vfstest.KindWrite, vfstest.KindMkdir, vfstest.KindLink} {
			fault := vfstest.NewFaultFS(vfstest.NewMemFS())
			c := openFS(t, fault)
			fault.Set(func(op vfstest.Op) error {
				if op.Kind == kind {
					return cause
				}
				return nil
			})
			err := putVersion(t, c, key, "n", true)
			if !errors.Is(err, want) || !errors.Is(err, cause) {
				t.Errorf("%v at %s: got %v, want %v", cause, kind, err, want)
			}
			fault.Set(nil)
			if err := putVersion(t, c, key, "n", true); err != nil {
				t.Errorf("after %v at %s: %v", cause, kind, err)
			}
		}
	}
}

// TestOrderOfOperations is the fsync discipline: content and record are synced
// before they get their names, the record is durable before the content is
// visible, and every new folder is synced into its parent.
func TestOrderOfOperations(t *testing.T) {
	log := vfstest.NewLogFS(vfstest.NewMemFS(), ".")
	c := openFS(t, log)
	log.Note("# put if absent")
	if err := putVersion(t, c, "a/b", "o", true); err != nil {
		t.Fatal(err)
	}
	log.Note("# replace")
	if err := putVersion(t, c, "a/b", "n", false); err != nil {
		t.Fatal(err)
	}
	log.Note("# refused")
	if err := putVersion(t, c, "a/b", "x", true); !errors.Is(err, obs.ErrExists) {
		t.Fatal(err)
	}
	log.Note("# delete")
	if err := c.Delete(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(log.String()) {
		if strings.HasPrefix(line, "write .meta/.tmp-") {
			name, _, _ := strings.Cut(line, " +")
			line = name + "\n" // the length has a random clock in it
		}
		lines = append(lines, hexDigits.ReplaceAllString(line, "ID.json"))
	}
	want := `# put if absent
mkdir .meta
syncdir .
create .meta/.tmp-1
write .meta/.tmp-1 @0
sync .meta/.tmp-1
create .meta/.tmp-2
write .meta/.tmp-2 @0
sync .meta/.tmp-2
mkdir .meta/a
syncdir .meta
mkdir .meta/a/b
syncdir .meta/a
rename .meta/.tmp-2 -> .meta/a/b/ID.json
syncdir .meta/a/b
mkdir a
syncdir .
link .meta/.tmp-1 -> a/b
syncdir a
remove .meta/.tmp-1
# replace
create .meta/.tmp-3
write .meta/.tmp-3 @0
sync .meta/.tmp-3
create .meta/.tmp-4
write .meta/.tmp-4 @0
sync .meta/.tmp-4
rename .meta/.tmp-4 -> .meta/a/b/ID.json
syncdir .meta/a/b
rename .meta/.tmp-3 -> a/b
syncdir a
remove .meta/a/b/ID.json
# refused
syncdir a
# delete
remove a/b
syncdir a
remove .meta/a/b/ID.json
remove .meta/a/b
remove .meta/a
remove a
`
	if got := strings.Join(lines, ""); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := slices.Compact(lines); len(got) != len(lines) {
		t.Error("an operation is done twice in a row")
	}
}
