package executor

import (
	"context"

	"github.com/f3f4c0de/harness/internal/core"
)

// Blocking calls wait, in which the task only waits: for a reply, a disk, a timer,
// another task. Models with a lock let the next task run meanwhile: an emulated
// interpreter lock is released, an event loop takes its next task. On the other
// models, and outside of a task, Blocking just calls wait.
func Blocking(ctx context.Context, wait func()) { core.Blocking(ctx, wait) }

// Checkpoint is a place in a long computation where the task may be made to hand
// over to another: call it about every 100 microseconds, as an interpreter does
// between its instructions. On models without a lock, and outside of a task, it does
// nothing.
func Checkpoint(ctx context.Context) { core.Checkpoint(ctx) }

// NoGIL calls compute, which does not need the interpreter: what an extension in C
// or Cython does after it has released Python's lock. An emulated interpreter lock is
// released meanwhile, so such sections run in parallel. An event loop has no such
// thing, and on the models without a lock, and outside of a task, NoGIL just calls
// compute, too.
func NoGIL(ctx context.Context, compute func()) { core.NoGIL(ctx, compute) }

// A WorkerInfo tells on which worker a task runs.
type WorkerInfo struct {
	Index  int // of the worker in its executor, from 0
	PID    int // the process that the worker is, or is in
	Thread int // id of the OS thread that the worker has for itself; 0 if it has none, or the system does not tell
}

// CurrentWorker returns the worker that the task with this context runs on. It
// reports false outside of a task.
func CurrentWorker(ctx context.Context) (WorkerInfo, bool) {
	w := core.WorkerOf(ctx)
	if w == nil {
		return WorkerInfo{}, false
	}
	return WorkerInfo{w.Index, w.PID, w.Thread}, true
}
