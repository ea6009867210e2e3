package profile

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/prometheus/procfs"
)

const maxRSSUnit = 1024 // ru_maxrss is in kilobytes

// KnowsRunQueue tells whether [Usage] says how long threads waited for a
// processor.
const KnowsRunQueue = true

// runQueueWait adds up the second field of every thread's schedstat, the time
// spent waiting on a run queue (Documentation/scheduler/sched-stats.rst).
func runQueueWait() (total time.Duration) {
	threads, err := procfs.AllThreads(os.Getpid())
	if err != nil {
		return 0
	}
	for _, t := range threads {
		if s, err := t.Schedstat(); err == nil { // or it has ended
			total += time.Duration(s.WaitingNanoseconds)
		}
	}
	return total
}

// ThreadCPU returns for how many nanoseconds the calling thread has been on a
// processor, or 0 if the system does not tell.
func ThreadCPU() int64 {
	const clockThreadCPU = 3 // CLOCK_THREAD_CPUTIME_ID
	var ts syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPU, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0
	}
	return ts.Nano()
}
