//go:build !linux

package profile

import "time"

const maxRSSUnit = 1 // ru_maxrss is in bytes

// KnowsRunQueue tells whether [Usage] says how long threads waited for a
// processor.
const KnowsRunQueue = false

func runQueueWait() time.Duration { return 0 }

func threadCPU() int64 { return 0 }
