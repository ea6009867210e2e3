// Package fault holds the errors that an executor reports: values to be compared with
// errors.Is and types to be found with errors.As. Package executor re-exports them. The
// functions here call methods of a program's own errors in such a way that a panic or a
// runtime.Goexit there does no harm.
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
	// ErrFull: the executor's queue is full, and the executor is configured to reject
	// tasks then.
	ErrFull = errors.New("queue of the executor full")
	// ErrNested: a task waits for a task of its own executor while all workers of that
	// executor wait in the same way, or a worker process tried to start workers.
	ErrNested = errors.New("pool inside pool")
	// ErrQuarantined: three workers were lost, each while it ran this call of an
	// idempotent task, or the same argument of its batch. It is not tried again.
	ErrQuarantined = errors.New("task quarantined")
	// ErrBroken: worker processes can no longer be started. Every task that is submitted
	// fails. After a resize the executor tries again to start workers.
	ErrBroken = errors.New("executor broken")
	// ErrOtherProgram: a worker process runs another program than the one that started
	// it, or has other tasks.
	ErrOtherProgram = errors.New("worker is another program")
	// ErrUnknownTask: the worker process has no task of that name.
	ErrUnknownTask = errors.New("unknown task")
	// ErrEncode: the input or the result cannot cross a process boundary, or
	// its type's own encoding failed or panicked.
	ErrEncode = errors.New("cannot be encoded")
	// ErrQueueClosed: the Queue is closed and, for Get, empty.
	ErrQueueClosed = errors.New("queue closed")
)

// A TaskError is the error that a task's function returned. It has the same text on every
// backend. It wraps the function's error, so errors.Is and errors.As find that. If the error
// came from another process, it wraps a RemoteError of package wire.
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

// NewPanic returns the error of a task that panicked with value v. It is called on the
// goroutine that recovered the panic, whose stack it records.
func NewPanic(task string, v any) *PanicError {
	err, _ := v.(error)
	value := Apart(func() string {
		if err != nil {
			return Text(err)
		}
		return fmt.Sprint(v) // Sprint reports a panic of a method of v in its result
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

// An InitError reports that a worker could not be started because Config.Init failed. The
// executor is broken then: tasks that have not started fail with this error, and so do tasks
// that are submitted later.
type InitError struct {
	Worker int   // index of the worker
	Err    error // what Config.Init failed with
}

func (e *InitError) Error() string { return fmt.Sprintf("preparing worker %d: %v", e.Worker, e.Err) }

// Unwrap returns what Config.Init failed with.
func (e *InitError) Unwrap() error { return e.Err }

// Text returns the text of err. If err's method panics, as it may for an error that is a nil
// pointer, it returns a text that says so.
func Text(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("an error of type %T, whose method Error panicked: %v", err, v)
		}
	}()
	return err.Error()
}

// Apart calls f on a goroutine of its own and returns its result, or otherwise if f panics
// or ends the goroutine. It is for an f that calls methods of the program.
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

// Undescribed returns the description of a value whose own methods failed to describe it.
func Undescribed(v any) string {
	return fmt.Sprintf("a value of type %T, which could not be described", v)
}

// Goexit returns the error of a task that has called runtime.Goexit.
func Goexit(task string) *PanicError {
	return &PanicError{Task: task, Value: "runtime.Goexit was called", Stack: string(debug.Stack())}
}
