package executor

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"slices"

	"github.com/f3f4c0de/harness/executor/backend"
	"github.com/f3f4c0de/harness/internal/backends"
	"github.com/f3f4c0de/harness/internal/backends/inproc"
	"github.com/f3f4c0de/harness/internal/backends/ipc"
	"github.com/f3f4c0de/harness/internal/core"
)

// An Executor runs submitted tasks on the workers of one backend. [Open] makes them,
// and the caller closes them. All methods are safe for concurrent use. A nil
// *Executor takes tasks, whose futures report that it is nil, and has no workers.
type Executor core.Handle

func (ex *Executor) core() *core.Handle { return (*core.Handle)(ex) }

func (ex *Executor) raw() core.Executor { return (*core.Handle)(ex).Raw() }

// Backends returns the backends that Open knows, in the order in which they should
// be listed.
func Backends() []*backend.Backend { return slices.Clone(backends.All) }

// Open opens the named backend, or, with an empty name, the one that fits
// cfg.Require and cfg.Prefer best, which is goroutines if they are empty. A worker is
// started when there is a task that no other worker takes; [Executor.Warm] starts them
// all. ctx bounds the opening, not the life of the executor, which lasts until Close.
// Open returns an error if the name is not known, if the backend lacks a trait that cfg
// requires (the error wraps [ErrUnsuitable]), or if cfg is not valid.
func Open(ctx context.Context, name string, cfg Config) (*Executor, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	b, err := pick(name, cfg)
	if err != nil {
		return nil, err
	}
	return OpenBackend(ctx, b, cfg)
}

// OpenBackend is [Open] with a backend that need not be one of [Backends].
func OpenBackend(ctx context.Context, b *backend.Backend, cfg Config) (*Executor, error) {
	if ctx == nil {
		return nil, errors.New("executor: Open was called with a nil context")
	}
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("executor: %w", err)
	}
	if missing := cfg.Require &^ traitsOf(b); missing != 0 {
		return nil, fmt.Errorf("executor: %w: %s has no %v", ErrUnsuitable, b.Name, missing)
	}
	c, err := cfg.core()
	if err != nil {
		return nil, err
	}
	raw, err := b.Open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("opening executor %s: %w", b.Name, err)
	}
	return (*Executor)(core.NewHandle(b, raw)), nil
}

// FromEnv is [Open] with the backend that the environment variable HARNESS_BACKEND
// names, or goroutines if it is not set. If HARNESS_WORKERS is set, it replaces
// cfg.Workers.
func FromEnv(ctx context.Context, cfg Config) (*Executor, error) {
	name, err := fromEnv(&cfg)
	if err != nil {
		return nil, err
	}
	ex, err := Open(ctx, name, cfg)
	if err != nil && os.Getenv(EnvBackend) != "" {
		return nil, fmt.Errorf("%w (%s=%s)", err, EnvBackend, name)
	}
	return ex, err
}

// Main makes the program its own worker. In a process that was started as a worker it
// serves the given tasks and never returns; in any other process it returns at once.
// Call it at the beginning of main, with every task that is submitted to worker
// processes, and in the TestMain of tests that submit some. A worker process never
// reaches a second call of Main, so a second call panics if it is given a task that the
// first was not. Main also panics on a nil task, and on two different tasks of the same
// name; a task and its Idempotent are the same task.
func Main(tasks ...AnyTask) { ipc.EntryPoint(core.TasksOf(tasks), nil) }

// Backend returns the name of the backend.
func (ex *Executor) Backend() string { return ex.core().Backend().Name }

// Traits returns the traits of the backend.
func (ex *Executor) Traits() Traits { return traitsOf(ex.core().Backend()) }

// Close takes no more tasks, waits for those that were submitted and releases the
// workers. Afterwards no goroutine and no process of the executor remains, and the
// callbacks of its futures and the program's own encoding methods have returned.
// Closing twice is harmless. In a task or a callback of the executor itself, Close would
// wait for its caller: there it does nothing and returns an error that wraps
// [ErrNested]. Otherwise the error tells what failed while the workers ended, never what
// a task returned.
func (ex *Executor) Close() error { return ex.raw().Close() }

// Shutdown is Close with a deadline: it takes no more tasks and waits for those that
// were submitted until ctx ends. Then it cancels them: tasks that have not started
// never run, and running tasks are told to stop. Shutdown does not wait for that; its
// error wraps the cause of ctx and says how many were running. A task inside the process
// that does not stop goes on, since it cannot be killed; a worker process is killed
// after Config.CancelGrace. In a task or a callback of the executor, Shutdown does
// nothing and returns an error that wraps [ErrNested].
func (ex *Executor) Shutdown(ctx context.Context) error { return ex.core().Shutdown(ctx) }

// Stop makes the executor take no more tasks. It does not block. With a cause, the tasks
// that have not started are cancelled with it and those that run are told to stop; with
// nil, all are still run. Close still has to be called. A task may stop its own executor.
func (ex *Executor) Stop(cause error) { ex.raw().Stop(cause) }

// Resize changes the number of workers. Surplus workers end when their task is done. It
// is an error to ask for fewer than 1, or for more than the backend can have. If the
// backend cannot be resized, the error wraps errors.ErrUnsupported.
func (ex *Executor) Resize(workers int) error { return ex.core().Resize(workers) }

// Warm starts the workers that were not needed yet and blocks until they are ready, one
// cannot be started or initialised, or ctx ends. Programs call it if the time of the
// first tasks matters.
func (ex *Executor) Warm(ctx context.Context) error { return ex.core().Warm(ctx) }

// Stats returns the executor's figures. It does not block.
func (ex *Executor) Stats() Stats { return Stats(ex.core().Stats()) }

// Stats are an executor's figures. They are not read at one moment: a task that moves to
// a worker meanwhile may be counted twice or not at all. A worker counts as busy until
// shortly after its task's future is done. When nothing changes, the figures are exact.
type Stats struct {
	Workers int // wanted; 0 if there is no bound
	Alive   int // started and not ended
	Busy    int // running a task
	Queued  int // tasks that no worker has taken
	Started int // workers started since the executor was opened
	Lost    int // workers that ended without having been told to
}

// names returns the names of the backends.
func names() []string {
	var all []string
	for _, b := range backends.All {
		all = append(all, b.Name)
	}
	return all
}

// find returns the named backend.
func find(name string) (*core.Backend, error) {
	for _, b := range backends.All {
		if b.Name == name {
			return b, nil
		}
	}
	return nil, fmt.Errorf("executor: no backend is named %q; there are %q", name, names())
}

// pick returns the backend that Open opens.
func pick(name string, cfg Config) (*core.Backend, error) {
	if name != "" {
		return find(name)
	}
	if cfg.Require|cfg.Prefer == 0 {
		return inproc.Goroutines, nil
	}
	var best *core.Backend
	most := -1
	for _, b := range backends.All {
		has := traitsOf(b)
		if n := bits.OnesCount8(uint8(has & cfg.Prefer)); has&cfg.Require == cfg.Require && !b.Variant && n > most {
			best, most = b, n
		}
	}
	if best == nil {
		return nil, fmt.Errorf("executor: %w: none has %v", ErrUnsuitable, cfg.Require)
	}
	return best, nil
}
