package core

import (
	"context"
	"runtime/trace"
	"strconv"
)

// servedLog is the category under which [MarkReady] writes into the execution
// trace. Those who read the trace know it by this name.
const servedLog = "harness.served"

// MarkReady tells the evidence about a wait that is over: the task asked for
// something at asked and it was there at ready, by stamps of this host; a
// server puts the second into its reply. From asked until ready is the time of
// the one who was asked. What passed since is time in which the task could have
// gone on and did not: on a busy processor that is where I/O becomes slow.
//
// It is called on the goroutine that waited, right after the wait. Unless an
// execution trace is being made it costs a nanosecond.
func MarkReady(ctx context.Context, asked, ready Stamp) {
	if !trace.IsEnabled() {
		return
	}
	b := strconv.AppendInt(make([]byte, 0, 40), int64(asked), 10)
	trace.Log(ctx, servedLog, string(strconv.AppendInt(append(b, ' '), int64(ready), 10)))
}
