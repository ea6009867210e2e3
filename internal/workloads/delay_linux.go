package workloads

import (
	"syscall"
	"time"
)

// sleepExactly sleeps in the system call, which keeps time to about 50 µs; a
// timer of the Go runtime may be a millisecond late in an idle process.
func sleepExactly(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	for syscall.Nanosleep(&ts, &ts) == syscall.EINTR {
	}
}
