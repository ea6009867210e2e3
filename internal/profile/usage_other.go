//go:build !linux

package profile

import "time"

const maxRSSUnit = 1 // ru_maxrss is in bytes

// KnowsRunQueue tells whether [ReadAll] sets RunQueueNS on this system.
const KnowsRunQueue = false

func runQueueWait() time.Duration { return 0 }

// ThreadCPU returns the processor time of the calling thread in nanoseconds, or 0 if the
// system does not tell.
func ThreadCPU() int64 { return 0 }
