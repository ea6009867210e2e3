package harness

import (
	"context"

	"github.com/f3f4c0de/harness/internal/core"
)

// A Stamp is a reading of the host's monotonic clock in nanoseconds. On Linux it is
// CLOCK_MONOTONIC, so stamps that two processes of one host took may be subtracted.
type Stamp = core.Stamp

// Now reads the clock. It costs one reading of the monotonic clock, allocates nothing
// and is safe for concurrent use.
func Now() Stamp { return core.Now() }

// MarkReady tells the evidence about a wait that is over: the task asked for something
// at asked and it was there at ready, by stamps of this host; a server puts the second
// into its reply. From asked until ready is the time of the one who was asked. What
// passed since is time in which the task could have gone on and did not: on a busy
// processor that is where I/O becomes slow.
//
// It is called on the goroutine that waited, right after the wait. Unless an execution
// trace is being made it costs a nanosecond.
func MarkReady(ctx context.Context, asked, ready Stamp) { core.MarkReady(ctx, asked, ready) }
