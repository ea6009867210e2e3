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

// MarkReady records when a reply that the task has waited for was ready: the task sent
// its request at asked, and the reply was ready at ready. Both are stamps of this host; a
// server puts ready into its reply. The time from asked to ready is that of the server.
// In the time from ready until now the task could have run but did not, which is how a
// busy processor makes I/O slow.
//
// It is called on the goroutine that waited, right after the wait. While no execution
// trace is being recorded it costs a nanosecond.
func MarkReady(ctx context.Context, asked, ready Stamp) { core.MarkReady(ctx, asked, ready) }
