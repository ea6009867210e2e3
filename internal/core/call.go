package core

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/wire"
)

// A Call is one submission of a task, without the task's types. [Executor.Submit]
// receives it. Programs hold the [Future] instead; a Call is for those who write a
// backend.
//
// A backend either runs the call in its own process with [Call.Run], or claims
// it with [Call.Claim], encodes it for another process with [Call.AppendInput] and
// completes it with [Call.Complete] or [Call.Fail]. The first completion
// counts and later ones are ignored. Every call that was submitted must be
// completed.
//
// Note: a Call holds the context that it was submitted with. Usually a context is an
// argument and not a field, because it follows the calls of one goroutine. Here one
// goroutine hands the work to another, and the context must go with it.
type Call struct {
	// Number tells the calls of one executor apart. The Observer sets it.
	Number uint64

	losses  uint8 // workers that were lost while they ran it, unless it is a batch
	began   bool  // it has begun on a worker that was lost
	carried bool  // it was claimed for a worker in another process, see site.Transport
	traits  callTraits
	phase   atomic.Uint32
	body    body
	ctx     context.Context
	site    *Site   // of the executor that it was submitted to
	worker  *Worker // set while it runs in this process
	timing  *Timing // nil if nobody wants to know
	waiters atomic.Pointer[completion]
	failed  *failure // why it failed; written while settling, read once settled
}

// A failure is why a call failed. A Call has a pointer to it because most calls have
// none.
type failure struct {
	error
	cancelled bool // the call failed because it was cancelled
}

// failure returns why a settled call failed, or nil.
func (c *Call) failure() error {
	if c.failed == nil {
		return nil
	}
	return c.failed.error
}

// body does for a call what depends on the types of its task.
type body interface {
	name() string
	idempotent() bool
	timeout() time.Duration // the time limit; only for a call with the trait limited
	run(ctx context.Context) error
	appendInput(b []byte) ([]byte, error)
	decodeInput(b []byte) error
	appendOutput(b []byte) ([]byte, error)
	decodeOutput(b []byte) error
	keepsOutput() bool
	encoder() func(b *[]byte, err *error) // what it returns encodes the argument and sets err at its end; it reads no field of the call
	inputSize() int
	outputSize() int
	origin() *TaskIdentity // nil if the call is not one of a task
	release()              // drops the argument, so that it can be collected
	argument() reflect.Value
}

// callTraits are properties that a call has from its task.
type callTraits uint8

const (
	batched       callTraits = 1 << iota // it is a batch
	foreignInput                         // methods of the program's own encode its argument
	foreignOutput                        // methods of the program's own encode its result
	limited                              // it has a time limit
)

// batch has the methods of a body that only a batch needs.
type batch interface {
	cut() (left int, ok bool)
	stop() // run returns after the argument that it is running
}

// The phases of a call. Only the goroutine that moves it to settling, by
// compare-and-swap, writes its outcome.
const (
	waiting uint32 = iota
	locked         // for a moment, by Encode: no other goroutine may change it
	running
	decoding // methods of the program's own decode its result
	settling
	settled
)

// completed is the completion of every call that was done before its completion was
// first needed.
var completed = func() *completion {
	m := &completion{done: make(chan struct{}), ending: true}
	close(m.done)
	return m
}()

func (c *Call) init(ctx context.Context, b body, t callTraits) {
	c.ctx, c.body, c.traits, c.site = ctx, b, t, &nowhere
}

// Task returns the name of the task, for a batch with [BatchSuffix].
func (c *Call) Task() string {
	if c.Batch() {
		return c.body.name() + BatchSuffix
	}
	return c.body.name()
}

// TaskName returns the name that the task was declared with, also for a batch.
func (c *Call) TaskName() string { return c.body.name() }

// Idempotent reports whether the task may be run again after its worker was lost.
func (c *Call) Idempotent() bool { return c.body.idempotent() }

// Origin returns the identity of the task, which distinguishes it from another task of
// the same name. It is nil for a call that [Then] or [Go] has made.
func (c *Call) Origin() *TaskIdentity { return c.body.origin() }

// Batch reports whether the call is one of [Task.SubmitBatch]. The name that Task
// returns does not tell: that of a single task may end with [BatchSuffix] as well.
func (c *Call) Batch() bool { return c.traits&batched != 0 }

// Cancelled reports whether a call that is done ended because it was cancelled: by
// Cancel, by Stop with a cause, or because the context that it was submitted with was
// cancelled. A deadline that has passed is not a cancellation, and neither is an error
// that the function returned by itself, whichever error that is. Cancelled may be
// called in Observer.End, and by anyone once the call is done.
func (c *Call) Cancelled() bool { return c.failed != nil && c.failed.cancelled }

// Waits returns the wait tracker of the executor that the call was submitted to, or nil
// if it has none.
func (c *Call) Waits() *WaitTracker { return c.site.Waits }

// Worker returns the worker of this process that runs the task, or has run it;
// nil if none has. Only the goroutine that drives the call may call it.
func (c *Call) Worker() *Worker { return c.worker }

// Context returns the context that the task was submitted with.
func (c *Call) Context() context.Context { return c.ctx }

// Enter tells the call to which executor it was submitted, and tells the observer of
// that executor. An executor calls it at the beginning of Submit.
func (c *Call) Enter(site *Site) {
	c.site = site
	obs := site.Observer
	if site.Timing || obs != nil && !obs.Untimed {
		c.timing = newTiming()
		c.timing.Submitted = Now()
	}
	if obs != nil && obs.Submit != nil {
		obs.Submit(c)
	}
}

// timings are allocated 64 at a time, so that observing a call costs no allocation of
// its own. A call that stays reachable keeps all 64 in memory.
type timings struct {
	all  [64]Timing
	used int
}

var spareTimings = sync.Pool{New: func() any { return new(timings) }}

func newTiming() *Timing {
	spare := spareTimings.Get().(*timings)
	t := &spare.all[spare.used]
	if spare.used++; spare.used < len(spare.all) {
		spareTimings.Put(spare)
	}
	return t
}

// Timing returns the moments stamped so far. The goroutine that drives the call may
// call it at any time, everybody else once the call is done.
func (c *Call) Timing() Timing {
	if c.timing == nil {
		return Timing{}
	}
	return *c.timing
}

// State tells how far the call has come. Safe for concurrent use.
func (c *Call) State() State {
	switch c.phase.Load() {
	case waiting, locked:
		return Pending
	case running: // carried was set before the phase, see Claim
		if c.carried && !c.site.Transport.Started(c) && c.phase.Load() <= running {
			return Pending
		}
	case settled:
		if c.Cancelled() {
			return Cancelled
		}
		return Done
	}
	return Running
}

// Err returns the error of a call that is done, and nil before.
func (c *Call) Err() error {
	if c.phase.Load() != settled {
		return nil
	}
	return c.failure()
}

// Done returns a channel that is closed when the call is done.
func (c *Call) Done() <-chan struct{} { return c.completion().done }

// A Transport is what a [Call] needs of a backend whose workers are in other
// processes. Its methods are safe for concurrent use.
type Transport interface {
	// Abort is called when a claimed call is to stop, at most once for a call. It
	// reports true if the task has not started and never will. Otherwise it tells
	// the worker to stop the task. If the call is being encoded, Abort may wait
	// for the end of that.
	Abort(c *Call, cause error) (neverRan bool)

	// Started reports whether a worker has begun to run the task.
	Started(c *Call) bool

	// Cut takes back the arguments of a claimed batch that have not begun; see
	// [Call.Cut].
	Cut(c *Call) (left int, ok bool)
}

// Cut takes back the arguments of a running batch (see [Task.SubmitBatch]) that have
// not begun. They never will, and the batch is done when the arguments before them
// are. left is the number of those, and so the number of Values that the batch will
// have. ok is false if there was nothing to take back: the call is not a batch, waits
// in a queue, is done, or was told to stop. Cut does not block and is safe for
// concurrent use.
func (c *Call) Cut() (left int, ok bool) {
	b, ok := c.body.(batch)
	if !ok || c.phase.Load() != running {
		return 0, false
	}
	if c.carried {
		return c.site.Transport.Cut(c)
	}
	return b.cut()
}

// Wanted reports whether the call is still to be run: it was not cancelled, and the
// context that it was submitted with has not ended. If the context has ended, Wanted
// completes the call, which calls callbacks. So the caller must hold no lock.
func (c *Call) Wanted() bool { return !c.ended() && c.phase.Load() <= locked }

// Claim takes the call for a worker in another process; see [Transport]. It reports
// false if the call was cancelled. From then on the backend must cancel the call if
// the context that it was submitted with ends.
func (c *Call) Claim() bool {
	if !c.carried {
		c.carried = true // before others can see the new phase
	}
	return c.take(running)
}

// take moves a waiting call to another phase, and reports false if the call is not
// waiting any more.
func (c *Call) take(to uint32) bool {
	for !c.phase.CompareAndSwap(waiting, to) {
		if c.phase.Load() > locked {
			return false
		}
	}
	return true
}

// Unclaim makes a claimed call wait again: its task has not started, or may be run
// again. From then on Cancel completes the call.
func (c *Call) Unclaim() { c.phase.CompareAndSwap(running, waiting) }

// Sent stamps the moment at which a claimed call is given to a worker. The call may
// be given to another worker later, as long as it has not started.
func (c *Call) Sent(worker, pid int) {
	if c.timing != nil {
		c.timing.Worker, c.timing.PID, c.timing.Sent = worker, pid, Now()
	}
}

// Interrupted returns why a call that has begun was told to stop, or nil if it was not.
func (c *Call) Interrupted() error {
	m := c.waiters.Load()
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.interrupted
}

// ended reports whether the context has ended before the task started. If so, it
// completes the call.
func (c *Call) ended() bool {
	if c.ctx.Done() == nil || c.ctx.Err() == nil {
		return false
	}
	c.Cancel(context.Cause(c.ctx))
	return true
}

// Run claims the call, runs its task on the calling goroutine as worker w, and
// completes it. A panic of the task is recovered and becomes a PanicError. If the task
// calls runtime.Goexit, Run completes the call with a PanicError and the goroutine
// ends.
func (c *Call) Run(w *Worker) {
	if c.ended() || !c.phase.CompareAndSwap(waiting, running) {
		return
	}
	c.worker = w
	ctx := context.Context((*taskContext)(c))
	if t := c.timing; t != nil {
		t.Worker, t.PID = w.Index, w.PID
		t.Started = Now()
		t.Sent = t.Started
	}
	if obs := c.site.Observer; obs != nil && obs.Start != nil {
		ctx = obs.Start(ctx, c)
	}
	ended := false
	defer func() {
		if ended || c.phase.Load() == settled { // a batch settles itself
			return
		}
		err := fault.Goexit(c.Task())
		if v := recover(); v != nil {
			err = fault.NewPanic(c.Task(), v)
		}
		c.ran(err, false)
	}()
	var err error
	if c.traits&limited == 0 {
		err = c.body.run(ctx)
	} else {
		err = c.runLimited(ctx)
	}
	ended = true
	c.returned(err)
}

// runLimited runs a task that has a time limit.
func (c *Call) runLimited(ctx context.Context) error {
	defer time.AfterFunc(c.body.timeout(), c.Expire).Stop()
	return c.body.run(ctx)
}

// TimeLimit returns how long the task may run, or 0 if it has no time limit. In a
// worker process it is always 0, because the submitter enforces the limit.
func (c *Call) TimeLimit() time.Duration {
	if c.traits&limited == 0 {
		return 0
	}
	return c.body.timeout()
}

// Expire tells a running call to stop because its time limit has passed; the cause is
// a TimeoutError. [Call.Run] calls it by itself. A backend with workers in other
// processes calls Expire when a worker has run the task for its TimeLimit. Expire does
// nothing if the call is done or was told to stop before.
func (c *Call) Expire() {
	if c.phase.Load() != running {
		return
	}
	cause := &fault.TimeoutError{Task: c.TaskName(), Limit: c.TimeLimit()}
	if !c.completion().interrupt(c, cause, true) || !c.carried {
		return
	}
	if c.site.Transport.Abort(c, cause) {
		c.settle(running, cause)
		return
	}
	c.settle(waiting, cause) // its worker was lost, and the claim taken back
}

// returned completes a call whose function has returned in this process.
func (c *Call) returned(err error) {
	cancelled := false
	if err != nil {
		err, cancelled = c.outcome(&fault.TaskError{Task: c.Task(), Err: err})
	}
	c.ran(err, cancelled)
}

// ran completes a call whose function has ended in this process.
func (c *Call) ran(err error, cancelled bool) {
	if t := c.timing; t != nil {
		t.Ended = Now()
		t.Received = t.Ended
	}
	c.finish(err, cancelled) // no compare-and-swap: only Run completes a call that runs in this process
}

// outcome returns the error that a call reports after its function has ended with err,
// and whether the call counts as cancelled. That depends on whether the call was told
// to stop, not on err: if it was not, err is the task's failure even if it is
// context.Canceled. If it was, the outcome is the cause, together with the error of
// the function if that is another one. outcome calls no method of the user's errors.
func (c *Call) outcome(err error) (_ error, cancelled bool) {
	cause, cancelled := c.stopCause()
	if cause == nil {
		return err, false
	}
	switch e := err.(type) { //nolint:errorlint // what it wraps is the user's
	case *fault.TaskError:
		if same(e.Err, cause) || same(e.Err, context.Canceled) || same(e.Err, context.DeadlineExceeded) {
			return cause, cancelled
		}
		return &stoppedError{cause, e}, cancelled
	case *wire.RemoteError: // the worker has replaced the function's error by the cause that it was told
		_, late := cause.(*fault.TimeoutError) //nolint:errorlint // it is never wrapped
		if e.Lists(context.Canceled) || late && e.Lists(context.DeadlineExceeded) {
			return cause, cancelled
		}
	default:
		if same(err, cause) {
			return cause, cancelled
		}
	}
	return err, false
}

// explain returns the error that outcome returns.
func (c *Call) explain(err error) error {
	err, _ = c.outcome(err)
	return err
}

// stopCause returns why the call was told to stop, or nil if it was not, and whether
// that is a cancellation and not a deadline.
func (c *Call) stopCause() (cause error, cancelled bool) {
	if cause = c.Interrupted(); cause == nil {
		if c.ctx.Done() == nil || c.ctx.Err() == nil {
			return nil, false
		}
		cause = context.Cause(c.ctx)
	}
	return cause, c.cancels(cause)
}

// cancels reports whether a call that ends with that cause counts as cancelled. It
// does unless the cause is its time limit, or the deadline of the context that it was
// submitted with.
func (c *Call) cancels(cause error) bool {
	if m := c.waiters.Load(); m != nil && m.expired.Load() {
		return false
	}
	return c.ctx.Done() == nil || !same(c.ctx.Err(), context.DeadlineExceeded) || !same(cause, context.Cause(c.ctx))
}

// same reports whether a and b are the same error. It calls none of their methods, as
// errors.Is would.
func same(a, b error) (equal bool) {
	defer func() { _ = recover() }() // their type may not be comparable
	return a == b                    //nolint:errorlint // as above
}

// A stoppedError is the error of a call that was told to stop and whose function then
// returned an error of its own. It has both.
type stoppedError struct {
	cause error
	err   *fault.TaskError
}

func (e *stoppedError) Error() string   { return fault.Text(e.cause) + ": " + e.err.Error() }
func (e *stoppedError) Unwrap() []error { return []error{e.cause, e.err} }

// InputSize returns how many bytes AppendInput will append if that is known
// beforehand, and 0 if it is not.
func (c *Call) InputSize() int { return c.body.inputSize() }

// OutputSize returns how many bytes AppendOutput will append if that is known
// beforehand, and 0 if it is not.
func (c *Call) OutputSize() int { return c.body.outputSize() }

// KeepsOutput reports whether Complete keeps a reference to the bytes that it is
// given. If not, the caller may reuse them afterwards.
func (c *Call) KeepsOutput() bool { return c.body.keepsOutput() }

// Fail completes a call, claimed or not, with an error. started and ended are
// as for Complete, or zero if the function never ran. If a claimed call was told to
// stop, the future may report that cause and not err; see Cancelled.
func (c *Call) Fail(err error, started, ended Stamp) {
	if c.take(settling) {
		cause, cancelled := c.stopCause()
		c.finish(err, cancelled && same(err, cause))
		return
	}
	if !c.phase.CompareAndSwap(running, settling) {
		return
	}
	c.arrived(started, ended)
	c.finish(c.outcome(err))
}

func (c *Call) arrived(started, ended Stamp) {
	if t := c.timing; t != nil {
		t.Started, t.Ended, t.Received = started, ended, Now()
	}
}

// settle cancels the call if it is in phase from, and reports whether it did.
func (c *Call) settle(from uint32, cause error) bool {
	if from == waiting && !c.take(settling) || from != waiting && !c.phase.CompareAndSwap(from, settling) {
		return false
	}
	c.finish(cause, c.cancels(cause))
	return true
}

// finish settles the call. Only the goroutine that has moved the call to settling, or
// the only one that could, calls it. The argument is not needed any more: whoever
// encodes it has claimed the call, and a claimed call is settled only after that.
func (c *Call) finish(err error, cancelled bool) {
	if err != nil {
		c.failed = &failure{err, cancelled}
	}
	if m := c.waiters.Load(); m != nil && m.argumentRead.Load() {
		m.mu.Lock()
		c.body.release()
		m.mu.Unlock()
	} else {
		c.body.release()
	}
	if obs := c.site.Observer; obs != nil && obs.End != nil {
		obs.End(c, err)
	}
	c.phase.Store(settled)
	// Whoever makes a completion looks at the phase afterwards. So at least one of
	// the two sees what the other did and ends the completion; ending it twice is
	// harmless.
	if m := c.waiters.Load(); m != nil {
		m.end(c)
	}
}

// Cancel completes a call that has not started with cause, or cancels the
// context of a running task with it. It reports whether the task never ran. It may
// report false for a task that never ran if a worker was just giving the call back.
func (c *Call) Cancel(cause error) bool {
	for {
		if c.settle(waiting, cause) {
			return !c.began
		}
		if phase := c.phase.Load(); phase == running {
			break
		} else if phase > running {
			c.settle(decoding, cause) // the decoding methods may never return
			return false
		} // else the claim was taken back just now, or the call is locked: try again
	}
	if !c.completion().interrupt(c, cause, false) || !c.carried {
		return false
	}
	if c.site.Transport.Abort(c, cause) {
		return c.settle(running, cause) && !c.began
	}
	c.settle(decoding, cause)
	return c.settle(waiting, cause) && !c.began
}

// AppendInput appends the encoded argument to b. The error wraps ErrEncode.
func (c *Call) AppendInput(b []byte) ([]byte, error) {
	began := c.coding()
	if began != 0 && c.Encoded() {
		began = 0 // the observer was told by Encode
	}
	b, err := c.body.appendInput(b)
	c.coded(ArgumentEncoded, began)
	if err != nil {
		return b, encodeError("input", c.Task(), err)
	}
	return b, nil
}

// AppendOutput appends the encoded result of a call that Run has completed to b. The
// error wraps ErrEncode.
func (c *Call) AppendOutput(b []byte) ([]byte, error) {
	began := c.coding()
	b, err := c.body.appendOutput(b)
	c.coded(ResultEncoded, began)
	if err != nil {
		return b, encodeError("result", c.Task(), err)
	}
	return b, nil
}

// coding returns the current moment, or 0 if no observer is told of encoding and
// decoding.
func (c *Call) coding() Stamp {
	if obs := c.site.Observer; obs == nil || obs.Coded == nil {
		return 0
	}
	return Now()
}

func (c *Call) coded(what Coding, began Stamp) {
	if began != 0 {
		c.site.Observer.Coded(c, what, began)
	}
}

// encodeError returns the error for an input or a result that cannot be encoded. It
// returns one even if a method of err panics or ends the goroutine.
func encodeError(what, task string, err error) error {
	return fault.Apart(func() error { return fmt.Errorf("%s of task %s %w: %w", what, task, fault.ErrEncode, err) },
		fmt.Errorf("%s of task %s %w: %s", what, task, fault.ErrEncode, fault.Undescribed(err)))
}
