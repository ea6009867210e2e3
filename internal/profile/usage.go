package profile

import (
	"runtime"
	"syscall"
	"time"
)

// Usage is what a process has used up so far.
type Usage struct {
	User                time.Duration `json:"user_ns"`
	System              time.Duration `json:"system_ns"`
	VoluntarySwitches   int64         `json:"voluntary_switches"`
	InvoluntarySwitches int64         `json:"involuntary_switches"`
	GCCycles            int64         `json:"gc_cycles"`
	MaxRSS              int64         `json:"max_rss_bytes"` // peak, not a sum

	// RunQueue is how long threads that could have run waited for the system
	// to give them a processor; of threads that have ended nothing is known.
	// It is zero where the system does not tell, and in what ReadUsage returns.
	RunQueue time.Duration `json:"run_queue_ns"`
}

// ReadUsage reads the accounting of this process. It stops the world for some
// microseconds.
func ReadUsage() (Usage, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return Usage{}, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Usage{
		User:                time.Duration(r.Utime.Nano()),
		System:              time.Duration(r.Stime.Nano()),
		VoluntarySwitches:   int64(r.Nvcsw),
		InvoluntarySwitches: int64(r.Nivcsw),
		GCCycles:            int64(m.NumGC),
		MaxRSS:              int64(r.Maxrss) * maxRSSUnit,
	}, nil
}

// ReadAll reads the accounting and what the threads waited for a processor. That
// takes some files to be read, so it is not for timed trials.
func ReadAll() (Usage, error) {
	u, err := ReadUsage()
	u.RunQueue = runQueueWait()
	return u, err
}

// Since returns what was used from earlier to u. The peak of memory is u's.
func (u Usage) Since(earlier Usage) Usage {
	u.User -= earlier.User
	u.System -= earlier.System
	u.VoluntarySwitches -= earlier.VoluntarySwitches
	u.InvoluntarySwitches -= earlier.InvoluntarySwitches
	u.GCCycles -= earlier.GCCycles
	u.RunQueue -= earlier.RunQueue
	return u
}

// Plus returns what two processes used together.
func (u Usage) Plus(v Usage) Usage {
	u.User += v.User
	u.System += v.System
	u.VoluntarySwitches += v.VoluntarySwitches
	u.InvoluntarySwitches += v.InvoluntarySwitches
	u.GCCycles += v.GCCycles
	u.MaxRSS += v.MaxRSS
	u.RunQueue += v.RunQueue
	return u
}
