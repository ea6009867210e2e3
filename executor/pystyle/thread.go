package pystyle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// A ThreadConfig has the settings of a [Thread]. The zero ThreadConfig is usable.
type ThreadConfig struct {
	// Name is for people; empty is "Thread-1" and so on.
	Name string

	// Daemon threads are not waited for when the program ends: see [Finish].
	Daemon bool

	// Backend is the backend that runs the thread: "goroutines", which is the default,
	// "threads" for an OS thread, "processes" for a process, or any other. On gil
	// and eventloop a thread has the lock or the loop for itself; to share one, submit
	// tasks to one executor.
	Backend string

	// Group is reserved, as in Python, and must be nil.
	Group any
}

// A Thread runs one task, once, on a worker of its own. [NewThread] makes it,
// [Thread.Start] starts it, and [Thread.Join] waits for it. It corresponds to Python's
// threading.Thread, with a task and its argument instead of target and args. All methods
// are safe for concurrent use.
type Thread struct {
	target executor.Job
	cfg    ThreadConfig
	done   chan struct{}
	native atomic.Int64

	mu      sync.Mutex
	started bool
	id      int
	err     error // once done
	worker  *core.Worker
}

// ErrThread reports a misuse of a thread; errors of methods wrap it.
var ErrThread = errors.New("thread")

// NewThread makes a thread that will run target, which is a task with its argument (see
// [executor.Task.With]). It does not start the thread. A thread that is started need not
// be joined: it releases its worker when its task is done.
func NewThread(target executor.Job, cfg ThreadConfig) *Thread {
	if cfg.Name == "" {
		cfg.Name = fmt.Sprintf("Thread-%d", threads.named.Add(1))
	}
	if cfg.Backend == "" {
		cfg.Backend = "goroutines"
	}
	return &Thread{target: target, cfg: cfg, done: make(chan struct{})}
}

// Start starts the thread and returns when its worker is ready. ctx is the context of
// the task, so its end stops the thread. A thread can be started once; a second Start
// returns an error that wraps ErrThread.
func (t *Thread) Start(ctx context.Context) error {
	if t.cfg.Group != nil {
		return fmt.Errorf("%w %s: Group must be nil", ErrThread, t.cfg.Name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.started {
		return fmt.Errorf("%w %s: it can be started only once", ErrThread, t.cfg.Name)
	}
	ex, err := open(ctx, t.cfg.Backend, core.Config{Workers: 1, Observer: &core.Observer{
		Start: func(ctx context.Context, _ *core.Call) context.Context { // called if the task runs in this process
			w := core.WorkerOf(ctx)
			t.native.Store(int64(w.Thread))
			t.mu.Lock()
			defer t.mu.Unlock()
			t.worker = w
			return ctx
		},
		Header: func(b []byte, c *core.Call) []byte { // called if it runs in a worker process
			t.native.Store(int64(c.Timing().PID))
			return b
		},
	}})
	if err != nil {
		return fmt.Errorf("starting thread %s: %w", t.cfg.Name, err)
	}
	t.started = true
	t.id = threads.add(t)
	f := t.target.Start(ctx, ex)
	go t.watch(f, ex) // ends with the task; Join and Finish wait for it
	return nil
}

// open opens a backend with a configuration of package core, which can have an observer
// of workers.
func open(ctx context.Context, name string, cfg core.Config) (*executor.Executor, error) {
	var names []string
	for _, b := range executor.Backends() {
		if b.Name == name {
			raw, err := b.Open(ctx, cfg)
			if err != nil {
				return nil, err
			}
			return (*executor.Executor)(core.NewHandle(b, raw)), nil
		}
		names = append(names, b.Name)
	}
	return nil, fmt.Errorf("no backend is named %q; there are %q", name, names)
}

func (t *Thread) watch(f executor.AnyFuture, ex *executor.Executor) {
	<-f.Done()
	err := f.Err()
	if e := ex.Close(); err == nil && e != nil {
		err = e
	}
	defer func() { // deferred, because the hook may end this goroutine
		t.mu.Lock()
		t.err = err
		t.mu.Unlock()
		threads.remove(t)
		close(t.done)
	}()
	if err != nil && f.State() != executor.Cancelled {
		threads.unhandled(ThreadFailure{t, err})
	}
}

// Join blocks until the thread has ended, and returns nil, or until ctx ends, and returns
// the cause of ctx. It may be called any number of times. Joining a thread that was not
// started, or joining it in its own task, is an error that wraps ErrThread. [Thread.Err]
// returns how the task ended.
func (t *Thread) Join(ctx context.Context) error {
	t.mu.Lock()
	started, worker := t.started, t.worker
	t.mu.Unlock()
	if !started {
		return fmt.Errorf("%w %s: it cannot be joined before it is started", ErrThread, t.cfg.Name)
	}
	if w := core.WorkerOf(ctx); w != nil && w == worker {
		return fmt.Errorf("%w %s: it cannot join itself", ErrThread, t.cfg.Name)
	}
	select {
	case <-t.done: // even if ctx has ended, too
		return nil
	default:
	}
	var err error
	executor.Blocking(ctx, func() {
		select {
		case <-t.done:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	})
	return err
}

// JoinTimeout is Join with a timeout instead of a context. It reports whether the
// thread has ended, and may be called any number of times. A task that joins a thread
// should call Join with its own context, so that other tasks can run meanwhile.
func (t *Thread) JoinTimeout(timeout time.Duration) (ended bool) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return t.Join(ctx) == nil
}

// IsAlive reports whether the thread was started and has not ended.
func (t *Thread) IsAlive() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.done:
		return false
	default:
		return t.started
	}
}

// Err returns the error of the task once the thread has ended, and nil before. A thread
// does not keep the result of its task: if the result matters, submit the task to an
// executor.
func (t *Thread) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Name returns the thread's name.
func (t *Thread) Name() string { return t.cfg.Name }

// Daemon reports whether [Finish] does not wait for the thread.
func (t *Thread) Daemon() bool { return t.cfg.Daemon }

// ID returns a number that no other thread of the program has; 0 before Start.
func (t *Thread) ID() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.id
}

// NativeID returns the operating system's id of the OS thread (with the backend threads)
// or the process (with processes) that runs the task. It is 0 before the task runs, where
// the system does not tell the id, and on the other backends, where a goroutine moves
// between OS threads.
func (t *Thread) NativeID() int { return int(t.native.Load()) }

// A ThreadFailure is a task that failed in a thread, where nobody waits for its
// result.
type ThreadFailure struct {
	Thread *Thread
	Err    error
}

// OnThreadFailure sets the hook that is called when the task of a thread fails, unless it
// was cancelled. Without a hook, or with nil, the failure is printed on standard error;
// it is printed as well if the hook panics. The thread has not ended until the hook
// returns, so the hook must not join it. OnThreadFailure returns the previous hook. Safe
// for concurrent use.
func OnThreadFailure(hook func(ThreadFailure)) (previous func(ThreadFailure)) {
	threads.mu.Lock()
	defer threads.mu.Unlock()
	previous, threads.hook = threads.hook, hook
	return previous
}

// Threads returns the threads that are alive, in the order in which they were
// started.
func Threads() []*Thread {
	threads.mu.Lock()
	defer threads.mu.Unlock()
	var alive []*Thread
	for _, id := range slices.Sorted(maps.Keys(threads.alive)) {
		alive = append(alive, threads.alive[id])
	}
	return alive
}

// Finish blocks until all threads that are not daemons have ended, including threads that
// are started meanwhile, and returns nil, or until ctx ends, and returns the cause of ctx.
// Deferred in main, it keeps the program from ending before its threads have. Daemons end
// with the process.
func Finish(ctx context.Context) error {
	for {
		waiting := slices.DeleteFunc(Threads(), (*Thread).Daemon)
		if len(waiting) == 0 {
			return nil
		}
		if err := waiting[0].Join(ctx); err != nil {
			return err
		}
	}
}

// Exit calls [Finish] without a time limit and then os.Exit, which does not run
// deferred functions. It must not be called in a thread, which would wait for itself.
func Exit(code int) {
	_ = Finish(context.Background()) // it returns nil: the context never ends
	os.Exit(code)
}

// threads are all threads that are alive.
var threads threadTable

type threadTable struct {
	named atomic.Int64

	mu    sync.Mutex
	last  int
	alive map[int]*Thread
	hook  func(ThreadFailure)
}

func (tt *threadTable) add(t *Thread) (id int) {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	if tt.alive == nil {
		tt.alive = make(map[int]*Thread)
	}
	tt.last++
	tt.alive[tt.last] = t
	return tt.last
}

func (tt *threadTable) remove(t *Thread) {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	delete(tt.alive, t.id)
}

func (tt *threadTable) unhandled(f ThreadFailure) {
	tt.mu.Lock()
	hook := tt.hook
	tt.mu.Unlock()
	if hook == nil {
		fmt.Fprintf(os.Stderr, "Failure in thread %s: %v\n", f.Thread.Name(), f.Err)
		return
	}
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(os.Stderr, "Failure in the hook for failures of threads: %v\nFailure in thread %s: %v\n", v, f.Thread.Name(), f.Err)
		}
	}()
	hook(f)
}
