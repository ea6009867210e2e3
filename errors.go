package harness

import (
	"errors"
	"fmt"
)

// Errors that a Future reports beside the task's own. All are compared with
// errors.Is.
var (
	// ErrCancelled: the task was cancelled, before it ran or while it did.
	ErrCancelled = errors.New("task cancelled")
	// ErrClosed: the executor was closed before the task was submitted.
	ErrClosed = errors.New("executor closed")
	// ErrUnknownTask: the worker process does not know a task of that name.
	ErrUnknownTask = errors.New("unknown task")
	// ErrEncode: the input or the result cannot cross a process boundary.
	ErrEncode = errors.New("cannot be encoded")
	// ErrQueueClosed: the Queue is closed and, for Get, empty.
	ErrQueueClosed = errors.New("queue closed")
)

// A TaskError is the error that a task's function returned, the same on every
// backend. It wraps the function's error, so errors.Is and errors.As look
// through it; where the error came from another process it wraps a
// [RemoteError].
type TaskError struct {
	Task string // the task's name
	Err  error
}

func (e *TaskError) Error() string { return "task " + e.Task + ": " + e.Err.Error() }

// Unwrap returns the function's error.
func (e *TaskError) Unwrap() error { return e.Err }

// A RemoteError stands for an error value that stayed behind in another
// process. It carries the texts and types of the error and of what it wrapped,
// outermost first.
type RemoteError struct {
	Chain []RemoteCause `json:"chain"`
}

// A RemoteCause is one error of a RemoteError's chain.
type RemoteCause struct {
	Type string `json:"type"` // as %T prints it
	Text string `json:"text"`
}

// NewRemoteError describes err and everything it wraps.
func NewRemoteError(err error) *RemoteError {
	e := &RemoteError{}
	var add func(error)
	add = func(err error) {
		if r, ok := err.(*RemoteError); ok { //nolint:errorlint // each link of the chain is looked at by itself
			e.Chain = append(e.Chain, r.Chain...) // it came from a third process
			return
		}
		e.Chain = append(e.Chain, RemoteCause{Type: fmt.Sprintf("%T", err), Text: err.Error()})
		switch u := err.(type) { //nolint:errorlint // as above
		case interface{ Unwrap() error }:
			if inner := u.Unwrap(); inner != nil {
				add(inner)
			}
		case interface{ Unwrap() []error }:
			for _, err := range u.Unwrap() {
				add(err)
			}
		}
	}
	add(err)
	return e
}

func (e *RemoteError) Error() string {
	if len(e.Chain) == 0 {
		return "error in another process"
	}
	return e.Chain[0].Text
}

// Is reports whether the other process's error was, or wrapped, an error of
// target's type and text. It is what lets errors.Is find a sentinel on the far
// side of a process boundary.
func (e *RemoteError) Is(target error) bool {
	typ, text := fmt.Sprintf("%T", target), target.Error()
	for _, c := range e.Chain {
		if c.Type == typ && c.Text == text {
			return true
		}
	}
	return false
}

// A PanicError reports that a task's function panicked. The panic ends the
// task, not the worker.
type PanicError struct {
	Task  string // the task's name
	Value string // the panic's value, as %v prints it
	Stack string // the stack of the goroutine that panicked
}

func (e *PanicError) Error() string { return "task " + e.Task + " panicked: " + e.Value }

// A WorkerLostError reports that a worker process ended while it ran a task.
type WorkerLostError struct {
	Worker int    // index of the worker
	PID    int    // its process id
	Cause  string // how it ended: "exit status 3", "signal: killed"
	Task   string // the task it was running
	Stderr string // the last lines that it wrote to standard error
}

func (e *WorkerLostError) Error() string {
	s := fmt.Sprintf("worker %d (pid %d) lost while running task %s: %s", e.Worker, e.PID, e.Task, e.Cause)
	if e.Stderr != "" {
		s += "; its standard error ended with:\n" + e.Stderr
	}
	return s
}
