// Package backend is for programs that define a backend, which is a way to execute
// tasks. Programs that only run tasks need package executor alone.
//
// A backend is a [Backend] value. Its Open may be that of a [Pool], which is the pool of
// the built-in backends with other settings. Or Open returns an [Executor] of the
// program's own. An Executor receives calls, which are submitted tasks of any types. It
// runs each call with Call.Run on one of its goroutines, as one of its workers (see
// [Worker]), or completes it with Call.Fail if it cannot run it. A [Site] has what the
// calls of one executor have in common.
//
// The value is given to executor.OpenBackend, or to cli.Main to compare it with other
// backends. harnesstest.TestBackend checks every promise that a backend makes.
package backend

import "github.com/f3f4c0de/harness/internal/core"

// A Backend is a named way to execute tasks. Name is what users type, and Doc says what
// the model does. Shared, Serial, MaxWorkers and GOMAXPROCS describe its properties.
// Open starts an executor.
type Backend = core.Backend

// An Executor runs submitted calls; Backend.Open returns one. Submit takes a call, first
// of all calls its Enter, and does not wait for a free worker. After Stop the executor
// takes no more calls; Stop with a cause also cancels the calls that it has. Close waits
// for the submitted calls and releases the executor's workers.
type Executor = core.Executor

// A Manager is an Executor that can count its workers (Stats) and change their number
// (Resize).
type Manager = core.Manager

// A Config says how to open a backend. A backend follows Workers, Queue, Full, Init,
// MaxTasksPerWorker, IdleTimeout, Observer and Timing, as far as they apply to it, and
// returns an error for a Config that it cannot follow.
type Config = core.Config

// A Call is one submission of a task. The executor must complete every submitted call:
// with Run, which runs its task on the calling goroutine, or with Fail. The first
// completion counts and later ones do nothing.
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

// Stats are the figures that Manager.Stats returns.
type Stats = core.Stats
