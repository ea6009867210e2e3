package profile

import (
	"runtime"
	"syscall"

	"github.com/f3f4c0de/harness/internal/results"
)

// Usage is what a process has used up so far.
type Usage = results.Usage

// ReadUsage reads the accounting of this process, but for RunQueueNS. It stops the
// world for some microseconds.
func ReadUsage() (Usage, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return Usage{}, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Usage{
		UserNS:              r.Utime.Nano(),
		SystemNS:            r.Stime.Nano(),
		VoluntarySwitches:   int64(r.Nvcsw),
		InvoluntarySwitches: int64(r.Nivcsw),
		GCCycles:            int64(m.NumGC),
		MaxRSSBytes:         int64(r.Maxrss) * maxRSSUnit,
	}, nil
}

// ReadAll reads the accounting and what the threads waited for a processor. That
// takes some files to be read, so it is not for timed trials.
func ReadAll() (Usage, error) {
	u, err := ReadUsage()
	u.RunQueueNS = runQueueWait().Nanoseconds()
	return u, err
}
