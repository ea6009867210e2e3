package results

// Usage is the resource usage of one process since it was started, or of several
// processes in the measured part. To add a counter, add it here and to counters, and
// read it in package profile.
type Usage struct {
	UserNS              int64 `json:"user_ns"`
	SystemNS            int64 `json:"system_ns"`
	VoluntarySwitches   int64 `json:"voluntary_switches"`
	InvoluntarySwitches int64 `json:"involuntary_switches"`
	GCCycles            int64 `json:"gc_cycles"`
	// MaxRSSBytes is the peak of memory, or the sum of the peaks of several
	// processes.
	MaxRSSBytes int64 `json:"max_rss_bytes"`

	// RunQueueNS is how long runnable threads waited for a processor. It does not
	// include threads that have ended. It is zero if the system does not report it,
	// and in timed trials, which do not read it.
	RunQueueNS int64 `json:"run_queue_ns,omitempty"`
}

// counters returns the fields that only grow: all but the peak.
func (u *Usage) counters() [6]*int64 {
	return [...]*int64{&u.UserNS, &u.SystemNS, &u.VoluntarySwitches, &u.InvoluntarySwitches, &u.GCCycles, &u.RunQueueNS}
}

// Since returns the usage from earlier to u. The peak of memory is that of u.
func (u Usage) Since(earlier Usage) Usage {
	for i, n := range earlier.counters() {
		*u.counters()[i] -= *n
	}
	return u
}

// Plus returns what two processes used together.
func (u Usage) Plus(v Usage) Usage {
	for i, n := range v.counters() {
		*u.counters()[i] += *n
	}
	u.MaxRSSBytes += v.MaxRSSBytes
	return u
}

// Over returns the mean usage of n repetitions. The peak of memory stays.
func (u Usage) Over(n int) Usage {
	for _, c := range u.counters() {
		*c /= int64(n)
	}
	return u
}

// CPUNS returns the processor time.
func (u Usage) CPUNS() int64 { return u.UserNS + u.SystemNS }
