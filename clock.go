package harness

import "time"

// A Stamp is a reading of the host's monotonic clock in nanoseconds. On Linux
// it is CLOCK_MONOTONIC, so stamps that two processes of one host took may be
// subtracted; elsewhere see [StampsCompare].
type Stamp int64

var (
	clockBase   = time.Now()
	clockOffset = Stamp(hostClock())
)

// Now reads the clock. It costs one reading of the monotonic clock, allocates
// nothing and is safe for concurrent use.
func Now() Stamp { return clockOffset + Stamp(time.Since(clockBase)) }

// Sub returns the time from t to s.
func (s Stamp) Sub(t Stamp) time.Duration { return time.Duration(s - t) }

// Time returns the wall-clock time at which the stamp was taken, as this
// process sees it. Two processes may disagree about it by the few microseconds
// between their two first readings of the clocks.
func (s Stamp) Time() time.Time { return clockBase.Add(time.Duration(s - clockOffset)) }
