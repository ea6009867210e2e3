package core

import (
	"context"
)

// A Gate is a lock that a task of a lock-based model holds while it runs, such as an
// interpreter lock. A worker acquires it before it runs a task and releases it after.
type Gate interface {
	// Block releases the gate, calls wait and acquires the gate again.
	Block(wait func())
	// Yield releases the gate and acquires it again if another task has asked for
	// it.
	Yield()
	// Free calls compute, without the gate if the model lets code run outside of
	// it. The task holds the gate when Free returns.
	Free(compute func())
}

// Blocking calls wait, in which the task only waits: for a reply, a disk, a
// timer, another task. Models with a lock let the next task run meanwhile: an
// emulated interpreter lock is released, an event loop takes its next task. On
// the other models, and outside of a task, Blocking only calls wait.
func Blocking(ctx context.Context, wait func()) {
	if w := WorkerOf(ctx); w != nil && w.Gate != nil {
		w.Gate.Block(wait)
		return
	}
	wait()
}

// Checkpoint lets another task of a lock-based model run if it is that task's turn. A
// task that computes for long calls it about every 100 microseconds, as an interpreter
// does between its instructions. On models without a lock, and outside of a task, it
// does nothing.
func Checkpoint(ctx context.Context) {
	if w := WorkerOf(ctx); w != nil && w.Gate != nil {
		w.Gate.Yield()
	}
}

// NoGIL calls compute, which stands for code that does not need the interpreter, such
// as an extension in C or Cython that has released Python's lock. An emulated
// interpreter lock is released meanwhile, so such sections run in parallel. On an
// event loop, on models without a lock, and outside of a task, NoGIL only calls
// compute.
func NoGIL(ctx context.Context, compute func()) {
	if w := WorkerOf(ctx); w != nil && w.Gate != nil {
		w.Gate.Free(compute)
		return
	}
	compute()
}
