//go:build !linux

package profile

import "time"

const maxRSSUnit = 1 // ru_maxrss is in bytes

// KnowsRunQueue tells whether [Usage] says how long threads waited for a
// processor.
const KnowsRunQueue = false

func runQueueWait() time.Duration { return 0 }

// ThreadCPU returns for how many nanoseconds the calling thread has been on a
// processor, or 0 if the system does not tell.
func ThreadCPU() int64 { return 0 }
