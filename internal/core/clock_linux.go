package core

import (
	"syscall"
	"unsafe"
)

// StampsCompare reports whether a Stamp of one process may be subtracted from
// a Stamp of another process on the same host.
const StampsCompare = true

// hostClock reads CLOCK_MONOTONIC, the clock that the Go runtime's own
// monotonic readings come from.
func hostClock() int64 {
	const clockMonotonic = 1
	var ts syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		panic("executor: reading CLOCK_MONOTONIC: " + errno.Error()) // the clock exists on every Linux that Go runs on
	}
	return ts.Nano()
}
