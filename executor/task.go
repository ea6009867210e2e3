package executor

import (
	"context"
	"fmt"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/wire"
)

// A Task is a named function that every backend can run. Where memory is shared
// its argument and its result are passed as they are. For another process they are
// encoded: a type that declares binary, gob, JSON or text methods by these methods, any
// other type by its parts. A value in an interface can be encoded if its type is built
// of predeclared types or was given to [Register]. Channels, functions, locks and
// structs with private fields that contain pointers cannot be encoded, and are reported
// with [ErrEncode].
//
// A closure cannot be encoded either. So a task that is to run in another process is
// declared once, at package level, and uses only its argument.
//
// A Task is immutable and safe for concurrent use.
type Task[In, Out any] core.Task[In, Out]

// NewTask declares a task. The name identifies it in worker processes and in
// every report, so it must be unique in the program. By convention it is the name of
// the program or package that it belongs to, or starts with that name and a dot.
//
// The context that fn receives ends when the task is cancelled, when the context
// that it was submitted with ends, and when fn returns. In a worker process it has
// neither the values nor the deadline of the submission's context. It also tells
// [Blocking] and [Checkpoint] which worker the task runs on.
//
// NewTask panics if fn is nil or if the name is empty, longer than 1,024 bytes, not
// valid UTF-8, or has a control character.
func NewTask[In, Out any](name string, fn func(context.Context, In) (Out, error)) *Task[In, Out] {
	return (*Task[In, Out])(core.NewTask(name, fn))
}

func (t *Task[In, Out]) core() *core.Task[In, Out] { return (*core.Task[In, Out])(t) }

// Name returns the name that the task was declared with.
func (t *Task[In, Out]) Name() string { return t.core().Name() }

// Submit submits one call of the task to ex and returns its future. It blocks only if
// the executor has a bounded queue that is full, and the policy [Block]. Every error is
// reported by the future. The end of ctx cancels the task, so ctx should live as long as
// the result is wanted. The caller must not change the argument until the future is
// done. Submit panics if ctx or the task is nil.
func (t *Task[In, Out]) Submit(ctx context.Context, ex *Executor, in In) *Future[Out] {
	return (*Future[Out])(t.core().Submit(ctx, ex.raw(), in))
}

// Idempotent returns the same task, declared to do no harm if it is run again after its
// worker was lost. When a worker process is lost, the call that it ran is given to
// another worker, at most twice.
func (t *Task[In, Out]) Idempotent() *Task[In, Out] {
	return (*Task[In, Out])(t.core().Idempotent())
}

// Timeout returns the same task with a time limit, counted from when it starts to run:
// the time that it waits in the queue, or behind other tasks, does not count. When the
// limit has passed, the task's context ends with a *[TimeoutError] as its cause, and the
// future reports that error. If the task returns a result after that, the future has the
// result. A worker process
// whose task has not returned Config.CancelGrace after the limit is killed and replaced,
// and the task is not run again, also if it is idempotent. Inside the process a task
// cannot be killed: its future is done when it returns. [Map] and [Results] submit each
// input of such a task by itself. Timeout panics if limit is not above 0.
func (t *Task[In, Out]) Timeout(limit time.Duration) *Task[In, Out] {
	return (*Task[In, Out])(t.core().Timeout(limit))
}

// With returns the task together with its argument.
func (t *Task[In, Out]) With(in In) Job {
	if t == nil {
		panic(fmt.Sprintf("executor: With of a nil task, a %T: NewTask makes tasks", t))
	}
	return job[In, Out]{t, in}
}

// Go submits a function that is not a task, such as a closure, to ex. It needs a backend
// that shares memory; on any other the future fails with an error that wraps
// [ErrUnsuitable]. Reports and errors name the function as the compiler does. Apart from
// that Go is like [Task.Submit]. Go panics if ctx or fn is nil.
func Go[Out any](ctx context.Context, ex *Executor, fn func(context.Context) (Out, error)) *Future[Out] {
	if fn == nil {
		panic("executor: Go was given a nil function")
	}
	var refused error
	if ex != nil && ex.Traits()&SharedMemory == 0 {
		refused = fmt.Errorf("executor: Go on backend %s: %w: a function cannot cross to its workers; declare a task with NewTask", ex.Backend(), ErrUnsuitable)
	}
	return (*Future[Out])(core.Go(ctx, ex.raw(), fn, refused))
}

// An AnyTask is a *[Task] of any types, so that tasks can be in one list.
type AnyTask interface {
	// Name returns the name that the task was declared with.
	Name() string
	sealedTask
}

type sealedTask = core.SealedTask

// A Job is a task with its argument, of any types. It can be run any number of times.
// [Task.With] makes it. It is immutable and safe for concurrent use.
type Job interface {
	// Task returns the task.
	Task() AnyTask
	// Start submits the task and returns at once; see [Task.Submit].
	Start(ctx context.Context, ex *Executor) AnyFuture

	core() core.Job
}

type job[In, Out any] struct {
	task *Task[In, Out]
	in   In
}

func (j job[In, Out]) Task() AnyTask { return j.task }

func (j job[In, Out]) Start(ctx context.Context, ex *Executor) AnyFuture {
	return j.task.Submit(ctx, ex, j.in)
}

func (j job[In, Out]) core() core.Job { return j.task.core().With(j.in) }

// Register makes a type known to worker processes, so that its values can be encoded
// when they are in an any, an error or another interface. It is called in every process
// before [Main], preferably in an init function. Registering a type twice is harmless.
// Register panics if another type has the same full name.
func Register[T any]() { wire.Register[T]() }
