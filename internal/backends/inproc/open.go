package inproc

import (
	"context"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
)

// Settings are the properties in which the backends inside the process differ.
type Settings struct {
	Name       string
	MaxWorkers int           // 0: no bound
	OSThreads  bool          // each worker has an OS thread for itself
	Lock       bool          // a task holds a lock while it runs
	Switch     time.Duration // how long a task waits for the lock before it requests it; 0: it never does
}

// Open opens a pool of goroutines with those settings. It is for backends outside of
// this package.
func Open(ctx context.Context, cfg core.Config, s Settings) (core.Executor, error) {
	m := model{name: s.Name, maxWorkers: s.MaxWorkers, locked: s.OSThreads}
	if s.Lock {
		m.gate = newGate(max(0, s.Switch))
	}
	return opened(openPool(ctx, cfg, m))
}
