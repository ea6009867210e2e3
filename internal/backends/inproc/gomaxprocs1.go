package inproc

import (
	"context"
	"runtime"
	"sync"

	"github.com/f3f4c0de/harness/internal/backends/admission"
	"github.com/f3f4c0de/harness/internal/core"
)

// GOMAXPROCS1 runs tasks on goroutines that share one processor.
var GOMAXPROCS1 = &core.Backend{
	Name: "gomaxprocs1",
	Doc: `goroutines on one processor: GIL-like for computing

Each worker is a long-lived goroutine, and all share one processor
(GOMAXPROCS=1), so one runs Go code at a time. The throughput of computation
is as under a global interpreter lock. The latency of I/O beside computation
is not: the Go scheduler lets a busy goroutine run for 10 ms, and a goroutine
whose reply has come waits behind the others, where CPython
hands the lock over after 5 ms. Blocking system calls and C code run outside of
the limit, as they do outside of a GIL.

The setting belongs to the whole process and lasts until the executor is
closed.`,
	Shared:     true,
	Serial:     true,
	Turn:       "the one processor",
	GOMAXPROCS: 1,
	Open: func(ctx context.Context, cfg core.Config) (core.Executor, error) {
		n := admission.Workers(cfg) // before GOMAXPROCS, which is the default, becomes 1
		oneProcessor.acquire()
		cfg.Workers = n
		p, err := openPool(ctx, cfg, model{name: "gomaxprocs1"})
		if err != nil {
			oneProcessor.release()
			return nil, err
		}
		return &limited{p, sync.OnceFunc(oneProcessor.release)}, nil
	},
}

// A limited is a pool; until it is closed the process uses one processor.
type limited struct {
	*pool
	release func()
}

func (l *limited) Close() error {
	if err := l.pool.Close(); err != nil {
		return err // the pool is still open
	}
	l.release()
	return nil
}

// oneProcessor sets GOMAXPROCS to 1 while an executor that needs it is open.
var oneProcessor processorLimit

type processorLimit struct {
	mu       sync.Mutex
	users    int
	previous int
}

func (p *processorLimit) acquire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users++; p.users == 1 {
		p.previous = runtime.GOMAXPROCS(1)
	}
}

func (p *processorLimit) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users == 0 && p.previous != 1 {
		runtime.GOMAXPROCS(p.previous)
	}
}
