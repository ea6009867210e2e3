package core

import (
	"context"
)

// A Gate is what a task of a lock-based model holds while it runs, such as an
// interpreter lock. A worker enters before it runs a task and leaves after.
type Gate interface {
	// Block leaves the gate, calls wait and enters again.
	Block(wait func())
	// Yield leaves the gate and enters again if somebody else is due.
	Yield()
	// Free leaves the gate if the model lets code run outside of it, calls
	// compute and is inside again when it returns.
	Free(compute func())
}

// Blocking calls wait, in which the task only waits: for a reply, a disk, a
// timer, another task. Models with a lock let the next task run meanwhile: an
// emulated interpreter lock is released, an event loop takes its next task. On
// the other models, and outside of a task, Blocking just calls wait.
func Blocking(ctx context.Context, wait func()) {
	if w := WorkerOf(ctx); w != nil && w.Gate != nil {
		w.Gate.Block(wait)
		return
	}
	wait()
}

// Checkpoint is a place in a long computation where the task may be made to
// hand over to another: call it about every 100 microseconds, as an
// interpreter does between its instructions. On models without a lock, and
// outside of a task, it does nothing.
func Checkpoint(ctx context.Context) {
	if w := WorkerOf(ctx); w != nil && w.Gate != nil {
		w.Gate.Yield()
	}
}

// NoGIL calls compute, which does not need the interpreter: what an extension
// in C or Cython does after it has released Python's lock. An emulated
// interpreter lock is released meanwhile, so such sections run in parallel. An
// event loop has no such thing, and on the models without a lock, and outside
// of a task, NoGIL just calls compute, too.
func NoGIL(ctx context.Context, compute func()) {
	if w := WorkerOf(ctx); w != nil && w.Gate != nil {
		w.Gate.Free(compute)
		return
	}
	compute()
}
