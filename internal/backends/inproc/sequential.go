package inproc

import (
	"context"

	"github.com/f3f4c0de/harness/internal/core"
)

// Sequential runs one task after the other, in the order of submission. Speed-ups are
// relative to it.
var Sequential = &core.Backend{
	Name: "sequential",
	Doc: `one task after the other, on one goroutine

The baseline of every comparison: a single long-lived worker runs the tasks in
the order in which they were submitted. The garbage collector may still use
the other processors, as in any Go program.`,
	Shared:     true,
	Serial:     true,
	MaxWorkers: 1,
	Open: func(ctx context.Context, cfg core.Config) (core.Executor, error) {
		return opened(openPool(ctx, cfg, model{name: "sequential", maxWorkers: 1}))
	},
}
