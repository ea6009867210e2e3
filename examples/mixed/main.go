// Command mixed does four kinds of work at the same time: it computes, waits for pages, makes
// calls that block, and waits very often for a very short time. First each kind runs on the
// model that Python programmers would choose for it, all side by side. Then everything runs
// on the model that a flag names:
//
//	go run ./examples/mixed -backend eventloop
//	go run ./examples/mixed -backend all
//
// The table says when the last task of each kind had ended. In Python only the mix of models
// is fast. In Go, goroutines alone come close, as long as there are idle processors. If there
// are none, a goroutine that computes may keep its processor for 10 ms, and a goroutine that
// has waited for a millisecond runs that much later. Then it helps to compute in processes,
// between which the kernel switches more often.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"time"

	"github.com/f3f4c0de/harness/executor"
)

func main() {
	executor.Main(compute, download, block, wait)
	backend := flag.String("backend", cmp.Or(os.Getenv(executor.EnvBackend), "goroutines"), "execution `model`, or all")
	scale := flag.Float64("scale", 0.1, "`factor` on the work; 1 is about nine seconds of it")
	flag.Parse()

	if err := run(*backend, *scale); err != nil {
		fmt.Fprintln(os.Stderr, "mixed:", err)
		os.Exit(1)
	}
}

// A kind of work, the model that suits it, and its tasks.
type kind struct {
	name  string
	model string
	jobs  []executor.Job
}

func run(backend string, scale float64) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	second := time.Duration(scale * float64(time.Second))
	server := httptest.NewServer(slow(second / 2))
	defer server.Close()

	kinds := []kind{
		{"compute", "processes", repeat(3, compute.With(int(scale*100e6)))},
		{"download", "eventloop", repeat(2, download.With(server.URL))},
		{"block", "threads", repeat(2, block.With(server.URL))},
		{"wait", "eventloop", repeat(4, wait.With(max(1, int(scale*999))))},
	}
	models := []string{backend}
	if backend == "all" {
		models = nil
		for _, b := range executor.Backends() {
			models = append(models, b.Name)
		}
	}

	fmt.Printf("%-12s", "")
	for _, k := range kinds {
		fmt.Printf("%12s", k.name)
	}
	fmt.Printf("%12s\n", "total")
	if err := measure(ctx, "the mix", kinds); err != nil {
		return err
	}
	for _, m := range models {
		for i := range kinds {
			kinds[i].model = m
		}
		if err := measure(ctx, m, kinds); err != nil {
			return err
		}
	}
	return nil
}

func repeat(n int, j executor.Job) (jobs []executor.Job) {
	for range n {
		jobs = append(jobs, j)
	}
	return jobs
}

// measure runs all tasks, each kind on its model, with a worker for each task,
// and prints when each kind was done.
func measure(ctx context.Context, name string, kinds []kind) (err error) {
	workers := make(map[string]int)
	for _, k := range kinds {
		workers[k.model] += len(k.jobs)
	}
	open := make(map[string]*executor.Executor)
	for model, n := range workers {
		ex, e := executor.Open(ctx, model, executor.Config{Workers: n})
		if e != nil {
			return e
		}
		defer func() { err = errors.Join(err, ex.Close()) }()
		open[model] = ex
	}

	start := time.Now()
	var futures []executor.AnyFuture
	kindOf := make(map[executor.AnyFuture]int)
	for i, k := range kinds {
		for _, j := range k.jobs {
			f := j.Start(ctx, open[k.model])
			futures = append(futures, f)
			kindOf[f] = i
		}
	}
	done := make([]time.Duration, len(kinds))
	for f := range executor.AsCompleted(ctx, futures...) { // of all executors
		if err := f.Err(); err != nil {
			return err
		}
		done[kindOf[f]] = time.Since(start)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	total := time.Since(start)

	fmt.Printf("%-12s", name)
	for _, d := range done {
		fmt.Printf("%10.3f s", d.Seconds())
	}
	fmt.Printf("%10.3f s\n", total.Seconds())
	return nil
}

// compute needs a processor all the time. Now and then it lets another task have the
// interpreter's lock.
var compute = executor.NewTask("compute", func(ctx context.Context, n int) (float64, error) {
	sum := 0.0
	for i := range n {
		sum += math.Sqrt(float64(i))
		if i%8192 == 0 {
			executor.Checkpoint(ctx)
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
		}
	}
	return sum, nil
})

// download waits in a way that lets an event loop run other tasks in the meantime.
var download = executor.NewTask("download", func(ctx context.Context, url string) (size int, err error) {
	executor.Blocking(ctx, func() { size, err = get(ctx, url) })
	return size, err
})

// block waits in a way that an event loop does not notice, as a library made for threads
// does: it releases an interpreter's lock, but it blocks an event loop.
var block = executor.NewTask("block", func(ctx context.Context, url string) (size int, err error) {
	executor.NoGIL(ctx, func() { size, err = get(ctx, url) })
	return size, err
})

// wait waits n times for a millisecond.
var wait = executor.NewTask("wait", func(ctx context.Context, n int) (int, error) {
	for i := range n {
		executor.Blocking(ctx, func() {
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
			}
		})
		if ctx.Err() != nil {
			return i, context.Cause(ctx)
		}
	}
	return n, nil
})

// get returns the size of a page.
func get(ctx context.Context, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	return len(page), err
}

// slow serves a page after a delay.
func slow(delay time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(delay):
			fmt.Fprintln(w, "here it is")
		case <-r.Context().Done():
		}
	})
}
