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

// A Call is one submitted task on its way through an executor, whatever the
// task's types: what [Executor.Submit] is given. Programs hold the [Future]
// instead; a Call is for those who write a backend.
//
// A backend either runs the call in its own process with [Call.Run], or claims
// it with [Call.Claim], carries it elsewhere with [Call.AppendInput] and
// completes it with [Call.Complete] or [Call.Fail]. The first completion
// counts and later ones are ignored. Every call that was submitted must be
// completed.
//
// Note: a Call holds the context that it was submitted with. A context is kept
// out of structs because it should follow the flow of calls; here the flow
// itself is handed from one goroutine to another, and the Call is the parcel.
type Call struct {
	// Number tells the calls of one executor apart. The Observer sets it.
	Number uint64

	losses  uint8 // workers that were lost while they ran it, unless it is a batch
	began   bool  // on a worker that was lost
	carried bool  // by site.Transport, who has claimed it
	traits  callTraits
	phase   atomic.Uint32
	body    body
	ctx     context.Context
	site    *Site   // where it was submitted to
	worker  *Worker // set while it runs in this process
	timing  *Timing // nil if nobody wants to know
	waiters atomic.Pointer[completion]
	failed  *failure // why it failed; written while settling, read once settled
}

// A failure is why a call failed, behind one pointer: few calls have one.
type failure struct {
	error
	cancelled bool // a cancellation has decided it
}

// failure returns why a settled call failed, or nil.
func (c *Call) failure() error {
	if c.failed == nil {
		return nil
	}
	return c.failed.error
}

// body is what a call needs of its task's types.
type body interface {
	name() string
	idempotent() bool
	timeout() time.Duration // of a call that is limited
	run(ctx context.Context) error
	appendInput(b []byte) ([]byte, error)
	decodeInput(b []byte) error
	appendOutput(b []byte) ([]byte, error)
	decodeOutput(b []byte) error
	keepsOutput() bool
	encoder() func(b *[]byte, err *error) // encodes the argument, and looks at no field of the call; err is set once it has
	inputSize() int
	outputSize() int
	origin() *TaskIdentity // nil if it is no task's
	release()              // lets go of the argument
	argument() reflect.Value
}

// callTraits are what is known of a call from its task.
type callTraits uint8

const (
	batched       callTraits = 1 << iota // it is a batch
	foreignInput                         // methods of the program's own encode its argument,
	foreignOutput                        // and its result
	limited                              // it has a time limit
)

// batch is what a call of several arguments has beside.
type batch interface {
	cut() (left int, ok bool)
	stop() // run returns after the argument that it is at
}

// The phases of a call. Whoever moves it to settling, by compare-and-swap, is
// the only one to write its outcome.
const (
	waiting uint32 = iota
	held           // by Encode, for a moment: nobody may touch it
	running
	decoding // its result, by methods of the program's own
	settling
	settled
)

// completed stands in for the completion of a call that was done before anybody asked.
var completed = func() *completion {
	m := &completion{done: make(chan struct{}), ending: true}
	close(m.done)
	return m
}()

func (c *Call) init(ctx context.Context, b body, t callTraits) {
	c.ctx, c.body, c.traits, c.site = ctx, b, t, &nowhere
}

// Task returns the name of the task.
func (c *Call) Task() string {
	if c.Batch() {
		return c.body.name() + BatchSuffix
	}
	return c.body.name()
}

// TaskName returns the name that the task was declared with.
func (c *Call) TaskName() string { return c.body.name() }

// Idempotent reports whether the task may be run again after it was cut short.
func (c *Call) Idempotent() bool { return c.body.idempotent() }

// Origin returns which task it is, which tells it from another of the same name;
// nil for what [Then] has made.
func (c *Call) Origin() *TaskIdentity { return c.body.origin() }

// Batch reports whether the call is one of [Task.SubmitBatch]. The name that Task
// returns ends with [BatchSuffix] then, but so may that of a single call's task.
func (c *Call) Batch() bool { return c.traits&batched != 0 }

// Cancelled reports whether a call that is done was cancelled: whether Cancel, a
// Stop with a cause or a cancellation of the context that it was submitted with
// has decided its outcome. A deadline that has passed is no cancellation, nor is
// an error of the function's own, whichever that is. It is for Observer.End, and
// for anyone once the call is done.
func (c *Call) Cancelled() bool { return c.failed != nil && c.failed.cancelled }

// Waits returns the tracker of the workers that the call was submitted to, or nil if they do not
// wait for each other.
func (c *Call) Waits() *WaitTracker { return c.site.Waits }

// Worker returns the worker of this process that runs the task, or has run it;
// nil if none has. It is for the goroutine that drives the call.
func (c *Call) Worker() *Worker { return c.worker }

// Context returns the context that the task was submitted with.
func (c *Call) Context() context.Context { return c.ctx }

// Enter tells the call where it was submitted to, and the observer there that
// it was. An executor calls it first thing in Submit.
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

// timings are allocated many at a time, so that watching a call costs no
// allocation. A call that is kept keeps those of its chunk.
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

// Timing returns the moments stamped so far. It is for the goroutine that
// drives the call, and for anyone once the call is done.
func (c *Call) Timing() Timing {
	if c.timing == nil {
		return Timing{}
	}
	return *c.timing
}

// State tells how far the call has come. Safe for concurrent use.
func (c *Call) State() State {
	switch c.phase.Load() {
	case waiting, held:
		return Pending
	case running: // and who claims it has said so before
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

// A Transport is a backend that takes calls to workers elsewhere, as a [Call] sees
// it. Its methods are safe for concurrent use.
type Transport interface {
	// Abort is called, at most once per call, when a claimed call is to stop. It
	// reports true if the task has not started and never will; otherwise it
	// passes the wish on to the worker. It may wait until the call has been
	// encoded, so that it is at a worker.
	Abort(c *Call, cause error) (neverRan bool)

	// Started reports whether a worker has begun to run the task.
	Started(c *Call) bool

	// Cut takes back the arguments of a claimed batch that have not begun; see
	// [Call.Cut].
	Cut(c *Call) (left int, ok bool)
}

// Cut takes back the arguments of a running batch, see [Task.SubmitBatch], that
// have not begun: they never will, and the batch is done with those before them.
// It returns how many those are, which is how many Values the batch will have,
// and whether there was anything to take back: there is nothing in a call that
// is not a batch, waits in a queue, is done, or is told to stop. Cut does not
// wait and is safe for concurrent use.
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

// Wanted reports whether the call is still to run: it was not cancelled, and the
// context it was submitted with has not ended. If that has, the call is completed,
// which calls its callbacks: it is not to be asked with a lock held.
func (c *Call) Wanted() bool { return !c.ended() && c.phase.Load() <= held }

// Claim takes the call for a worker elsewhere, to which the site's Transport
// brings it. It reports false if the call was cancelled. From then on it is
// for the backend to cancel the call if the context ends that it was submitted
// with.
func (c *Call) Claim() bool {
	if !c.carried {
		c.carried = true // before anybody can see that it was claimed
	}
	return c.take(running)
}

// take moves a call that waits to another phase, and reports false if it does not
// wait.
func (c *Call) take(to uint32) bool {
	for !c.phase.CompareAndSwap(waiting, to) {
		if c.phase.Load() > held {
			return false
		}
	}
	return true
}

// Unclaim takes a claim back: the task has not started, or may be run again. From
// then on Cancel completes the call.
func (c *Call) Unclaim() { c.phase.CompareAndSwap(running, waiting) }

// Sent stamps the moment at which a claimed call is given to a worker. It may
// be given to another one later, as long as it has not started.
func (c *Call) Sent(worker, pid int) {
	if c.timing != nil {
		c.timing.Worker, c.timing.PID, c.timing.Sent = worker, pid, Now()
	}
}

// Interrupted returns why a call that has begun is to stop, or nil if it is not.
func (c *Call) Interrupted() error {
	m := c.waiters.Load()
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.interrupted
}

// ended reports whether the context ended before the task started, and then
// completes the call.
func (c *Call) ended() bool {
	if c.ctx.Done() == nil || c.ctx.Err() == nil {
		return false
	}
	c.Cancel(context.Cause(c.ctx))
	return true
}

// Run claims the call, runs its task on the calling goroutine as worker w, and
// completes it. A panic of the task is recovered and becomes a *fault.PanicError. If
// the task calls runtime.Goexit, Run completes the call with a *fault.PanicError and
// the goroutine ends.
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
// worker process it has none: there the submitter sees to it.
func (c *Call) TimeLimit() time.Duration {
	if c.traits&limited == 0 {
		return 0
	}
	return c.body.timeout()
}

// Expire tells a call that runs that its time limit has passed: it is to stop, with a
// fault.TimeoutError as the cause. [Call.Run] sees to that itself; a backend that takes
// calls to workers elsewhere calls Expire when a worker has run the task for its
// TimeLimit. A call that is over, or was told to stop before, is left alone.
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
	c.finish(err, cancelled) // nobody else completes a call that runs here
}

// outcome returns what a call reports whose function has ended with err, and
// whether it was cancelled. Who cancelled decides, and not which error came back:
// if nobody has told the call to stop, err is the task's failure even if it is a
// context.Canceled. If somebody has, the outcome is why, beside what the function
// had to say of its own. No method of an error that is the user's is called.
func (c *Call) outcome(err error) (_ error, cancelled bool) {
	cause, cancelled := c.cut()
	if cause == nil {
		return err, false
	}
	switch e := err.(type) { //nolint:errorlint // what it wraps is the user's
	case *fault.TaskError:
		if same(e.Err, cause) || same(e.Err, context.Canceled) || same(e.Err, context.DeadlineExceeded) {
			return cause, cancelled
		}
		return &cutShort{cause, e}, cancelled
	case *wire.RemoteError: // a worker has put the cause, as it was told, in the place of the function's error
		_, late := cause.(*fault.TimeoutError) //nolint:errorlint // this very one
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

// explain returns the error of outcome.
func (c *Call) explain(err error) error {
	err, _ = c.outcome(err)
	return err
}

// cut returns why the call was told to stop, or nil if it was not, and whether
// that is a cancellation and not a deadline.
func (c *Call) cut() (cause error, cancelled bool) {
	if cause = c.Interrupted(); cause == nil {
		if c.ctx.Done() == nil || c.ctx.Err() == nil {
			return nil, false
		}
		cause = context.Cause(c.ctx)
	}
	return cause, c.cancels(cause)
}

// cancels reports whether to end the call with that cause is a cancellation: it
// is unless the cause is its time limit, or the deadline of the context it was
// submitted with.
func (c *Call) cancels(cause error) bool {
	if m := c.waiters.Load(); m != nil && m.expired.Load() {
		return false
	}
	return c.ctx.Done() == nil || !same(c.ctx.Err(), context.DeadlineExceeded) || !same(cause, context.Cause(c.ctx))
}

// same reports whether a and b are one error, without asking them.
func same(a, b error) (equal bool) {
	defer func() { _ = recover() }() // their type may have no equality
	return a == b                    //nolint:errorlint // as above
}

// A cutShort is what a call reports that was told to stop and whose function then
// returned an error of its own.
type cutShort struct {
	cause error
	err   *fault.TaskError
}

func (e *cutShort) Error() string   { return fault.Text(e.cause) + ": " + e.err.Error() }
func (e *cutShort) Unwrap() []error { return []error{e.cause, e.err} }

// InputSize returns how many bytes AppendInput will append, if that is known
// beforehand, or else 0.
func (c *Call) InputSize() int { return c.body.inputSize() }

// OutputSize returns the same of AppendOutput.
func (c *Call) OutputSize() int { return c.body.outputSize() }

// KeepsOutput reports whether Complete keeps the bytes that it is given. If not,
// they may be used again afterwards.
func (c *Call) KeepsOutput() bool { return c.body.keepsOutput() }

// Fail completes a call, claimed or not, with an error. started and ended are
// as for Complete, or zero if the function never ran. If the call was told to
// stop, it is that which decides; see Cancelled.
func (c *Call) Fail(err error, started, ended Stamp) {
	if c.take(settling) {
		cause, cancelled := c.cut()
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

// finish settles the call. Only one who has moved it to settling calls it, or
// the only one who can. Nobody looks at the argument any more: who encodes it has
// claimed the call, and a claimed call is settled only when that is over.
func (c *Call) finish(err error, cancelled bool) {
	if err != nil {
		c.failed = &failure{err, cancelled}
	}
	if m := c.waiters.Load(); m != nil && m.looked.Load() {
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
	// Who makes a completion looks at the phase afterwards. So one of the two
	// sees what the other did, or both, and ending it twice is harmless.
	if m := c.waiters.Load(); m != nil {
		m.end(c)
	}
}

// Cancel completes a call that has not started with cause, or cancels the
// context of a running task with it. It reports whether the task never ran; if it
// was on its way back from a worker and has been completed by whoever had it, it
// may report false.
func (c *Call) Cancel(cause error) bool {
	for {
		if c.settle(waiting, cause) {
			return !c.began
		}
		if phase := c.phase.Load(); phase == running {
			break
		} else if phase > running {
			c.settle(decoding, cause) // by methods that may never end
			return false
		} // else its claim was taken back just now, or it is held
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

// AppendInput encodes the task's argument onto b. The error wraps fault.ErrEncode.
func (c *Call) AppendInput(b []byte) ([]byte, error) {
	began := c.coding()
	if began != 0 && c.Encoded() {
		began = 0 // it was told before
	}
	b, err := c.body.appendInput(b)
	c.coded(ArgumentEncoded, began)
	if err != nil {
		return b, encodeError("input", c.Task(), err)
	}
	return b, nil
}

// AppendOutput encodes the result of a call that Run has completed onto b. The
// error wraps fault.ErrEncode.
func (c *Call) AppendOutput(b []byte) ([]byte, error) {
	began := c.coding()
	b, err := c.body.appendOutput(b)
	c.coded(ResultEncoded, began)
	if err != nil {
		return b, encodeError("result", c.Task(), err)
	}
	return b, nil
}

// coding returns the moment at which encoding or decoding begins, if anybody
// wants to know.
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

// encodeError is why what cannot be encoded, even if a method of err ends the
// goroutine.
func encodeError(what, task string, err error) error {
	return fault.Apart(func() error { return fmt.Errorf("%s of task %s %w: %w", what, task, fault.ErrEncode, err) },
		fmt.Errorf("%s of task %s %w: %s", what, task, fault.ErrEncode, fault.Undescribed(err)))
}
