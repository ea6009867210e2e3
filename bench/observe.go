package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/backends/inproc"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/trace"
)

// A watch makes an observer of tasks for the executor's configuration, and a function that
// starts what observes the process, before tasks are submitted. stop stops that.
type watch func(dir string) (obs *core.Observer, start func() (stop func() error, err error), err error)

// idle starts nothing.
func idle() (func() error, error) { return func() error { return nil }, nil }

func watchNothing(string) (*core.Observer, func() (func() error, error), error) {
	return nil, idle, nil
}

// watchSpans records a span of each task, as a traced trial does.
func watchSpans(string) (*core.Observer, func() (func() error, error), error) {
	rec, err := newRecorder()
	if err != nil {
		return nil, nil, err
	}
	return rec.Observer(), func() (func() error, error) {
		rec.Begin()
		return func() error { return nil }, nil
	}, nil
}

func newRecorder() (*trace.Trial, error) {
	return trace.NewTrial(context.Background(), trace.TrialConfig{
		Identity: trace.Identity{RunID: "bench", Role: "trial"}, Epoch: trace.NewEpoch(),
		CellID: "bench", Workload: "bench", Backend: "goroutines", Workers: width,
	})
}

// watchTimes takes the time stamps of each task and keeps nothing.
func watchTimes(string) (*core.Observer, func() (func() error, error), error) {
	return &core.Observer{}, idle, nil
}

// watchCPUAlone takes a CPU profile without labels.
func watchCPUAlone(string) (*core.Observer, func() (func() error, error), error) {
	return nil, func() (func() error, error) { return profile.StartDiscarded("cpu") }, nil
}

// watchCPU takes a CPU profile whose samples are labelled with their task.
func watchCPU(string) (*core.Observer, func() (func() error, error), error) {
	labels := profile.Labels{Workload: "bench", Backend: "goroutines"}
	return labels.Observer(), func() (func() error, error) { return profile.StartDiscarded("cpu") }, nil
}

// watchExecution writes an execution trace. If marked is set it has log events where each
// task begins and ends, as in a traced trial.
func watchExecution(marked bool) watch {
	return func(dir string) (*core.Observer, func() (func() error, error), error) {
		start := func() (func() error, error) { return profile.Execution(filepath.Join(dir, "trace")) }
		if !marked {
			return nil, start, nil
		}
		number := uint64(0) // only one goroutine submits
		return profile.MarkTasks(core.Observer{Submit: func(c *core.Call) { number++; c.Number = number }}, width), start, nil
	}
}

// watched returns an arm that measures the processor time of a task under a watch.
func watched(name string, w watch, n int, each time.Duration) arm {
	return arm{name: name, open: func(ctx context.Context) (func() (float64, error), func() error, error) {
		dir, err := os.MkdirTemp("", "bench-*")
		if err != nil {
			return nil, nil, err
		}
		obs, start, err := w(dir)
		if err != nil {
			return nil, nil, errors.Join(err, os.RemoveAll(dir))
		}
		raw, err := inproc.Goroutines.Open(ctx, core.Config{Workers: width, Observer: obs})
		if err != nil {
			return nil, nil, errors.Join(err, os.RemoveAll(dir))
		}
		ex := (*executor.Executor)(core.NewHandle(inproc.Goroutines, raw))
		run := func(n int) error {
			return submitted(ctx, ex, spin, n, window, always(steps(each)))
		}
		if err := run(window); err != nil {
			return nil, nil, err
		}
		measure := func() (float64, error) {
			stop, err := start()
			if err != nil {
				return 0, err
			}
			before, err := processorTime()
			if err != nil {
				return 0, err
			}
			err = run(n)
			after, err2 := processorTime()
			return (after - before).Seconds() / float64(n), errors.Join(err, err2, stop())
		}
		return measure, func() error { return errors.Join(ex.Close(), os.RemoveAll(dir)) }, nil
	}}
}

// processorTime returns the processor time that this process has used so far.
func processorTime() (time.Duration, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, err
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}

// steps returns stepsFor(each), which is measured once for each length.
func steps(each time.Duration) int {
	n, _ := lengths.LoadOrStore(each, sync.OnceValue(func() int { return stepsFor(each) }))
	return n.(func() int)()
}

var lengths sync.Map

// observing compares n tasks under each watch with n tasks under none.
func observing(each time.Duration, n int, most map[string]float64) group {
	return group{
		name: fmt.Sprintf("observe %v", each), unit: "s",
		doc: fmt.Sprintf("processor time of a task of %v on two workers, its submission included, watched by one observer", each),
		arms: []arm{
			watched("nothing", watchNothing, n, each),
			watched("nothing, again", watchNothing, n, each),
			watched("spans", watchSpans, n, each),
			watched("time stamps alone", watchTimes, n, each),
			watched("CPU profile", watchCPUAlone, n, each),
			watched("CPU profile, labels", watchCPU, n, each),
			watched("execution trace", watchExecution(false), n, each),
			watched("execution trace, marks", watchExecution(true), n, each),
		},
		most: most,
	}
}
