package vfs

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

func mapFile(f *os.File, size int) ([]byte, func([]byte) error, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() < int64(size) {
		return nil, nil, errShort(info.Size(), size)
	}
	h, err := windows.CreateFileMapping(windows.Handle(f.Fd()), nil, windows.PAGE_READONLY, 0, 0, nil)
	if err != nil {
		return nil, nil, os.NewSyscallError("CreateFileMapping", err)
	}
	addr, err := windows.MapViewOfFile(h, windows.FILE_MAP_READ, 0, 0, uintptr(size))
	if cerr := windows.CloseHandle(h); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, nil, os.NewSyscallError("MapViewOfFile", err)
	}
	unmap := func([]byte) error { return windows.UnmapViewOfFile(addr) }
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), size), unmap, nil
}
