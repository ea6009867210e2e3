package inproc

import (
	"context"

	"github.com/f3f4c0de/harness/internal/core"
)

// EventLoop runs one task at a time; a task gives up its turn only where it waits.
var EventLoop = &core.Backend{
	Name: "eventloop",
	Doc: `event loop: one task runs until it waits, as in asyncio

A task has the loop while it runs, and gives it up only while it waits (in
executor.Blocking, where asyncio has await). Then the task that has been ready
for longest gets its turn. So waiting overlaps without any lock or race, and a
task that computes keeps all others waiting until it is done. The number of
workers bounds the tasks that are under way at a time.`,
	Shared:      true,
	Serial:      true,
	Turn:        "the loop's turn",
	Cooperative: true,
	Open: func(ctx context.Context, cfg core.Config) (core.Executor, error) {
		return opened(openPool(ctx, cfg, model{name: "eventloop", gate: newGate(0)}))
	},
}
