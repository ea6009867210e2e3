package executor

import (
	"errors"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/wire"
)

// Errors that a future reports besides those of the task itself. Compare them with
// errors.Is.
var (
	// ErrCancelled reports that the task was cancelled, before or while it ran.
	ErrCancelled = fault.ErrCancelled
	// ErrShutdown reports that Shutdown has cancelled the task. It wraps ErrCancelled.
	ErrShutdown = core.ErrShutdown
	// ErrClosed reports that the executor was closed before the task was submitted.
	ErrClosed = fault.ErrClosed
	// ErrFull reports that the executor's queue is full and its policy is Reject.
	ErrFull = fault.ErrFull
	// ErrNested reports that a task waits for its own executor while all other workers
	// wait as well, that a task or a callback closes its own executor, or that a worker
	// process would have to start workers of its own.
	ErrNested = fault.ErrNested
	// ErrQuarantined reports that three workers were lost, each while it ran this call
	// of an idempotent task. The call is not tried again.
	ErrQuarantined = fault.ErrQuarantined
	// ErrBroken reports that no worker process can be started any more. All submitted
	// tasks fail; the executor tries again when it is resized.
	ErrBroken = fault.ErrBroken
	// ErrOtherProgram reports that a worker process is not the program that has started
	// it, or knows other tasks.
	ErrOtherProgram = fault.ErrOtherProgram
	// ErrUnknownTask reports that the worker processes do not know the task, because it
	// was not given to Main.
	ErrUnknownTask = fault.ErrUnknownTask
	// ErrEncode reports that the input or the result cannot be encoded for another
	// process, or that its type's own encoding failed or panicked.
	ErrEncode = fault.ErrEncode
	// ErrQueueClosed reports that the Queue is closed and, for Get, empty.
	ErrQueueClosed = fault.ErrQueueClosed
	// ErrUnsuitable reports that the backend lacks a trait, such as shared memory, that
	// Config.Require or Go needs.
	ErrUnsuitable = errors.New("backend unsuitable")
)

// A TaskError is the error that a task's function returned, the same on every
// backend: Task is the task's name and Err the function's error. It wraps Err, so
// errors.Is and errors.As find Err in it. If Err comes from another process it is a
// *[RemoteError].
type TaskError = fault.TaskError

// A PanicError reports that a task's function panicked: Task is the task's name,
// Value the panic's value as %v prints it, Stack the stack of the goroutine that
// panicked, and Err the panic's value if that is an error, which it wraps. The panic
// ends the task, not the worker.
type PanicError = fault.PanicError

// A TimeoutError reports that the time limit of a task has passed before the task
// returned a result: Task is the task's name and Limit the limit. errors.Is finds
// context.DeadlineExceeded in it. See [Task.Timeout].
type TimeoutError = fault.TimeoutError

// A WorkerLostError reports that a worker process ended while it ran a task. Its
// fields tell which worker it was (Worker, PID), which task it ran (Task), how it ended
// (Cause, Code, Signal, OutOfMemory) and what it wrote last on its standard error
// (Stderr).
type WorkerLostError = fault.WorkerLostError

// An InitError reports that Config.Init failed in the worker of index Worker, with
// Err, which it wraps. The executor then runs nothing.
type InitError = fault.InitError

// A RemoteError represents an error of another process. It has the texts and types of
// that error and of the errors that it wraps (Chain). errors.Is finds in it what it
// would find in that process; errors.As finds errors whose types were given to
// [Register] in both processes.
type RemoteError = wire.RemoteError
