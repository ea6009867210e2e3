package inproc

import (
	"context"

	"github.com/f3f4c0de/harness/internal/core"
)

// Spawn runs each task on a goroutine of its own.
var Spawn = &core.Backend{
	Name: "spawn",
	Doc: `a new goroutine for every task

What "go f()" does: each task gets a new goroutine, at most as many at a time
as there are workers, or without bound if no number is given. Compared with
the long-lived workers of goroutines it shows what starting a goroutine costs:
above all the growth of its stack, inside the task.`,
	Shared:  true,
	Variant: true,
	Open: func(ctx context.Context, cfg core.Config) (core.Executor, error) {
		return opened(openPool(ctx, cfg, model{name: "spawn", single: true}))
	},
}
