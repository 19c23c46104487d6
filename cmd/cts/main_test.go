package main

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// asMain is set where the test binary is to be the command.
const asMain = "CTS_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Whoever pipes the report into a program that ends early, such as head, gets the exit code
// all the same, and not a signal.
func TestClosedPipe(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals of pipes")
	}
	w := newWorld(t)
	if err := os.Remove(w.path("bucket/" + w.file)); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"--json", "--quiet"} {
		r, stdout, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self, "verify", "--key", w.path("public.pem"), format, w.path("bucket"))
		cmd.Env = append(os.Environ(), asMain+"=1")
		cmd.Stdout = stdout
		if err := errors.Join(r.Close(), cmd.Start(), stdout.Close()); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFound {
			t.Errorf("%s: %v", format, err)
		}
	}
}
