package child

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// residentAnonymous returns the anonymous memory of a process and of those that it
// started, in bytes.
func residentAnonymous(pid int) int64 {
	total := status(fmt.Sprintf("/proc/%d/status", pid), "RssAnon:")
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is right
	for _, t := range tasks {
		text, err := os.ReadFile(t) //nolint:gosec // of /proc
		if err != nil {
			continue // the thread has ended
		}
		for _, child := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(child); err == nil {
				total += residentAnonymous(n)
			}
		}
	}
	return total
}

// status returns a figure in kB of a status file, as bytes.
func status(file, name string) int64 {
	f, err := os.Open(file) //nolint:gosec // of /proc
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }() // it was only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64) // 0 says that there is none
			return kb << 10
		}
	}
	return 0
}

// occupied returns the bytes that a file takes on the disk.
func occupied(info os.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Blocks * 512
	}
	return info.Size()
}

// processCPU returns the processor time that this process has used.
func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// apart puts a process and what it starts into a group of their own, which ends with
// this process.
func apart(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// killAll ends the group of a process.
func killAll(c *exec.Cmd) {
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // it may have ended already
}

// Settle waits until the system has written what is dirty, so that the next contestant
// does not pay for it.
func Settle() { syscall.Sync() }
