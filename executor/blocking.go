package executor

import (
	"context"

	"github.com/f3f4c0de/harness/internal/core"
)

// Blocking calls wait, in which the task only waits: for a reply, a disk, a timer,
// another task. Models with a lock let the next task run meanwhile: an emulated
// interpreter lock is released, an event loop takes its next task. On the other
// models, and outside of a task, Blocking only calls wait.
func Blocking(ctx context.Context, wait func()) { core.Blocking(ctx, wait) }

// Checkpoint lets another task of a model with a lock run if it is that task's turn. A
// task that computes for long calls it about every 100 microseconds, as an interpreter
// does between its instructions. On models without a lock, and outside of a task, it
// does nothing.
func Checkpoint(ctx context.Context) { core.Checkpoint(ctx) }

// NoGIL calls compute, which stands for code that does not need the interpreter, such as
// an extension in C or Cython that has released Python's lock. An emulated interpreter
// lock is released meanwhile, so such sections run in parallel. On an event loop, on
// models without a lock, and outside of a task, NoGIL only calls compute.
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
