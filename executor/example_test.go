package executor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// The tasks of the examples. A worker process knows them because TestMain
// gives them to Main, as main does in a program.
var (
	multiply = core.NewTask("multiply", func(_ context.Context, p executor.Pair[int, int]) (int, error) {
		return p.First * p.Second, nil
	})
	size = core.NewTask("size", func(_ context.Context, name string) (int64, error) {
		info, err := os.Stat(name)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	})
	exit = core.NewTask("exit", func(_ context.Context, code int) (int, error) {
		os.Exit(code)
		return 0, nil
	})
	// forever waits until it is cancelled.
	forever = core.NewTask("forever", func(ctx context.Context, _ int) (int, error) {
		core.Blocking(ctx, func() { <-ctx.Done() })
		return 0, context.Cause(ctx)
	})
)

// The backend is one value. Here four processes share the work.
func ExampleOpen() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "processes", executor.Config{Workers: 4})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	n, err := square.Submit(ctx, ex, 12).Wait(ctx)
	fmt.Println(n, err)
	// Output: 144 <nil>
}

// The same program on every backend.
func ExampleBackends() {
	ctx := context.Background()
	for _, b := range executor.Backends() {
		ex, err := executor.Open(ctx, b.Name, executor.Config{Workers: 1})
		if err != nil {
			log.Fatal(err)
		}
		n, err := square.Submit(ctx, ex, 12).Wait(ctx)
		fmt.Println(b.Name, n, errors.Join(err, ex.Close()))
	}
	// Output:
	// sequential 144 <nil>
	// eventloop 144 <nil>
	// gil 144 <nil>
	// gomaxprocs1 144 <nil>
	// goroutines 144 <nil>
	// spawn 144 <nil>
	// threads 144 <nil>
	// processes 144 <nil>
}

// Whoever starts the program picks the backend: HARNESS_BACKEND=threads program
func ExampleFromEnv() {
	os.Setenv(executor.EnvBackend, "threads")
	os.Setenv(executor.EnvWorkers, "3")

	ctx := context.Background()
	ex, err := executor.FromEnv(ctx, executor.Config{})
	os.Unsetenv(executor.EnvBackend)
	os.Unsetenv(executor.EnvWorkers)
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()
	fmt.Println(ex.(core.Manager).Stats().Workers, "workers")
	// Output: 3 workers
}

// A program that may use worker processes begins like this. In a worker, Main
// does not return, so what comes after it runs in the program itself only.
func ExampleMain() {
	// func main() {
	executor.Main(square, size)

	ctx := context.Background()
	ex, err := executor.FromEnv(ctx, executor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()
	fmt.Println(square.Submit(ctx, ex, 12).Wait(ctx))
	// }
}

// Results come in the order of the inputs, which are taken as they are needed.
func ExampleMap() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "processes", executor.Config{Workers: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	naturals := func(yield func(int) bool) {
		for n := 1; yield(n); n++ {
		}
	}
	for n, err := range executor.Map(ctx, ex, square, naturals, executor.MapOptions{}) {
		fmt.Println(n, err)
		if n > 20 || err != nil {
			break // cancels what is under way
		}
	}
	// Output:
	// 1 <nil>
	// 4 <nil>
	// 9 <nil>
	// 16 <nil>
	// 25 <nil>
}

func ExampleMapUnordered() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "goroutines", executor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	for n, err := range executor.MapUnordered(ctx, ex, square, slices.Values([]int{1, 2, 3}), executor.MapOptions{Chunk: 1}) {
		fmt.Println(n, err)
	}
	// Unordered output:
	// 4 <nil>
	// 1 <nil>
	// 9 <nil>
}

// Futures of any executors, as they come.
func ExampleAsCompleted() {
	ctx := context.Background()
	near, err1 := executor.Open(ctx, "goroutines", executor.Config{})
	far, err2 := executor.Open(ctx, "processes", executor.Config{Workers: 1})
	if err := errors.Join(err1, err2); err != nil {
		log.Fatal(err)
	}
	defer near.Close()
	defer far.Close()

	for f := range executor.AsCompleted(ctx, square.Submit(ctx, far, 2), square.Submit(ctx, near, 3)) {
		fmt.Println(f.Wait(ctx)) // does not wait, as f is done
	}
	// Unordered output:
	// 9 <nil>
	// 4 <nil>
}

// What is left when one fails is told to stop.
func ExampleWait() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "goroutines", executor.Config{Workers: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	long, fails := forever.Submit(ctx, ex, 0), size.Submit(ctx, ex, "no such file")
	done, pending, err := executor.Wait[core.AnyFuture](ctx, executor.FirstError, long, fails)
	fmt.Println(len(done), len(pending), err)
	for _, f := range pending {
		f.Cancel()
	}
	// Output: 1 1 <nil>
}

func ExampleAll() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "goroutines", executor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	var futures []*core.Future[int]
	for n := range 5 {
		futures = append(futures, square.Submit(ctx, ex, n))
	}
	fmt.Println(executor.All(ctx, futures...))
	// Output: [0 1 4 9 16] <nil>
}

// What goes wrong in a worker process is reported as if it had gone wrong here,
// and a process that ends costs the task that it ran, and no other.
func Example_failures() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "processes", executor.Config{Workers: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	_, err = size.Submit(ctx, ex, "no such file").Wait(ctx)
	fmt.Println("not found:", errors.Is(err, fs.ErrNotExist))

	ended := exit.Submit(ctx, ex, 3)
	after := square.Submit(ctx, ex, 12)
	_, err = ended.Wait(ctx)
	if lost, ok := errors.AsType[*core.WorkerLostError](err); ok {
		fmt.Println("lost:", lost.Task, lost.Cause)
	}
	fmt.Println(after.Wait(ctx))
	// Output:
	// not found: true
	// lost: exit exit status 3
	// 144 <nil>
}

func ExamplePool() {
	ctx := context.Background()
	pool, err := executor.NewPool(ctx, "processes", executor.Config{Workers: 2, MaxTasksPerWorker: 100})
	if err != nil {
		log.Fatal(err)
	}
	squares := executor.For(pool, square)
	fmt.Println(squares.Apply(ctx, 12))
	fmt.Println(squares.Map(ctx, []int{1, 2, 3}))

	pool.Close()
	fmt.Println(pool.Join(ctx))
	// Output:
	// 144 <nil>
	// [1 4 9] <nil>
	// <nil>
}

func ExampleApplier_ApplyAsync() {
	ctx := context.Background()
	pool, err := executor.NewPool(ctx, "goroutines", executor.Config{Workers: 1})
	if err != nil {
		log.Fatal(err)
	}
	sizes := executor.For(pool, size)
	sizes.ApplyAsync(ctx, os.DevNull,
		func(n int64) { fmt.Println("size", n) },
		func(err error) { fmt.Println("failed:", err) })
	sizes.ApplyAsync(ctx, "no such file", nil,
		func(err error) { fmt.Println("not found:", errors.Is(err, fs.ErrNotExist)) })

	pool.Close()
	if err := pool.Join(ctx); err != nil { // callbacks included
		log.Fatal(err)
	}
	// Unordered output:
	// size 0
	// not found: true
}

func ExampleStarmap() {
	ctx := context.Background()
	pool, err := executor.NewPool(ctx, "goroutines", executor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(executor.Starmap(ctx, pool, multiply, slices.All([]int{7, 8, 9}))) // of index and element
	pool.Close()
	fmt.Println(pool.Join(ctx))
	// Output:
	// [0 8 18] <nil>
	// <nil>
}

func ExampleThread() {
	ctx := context.Background()
	for _, backend := range []string{"goroutines", "threads", "processes"} {
		t := executor.NewThread(square.With(12), executor.ThreadConfig{Name: "squarer", Backend: backend})
		fmt.Print(t.Name(), " on ", backend, ": alive ", t.IsAlive())
		if err := t.Start(ctx); err != nil {
			log.Fatal(err)
		}
		if err := t.Join(ctx); err != nil {
			log.Fatal(err)
		}
		fmt.Println(", joined, alive", t.IsAlive(), t.Err())
	}
	// Output:
	// squarer on goroutines: alive false, joined, alive false <nil>
	// squarer on threads: alive false, joined, alive false <nil>
	// squarer on processes: alive false, joined, alive false <nil>
}

func ExampleThread_JoinTimeout() {
	ctx, stop := context.WithCancel(context.Background())
	t := executor.NewThread(forever.With(0), executor.ThreadConfig{Daemon: true})
	if err := t.Start(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("has ended:", t.JoinTimeout(time.Millisecond), "is alive:", t.IsAlive())
	stop() // its context is how to stop a thread
	fmt.Println("has ended:", t.JoinTimeout(time.Minute))
	// Output:
	// has ended: false is alive: true
	// has ended: true
}

// A program must not end before its threads have, except for the daemons.
func ExampleFinish() {
	ctx := context.Background()
	t := executor.NewThread(square.With(12), executor.ThreadConfig{})
	if err := t.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := executor.Finish(ctx); err != nil { // in main: defer
		log.Fatal(err)
	}
	fmt.Println("is alive:", t.IsAlive())
	// Output: is alive: false
}

// What is not done in time is cancelled.
func ExampleShutdown() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "goroutines", executor.Config{Workers: 1})
	if err != nil {
		log.Fatal(err)
	}
	f := forever.Submit(ctx, ex, 0)
	for f.State() == core.Pending {
		runtime.Gosched()
	}

	patience, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	fmt.Println(executor.Shutdown(patience, ex))
	_, err = f.Wait(ctx)
	fmt.Println(errors.Is(err, executor.ErrShutdown), errors.Is(err, core.ErrCancelled))
	// Output:
	// shutting down: context deadline exceeded, with 1 tasks running and 0 waiting
	// true true
}
