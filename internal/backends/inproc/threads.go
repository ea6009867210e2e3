package inproc

import (
	"context"

	"github.com/f3f4c0de/harness/internal/core"
)

// Threads runs tasks on as many OS threads as there are workers.
var Threads = &core.Backend{
	Name: "threads",
	Doc: `OS threads: each worker has one for itself

Each worker is a goroutine that is locked to an OS thread (LockOSThread), so
the kernel sees one thread a worker, as in C or Java. Tasks share memory and
the processors, as goroutines do. A switch to another worker costs more: a
thread must be woken where otherwise only goroutines are switched.`,
	Shared:  true,
	Variant: true,
	Open: func(ctx context.Context, cfg core.Config) (core.Executor, error) {
		return opened(openPool(ctx, cfg, model{name: "threads", locked: true}))
	},
}
