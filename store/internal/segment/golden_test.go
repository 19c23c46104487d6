package segment

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden keeps the format what it is: segments that were written once must be read
// for ever. If the writer alone has changed, or the zstd library, -update makes a new
// file; a change of the format needs a new version.
func TestGolden(t *testing.T) {
	t.Parallel()
	schema, rows, data := damageSample(t)
	file := filepath.Join("testdata", "v1.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	newModel(schema, rows).check(t, open(t, golden))
	if !bytes.Equal(golden, data) {
		t.Errorf("the writer makes %d other bytes of the same rows than the %d of the golden file", len(data), len(golden))
	}
}
