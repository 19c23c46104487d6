package version_test

import (
	"testing"

	"github.com/cloudtraceservice/cts/bench/peers/internal/version"
)

func TestOfUnknown(t *testing.T) {
	if v := version.Of("example.com/none"); v != "unknown" {
		t.Errorf("version %q of a module that is not linked", v)
	}
}
