package results

// Usage is what processes have used up: of one, since it was started, or of
// several, in the measured part. To add a counter, add it here and to counters,
// and read it in package profile.
type Usage struct {
	UserNS              int64 `json:"user_ns"`
	SystemNS            int64 `json:"system_ns"`
	VoluntarySwitches   int64 `json:"voluntary_switches"`
	InvoluntarySwitches int64 `json:"involuntary_switches"`
	GCCycles            int64 `json:"gc_cycles"`
	// MaxRSSBytes is the peak of memory; of several processes, the sum of theirs.
	MaxRSSBytes int64 `json:"max_rss_bytes"`

	// RunQueueNS is how long threads that could have run waited for the system
	// to give them a processor; of threads that have ended nothing is known.
	// It is zero where the system does not tell, and in timed trials, which do not
	// ask.
	RunQueueNS int64 `json:"run_queue_ns,omitempty"`
}

// counters are those that grow: all but the peak.
func (u *Usage) counters() [6]*int64 {
	return [...]*int64{&u.UserNS, &u.SystemNS, &u.VoluntarySwitches, &u.InvoluntarySwitches, &u.GCCycles, &u.RunQueueNS}
}

// Since returns what was used from earlier to u. The peak of memory is u's.
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

// Over returns the mean of n times. The peak of memory stays.
func (u Usage) Over(n int) Usage {
	for _, c := range u.counters() {
		*c /= int64(n)
	}
	return u
}

// CPUNS is the processor time.
func (u Usage) CPUNS() int64 { return u.UserNS + u.SystemNS }
