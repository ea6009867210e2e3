package backend

import (
	"context"
	"time"

	"github.com/f3f4c0de/harness/internal/backends/inproc"
)

// A Pool is a pool of goroutines that follows every field of a Config and keeps every
// promise that harnesstest checks. The built-in backends that share memory use the same
// pool with other settings.
type Pool struct {
	// Name is the name of the backend, for errors.
	Name string

	// MaxWorkers bounds the workers; zero is no bound.
	MaxWorkers int

	// OSThreads gives each worker an OS thread for itself.
	OSThreads bool

	// Lock has a task hold a lock while it runs, which it releases in
	// executor.Blocking and executor.NoGIL.
	Lock bool

	// Switch is how long a task waits for the lock before it requests it. Then the
	// task that holds the lock releases it at its next executor.Checkpoint. With zero
	// a task never requests the lock and executor.NoGIL does not release it, and a
	// released lock goes to the task that has waited longest, as in an event loop.
	Switch time.Duration
}

// Open opens the pool. It can be the Open of a Backend:
//
//	var Backend = backend.Backend{Name: "slow-gil", Doc: "…", Shared: true, Serial: true,
//		Open: backend.Pool{Name: "slow-gil", Lock: true, Switch: time.Second}.Open}
func (p Pool) Open(ctx context.Context, cfg Config) (Executor, error) {
	return inproc.Open(ctx, cfg, inproc.Settings(p))
}
