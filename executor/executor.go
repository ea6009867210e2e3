// Package executor runs tasks on an execution model that is chosen by name. The
// model is one value, and nothing else in the program changes:
//
//	var square = core.NewTask("square", func(ctx context.Context, n int) (int, error) {
//		return n * n, nil
//	})
//
//	func main() {
//		executor.Main(square)
//		ctx := context.Background()
//		ex, err := executor.Open(ctx, "processes", executor.Config{Workers: 4})
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer ex.Close()
//		n, err := square.Submit(ctx, ex, 12).Wait(ctx)
//		fmt.Println(n, err)
//	}
//
// Tasks are declared with [core.NewTask] and submitted with Task.Submit,
// which gives a [core.Future]. On futures there are [Wait], [AsCompleted] and
// [All]; for many inputs there are [Map] and [MapUnordered]. A [Pool] has the
// verbs of Python's multiprocessing.Pool, a [Thread] those of threading.Thread.
// All functions of the package are safe for concurrent use. docs/executor.md is
// a guide for those who come from Python.
//
// # Models
//
// [Backends] lists them, with a description of each:
//
//   - sequential: one task after the other, in the order of submission
//   - eventloop: a task runs until it waits in [core.Blocking], as in asyncio
//   - gil: an emulation of CPython's lock; see also [core.Checkpoint]
//   - gomaxprocs1: goroutines on one processor
//   - goroutines: long-lived goroutines on all processors
//   - spawn: a new goroutine for each task
//   - threads: each worker has an OS thread for itself
//   - processes: each worker is a process with one processor
//
// # Worker processes
//
// The workers of processes are the program itself, started again. So [Main]
// comes first in main, before flags are parsed and files opened: in a worker it
// serves tasks and never returns. It is given every task that may be submitted
// to processes, whatever the arguments of the program, which a worker does not
// have.
//
// A worker has its own copies of package variables, in the state that
// initialisation left them in. What a task needs comes with its argument, and
// what it made goes into its result. Both are encoded on the way, and arrive
// exactly or are refused: they are data, without channels, functions or locks.
// Types that are in an any, an error or another interface are registered with
// [core.Register] before Main. A [core.Queue] may be among the data. Of the
// context, its end reaches the worker; its values and its deadline do not.
package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/f3f4c0de/harness/internal/backends"
	"github.com/f3f4c0de/harness/internal/core"
)

// Config says how to open an executor. The zero Config is usable.
type Config = core.Config

// Backends returns the backends that Open knows, in the order in which they
// should be listed.
func Backends() []*core.Backend { return backends.All }

// Open opens the named backend. It blocks until the workers are ready, ctx
// ends, or a worker cannot be started or prepared; the executor then outlives
// ctx. With no cfg.Tasks, worker processes know those that were given to [Main].
// The caller must close the executor: its Close waits for what was submitted,
// and [Shutdown] does so with a deadline.
func Open(ctx context.Context, name string, cfg Config) (core.Executor, error) {
	if ctx == nil {
		return nil, errors.New("executor: Open was called with a nil context")
	}
	if cfg.Workers < 0 || cfg.Queue < 0 || cfg.MaxTasksPerWorker < 0 {
		return nil, fmt.Errorf("executor: Config has Workers %d, Queue %d and MaxTasksPerWorker %d; want none below 0", cfg.Workers, cfg.Queue, cfg.MaxTasksPerWorker)
	}
	if cfg.IdleTimeout < 0 || cfg.SwitchInterval < 0 {
		return nil, fmt.Errorf("executor: Config has IdleTimeout %v and SwitchInterval %v; want neither below 0", cfg.IdleTimeout, cfg.SwitchInterval)
	}
	if cfg.Full > core.Reject {
		return nil, fmt.Errorf("executor: Config has Full %d; want core.Block (%d) or core.Reject (%d)", cfg.Full, core.Block, core.Reject)
	}
	var names []string
	for _, b := range backends.All {
		if b.Name == name {
			ex, err := b.Open(ctx, cfg)
			if err != nil {
				return nil, fmt.Errorf("opening executor %s: %w", name, err)
			}
			return ex, nil
		}
		names = append(names, b.Name)
	}
	return nil, fmt.Errorf("executor: no backend is named %q; there are %q", name, names)
}

// The environment variables that FromEnv reads.
const (
	EnvBackend = "HARNESS_BACKEND"
	EnvWorkers = "HARNESS_WORKERS"
)

// FromEnv is [Open] with the backend that the environment variable
// HARNESS_BACKEND names, or goroutines if it is not set, and with as many
// workers as HARNESS_WORKERS says, if that is set, in the place of cfg.Workers.
func FromEnv(ctx context.Context, cfg Config) (core.Executor, error) {
	name := os.Getenv(EnvBackend)
	if name == "" {
		name = backends.Goroutines.Name
	}
	if s := os.Getenv(EnvWorkers); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("executor: %s is %q; want a number of at least 1", EnvWorkers, s)
		}
		cfg.Workers = n
	}
	ex, err := Open(ctx, name, cfg)
	if err != nil && os.Getenv(EnvBackend) != "" {
		return nil, fmt.Errorf("%w (%s=%s)", err, EnvBackend, name)
	}
	return ex, err
}

// Main makes the program its own worker. In a process that was started as a
// worker it serves the given tasks and never returns; in any other it returns
// at once. Call it first thing in main, with every task that is submitted to
// worker processes, and in the TestMain of tests that do so. A worker never comes
// to a second call, so one that is given a task that the first was not panics. So
// does one with a nil task, or with two different tasks of the same name; a task and
// its Idempotent are the same.
func Main(tasks ...core.AnyTask) {
	backends.Divert(tasks, nil)
}

// ErrShutdown is what tasks are cancelled with that [Shutdown] or
// [Pool.Terminate] did not wait for.
var ErrShutdown = fmt.Errorf("%w: the executor was shut down", core.ErrCancelled)

// Shutdown closes an executor with a deadline: it takes no more calls and waits
// for those that were submitted until ctx ends. Then it cancels them: those
// that have not started never run, and those that run are told to stop, which
// Shutdown does not wait for. The error then wraps the cause of ctx and says how
// many were running. A task inside the process that does not stop is left
// behind, since it cannot be killed; a worker process is killed after
// Config.CancelGrace. In a task or a callback of the executor, Shutdown is
// refused with an error that wraps [core.ErrNested].
func Shutdown(ctx context.Context, ex core.Executor) error {
	if ex, ok := ex.(interface{ Outside(what string) error }); ok {
		if err := ex.Outside("Shutdown"); err != nil {
			return err
		}
	}
	closed := make(chan error, 1)
	go func() { closed <- ex.Close() }() // ends with the last task
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
	}
	m, ok := ex.(core.Manager)
	if !ok {
		return fmt.Errorf("shutting down: %w", context.Cause(ctx))
	}
	s := m.Stats()
	m.Stop(ErrShutdown)
	return fmt.Errorf("shutting down: %w, with %d tasks running and %d waiting", context.Cause(ctx), s.Busy, s.Queued)
}
