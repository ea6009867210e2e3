package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/alitto/pond/v2"
	"github.com/panjf2000/ants/v2"
	"github.com/sourcegraph/conc/pool"
	"golang.org/x/sync/errgroup"

	"github.com/f3f4c0de/harness/executor"
)

// width is the number of workers of every pool.
const width = 2

// ours returns an arm that measures an executor.
func ours(name, backend string, f func(ctx context.Context, ex *executor.Executor) (float64, error)) arm {
	return arm{name: name, open: func(ctx context.Context) (func() (float64, error), func() error, error) {
		ex, err := executor.Open(ctx, backend, executor.Config{Workers: width})
		if err != nil {
			return nil, nil, err
		}
		if err := ex.Warm(ctx); err != nil {
			return nil, nil, err
		}
		for range 4 * width {
			if _, err := nothing.Submit(ctx, ex, 1).Wait(ctx); err != nil {
				return nil, nil, err
			}
		}
		return func() (float64, error) { return f(ctx, ex) }, ex.Close, nil
	}}
}

// plain returns an arm that is not set up before it is measured.
func plain(name, note string, f func(ctx context.Context) (float64, error)) arm {
	return arm{name: name, note: note, open: func(ctx context.Context) (func() (float64, error), func() error, error) {
		return func() (float64, error) { return f(ctx) }, func() error { return nil }, nil
	}}
}

// perItem returns the seconds per item of f, which does n items.
func perItem(n int, f func() error) (float64, error) {
	start := time.Now()
	err := f()
	return time.Since(start).Seconds() / float64(n), err
}

// submitted submits n tasks, window at a time, and waits for their results.
func submitted[In, Out any](ctx context.Context, ex *executor.Executor, task *executor.Task[In, Out], n, window int, in func(i int) In) error {
	futures := make([]*executor.Future[Out], window)
	for at := 0; at < n; at += window {
		m := min(window, n-at)
		for i := range m {
			futures[i] = task.Submit(ctx, ex, in(at+i))
		}
		for i := range m {
			if _, err := futures[i].Wait(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// mapped maps n inputs and waits for the results.
func mapped[In, Out any](ctx context.Context, ex *executor.Executor, task *executor.Task[In, Out], n int, opt executor.MapOptions, in func(i int) In) error {
	got := 0
	for r := range executor.Results(ctx, ex, task, inputs(n, in), opt) {
		if r.Err != nil {
			return r.Err
		}
		got++
	}
	if got != n {
		return fmt.Errorf("%d results of %d", got, n)
	}
	return nil
}

func inputs[In any](n int, in func(i int) In) iter.Seq[In] {
	return func(yield func(In) bool) {
		for i := range n {
			if !yield(in(i)) {
				return
			}
		}
	}
}

func identity(i int) int { return i }

// always returns a function that returns v.
func always[T any](v T) func(int) T { return func(int) T { return v } }

const (
	submissions = 200_000
	window      = 1000
)

var groups = []group{
	{
		name: "submit", unit: "s",
		doc: "a task that does nothing, submitted and its result taken, in process",
		arms: []arm{
			ours("harness goroutines", "goroutines", func(ctx context.Context, ex *executor.Executor) (float64, error) {
				return perItem(submissions, func() error { return submitted(ctx, ex, nothing, submissions, window, identity) })
			}),
			plain("pond Go", "no result", func(context.Context) (float64, error) {
				p := pond.NewPool(width)
				return perItem(submissions, func() error {
					for range submissions {
						if err := p.Go(func() {}); err != nil {
							return err
						}
					}
					p.StopAndWait()
					return nil
				})
			}),
			plain("pond Submit", "", func(context.Context) (float64, error) {
				p := pond.NewResultPool[int](width)
				defer p.StopAndWait()
				return perItem(submissions, func() error {
					tasks := make([]pond.ResultTask[int], window)
					for at := 0; at < submissions; at += window {
						for i := range window {
							tasks[i] = p.Submit(func() int { return at + i })
						}
						for _, t := range tasks {
							if _, err := t.Wait(); err != nil {
								return err
							}
						}
					}
					return nil
				})
			}),
			plain("pond group", "results together", func(context.Context) (float64, error) {
				p := pond.NewResultPool[int](width)
				defer p.StopAndWait()
				return perItem(submissions, func() error {
					for at := 0; at < submissions; at += window {
						g := p.NewGroup()
						for i := range window {
							g.Submit(func() int { return at + i })
						}
						if _, err := g.Wait(); err != nil {
							return err
						}
					}
					return nil
				})
			}),
			plain("conc result pool", "results together", func(context.Context) (float64, error) {
				return perItem(submissions, func() error {
					for at := 0; at < submissions; at += window {
						p := pool.NewWithResults[int]().WithMaxGoroutines(width)
						for i := range window {
							p.Go(func() int { return at + i })
						}
						p.Wait()
					}
					return nil
				})
			}),
			plain("ants", "no result", func(context.Context) (float64, error) {
				p, err := ants.NewPool(width)
				if err != nil {
					return 0, err
				}
				defer p.Release()
				return perItem(submissions, func() error {
					var wg sync.WaitGroup
					for range submissions {
						wg.Add(1)
						if err := p.Submit(wg.Done); err != nil {
							return err
						}
					}
					wg.Wait()
					return nil
				})
			}),
			plain("errgroup", "no result", func(context.Context) (float64, error) {
				return perItem(submissions, func() error {
					var g errgroup.Group
					g.SetLimit(width)
					for range submissions {
						g.Go(func() error { return nil })
					}
					return g.Wait()
				})
			}),
			plain("go and WaitGroup", "no result, no limit", func(context.Context) (float64, error) {
				return perItem(submissions, func() error {
					var wg sync.WaitGroup
					for range submissions {
						wg.Go(func() {})
					}
					wg.Wait()
					return nil
				})
			}),
			python("ThreadPoolExecutor", "submit", map[string]any{"kind": "threads", "workers": width, "n": 20_000, "window": window}, ""),
		},
		// We may take 1.6 times as long as pond's Go, which returns no result.
		goals: map[string]float64{"pond Go": 1 / 1.6, "pond Submit": 4, "pond group": 2, "conc result pool": 2, "ThreadPoolExecutor": 80},
	},
	{
		name: "map", unit: "s",
		doc: "an item of a map of tasks that do nothing, in process",
		arms: []arm{
			ours("harness Map", "goroutines", func(ctx context.Context, ex *executor.Executor) (float64, error) {
				return perItem(2_000_000, func() error { return mapped(ctx, ex, nothing, 2_000_000, executor.MapOptions{}, identity) })
			}),
			plain("goal: 10 ns", "", func(context.Context) (float64, error) { return 10e-9, nil }),
			plain("static split", "the limit: two loops", func(context.Context) (float64, error) {
				return perItem(2_000_000, func() error {
					out := make([]int, 2_000_000)
					var wg sync.WaitGroup
					for w := range width {
						wg.Go(func() {
							for i := w * len(out) / width; i < (w+1)*len(out)/width; i++ {
								out[i], _ = stay(i)
							}
						})
					}
					wg.Wait()
					runtime.KeepAlive(out)
					return nil
				})
			}),
			plain("conc iter.Map", "", func(context.Context) (float64, error) {
				return perItem(100_000, func() error {
					p := pool.NewWithResults[int]().WithMaxGoroutines(width)
					for i := range 100_000 {
						p.Go(func() int { return i })
					}
					p.Wait()
					return nil
				})
			}),
		},
		goals: map[string]float64{"goal: 10 ns": 1},
	},
	ideal("map of 10 µs", "goroutines", 10*time.Microsecond, 20_000, always(1), 0.95),
	ideal("map of 1 ms", "goroutines", time.Millisecond, 300, always(1), 0.99),
	turned("map, short then long", "goroutines", true),
	{
		name: "process stream", unit: "s",
		doc: "a single task that does nothing through worker processes, many in flight",
		arms: []arm{
			ours("harness processes", "processes", func(ctx context.Context, ex *executor.Executor) (float64, error) {
				return perItem(submissions, func() error { return submitted(ctx, ex, nothing, submissions, 4096, identity) })
			}),
			python("ProcessPoolExecutor", "submit", map[string]any{"kind": "processes", "workers": width, "n": 10_000, "window": 4096}, ""),
		},
		goals: map[string]float64{"ProcessPoolExecutor": 200},
	},
	{
		name: "process pairs", unit: "s",
		doc: "the same, two in flight a worker",
		arms: []arm{
			ours("harness processes", "processes", func(ctx context.Context, ex *executor.Executor) (float64, error) {
				return perItem(20_000, func() error { return submitted(ctx, ex, nothing, 20_000, 2*width, identity) })
			}),
			python("ProcessPoolExecutor", "submit", map[string]any{"kind": "processes", "workers": width, "n": 4_000, "window": 2 * width}, ""),
		},
		goals: map[string]float64{"ProcessPoolExecutor": 3},
	},
	{
		name: "process round trip", unit: "s",
		doc: "the median of one task after the other through idle worker processes",
		arms: []arm{
			ours("harness processes", "processes", func(ctx context.Context, ex *executor.Executor) (float64, error) {
				return medianOf(2000, func() error {
					_, err := nothing.Submit(ctx, ex, 1).Wait(ctx)
					return err
				})
			}),
			pipes(),
			python("ProcessPoolExecutor", "round_trip", map[string]any{"kind": "processes", "workers": width, "n": 1000}, ""),
			python("multiprocessing.Pool", "round_trip", map[string]any{"kind": "pool", "workers": width, "n": 1000}, "apply"),
		},
		goals: map[string]float64{"ProcessPoolExecutor": 5, "raw pipes": 0.5},
	},
	{
		name: "process map", unit: "s",
		doc: "an item of a map of tasks that do nothing through worker processes",
		arms: []arm{
			ours("harness Map", "processes", func(ctx context.Context, ex *executor.Executor) (float64, error) {
				return perItem(2_000_000, func() error { return mapped(ctx, ex, nothing, 2_000_000, executor.MapOptions{}, identity) })
			}),
			python("ProcessPoolExecutor, chunk 1000", "pool_map", map[string]any{"kind": "processes", "workers": width, "n": 500_000, "chunk": 1000}, "its best"),
			python("multiprocessing.Pool", "pool_map", map[string]any{"kind": "pool", "workers": width, "n": 1_000_000, "chunk": 0}, "default chunks"),
		},
		goals: map[string]float64{"ProcessPoolExecutor, chunk 1000": 15, "multiprocessing.Pool": 4},
	},
	ideal("process map of 10 µs", "processes", 10*time.Microsecond, 20_000, always(1), 1/1.1),
	ideal("process map of 1 ms", "processes", time.Millisecond, 300, always(1), 1/1.1),
	ideal("process map, skewed", "processes", 20*time.Microsecond, 20_000, func(i int) int {
		if i%100 == 50 {
			return 100
		}
		return 1
	}, 1/1.1),
	turned("process map, short then long", "processes", false),
	{
		name: "payload", unit: "GB/s", more: true,
		doc: "1 MiB of argument and 1 MiB of result a task",
		arms: []arm{
			ours("harness processes", "processes", func(ctx context.Context, ex *executor.Executor) (float64, error) {
				const n = 300
				in := make([]byte, 1<<20)
				s, err := perItem(n, func() error { return submitted(ctx, ex, echo, n, 4, always(in)) })
				return 2 * float64(len(in)) / s / 1e9, err
			}),
			python("ProcessPoolExecutor", "bulk", map[string]any{"kind": "processes", "workers": width, "size": 1 << 20, "n": 200}, ""),
		},
	},
	observing(10*time.Microsecond, 20_000, map[string]float64{"spans": 1.01, "CPU profile, labels": 1.015, "execution trace": 1.05}),
	observing(time.Millisecond, 300, map[string]float64{"spans": 1.001}),
	{
		name: "start", unit: "s",
		doc: "two workers from their start to the first result of each",
		arms: []arm{
			plain("harness processes", "", func(ctx context.Context) (float64, error) {
				return perItem(1, func() error {
					ex, err := executor.Open(ctx, "processes", executor.Config{Workers: width})
					if err != nil {
						return err
					}
					if err := submitted(ctx, ex, nothing, width, width, identity); err != nil {
						return err
					}
					return ex.Close()
				})
			}),
			python("multiprocessing spawn", "start", map[string]any{"method": "spawn", "workers": width}, ""),
			python("multiprocessing forkserver", "start", map[string]any{"method": "forkserver", "workers": width}, ""),
			python("multiprocessing fork", "start", map[string]any{"method": "fork", "workers": width}, ""),
		},
		goals: map[string]float64{"multiprocessing spawn": 9, "multiprocessing forkserver": 2.5},
	},
}

// stay does what the task nothing does, without an executor.
//
//go:noinline
func stay(n int) (int, error) { return n, nil }

// ideal compares a map of tasks with two loops that do the same work.
func ideal(name, backend string, each time.Duration, n int, length func(i int) int, goal float64) group {
	steps := sync.OnceValue(func() int { return stepsFor(each) })
	return group{
		name: name, unit: "s",
		doc: fmt.Sprintf("an item of a map of tasks of %v, beside two loops over the same work, with long and short ones dealt out evenly", each),
		arms: []arm{
			ours("harness Map", backend, func(ctx context.Context, ex *executor.Executor) (float64, error) {
				return perItem(n, func() error {
					return mapped(ctx, ex, spin, n, executor.MapOptions{}, func(i int) int { return length(i) * steps() })
				})
			}),
			plain("two loops", "ideal", func(context.Context) (float64, error) {
				return perItem(n, func() error {
					total := 0
					for i := range n {
						total += length(i) * steps()
					}
					var wg sync.WaitGroup
					for range width {
						wg.Go(func() {
							sum := 0.
							for left := total / width; left > 0; left -= steps() {
								sum += compute(min(left, steps()))
							}
							runtime.KeepAlive(sum)
						})
					}
					wg.Wait()
					return nil
				})
			}),
		},
		goals: map[string]float64{"two loops": goal},
	}
}

// turned compares a map that adapts the size of its portions with a map of portions of one
// input, for inputs that are short at first and long later.
func turned(name, backend string, peers bool) group {
	const short, long, each = 20_000, 64, 10 * time.Millisecond
	length := func(i int) time.Duration {
		if i < short {
			return 0
		}
		return each
	}
	with := func(opt executor.MapOptions) func(context.Context, *executor.Executor) (float64, error) {
		return func(ctx context.Context, ex *executor.Executor) (float64, error) {
			return perItem(1, func() error { return mapped(ctx, ex, waits, short+long, opt, length) })
		}
	}
	g := group{
		name: name, unit: "s",
		doc: fmt.Sprintf("a map of %d inputs that take no time and then %d that wait %v, %v at best", short, long, each, long*each/width),
		arms: []arm{
			ours("harness Map", backend, with(executor.MapOptions{})),
			ours("harness Map, chunk 1", backend, with(executor.MapOptions{Chunk: 1})),
		},
		goals: map[string]float64{"harness Map, chunk 1": 0.9},
	}
	if peers {
		g.arms = append(g.arms, plain("conc result pool", "", func(context.Context) (float64, error) {
			return perItem(1, func() error {
				p := pool.NewWithResults[int]().WithMaxGoroutines(width)
				for i := range short + long {
					p.Go(func() int { wait(length(i)); return i })
				}
				p.Wait()
				return nil
			})
		}))
	}
	return g
}

// medianOf returns the median of the times of n calls.
func medianOf(n int, f func() error) (float64, error) {
	times := make([]float64, n)
	for i := range times {
		start := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		times[i] = time.Since(start).Seconds()
	}
	slices.Sort(times)
	return median(times), nil
}

// pipes measures the way of a byte through pipes to another process and back, which does
// nothing else: a lower bound for anything that goes to another process.
func pipes() arm {
	return arm{name: "raw pipes", note: "a byte to a process and back", open: func(ctx context.Context) (func() (float64, error), func() error, error) {
		cat := exec.CommandContext(ctx, "cat")
		if cat.Err != nil {
			return nil, nil, errAbsent{"cat"}
		}
		in, err := cat.StdinPipe()
		if err != nil {
			return nil, nil, err
		}
		out, err := cat.StdoutPipe()
		if err != nil {
			return nil, nil, err
		}
		if err := cat.Start(); err != nil {
			return nil, nil, err
		}
		b := make([]byte, 1)
		measure := func() (float64, error) {
			return medianOf(2000, func() error {
				if _, err := in.Write(b); err != nil {
					return err
				}
				_, err := io.ReadFull(out, b)
				return err
			})
		}
		end := func() error {
			_ = in.Close()
			return cat.Wait()
		}
		return measure, end, nil
	}}
}
