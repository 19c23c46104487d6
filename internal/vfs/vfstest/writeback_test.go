package vfstest_test

import (
	"os"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
)

func TestDropDirty(t *testing.T) {
	mem := vfstest.NewMemFS()
	if err := mem.WriteFile("a", []byte("durable")); err != nil {
		t.Fatal(err)
	}
	f, err := mem.OpenFile("a", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	content := func(m *vfstest.MemFS) string {
		b, err := m.ReadFile("a")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	write := func(text string, off int64) {
		if _, err := f.WriteAt([]byte(text), off); err != nil {
			t.Fatal(err)
		}
	}
	write("DUR", 0)
	mem.DropDirty("a")
	mem.DropDirty("b")
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if seen, after := content(mem), content(mem.CrashClone(vfstest.CrashOptions{})); seen != "DURable" || after != "durable" {
		t.Errorf("seen %q, after a crash %q", seen, after)
	}
	write("DUR", 0)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if after := content(mem.CrashClone(vfstest.CrashOptions{})); after != "DURable" {
		t.Errorf("after writing again and a crash %q", after)
	}
}
