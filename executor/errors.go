package executor

import (
	"errors"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/wire"
)

// Errors that a future reports beside the task's own. All are compared with
// errors.Is.
var (
	// ErrCancelled: the task was cancelled, before it ran or while it did.
	ErrCancelled = fault.ErrCancelled
	// ErrShutdown: the task was cancelled by Shutdown. It wraps ErrCancelled.
	ErrShutdown = core.ErrShutdown
	// ErrClosed: the executor was closed before the task was submitted.
	ErrClosed = fault.ErrClosed
	// ErrFull: the executor's queue is full, and it was told to reject then.
	ErrFull = fault.ErrFull
	// ErrNested: a task waits for its own executor, all of whose workers wait
	// likewise, or closes it, or a worker process was to start workers of its own.
	ErrNested = fault.ErrNested
	// ErrQuarantined: three workers were lost, each while it ran this call of an
	// idempotent task. It is not tried again.
	ErrQuarantined = fault.ErrQuarantined
	// ErrBroken: no worker process can be started any more. What is submitted
	// fails; resizing the executor has it try again.
	ErrBroken = fault.ErrBroken
	// ErrOtherProgram: a worker process is not the program that has started it, or
	// knows other tasks.
	ErrOtherProgram = fault.ErrOtherProgram
	// ErrUnknownTask: the worker processes do not know the task: it was not given
	// to Main.
	ErrUnknownTask = fault.ErrUnknownTask
	// ErrEncode: the input or the result cannot cross a process boundary, or its
	// type's own encoding failed or panicked.
	ErrEncode = fault.ErrEncode
	// ErrQueueClosed: the Queue is closed and, for Get, empty.
	ErrQueueClosed = fault.ErrQueueClosed
	// ErrUnsuitable: the backend lacks what Config.Require or Go needs of it, such
	// as shared memory.
	ErrUnsuitable = errors.New("backend unsuitable")
)

// A TaskError is the error that a task's function returned, the same on every
// backend: Task is the task's name and Err the function's error. It wraps Err, so
// errors.Is and errors.As look through it. Where Err comes from another process it
// is a *[RemoteError].
type TaskError = fault.TaskError

// A PanicError reports that a task's function panicked: Task is the task's name,
// Value the panic's value as %v prints it, Stack the stack of the goroutine that
// panicked, and Err the panic's value if that is an error, which it wraps. The panic
// ends the task, not the worker.
type PanicError = fault.PanicError

// A TimeoutError reports that a task had not returned when its time limit had passed, or
// was stopped by that: Task is the task's name and Limit the limit. It counts as
// context.DeadlineExceeded for errors.Is. See [Task.Timeout].
type TimeoutError = fault.TimeoutError

// A WorkerLostError reports that a worker process ended while it ran a task. Its
// fields tell which worker it was (Worker, PID), which task it ran (Task), how it ended
// (Cause, Code, Signal, OutOfMemory) and what it wrote last on its standard error
// (Stderr).
type WorkerLostError = fault.WorkerLostError

// An InitError reports that Config.Init failed in the worker of index Worker, with
// Err, which it wraps. The executor then runs nothing.
type InitError = fault.InitError

// A RemoteError stands for an error value that stayed behind in another process. It
// has the texts and types of the error and of what it wrapped (Chain). errors.Is
// finds in it what it would have found in that process; errors.As finds errors whose
// types both processes know by [Register].
type RemoteError = wire.RemoteError
