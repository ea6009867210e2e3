package core

import (
	"math"
	"time"
)

// A Stamp is a reading of the host's monotonic clock in nanoseconds. On Linux
// it is CLOCK_MONOTONIC, so stamps that two processes of one host took may be
// subtracted; elsewhere see [StampsCompare].
type Stamp int64

var clockBase, clockOffset = readClocks()

// readClocks reads the runtime's clock and the host's clock at almost the same
// moment. If the process is suspended between the two readings, its stamps differ by
// that time from those of other processes. So readClocks takes several pairs and
// returns the one whose readings are closest together.
func readClocks() (base time.Time, offset Stamp) {
	const near, tries = 2 * time.Microsecond, 20
	best := time.Duration(math.MaxInt64)
	for i := 0; i < tries && best > near; i++ {
		before := hostClock()
		now := time.Now()
		if gap := time.Duration(hostClock() - before); gap < best {
			base, offset, best = now, Stamp(before)+Stamp(gap/2), gap
		}
	}
	return base, offset
}

// Now reads the clock. It costs one reading of the monotonic clock, allocates
// nothing and is safe for concurrent use.
func Now() Stamp { return clockOffset + Stamp(time.Since(clockBase)) }

// Sub returns the time from t to s.
func (s Stamp) Sub(t Stamp) time.Duration { return time.Duration(s - t) }

// Time returns the wall-clock time at which the stamp was taken, as this
// process sees it. Two processes may disagree about it by the few microseconds
// between their two first readings of the clocks.
func (s Stamp) Time() time.Time { return clockBase.Add(time.Duration(s - clockOffset)) }
