package core

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/wire"
)

// A Task is a named function that every backend can run. Inside a process its
// argument and its result are passed as they are. For another process they are
// encoded: a type that declares binary, gob, JSON or text methods by these methods,
// any other type by its parts. A value in an interface can be encoded if its type is
// built of predeclared types or was given to [wire.Register]. Channels, functions,
// locks and structs with private fields that contain pointers cannot be encoded, and
// are reported with [fault.ErrEncode].
//
// A closure cannot be encoded either. So a task that is to run in another process is
// declared once, at package level, and uses only its argument.
//
// A Task is immutable and safe for concurrent use.
type Task[In, Out any] struct {
	sealedTask
	id         *TaskIdentity
	name       string
	fn         func(context.Context, In) (Out, error)
	in         wire.Codec[In]
	out        wire.Codec[Out]
	idempotent bool
	limit      time.Duration // 0: none

	traits callTraits // of its calls
}

// NewTask declares a task. The name identifies it in worker processes and in
// every report, so it must be unique in the program. By convention it is the
// workload's name, or starts with that name and a dot.
//
// The context that fn receives ends when the task is cancelled, when the
// context it was submitted with ends, and when fn returns. In a worker process
// it has neither the values nor the deadline of the submission's context. It also
// tells [Blocking] and [Checkpoint] which worker the task runs on.
//
// NewTask panics if fn is nil or if the name is empty, longer than 1,024 bytes, not
// valid UTF-8, or has a control character.
func NewTask[In, Out any](name string, fn func(context.Context, In) (Out, error)) *Task[In, Out] {
	checkName(name)
	if fn == nil {
		panic("executor: NewTask of " + name + " needs a function")
	}
	t := &Task[In, Out]{id: identify(name, fn), name: name, fn: fn, in: wire.For[In](), out: wire.For[Out]()}
	if t.in.Foreign {
		t.traits |= foreignInput
	}
	if t.out.Foreign {
		t.traits |= foreignOutput
	}
	t.machine = t
	return t
}

// Name returns the name the task was declared with.
func (t *Task[In, Out]) Name() string { return t.name }

// Identity implements [AnyTask].
func (t *Task[In, Out]) Identity() *TaskIdentity {
	if t == nil {
		return nil
	}
	return t.id
}

// declared panics if the task is nil or zero. Every method that uses the task calls
// it, so that the panic is on the goroutine of the caller.
func (t *Task[In, Out]) declared(use string) {
	if t == nil || t.id == nil {
		panic(fmt.Sprintf("executor: %s of a nil task, a %T: NewTask makes tasks", use, t))
	}
}

// Submit submits one call of the task to ex and returns its future. It blocks only if
// the executor has a bounded queue that is full, and the policy Block. Every error is
// reported by the future. The end of ctx cancels the task, so ctx should live as long
// as the result is wanted. Submit panics if ctx or the task is nil. The caller must
// not change the argument until the future is done.
func (t *Task[In, Out]) Submit(ctx context.Context, ex Executor, in In) *Future[Out] {
	t.declared("Submit")
	p := &pending[In, Out]{task: t, in: in}
	p.call.init(ctx, p, t.traits)
	submit(ctx, ex, &p.call)
	return &p.Future
}

// submit submits a call to ex. ex is nil most often because a task in a worker process
// uses a variable that is set in the submitter's process only.
func submit(ctx context.Context, ex Executor, c *Call) {
	if ctx == nil {
		panic("executor: task " + c.Task() + " was submitted with a nil context")
	}
	if ex != nil {
		ex.Submit(ctx, c)
		return
	}
	err := errors.New("the executor is nil")
	if w := WorkerOf(ctx); w != nil && w.Queues != nil {
		err = fmt.Errorf("%w: the executor is nil, since it stayed in the submitter's process", fault.ErrNested)
	}
	c.Fail(fmt.Errorf("submitting task %s: %w", c.Task(), err), 0, 0)
}

// Idempotent returns the same task, declared to do no harm if it is run again after
// its worker was lost. When a worker process is lost, the call that it ran is given to
// another worker, at most twice.
func (t *Task[In, Out]) Idempotent() *Task[In, Out] {
	t.declared("Idempotent")
	again := *t
	again.idempotent = true
	again.machine = &again
	return &again
}

// Timeout returns the same task with a time limit, counted from when it starts to run:
// the time that it waits in the queue, or in a worker process behind other tasks, does
// not count. When the limit has passed, the task's context ends with a
// [fault.TimeoutError] as its cause, and the future reports that error. If the task
// returns a result after that, the future has the result. A worker process whose task
// has not returned Config.CancelGrace after the limit is killed, and the task is not
// run again. Inside the process a task cannot be killed: its future is done when it
// returns. A batch has one limit for all of its arguments. Timeout panics if limit is
// not positive.
func (t *Task[In, Out]) Timeout(limit time.Duration) *Task[In, Out] {
	t.declared("Timeout")
	if limit <= 0 {
		panic(fmt.Sprintf("executor: task %s was given the time limit %v; want more than 0", t.name, limit))
	}
	within := *t
	within.limit = limit
	within.traits |= limited
	within.machine = &within
	return &within
}

// TimeLimit returns the time limit of the task, or 0 if it has none.
func (t *Task[In, Out]) TimeLimit() time.Duration { return t.limit }

// With returns the task together with its argument.
func (t *Task[In, Out]) With(in In) Job {
	t.declared("With")
	return job[In, Out]{t, in}
}

// A Job is a task with its argument, of any types. It can be run any number of times.
// It is immutable and safe for concurrent use.
type Job interface {
	// Task returns the task.
	Task() AnyTask
	// Start submits the task and returns at once.
	Start(ctx context.Context, ex Executor) AnyFuture
	// Call makes a call without submitting it. It is for those who write a backend.
	Call(ctx context.Context) *Call
}

type job[In, Out any] struct {
	task *Task[In, Out]
	in   In
}

func (j job[In, Out]) Task() AnyTask { return j.task }

func (j job[In, Out]) Start(ctx context.Context, ex Executor) AnyFuture {
	return j.task.Submit(ctx, ex, j.in)
}

func (j job[In, Out]) Call(ctx context.Context) *Call {
	p := &pending[In, Out]{task: j.task, in: j.in}
	p.call.init(ctx, p, j.task.traits)
	return &p.call
}

// Wire implements [AnyTask].
func (t *Task[In, Out]) Wire() string {
	return fmt.Sprintf("a function from %v to %v (%016x, %016x)", reflect.TypeFor[In](), reflect.TypeFor[Out](), t.in.Fingerprint(), t.out.Fingerprint())
}

// KeepsInput implements [AnyTask].
func (t *Task[In, Out]) KeepsInput(batch bool) bool {
	return batch || t.in.Keeps
}

// Incoming implements [AnyTask].
func (t *Task[In, Out]) Incoming(ctx context.Context, batch bool) *Call {
	if batch {
		p := &servedBatch[In, Out]{task: t}
		p.call.init(ctx, p, batched) // no foreign traits: the batch encodes and decodes while it runs
		return &p.call
	}
	p := &pending[In, Out]{task: t}
	p.call.init(ctx, p, t.traits&^limited) // the submitter enforces the limit
	return &p.call
}

// An AnyTask is a *[Task] of any types, so that tasks can be in one list.
type AnyTask interface {
	// Name returns the name that the task was declared with.
	Name() string
	// Identity distinguishes the task from another of the same name. It is nil only
	// if the task is a nil pointer; then no other method may be called.
	Identity() *TaskIdentity
	// Wire describes how arguments and results are encoded. Two processes can
	// exchange them if it is equal in both.
	Wire() string
	// Incoming makes the call that a worker process runs for a single call or
	// for one of [Task.SubmitBatch]. Call.DecodeInput sets its argument.
	Incoming(ctx context.Context, batch bool) *Call
	// KeepsInput reports whether such a call keeps a reference to the bytes that
	// it decodes. If not, they may be reused once the call has run.
	KeepsInput(batch bool) bool
}

// pending is one call of one task: the submitter's future, the backend's call and the
// argument, in one allocation.
type pending[In, Out any] struct {
	Future[Out]
	task *Task[In, Out]
	in   In
}

func (p *pending[In, Out]) name() string { return p.task.name }

func (p *pending[In, Out]) idempotent() bool { return p.task.idempotent }

func (p *pending[In, Out]) timeout() time.Duration { return p.task.limit }

func (p *pending[In, Out]) origin() *TaskIdentity { return p.task.id }

func (p *pending[In, Out]) argument() reflect.Value { return reflect.ValueOf(&p.in).Elem() }

func (p *pending[In, Out]) release() {
	var none In
	p.in = none
}

func (p *pending[In, Out]) run(ctx context.Context) (err error) {
	p.out, err = p.task.fn(ctx, p.in)
	return err
}

func (p *pending[In, Out]) appendInput(b []byte) ([]byte, error) {
	if p.task.in.Foreign {
		if in := p.call.encoded(); in != nil {
			return append(b, in...), nil
		}
	}
	return p.task.in.Append(b, &p.in)
}

func (p *pending[In, Out]) decodeInput(b []byte) error { return p.task.in.Decode(b, &p.in) }

func (p *pending[In, Out]) appendOutput(b []byte) ([]byte, error) {
	return p.task.out.Append(b, &p.out)
}

func (p *pending[In, Out]) inputSize() int  { return p.task.in.Size(&p.in) }
func (p *pending[In, Out]) outputSize() int { return p.task.out.Size(&p.out) }

func (p *pending[In, Out]) encoder() func(*[]byte, *error) {
	in, codec := p.in, p.task.in
	return func(b *[]byte, err *error) { *b, *err = codec.Append(nil, &in) }
}

func (p *pending[In, Out]) keepsOutput() bool { return p.task.out.Keeps || p.task.out.Foreign }

func (p *pending[In, Out]) decodeOutput(b []byte) error {
	return p.task.out.Decode(b, &p.out)
}
