//go:build linux && (amd64 || arm64)

package vfs

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// Of statx(2), which package syscall does not have. The offsets are those of the
// kernel's struct statx, one and the same on every architecture.
const (
	statxSize     = 256
	statxIno      = 32 // offset of stx_ino, 8 bytes
	statxDev      = 136
	statxMaskIno  = 0x100
	atFdCwd       = -100
	atEmptyPath   = 0x1000
	statxAMD64    = 332
	statxNumbered = 291 // arm64 and what came after it
)

// inode is what tells a file from all others on the machine.
type inode struct{ dev, ino uint64 }

// sameInode reports whether a name leads to an open file. It fails with
// [errors.ErrUnsupported] where the kernel is too old to tell.
func sameInode(name string, f *os.File) (bool, error) {
	path, err := syscall.BytePtrFromString(name)
	if err != nil {
		return false, &os.PathError{Op: "statx", Path: name, Err: err}
	}
	named, err := statx(atFdCwd, path, 0)
	if err != nil {
		return false, &os.PathError{Op: "statx", Path: name, Err: err}
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var open inode
	var serr error
	empty := new(byte)
	err = conn.Control(func(fd uintptr) { open, serr = statx(int(fd), empty, atEmptyPath) })
	if err = errors.Join(err, serr); err != nil {
		return false, &os.PathError{Op: "statx", Path: f.Name(), Err: err}
	}
	return named == open, nil
}

func statx(dir int, path *byte, flags uintptr) (inode, error) {
	number := uintptr(statxNumbered)
	if runtime.GOARCH == "amd64" {
		number = statxAMD64
	}
	var buf [statxSize]byte
	for {
		_, _, errno := syscall.Syscall6(number, uintptr(dir), uintptr(unsafe.Pointer(path)), flags, statxMaskIno, uintptr(unsafe.Pointer(&buf)), 0)
		switch errno {
		case 0:
			return inode{dev: binary.NativeEndian.Uint64(buf[statxDev:]), ino: binary.NativeEndian.Uint64(buf[statxIno:])}, nil
		case syscall.EINTR:
		case syscall.ENOSYS, syscall.EPERM: // an old kernel, or a filter for system calls that does not know it
			return inode{}, errors.ErrUnsupported
		default:
			return inode{}, errno
		}
	}
}
