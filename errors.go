package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
// [RemoteError].
type TaskError struct {
	Task string // the task's name
	Err  error
}

func (e *TaskError) Error() string { return "task " + e.Task + ": " + textOf(e.Err) }

// Unwrap returns the function's error.
func (e *TaskError) Unwrap() error { return e.Err }

// textOf returns what err says, even if its method panics. Those who return a
// nil pointer as an error get that.
func textOf(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("an error of type %T, whose method Error panicked: %v", err, v)
		}
	}()
	return err.Error()
}

// is reports whether err is or wraps target, and that it does not if a method
// of its panics.
func is(err, target error) (found bool) {
	defer func() { _ = recover() }()
	return errors.Is(err, target)
}

// A RemoteError stands for an error value that stayed behind in another
// process. It carries the texts and types of the error and of what it wrapped,
// outermost first, and then of what the standard library lets it count as, such
// as fs.ErrNotExist. So errors.Is finds there what it would have found in that
// process; errors.As does not, since the values are not there.
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
		e.Chain = append(e.Chain, RemoteCause{Type: fmt.Sprintf("%T", err), Text: textOf(err)})
		defer func() { _ = recover() }() // what it wraps is not to be had
		switch u := err.(type) {         //nolint:errorlint // as above
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
	for _, s := range sentinels {
		if is(err, s) && !e.Is(s) {
			add(s)
		}
	}
	return e
}

// sentinels are what errors of the standard library report with a method Is to
// be, without wrapping it: an error number of the system, a timeout.
var sentinels = []error{
	fs.ErrInvalid, fs.ErrPermission, fs.ErrExist, fs.ErrNotExist, fs.ErrClosed,
	errors.ErrUnsupported, os.ErrDeadlineExceeded, context.DeadlineExceeded, context.Canceled,
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

// A failure is how an error crosses a process boundary.
type failure struct {
	Panic *PanicError  `json:"panic,omitempty"`
	Task  string       `json:"task,omitempty"` // of a TaskError around Err
	Err   *RemoteError `json:"err,omitempty"`
}

// AppendError encodes the error of a task onto b, for another process.
// [DecodeError] makes of it an error of the same kind: *PanicError and
// *TaskError come out as they were, anything else as a *RemoteError. Both are
// for those who write a backend.
func AppendError(b []byte, err error) []byte {
	var f failure
	var te *TaskError
	switch {
	case errors.As(err, &te): // before anything that asks the function's error
		f.Task, f.Err = te.Task, NewRemoteError(te.Err)
	case errors.As(err, &f.Panic):
	default:
		f.Err = NewRemoteError(err)
	}
	text, e := json.Marshal(f)
	if e != nil {
		panic("harness: a failure is plain data: " + e.Error())
	}
	return append(b, text...)
}

// DecodeError decodes what [AppendError] has encoded.
func DecodeError(b []byte) error {
	var f failure
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("the error of a worker could not be read: %w", err)
	}
	switch {
	case f.Panic != nil:
		return f.Panic
	case f.Err == nil:
		return errors.New("a worker failed without saying why")
	case f.Task != "":
		return &TaskError{Task: f.Task, Err: f.Err}
	}
	return f.Err
}
