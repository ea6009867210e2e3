package executor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
)

// A Config says how to open an executor. The zero Config is usable.
type Config struct {
	// Workers is how many tasks can run at once, including tasks that wait. Zero is
	// as many as keep the processors busy (see Waits), and for the backend spawn no
	// bound. The backend sequential always has 1.
	Workers int

	// Waits is the share of its time in which a task waits, for a reply or a disk: at
	// least 0 and below 1. If Workers is zero there are GOMAXPROCS / (1 − Waits)
	// workers, rounded up. With 0.9 there are ten for each processor: one computes
	// while nine wait (Goetz, Java Concurrency in Practice, 8.2).
	Waits float64

	// Require are the traits that the backend must have: Open refuses a backend
	// without them. Prefer are the traits that it should have. With an empty name,
	// Open picks the first of [Backends] that has all of Require and most of Prefer.
	Require, Prefer Traits

	// Tasks are the tasks that worker processes must know; nil is all that were given
	// to [Main]. Backends inside the process ignore it.
	Tasks []AnyTask

	// Queue bounds the tasks that wait for a worker; zero is no bound. Full says what
	// Submit does when the queue is full. A few tasks are sent ahead to each worker
	// process; they do not count.
	Queue int
	Full  FullPolicy

	// Init, if it is set, is run once by every worker before its first task. See
	// [InitError] for what happens if it fails.
	Init Job

	// MaxTasksPerWorker is after how many tasks a worker is replaced by a new one;
	// zero is never.
	MaxTasksPerWorker int

	// IdleTimeout is after how long without a task a worker ends. Another is started
	// when it is needed. Zero is never.
	IdleTimeout time.Duration

	// CancelGrace is how long a running task in a worker process may take to stop
	// after it was cancelled, until the process is killed and replaced. Zero is a
	// second, negative for ever. A task inside the process cannot be killed.
	CancelGrace time.Duration

	// SwitchInterval is after how long a task that waits for the emulated
	// interpreter lock may ask for it; zero is CPython's 5 ms. The other backends
	// ignore it.
	SwitchInterval time.Duration

	// Timing has the moments of every task recorded, for Future.Timing. It costs
	// about a tenth of a microsecond a task.
	Timing bool

	// Observer watches every task; nil watches none and costs nothing.
	Observer *Observer

	// Log gets a record for every task that is over, with its worker, its times and
	// its error: of level Warn if it failed, else Debug. With nil nothing is logged.
	Log *slog.Logger
}

// A FullPolicy says what Submit does when an executor's queue is full.
type FullPolicy uint8

// The policies for a full queue.
const (
	// Block waits until there is room, or the context of the submission ends.
	Block = FullPolicy(core.Block)
	// Reject fails the task with ErrFull.
	Reject = FullPolicy(core.Reject)
)

// Traits are properties that a backend can have; see Config.Require.
type Traits uint8

// The traits of backends.
const (
	// SharedMemory says that tasks run in the memory of the program.
	SharedMemory Traits = 1 << iota
	// Isolation says that tasks run in other processes: they cannot damage the
	// program, and a task that does not stop can be killed.
	Isolation
	// Parallel says that as many tasks compute at once as there are processors.
	Parallel
)

// String returns the names of the traits, such as "shared memory, parallel computing".
func (t Traits) String() string {
	var names []string
	for i, name := range []string{"shared memory", "isolation", "parallel computing"} {
		if t&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if rest := t &^ (SharedMemory | Isolation | Parallel); rest != 0 {
		names = append(names, fmt.Sprintf("Traits(%d)", uint8(rest)))
	}
	return strings.Join(names, ", ")
}

// traitsOf returns the traits of a backend.
func traitsOf(b *core.Backend) Traits {
	t := Isolation
	if b.Shared {
		t = SharedMemory
	}
	if !b.Serial && b.MaxWorkers != 1 && b.GOMAXPROCS != 1 {
		t |= Parallel
	}
	return t
}

// core checks the Config and returns it in the form that backends take.
func (cfg Config) core() (core.Config, error) {
	if err := cfg.check(); err != nil {
		return core.Config{}, err
	}
	c := core.Config{
		Workers: cfg.Workers, OnDemand: true, Queue: cfg.Queue, Full: core.FullPolicy(cfg.Full),
		MaxTasksPerWorker: cfg.MaxTasksPerWorker, IdleTimeout: cfg.IdleTimeout, CancelGrace: cfg.CancelGrace,
		SwitchInterval: cfg.SwitchInterval, Timing: cfg.Timing, Observer: cfg.Observer.core(cfg.Log),
	}
	if c.Workers == 0 && cfg.Waits > 0 {
		c.Workers = workersFor(runtime.GOMAXPROCS(0), cfg.Waits)
	}
	if cfg.Init != nil {
		c.Init = cfg.Init.core()
	}
	if cfg.Tasks != nil {
		c.Tasks = core.TasksOf(cfg.Tasks)
	}
	return c, nil
}

// workersFor returns how many workers keep the processors busy.
func workersFor(processors int, waits float64) int {
	return int(math.Ceil(float64(processors)/(1-waits) - 1e-9)) // 1-0.9 is a little less than a tenth
}

// check returns an error that says what is wrong with the Config, or nil.
func (cfg Config) check() error {
	switch {
	case cfg.Workers < 0 || cfg.Queue < 0 || cfg.MaxTasksPerWorker < 0:
		return fmt.Errorf("executor: Config has Workers %d, Queue %d and MaxTasksPerWorker %d; want none below 0", cfg.Workers, cfg.Queue, cfg.MaxTasksPerWorker)
	case cfg.IdleTimeout < 0 || cfg.SwitchInterval < 0:
		return fmt.Errorf("executor: Config has IdleTimeout %v and SwitchInterval %v; want neither below 0", cfg.IdleTimeout, cfg.SwitchInterval)
	case !(cfg.Waits >= 0 && cfg.Waits < 1):
		return fmt.Errorf("executor: Config has Waits %v; want a share of at least 0 and below 1", cfg.Waits)
	case cfg.Full > Reject:
		return fmt.Errorf("executor: Config has Full %d; want Block (%d) or Reject (%d)", cfg.Full, Block, Reject)
	case cfg.Require&SharedMemory != 0 && cfg.Require&Isolation != 0:
		return errors.New("executor: Config requires shared memory and isolation, which exclude each other")
	}
	return nil
}

// The environment variables that FromEnv and Flags read.
const (
	EnvBackend = "HARNESS_BACKEND"
	EnvWorkers = "HARNESS_WORKERS"
)

// fromEnv returns the backend that the environment names, or else goroutines, and
// puts its number of workers into cfg.
func fromEnv(cfg *Config) (backend string, err error) {
	if s := os.Getenv(EnvWorkers); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return "", fmt.Errorf("executor: %s is %q; want a number of at least 1", EnvWorkers, s)
		}
		cfg.Workers = n
	}
	if backend = os.Getenv(EnvBackend); backend == "" {
		return "goroutines", nil
	}
	return backend, nil
}

// Flags defines the flags -backend, -workers and -queue, with which the user of a
// program picks the model. The default of -backend is goroutines, and the others have
// their defaults from cfg; the environment variables of [FromEnv] have precedence. After
// the flags are parsed, open opens the executor; see [Open]. A flag with an invalid value
// is refused when it is parsed, and an invalid variable by open.
//
//	open := executor.Flags(flag.CommandLine, executor.Config{})
//	flag.Parse()
//	ex, err := open(ctx)
func Flags(fs *flag.FlagSet, cfg Config) (open func(ctx context.Context) (*Executor, error)) {
	name, err := fromEnv(&cfg)
	fs.Func("backend", fmt.Sprintf("execution `model`: %s (%s)", strings.Join(names(), ", "), name), func(s string) error {
		_, err := find(s)
		name = s
		return err
	})
	number := func(to *int, flag, usage string) {
		fs.Func(flag, fmt.Sprintf("%s (%d)", usage, *to), func(s string) (err error) {
			n, err := strconv.Atoi(s)
			if err != nil || n < 0 {
				return errors.New("want a number of at least 0")
			}
			*to = n
			return nil
		})
	}
	number(&cfg.Workers, "workers", "tasks that can be under way at once; `0` is as many as keep the processors busy")
	number(&cfg.Queue, "queue", "most tasks that wait for a worker; `0` is no bound")
	return func(ctx context.Context) (*Executor, error) {
		if err != nil {
			return nil, err
		}
		return Open(ctx, name, cfg)
	}
}
