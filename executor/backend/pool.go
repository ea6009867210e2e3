package backend

import (
	"context"
	"time"

	"github.com/f3f4c0de/harness/internal/backends/inproc"
)

// A Pool is a pool of goroutines that does all that a Config asks for and keeps every
// promise of harnesstest: the machinery of the built-in backends that share memory, with
// settings of one's own.
type Pool struct {
	// Name is the backend's; errors have it.
	Name string

	// MaxWorkers bounds the workers; zero is no bound.
	MaxWorkers int

	// OSThreads gives each worker an OS thread for itself.
	OSThreads bool

	// Lock has a task hold a lock while it runs, which it lets go of in
	// executor.Blocking and executor.NoGIL.
	Lock bool

	// Switch is after how long a task that waits for the lock may ask the one that
	// holds it to let go at its next executor.Checkpoint. Zero is never: then the lock
	// goes to whoever has waited longest, as in an event loop.
	Switch time.Duration
}

// Open opens the pool. It is what Backend.Open can be:
//
//	var Backend = backend.Backend{Name: "slow-gil", Doc: "…", Shared: true, Serial: true,
//		Open: backend.Pool{Name: "slow-gil", Lock: true, Switch: time.Second}.Open}
func (p Pool) Open(ctx context.Context, cfg Config) (Executor, error) {
	return inproc.Open(ctx, cfg, inproc.Settings(p))
}
