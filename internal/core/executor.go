package core

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// An Executor runs submitted calls on the workers of one backend.
type Executor interface {
	// Submit takes the call. It blocks only if the executor was opened with a
	// bounded queue that is full, and with the policy Block; it never waits for a
	// free worker. Every error, also that the executor is closed, completes the
	// call. Safe for concurrent use.
	Submit(ctx context.Context, c *Call)

	// Stop makes the executor take no more calls. It does not block. With a cause,
	// the calls that have not started are cancelled with it and those that run are
	// told to stop; with nil, all are still run. Safe for concurrent use.
	Stop(cause error)

	// Close takes no more calls, waits for those that were submitted and
	// releases the workers. Afterwards no goroutine and no process of the
	// executor remains, and the callbacks of its futures and the user's encoding
	// methods have returned. Closing twice is harmless. In a task or a callback of
	// the executor itself, Close would wait for its caller: there it does nothing
	// and returns an error that wraps ErrNested. Otherwise the error tells what
	// failed while the workers ended, never what a task returned.
	Close() error
}

// A Manager is an Executor whose workers can be managed while it is open. Its
// methods are safe for concurrent use. All backends of this module are
// Managers.
type Manager interface {
	Executor

	// Resize changes the number of workers. Surplus workers end when their task
	// is done. It is an error to ask for fewer than 1, or for more than the
	// backend can have.
	Resize(workers int) error

	// Stats returns the executor's figures. It does not block.
	Stats() Stats
}

// A Warmer is an Executor that starts its workers when they are needed if it was
// opened with Config.OnDemand, and can start them all before.
type Warmer interface {
	// Warm starts the workers that are missing and blocks until they are ready,
	// one cannot be started or prepared, or ctx ends. Safe for concurrent use.
	Warm(ctx context.Context) error
}

// Stats are an executor's figures. They are not read at one moment: a call that
// moves to a worker meanwhile may be counted twice or not at all. A worker
// counts as busy until shortly after its task's future is done. When nothing changes,
// the figures are exact.
type Stats struct {
	Workers int // wanted; 0 if there is no bound
	Alive   int // started and not ended
	Busy    int // running a task
	Queued  int // calls that no worker has taken
	Started int // workers started since the executor was opened
	Lost    int // workers that ended without having been told to
}

// A Controller is an Executor whose workers live in other processes and can be
// asked, one by one, for things that are not tasks, such as their accounting.
type Controller interface {
	Executor

	// Control sends the request to every worker and returns one reply per
	// worker, in order of their indexes. It blocks until all have answered
	// or ctx ends; a worker that ends in good order meanwhile has no reply.
	// The worker program's [WorkerHooks] define what a request means.
	Control(ctx context.Context, request string, payload []byte) ([]Reply, error)
}

// A Reply is one worker's answer to a Control request.
type Reply struct {
	Worker  int
	PID     int
	Payload []byte
}

// A Backend is a named way to execute tasks.
type Backend struct {
	// Name is what users type, in lower case. Doc is one line for the list of
	// backends, an empty line, and what the model does and what it shares.
	Name, Doc string

	// Shared tells that tasks run in the submitter's memory.
	Shared bool

	// Serial tells that one task's code runs at a time, however many workers
	// there are; what a task waits for may still overlap.
	Serial bool

	// Turn names what a task of a serial model waits for while another task's code
	// runs, such as "the interpreter lock". Findings use it.
	Turn string

	// Cooperative tells that a task of a serial model keeps its turn until it
	// waits for something, as in an event loop.
	Cooperative bool

	// Variant tells that the model is similar to another and takes part in a
	// comparison only if it is named.
	Variant bool

	// MaxWorkers bounds the workers; zero is no bound.
	MaxWorkers int

	// GOMAXPROCS is the setting that the model needs in the process that
	// opens it; zero is all processors.
	GOMAXPROCS int

	// Open starts the workers and returns when they are ready. ctx bounds
	// the opening, not the life of the executor, which lasts until Close.
	Open func(ctx context.Context, cfg Config) (Executor, error)
}

// Validate returns an error that tells what is missing or wrong in the declaration, or
// nil.
func (b *Backend) Validate() error {
	switch {
	case b == nil:
		return errors.New("the backend is nil")
	case b.Name == "" || strings.ContainsFunc(b.Name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }):
		return fmt.Errorf("a backend is named %q; want lower-case letters, digits and hyphens", b.Name)
	case b.Open == nil:
		return fmt.Errorf("backend %s has no Open", b.Name)
	case b.MaxWorkers < 0 || b.GOMAXPROCS < 0:
		return fmt.Errorf("backend %s has MaxWorkers %d and GOMAXPROCS %d; want neither below 0", b.Name, b.MaxWorkers, b.GOMAXPROCS)
	}
	return nil
}

// A Config says how to open a backend. The zero Config is usable.
type Config struct {
	// Workers is how many tasks can run at once, including tasks that wait. Zero is
	// GOMAXPROCS, and for the backend spawn no bound. Tasks that mostly wait need
	// many more. The backend sequential always has 1.
	Workers int

	// OnDemand has a worker started when there is a task that no other worker
	// takes, and not by Open.
	OnDemand bool

	// Tasks are the tasks that worker processes must know; nil is all that the
	// program can run in one. Backends inside the process ignore it.
	Tasks []AnyTask

	// Queue bounds the calls that wait for a worker; zero is no bound. Full says
	// what Submit does when the queue is full. A few calls are sent ahead to each
	// worker process; they do not count.
	Queue int
	Full  FullPolicy

	// Init, if it is set, is run once by every worker before its first task.
	// See [fault.InitError] for what happens if it fails.
	Init Job

	// MaxTasksPerWorker is after how many tasks a worker is replaced by a
	// fresh one; zero is never.
	MaxTasksPerWorker int

	// IdleTimeout is after how long without a task a worker ends. Another is
	// started when it is needed. Zero is never.
	IdleTimeout time.Duration

	// CancelGrace is how long a running task in a worker process may take to
	// stop after it was cancelled, until the process is killed and replaced.
	// Zero is a second, negative for ever. A task inside the process cannot
	// be killed.
	CancelGrace time.Duration

	// SwitchInterval is after how long a task that waits for the emulated
	// interpreter lock may ask for it; zero is CPython's 5 ms. The other
	// backends ignore it.
	SwitchInterval time.Duration

	// Timing has the moments of every call stamped and its worker recorded. It
	// costs about a tenth of a microsecond a task.
	Timing bool

	// Observer watches every call; nil watches none and costs nothing.
	Observer *Observer

	// Processes is told about worker processes; nil if nobody needs that.
	Processes *ProcessObserver
}

// A FullPolicy says what Submit does when an executor's queue is full.
type FullPolicy uint8

// The policies for a full queue.
const (
	// Block waits until there is room, or the context of the submission ends.
	Block FullPolicy = iota
	// Reject fails the call with [fault.ErrFull].
	Reject
)

// An Observer watches the calls of an executor. Its fields may be nil. They are
// called without locks held and must be safe for concurrent use. They should be
// quick, because their time adds to what is measured.
type Observer struct {
	// Untimed says that the Observer does not need Call.Timing, so that calls are
	// not stamped. Their Timing is zero then, unless the executor was opened with
	// Config.Timing.
	Untimed bool

	// Submit is called in Executor.Submit before the call is queued.
	Submit func(c *Call)

	// Header appends data, such as a trace context, to the message that takes the
	// call to another process. The task there finds it in Worker.Header.
	Header func(b []byte, c *Call) []byte

	// Start is called on the goroutine that is about to run the task, and
	// returns the context that the task gets. If the task runs in a worker process,
	// Start of the observer of that process is called; see WorkerHooks.
	Start func(ctx context.Context, c *Call) context.Context

	// Value returns the value for a key of the context of a task that runs in this
	// process; if it returns nil, the context of the submission is asked. With it,
	// Start need not make another context. It may be called by any goroutine that
	// has the context, also after the task has ended.
	Value func(c *Call, key any) any

	// End is called when the call is over, with its timing complete and its
	// error if it has one, before anybody who waits for it is woken. It is called
	// on the goroutine that ran the task, or, if that ran in another process, on
	// the one that received the result.
	End func(c *Call, err error)

	// Coded is called when an argument or a result that goes to another process, or
	// comes from one, has been encoded or decoded in this process. began is the
	// moment at which that began. A call that is sent to a second worker is encoded
	// again. A result is encoded and decoded after End was called in the worker and
	// before End is called in the submitter's process.
	Coded func(c *Call, what Coding, began Stamp)
}

// A Coding is one of the four steps in which a call's data is encoded or decoded
// on its way to another process and back.
type Coding uint8

// The codings, in the order in which they happen.
const (
	ArgumentEncoded Coding = iota // by the submitter's process
	ArgumentDecoded               // by the worker's
	ResultEncoded                 // by the worker's
	ResultDecoded                 // by the submitter's
)

// A ProcessObserver is told about the worker processes of an executor.
type ProcessObserver struct {
	// Spawning is called before worker i is started and returns what to add
	// to its environment.
	Spawning func(worker int) (env []string)

	// Message is called with what a worker sends outside of any task, in the
	// order in which it was sent.
	Message func(worker int, topic string, payload []byte)

	// Exited is called when the process has been reaped.
	Exited func(ProcessExit)
}

// A ProcessExit describes a worker process that has ended.
type ProcessExit struct {
	Worker  int
	PID     int
	Started Stamp  // just before it was started
	Ready   Stamp  // when it could take tasks
	Ended   Stamp  // when it had been reaped
	Code    int    // exit code, -1 if a signal ended it
	Cause   string // how it ended, in words
}

// WorkerHooks are functions of the program that are called in its worker processes.
// The fields may be nil.
type WorkerHooks struct {
	// Observer watches the tasks that the worker runs.
	Observer *Observer

	// Control answers what Controller.Control sends. It may be called while the
	// worker runs a task.
	Control func(request string, payload []byte) ([]byte, error)

	// Exit is called when the worker ends in good order. What it sends is given
	// to ProcessObserver.Message.
	Exit func(send func(topic string, payload []byte) error) error
}

// A Worker is one worker of an executor as the task that runs on it sees it.
type Worker struct {
	Index  int          // of the worker in its executor, from 0
	PID    int          // of the process that the worker is, or is in
	Thread int          // id of the OS thread that the worker has for itself; 0 if it has none
	Header []byte       // in a worker process, what Observer.Header of the submitter has appended
	Waits  *WaitTracker // of the executor that the worker belongs to; nil in a worker process
	Gate   Gate         // what a task holds while it runs; nil if nothing
	Queues QueueClient  // in a worker process, the way to the submitter's queues; else nil

	waiting int // waits of its task, for tasks and on queues; guarded by Waits.mu
}

type workerKey struct{}

// WorkerOf returns the worker that a task with this context runs on, or nil
// outside of a task.
func WorkerOf(ctx context.Context) *Worker {
	w, _ := ctx.Value(workerKey{}).(*Worker)
	return w
}
