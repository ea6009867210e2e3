// Package fault holds the errors that the machinery reports: values to be compared with
// errors.Is and types to be found with errors.As. Package executor shows them to
// programs. Those that a program wraps in them are asked for their text, here and
// elsewhere, in a way that does no harm whatever their methods do.
package fault

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Errors that a Future reports beside the task's own. All are compared with
// errors.Is.
var (
	// ErrCancelled: the task was cancelled, before it ran or while it did.
	ErrCancelled = errors.New("task cancelled")
	// ErrClosed: the executor was closed before the task was submitted.
	ErrClosed = errors.New("executor closed")
	// ErrFull: the executor's queue is full, and it was told to reject then.
	ErrFull = errors.New("queue of the executor full")
	// ErrNested: a task waits for its own executor, all of whose workers
	// wait likewise, or a worker process was to start workers of its own.
	ErrNested = errors.New("pool inside pool")
	// ErrQuarantined: three workers were lost, each while it ran this call of an
	// idempotent task, or this argument of its batch. It is not tried again.
	ErrQuarantined = errors.New("task quarantined")
	// ErrBroken: no worker process can be started any more. What is submitted
	// fails; resizing the executor has it try again.
	ErrBroken = errors.New("executor broken")
	// ErrOtherProgram: a worker process is not the program that has started it,
	// or knows other tasks.
	ErrOtherProgram = errors.New("worker is another program")
	// ErrUnknownTask: the worker process does not know a task of that name.
	ErrUnknownTask = errors.New("unknown task")
	// ErrEncode: the input or the result cannot cross a process boundary, or
	// its type's own encoding failed or panicked.
	ErrEncode = errors.New("cannot be encoded")
	// ErrQueueClosed: the Queue is closed and, for Get, empty.
	ErrQueueClosed = errors.New("queue closed")
)

// A TaskError is the error that a task's function returned, the same on every
// backend. It wraps the function's error, so errors.Is and errors.As look
// through it; where the error came from another process it wraps a
// RemoteError of package wire.
type TaskError struct {
	Task string // the task's name
	Err  error
}

func (e *TaskError) Error() string { return "task " + e.Task + ": " + Text(e.Err) }

// Unwrap returns the function's error.
func (e *TaskError) Unwrap() error { return e.Err }

// A TimeoutError reports that a task had not returned when its time limit had passed. It
// is context.DeadlineExceeded by errors.Is.
type TimeoutError struct {
	Task  string        // the task's name
	Limit time.Duration // counted from when the task started
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("task %s: not done within its time limit of %v", e.Task, e.Limit)
}

// Unwrap returns context.DeadlineExceeded.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// A PanicError reports that a task's function panicked. The panic ends the
// task, not the worker. It wraps the panic's value if that is an error.
type PanicError struct {
	Task  string // the task's name
	Value string // the panic's value, as %v prints it
	Stack string // the stack of the goroutine that panicked
	Err   error  `json:"-"` // the panic's value if it is an error, else nil; a RemoteError if it came from another process
}

func (e *PanicError) Error() string { return "task " + e.Task + " panicked: " + e.Value }

// Unwrap returns the panic's value if it is an error, else nil.
func (e *PanicError) Unwrap() error { return e.Err }

// NewPanic describes a panic of a task with its value, on the goroutine that
// recovered it.
func NewPanic(task string, v any) *PanicError {
	err, _ := v.(error)
	value := Apart(func() string {
		if err != nil {
			return Text(err)
		}
		return fmt.Sprint(v) // which says so if a method of v panics
	}, Undescribed(v))
	return &PanicError{Task: task, Value: value, Stack: string(debug.Stack()), Err: err}
}

// A WorkerLostError reports that a worker process ended while it ran a task.
type WorkerLostError struct {
	Worker      int    // index of the worker
	PID         int    // its process id
	Cause       string // how it ended: "exit status 3", "signal: killed"
	Code        int    // its exit code; -1 if a signal ended it
	Signal      string // the signal that ended it: "killed"; empty if none did
	OutOfMemory bool   // it was killed while the kernel's count of out-of-memory kills went up
	Task        string // the task it was running
	Stderr      string // the last lines that it wrote to standard error
}

func (e *WorkerLostError) Error() string {
	s := fmt.Sprintf("worker %d (pid %d) lost while running task %s: %s", e.Worker, e.PID, e.Task, e.Cause)
	if e.OutOfMemory {
		s += ", probably because memory ran out: the kernel killed a process for that at the same time"
	}
	if e.Stderr != "" {
		s += "; its standard error ended with:\n" + e.Stderr
	}
	return s
}

// An InitError reports that a worker could not be prepared, because its
// Config.Init failed. It breaks the executor: whatever was submitted and has
// not started fails with it, and so does what is submitted later.
type InitError struct {
	Worker int   // index of the worker
	Err    error // what Config.Init failed with
}

func (e *InitError) Error() string { return fmt.Sprintf("preparing worker %d: %v", e.Worker, e.Err) }

// Unwrap returns what Config.Init failed with.
func (e *InitError) Unwrap() error { return e.Err }

// Text returns what err says, even if its method panics. Those who return a
// nil pointer as an error get that.
func Text(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("an error of type %T, whose method Error panicked: %v", err, v)
		}
	}()
	return err.Error()
}

// Apart calls f, which calls methods of the program, on a goroutine of its own, and
// returns what f returns, or otherwise if f panics or ends the goroutine.
func Apart[T any](f func() T, otherwise T) T {
	got := make(chan T, 1)
	go func() { // ends with f
		result := otherwise
		defer func() {
			_ = recover()
			got <- result
		}()
		result = f()
	}()
	return <-got
}

// Undescribed tells of what has methods that cannot tell.
func Undescribed(v any) string {
	return fmt.Sprintf("a value of type %T, which could not be described", v)
}

// Goexit is the error of a task that has called runtime.Goexit.
func Goexit(task string) *PanicError {
	return &PanicError{Task: task, Value: "runtime.Goexit was called", Stack: string(debug.Stack())}
}
