package inproc

import (
	"context"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
)

// switchInterval is CPython's default (sys.getswitchinterval).
const switchInterval = 5 * time.Millisecond

// GIL runs tasks under an emulation of CPython's global interpreter lock.
var GIL = &core.Backend{
	Name: "gil",
	Doc: `emulated GIL: goroutines under one lock, as Python's threads

A task holds the lock while it runs. It releases the lock while it waits (in
executor.Blocking), in sections that do not need the interpreter (in
executor.NoGIL), and, when another task has waited for 5 ms, at its next
executor.Checkpoint. That is CPython's rule, and docs/gil.md compares the two. So
more workers do not speed up computing, but waiting overlaps, and I/O beside
computation is late by the switch interval.`,
	Shared: true,
	Serial: true,
	Turn:   "the interpreter lock",
	Open: func(ctx context.Context, cfg core.Config) (core.Executor, error) {
		interval := cfg.SwitchInterval
		if interval <= 0 {
			interval = switchInterval
		}
		return opened(openPool(ctx, cfg, model{name: "gil", gate: newGate(interval)}))
	},
}
