// Command mixed does four kinds of work at once: it computes, waits for pages,
// makes calls that block, and waits a great many times for a moment. First
// each kind runs on the model that Python programmers would give it, all side
// by side; then everything runs on the one that is named:
//
//	go run ./examples/mixed -backend eventloop
//	go run ./examples/mixed -backend all
//
// The table says when the last task of each kind was done. In Python the mix is
// what it takes to be fast. In Go, goroutines come close without it, as long as
// there are processors left: a goroutine that computes may keep its processor for
// 10 ms, and one that has waited for a millisecond gets its turn that late. It
// helps to have the computing done in processes, which the kernel takes turns
// with.
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

// compute needs a processor all the time. Now and then it lets an interpreter's
// lock go over to another.
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

// download waits in a way that lets an event loop run others meanwhile.
var download = executor.NewTask("download", func(ctx context.Context, url string) (size int, err error) {
	executor.Blocking(ctx, func() { size, err = get(ctx, url) })
	return size, err
})

// block waits in a way that event loops know nothing of, as a library made for
// threads does: it lets go of an interpreter's lock, and keeps an event loop.
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
