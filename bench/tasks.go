package main

import (
	"context"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/f3f4c0de/harness/executor"
)

// tasks are those that worker processes must know.
var tasks = []executor.AnyTask{nothing, spin, echo, waits}

var (
	nothing = executor.NewTask("nothing", func(_ context.Context, n int) (int, error) { return n, nil })

	// spin computes for so many steps.
	spin = executor.NewTask("spin", func(_ context.Context, steps int) (float64, error) { return compute(steps), nil })

	// waits does nothing for so long.
	waits = executor.NewTask("waits", func(_ context.Context, d time.Duration) (int, error) {
		wait(d)
		return 0, nil
	})

	echo = executor.NewTask("echo", func(_ context.Context, b []byte) ([]byte, error) { return b, nil })
)

// compute takes a time that is proportional to its steps and depends on nothing
// else: each needs the result of the one before.
func compute(steps int) float64 {
	x := 1.5
	for range steps {
		x = math.Sqrt(x + 1)
	}
	return x
}

func wait(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

// stepsFor returns how many steps take about d.
func stepsFor(d time.Duration) int { return int(float64(d) * perNanosecond()) }

var perNanosecond = sync.OnceValue(func() float64 {
	const steps = 1_000_000
	best := time.Duration(math.MaxInt64)
	for range 5 {
		start := time.Now()
		runtime.KeepAlive(compute(steps))
		best = min(best, time.Since(start))
	}
	return steps / float64(best)
})
