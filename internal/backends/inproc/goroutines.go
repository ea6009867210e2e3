package inproc

import (
	"context"

	"github.com/f3f4c0de/harness/internal/core"
)

// Goroutines runs tasks on as many goroutines as there are workers, which the
// Go scheduler spreads over all processors.
var Goroutines = &core.Backend{
	Name: "goroutines",
	Doc: `goroutines on all processors

Each worker is a long-lived goroutine; the Go scheduler spreads them over
GOMAXPROCS processors. Tasks share memory. CPU-bound work scales to the
processors, waiting scales to the workers.`,
	Shared: true,
	Open: func(ctx context.Context, cfg core.Config) (core.Executor, error) {
		return opened(openPool(ctx, cfg, model{name: "goroutines"}))
	},
}
