package core

import (
	"context"
	"fmt"
	"time"

	"github.com/f3f4c0de/harness/internal/fault"
)

// A Future is one task's pending result. The zero Future is not usable;
// [Task.Submit] makes them. All methods are safe for concurrent use.
type Future[Out any] struct {
	sealedFuture
	out Out
}

// Wait blocks until the task is done or ctx ends. Then it returns the task's
// result, or the error that tells why there is none:
//
//   - *[fault.TaskError]: the function returned an error
//   - *[fault.PanicError]: the function panicked
//   - *[fault.TimeoutError]: the time limit of the task has passed
//   - [fault.ErrCancelled]: Cancel was called
//   - the cause of the context that the task was submitted with, if that ended
//   - *[fault.WorkerLostError], *[fault.InitError], [fault.ErrClosed], [fault.ErrFull],
//     [fault.ErrEncode], [fault.ErrUnknownTask], [fault.ErrQuarantined]: the backend
//     could not run the task
//
// If ctx ends first, Wait returns context.Cause(ctx) and the task goes on. A
// task that waits for another passes its own context. If the other can never run,
// because all workers wait in the same way, Wait returns an error that wraps
// [fault.ErrNested].
func (f *Future[Out]) Wait(ctx context.Context) (Out, error) {
	if err := f.call.wait(ctx); err != nil {
		var zero Out
		return zero, err
	}
	if err := f.call.failure(); err != nil {
		var zero Out
		return zero, err
	}
	return f.out, nil
}

// Done returns a channel that is closed when the task is done. It may be used
// in a select together with other channels. A task that waits for the channel does so
// in [Blocking], but such a wait is not tracked, so a deadlock is not detected: prefer
// Wait.
func (f *Future[Out]) Done() <-chan struct{} { return f.call.Done() }

// Cancel tells the task not to run, or to stop. If the task has not started, it
// never will, its future is done with ErrCancelled, and Cancel reports true. If the
// task is running, its context is cancelled and Cancel reports false: the future is
// done when the function returns, or when its worker process has been killed after
// Config.CancelGrace. If the task is done, Cancel does nothing and reports false.
// While the task's argument is being encoded for a worker process, Cancel waits for
// the end of that, so the argument's own encoding methods must not call it.
func (f *Future[Out]) Cancel() bool { return f.call.Cancel(fault.ErrCancelled) }

// State returns how far the task has come. It does not block.
func (f *Future[Out]) State() State { return f.call.State() }

// OnDone calls fn once when the task is done, on a goroutine of its own. If the task
// is already done, it calls fn at once on the caller's goroutine. The callbacks of one
// future are called one after the other, in the order in which they were added, so a
// slow callback delays only those after it. A panic of a callback is reported on the
// default logger of log/slog. Neither a panic nor a call of runtime.Goexit keeps the
// other callbacks from being called. The executor's Close waits for the callbacks, so
// a callback that calls it gets an error.
func (f *Future[Out]) OnDone(fn func(*Future[Out])) { f.call.OnDone(func() { fn(f) }) }

// Err returns the error of a task that is done, and nil before.
func (f *Future[Out]) Err() error { return f.call.Err() }

// Timing returns when the task's phases began and ended, and where it ran. It is
// complete once the task is done, and all zero unless the executor was opened
// with Config.Timing or an Observer.
func (f *Future[Out]) Timing() Timing { return f.call.Timing() }

// Call returns the call behind the future. Its methods that complete it are for
// backends only.
func (f *Future[Out]) Call() *Call { return &f.call }

// An AnyFuture is a *[Future] of any result type. Its methods are those of Future.
type AnyFuture interface {
	Done() <-chan struct{}
	Cancel() bool
	State() State
	Err() error
	Timing() Timing
	Call() *Call
}

// Then returns the future of fn applied to f's result. fn is called once, when
// f is done, as a callback of f. If f fails, the returned future fails with the same
// error and fn is not called. A panic of fn becomes a PanicError. Cancelling the
// returned future does not cancel f.
func Then[Out, Next any](f *Future[Out], fn func(Out) (Next, error)) *Future[Next] {
	d := &derived[Next]{task: f.call.Task()}
	ctx := f.call.ctx
	if ctx.Done() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	d.call.init(ctx, d, 0)
	d.call.site = &Site{Waits: f.call.site.Waits, parent: f.call.site.home()}
	f.OnDone(func(f *Future[Out]) {
		if failed := f.call.failed; failed != nil {
			if d.call.phase.CompareAndSwap(waiting, settling) {
				d.call.finish(failed.error, failed.cancelled)
			}
			return
		}
		d.fn = func() (Next, error) { return fn(f.out) }
		d.call.Run(&Worker{})
	})
	return &d.Future
}

// derived is the call that Then makes.
type derived[Out any] struct {
	Future[Out]
	local
	task string // the name of the task whose result it is derived from
	fn   func() (Out, error)
}

func (d *derived[Out]) name() string { return d.task }

func (d *derived[Out]) run(context.Context) (err error) {
	fn := d.fn
	d.fn = nil
	d.out, err = fn()
	return err
}

// A State is how far a task has come.
type State uint8

// The states of a task. A cancelled task is done, too.
const (
	Pending   State = iota // not started
	Running                // started, not finished
	Done                   // finished, with a result or an error
	Cancelled              // ended because it was cancelled
)

func (s State) String() string {
	names := [...]string{"pending", "running", "done", "cancelled"}
	if int(s) >= len(names) {
		return fmt.Sprintf("State(%d)", s)
	}
	return names[s]
}

// A Timing holds the moments of one task's life. Inside one process Sent
// equals Started and Received equals Ended.
type Timing struct {
	Submitted Stamp // Submit was called
	Sent      Stamp // the backend gave it to a worker
	Started   Stamp // the function began
	Ended     Stamp // the function returned
	Received  Stamp // the result was back with the submitter
	Worker    int   // index of the worker that ran it
	PID       int   // process that ran it
}

// Queue is the time between submission and a worker taking the task.
func (t Timing) Queue() time.Duration { return t.Sent.Sub(t.Submitted) }

// Run is the time inside the task's function.
func (t Timing) Run() time.Duration { return t.Ended.Sub(t.Started) }

// IPC is the time that the task and its result spent between processes,
// including encoding and decoding; zero if the task ran in the submitter's process.
func (t Timing) IPC() time.Duration {
	return t.Received.Sub(t.Sent) - t.Run()
}
