package backends

import (
	"context"

	"github.com/f3f4c0de/harness"
)

// Goroutines runs tasks on as many goroutines as there are workers, which the
// Go scheduler spreads over all processors.
var Goroutines = &harness.Backend{
	Name: "goroutines",
	Doc: `goroutines on all processors

Each worker is a long-lived goroutine; the Go scheduler spreads them over
GOMAXPROCS processors. Tasks share memory. CPU-bound work scales to the
processors, waiting scales to the workers.`,
	Shared: true,
	Open: func(ctx context.Context, cfg harness.Config) (harness.Executor, error) {
		return opened(openPool(ctx, cfg, model{name: "goroutines"}))
	},
}
