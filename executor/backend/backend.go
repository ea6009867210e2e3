// Package backend is for those who write a backend of their own: a way to execute
// tasks. Programs that only run tasks need package executor alone.
//
// A backend is a [Backend] value. Its Open may be that of a [Pool], which has the
// machinery of the built-in backends with other settings. Or it returns an [Executor] of
// one's own, which is given calls: submitted tasks, whatever their types. It runs each
// with Call.Run on some goroutine, as some [Worker], and completes it with Call.Fail if it
// cannot. A [Site] holds what the calls of one executor have in common.
//
// The value is handed to executor.OpenBackend or, to be compared with the others, to
// cli.Main. harnesstest.TestBackend checks every promise that a backend makes.
package backend

import "github.com/f3f4c0de/harness/internal/core"

// A Backend is a named way to execute tasks: Name and Doc say what users type and
// what the model does, Shared, Serial, MaxWorkers and GOMAXPROCS what it is like, and
// Open starts an executor.
type Backend = core.Backend

// An Executor runs submitted calls; it is what a Backend opens. Submit takes a call,
// tells it so with Call.Enter, and does not wait for a free worker. Stop takes no more
// calls and cancels those there are if it has a cause. Close waits for those that were
// submitted and releases all that the executor has.
type Executor = core.Executor

// A Manager is an Executor whose workers can be counted (Stats) and changed (Resize).
type Manager = core.Manager

// A Config says how to open a backend. A backend follows Workers, Queue, Full, Init,
// MaxTasksPerWorker, IdleTimeout, Observer and Timing, as far as they mean something to
// it, and refuses what it cannot do.
type Config = core.Config

// A Call is one submitted task on its way through an executor. Every call that was
// submitted must be completed: with Run, which runs its task on the calling goroutine,
// or with Fail. The first completion counts and later ones do nothing.
type Call = core.Call

// A Site is what the calls of an executor have in common: the Observer and the Timing
// of its Config, and the goroutines that Close must wait for. An executor makes one and
// does not change it or copy it.
type Site = core.Site

// A Worker is one worker of an executor as the task that runs on it sees it: its Index
// and PID, and the Gate that the task holds while it runs, if the model has one.
type Worker = core.Worker

// A Gate is what a task of a lock-based model holds while it runs. Blocking, Checkpoint
// and NoGIL of package executor call Block, Yield and Free of the gate of the worker.
type Gate = core.Gate

// Stats are what Manager.Stats tells.
type Stats = core.Stats
