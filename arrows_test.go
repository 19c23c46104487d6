package cts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const arrowModule = "github.com/cloudtraceservice/cts"

// arrow says what the packages of one folder may import outside their tests.
type arrow struct {
	// from is a folder; "." is the root package alone, and "/..." adds all
	// below.
	from string
	// may holds "std", folders of this module, which start with ".", and paths
	// of other modules; "/..." adds all below, and "any" is everything.
	may []string
	// because is shown when an import breaks the rule.
	because string
}

// arrowCTS is "cts and what cts imports".
var arrowCTS = []string{
	"std", ".", "./obs", "./digest", "./redact", "./internal/...",
	"github.com/google/uuid", "github.com/klauspost/compress/...", "golang.org/x/sync/...",
}

// arrowRules: the first rule whose from matches a package holds for it, so the
// narrower one stands first.
var arrowRules = []arrow{
	{
		".",
		[]string{
			"std", "./obs", "./digest", "./redact", "./internal/jsontext",
			"github.com/google/uuid", "github.com/klauspost/compress/...", "golang.org/x/sync/...",
		},
		"the domain package imports no backend: which store and which bucket is the application's choice",
	},
	{"./redact/...", []string{"std"}, "redact works on headers, JSON, forms and text, and stands alone"},
	{
		"./digest/...",
		[]string{"std", "./obs", "./digest/...", "github.com/klauspost/compress/gzip", "github.com/transparency-dev/merkle/..."},
		"digest proves objects and bytes, so that an auditor's tool needs nothing of the rest",
	},
	{
		"./obs/dirobs/...",
		[]string{"std", "./obs", "./internal/vfs"},
		"a bucket knows no trace; dirobs reaches files through the seam that tests can break",
	},
	{
		"./obs/s3obs/...",
		[]string{"std", "./obs", "github.com/aws/aws-sdk-go-v2/...", "github.com/aws/smithy-go/..."},
		"a bucket knows no trace; only s3obs needs an SDK",
	},
	{"./obs/obstest/...", []string{"std", "./obs", "github.com/google/go-cmp/..."}, "a bucket knows no trace"},
	{"./obs/...", []string{"std", "./obs"}, "a bucket knows no trace"},
	{
		"./internal/vfs/...",
		[]string{"std", "./internal/vfs", "golang.org/x/sys/..."},
		"the file seam stands between the stores and the system, and knows neither traces nor objects",
	},
	{
		"./internal/...",
		[]string{"std", "./internal/...", "github.com/google/uuid", "github.com/klauspost/compress/...", "golang.org/x/..."},
		"what lies below the domain package must not know it",
	},
	{
		"./store/internal/...",
		[]string{
			"std", "./internal/...", "./store/internal/...",
			"github.com/google/uuid", "github.com/klauspost/compress/...", "golang.org/x/sync/...", "golang.org/x/sys/...",
		},
		"formats work on bytes and positions, so that they can be tested and read without a trace",
	},
	{
		"./store/storetest/...",
		append([]string{"./obs/...", "./store/storetest/...", "./store/memstore", "github.com/google/go-cmp/..."}, arrowCTS...),
		"the suite tests any store through the interface alone",
	},
	{
		"./store/...",
		append([]string{"./store/internal/...", "./store/filestore/internal/...", "golang.org/x/sys/..."}, arrowCTS...),
		"a store imports cts and what cts imports, never another store",
	},
	{
		"./capture/ctshttp/...",
		append([]string{"./capture/internal/...", "github.com/felixge/httpsnoop"}, arrowCTS...),
		"a middleware is linked into every service, so it brings next to nothing with it",
	},
	{"./capture/...", append([]string{"./capture/internal/..."}, arrowCTS...), "capture imports cts and what cts imports"},
	{"./policy/...", arrowCTS, "policy imports cts and what cts imports"},
	{"./trackers/...", arrowCTS, "trackers imports cts and what cts imports"},
	{"./notify/...", arrowCTS, "notify imports cts and what cts imports"},
	{
		"./ctsapi/...",
		append([]string{"./ctsapi/...", "./trackers", "./notify"}, arrowCTS...),
		"the REST face stands on a Reader and the registry, not on a store",
	},
	{
		"./ctstest/...",
		append([]string{"./obs/...", "./store/...", "./capture/...", "./ctstest/...", "github.com/google/go-cmp/..."}, arrowCTS...),
		"ctstest is for users' tests and stays light",
	},
	{"./cmd/...", []string{"any"}, ""},
	{"./examples/...", []string{"any"}, ""},
}

// arrowBelow are the folders that cts itself stands on. Their tests do not
// look upwards either, or a fault above would hide one below.
var arrowBelow = []string{"./obs/...", "./digest/...", "./redact/...", "./internal/...", "./store/internal/..."}

// arrowInTests is what tests may import beside this module and the standard
// library.
var arrowInTests = []string{
	"github.com/google/go-cmp/...", "github.com/google/uuid", "github.com/klauspost/compress/...",
	"github.com/felixge/httpsnoop", "github.com/aws/aws-sdk-go-v2/...", "github.com/aws/smithy-go/...",
	"github.com/transparency-dev/merkle/...",
	"golang.org/x/sync/...", "golang.org/x/sys/...",
}

// arrowLight are the packages that a service links to keep its trail on a disk.
// They bring no SDK and no test code with them.
var arrowLight = []string{".", "./obs/dirobs", "./store/memstore", "./store/filestore", "./capture/ctshttp"}

var arrowNotLinked = []string{"github.com/aws/...", "github.com/google/go-cmp/...", "testing", "net/http/httptest"}

// arrowPackage is the part of `go list -json` that the rules look at.
type arrowPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

func TestImportArrows(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the import arrows are checked with go list, and there is no go tool here")
	}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) {
			t.Parallel()
			pkgs := arrowList(t, goTool, goos)
			if !slices.ContainsFunc(pkgs, func(p arrowPackage) bool { return p.ImportPath == arrowModule }) {
				t.Fatalf("go list shows %d packages, and %s is not among them", len(pkgs), arrowModule)
			}
			for _, fault := range arrowFaults(pkgs) {
				t.Error(fault)
			}
		})
	}
}

// TestImportArrowsFire keeps the check above honest: each of these packages
// breaks exactly one rule.
func TestImportArrowsFire(t *testing.T) {
	tests := []struct {
		name string
		pkg  arrowPackage
		want string
	}{
		{"root imports a backend", arrowPackage{ImportPath: ".", Imports: []string{"./obs/memobs"}}, "imports no backend"},
		{"obs imports cts", arrowPackage{ImportPath: "./obs", Imports: []string{"."}}, "knows no trace"},
		{"obs imports another module", arrowPackage{ImportPath: "./obs/memobs", Imports: []string{"github.com/google/uuid"}}, "knows no trace"},
		{"redact imports obs", arrowPackage{ImportPath: "./redact", Imports: []string{"./obs"}}, "stands alone"},
		{"digest imports cts", arrowPackage{ImportPath: "./digest", Imports: []string{"."}}, "objects and bytes"},
		{"seam imports cts", arrowPackage{ImportPath: "./internal/vfs", Imports: []string{"."}}, "file seam"},
		{"format imports cts", arrowPackage{ImportPath: "./store/internal/frame", Imports: []string{"."}}, "without a trace"},
		{"store imports store", arrowPackage{ImportPath: "./store/filestore", Imports: []string{"./store/memstore"}}, "never another store"},
		{"API imports a store", arrowPackage{ImportPath: "./ctsapi", Imports: []string{"./store/memstore"}}, "not on a store"},
		{"testing in the library", arrowPackage{ImportPath: "./policy", Imports: []string{"testing"}}, "imports testing"},
		{"test looks upwards", arrowPackage{ImportPath: "./obs", XTestImports: []string{"."}}, "test of ./obs"},
		{"test imports a framework", arrowPackage{ImportPath: ".", TestImports: []string{"example.org/assert"}}, "example.org/assert"},
		{"SDK is linked", arrowPackage{ImportPath: "./store/filestore", Deps: []string{"github.com/aws/smithy-go/io"}}, "links"},
		{"folder without a rule", arrowPackage{ImportPath: "./elsewhere/deep"}, "no rule"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			faults := arrowFaults([]arrowPackage{tt.pkg.absolute()})
			if len(faults) != 1 || !strings.Contains(faults[0], tt.want) {
				t.Errorf("faults = %q, want exactly one that says %q", faults, tt.want)
			}
		})
	}
	allowed := []arrowPackage{
		{ImportPath: ".", Imports: []string{"./obs", "encoding/json", "github.com/klauspost/compress/zstd"}, XTestImports: []string{"./store/memstore"}},
		{ImportPath: "./store/storetest", Imports: []string{"testing", ".", "github.com/google/go-cmp/cmp"}},
		{ImportPath: "./obs/s3obs", Imports: []string{"./obs", "github.com/aws/aws-sdk-go-v2/aws"}, Deps: []string{"github.com/aws/smithy-go"}},
		{ImportPath: "./cmd/cts", Imports: []string{"./store/filestore", "./obs/s3obs"}},
	}
	for _, p := range allowed {
		if faults := arrowFaults([]arrowPackage{p.absolute()}); len(faults) != 0 {
			t.Errorf("%s: faults = %q, want none", p.ImportPath, faults)
		}
	}
}

// absolute returns p with the import paths that go list would show.
func (p arrowPackage) absolute() arrowPackage {
	p.ImportPath = arrowImportPath(p.ImportPath)
	for _, list := range []*[]string{&p.Imports, &p.TestImports, &p.XTestImports, &p.Deps} {
		*list = slices.Clone(*list)
		for i, s := range *list {
			(*list)[i] = arrowImportPath(s)
		}
	}
	return p
}

// arrowList asks the go tool for every package of the module as goos sees it.
func arrowList(t *testing.T, goTool, goos string) []arrowPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), goTool, "list", "-e",
		"-json=ImportPath,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0", "GOWORK=off")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var pkgs []arrowPackage
	for dec := json.NewDecoder(&stdout); ; {
		var p arrowPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

// arrowFaults returns one sentence for each import that breaks a rule.
func arrowFaults(pkgs []arrowPackage) []string {
	var faults []string
	for _, p := range pkgs {
		folder := arrowFolder(p.ImportPath)
		i := slices.IndexFunc(arrowRules, func(a arrow) bool { return arrowMatch(a.from, folder) })
		if i < 0 {
			faults = append(faults, fmt.Sprintf("%s: no rule says what it may import: add one to arrowRules and to .golangci.yml", folder))
			continue
		}
		isSuite := strings.HasSuffix(path.Base(folder), "test")
		for _, imp := range p.Imports {
			switch to := arrowFolder(imp); {
			case arrowAny([]string{"testing/...", "net/http/httptest"}, to) && !isSuite:
				faults = append(faults, fmt.Sprintf("%s imports %s: only tests and packages named …test do", folder, to))
			case !arrowAny(arrowRules[i].may, to):
				faults = append(faults, fmt.Sprintf("%s imports %s: %s", folder, to, arrowRules[i].because))
			}
		}
		faults = append(faults, arrowTestFaults(folder, append(p.TestImports, p.XTestImports...))...)
		if !slices.Contains(arrowLight, folder) {
			continue
		}
		for _, dep := range p.Deps {
			if arrowAny(arrowNotLinked, dep) {
				faults = append(faults, fmt.Sprintf("%s links %s: a service that imports it must not carry that", folder, dep))
			}
		}
	}
	return faults
}

func arrowTestFaults(folder string, imports []string) []string {
	var faults []string
	below := arrowAny(arrowBelow, folder)
	for _, imp := range imports {
		to := arrowFolder(imp)
		ours := to != imp
		switch {
		case ours && below && !arrowAny(arrowBelow, to):
			faults = append(faults, fmt.Sprintf("a test of %s imports %s, which stands above it", folder, to))
		case !ours && !arrowAny([]string{"std"}, to) && !arrowAny(arrowInTests, to):
			faults = append(faults, fmt.Sprintf("a test of %s imports %s: tests use the standard library, and go-cmp for diffs", folder, to))
		}
	}
	return faults
}

// arrowFolder turns an import path of this module into its folder, "." or
// "./…", and leaves others alone.
func arrowFolder(importPath string) string {
	if rest, ok := strings.CutPrefix(importPath, arrowModule); ok && (rest == "" || rest[0] == '/') {
		return "." + rest
	}
	return importPath
}

// arrowImportPath is the inverse of arrowFolder.
func arrowImportPath(folder string) string {
	if rest, ok := strings.CutPrefix(folder, "."); ok {
		return arrowModule + rest
	}
	return folder
}

func arrowAny(patterns []string, to string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return arrowMatch(p, to) })
}

func arrowMatch(pattern, to string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return to == prefix || strings.HasPrefix(to, prefix+"/")
	}
	switch pattern {
	case "any":
		return true
	case "std":
		// The first element of every other path has a dot.
		first, _, _ := strings.Cut(to, "/")
		return !strings.Contains(first, ".")
	}
	return pattern == to
}
