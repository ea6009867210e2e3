package core

import (
	"context"
	"runtime/trace"
	"strconv"
)

// servedLog is the category under which [MarkReady] writes into the execution
// trace. Package trace reads it by this name.
const servedLog = "harness.served"

// MarkReady records when a reply that the task has waited for was ready: the task
// sent its request at asked, and the reply was ready at ready. Both are stamps of this
// host; a server puts ready into its reply. The time from asked to ready is that of
// the server. In the time from ready until now the task could have run but did not,
// which is how a busy processor makes I/O slow.
//
// It is called on the goroutine that waited, right after the wait. While no execution
// trace is being recorded it costs a nanosecond.
func MarkReady(ctx context.Context, asked, ready Stamp) {
	if !trace.IsEnabled() {
		return
	}
	b := strconv.AppendInt(make([]byte, 0, 40), int64(asked), 10)
	trace.Log(ctx, servedLog, string(strconv.AppendInt(append(b, ' '), int64(ready), 10)))
}
