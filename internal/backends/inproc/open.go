package inproc

import (
	"context"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
)

// Settings are what a backend that stays inside the process can be like.
type Settings struct {
	Name       string
	MaxWorkers int           // 0: no bound
	OSThreads  bool          // each worker has an OS thread for itself
	Lock       bool          // a task holds a lock while it runs
	Switch     time.Duration // after how long a task that waits for the lock may ask for it; 0: never
}

// Open opens a pool of goroutines with those settings. It is for backends that are
// written elsewhere.
func Open(ctx context.Context, cfg core.Config, s Settings) (core.Executor, error) {
	m := model{name: s.Name, maxWorkers: s.MaxWorkers, locked: s.OSThreads}
	if s.Lock {
		m.gate = newGate(max(0, s.Switch))
	}
	return opened(openPool(ctx, cfg, m))
}
