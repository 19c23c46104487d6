package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/cloudtraceservice/cts/digest"
)

// isTerminal reports whether somebody looks at w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // file descriptors are small
}

// progress shows how far a verification is.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress returns a bar on w.
func newProgress(w io.Writer) progress {
	return progress{progressbar.NewOptions64(1,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetDescription("reading digests"),
	)}
}

// show moves the bar. Digests are found one after the other, so that its end moves too.
func (p progress) show(at digest.Progress) {
	p.bar.Describe(fmt.Sprintf("%d digests, %d of %d files", at.Digests, at.Files, at.Files+at.Pending))
	p.bar.ChangeMax64(at.Files + at.Pending + 1) // never full before the end, for there it would stop
	_ = p.bar.Set64(at.Files)                    // what can't be shown is not shown
}

// clear takes the bar away.
func (p progress) clear() { _ = p.bar.Clear() }
