//go:build !linux

package child

import (
	"os"
	"os/exec"
	"time"
)

// residentAnonymous is not known here.
func residentAnonymous(int) int64 { return 0 }

// occupied returns the bytes of a file.
func occupied(info os.FileInfo) int64 { return info.Size() }

// processCPU is not known here.
func processCPU() time.Duration { return 0 }

// apart does nothing here.
func apart(*exec.Cmd) {}

// killAll ends a process.
func killAll(c *exec.Cmd) { _ = c.Process.Kill() } // it may have ended already

// Settle does nothing here.
func Settle() {}
