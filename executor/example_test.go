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
	"github.com/f3f4c0de/harness/executor/pystyle"
)

// The tasks of the examples. A worker process knows them because TestMain
// gives them to Main, as main does in a program.
var (
	multiply = executor.NewTask("multiply", func(_ context.Context, p pystyle.Pair[int, int]) (int, error) {
		return p.First * p.Second, nil
	})
	size = executor.NewTask("size", func(_ context.Context, name string) (int64, error) {
		info, err := os.Stat(name)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	})
	exit = executor.NewTask("exit", func(_ context.Context, code int) (int, error) {
		os.Exit(code)
		return 0, nil
	})
	// forever waits until it is cancelled.
	forever = executor.NewTask("forever", func(ctx context.Context, _ int) (int, error) {
		executor.Blocking(ctx, func() { <-ctx.Done() })
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
	fmt.Println(ex.Stats().Workers, "workers")
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

func ExampleMap() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "processes", executor.Config{Workers: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	fmt.Println(executor.Map(ctx, ex, square, []int{1, 2, 3}))
	// Output: [1 4 9] <nil>
}

// Results come in the order of the inputs, which are taken as they are needed.
func ExampleResults() {
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
	for r := range executor.Results(ctx, ex, square, naturals, executor.MapOptions{}) {
		fmt.Println(r.In, r.Out, r.Err)
		if r.Out > 20 || r.Err != nil {
			break // cancels what is under way
		}
	}
	// Output:
	// 1 1 <nil>
	// 2 4 <nil>
	// 3 9 <nil>
	// 4 16 <nil>
	// 5 25 <nil>
}

// Each result knows its input, in whatever order they come.
func ExampleResults_unordered() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "goroutines", executor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	for r := range executor.Results(ctx, ex, square, slices.Values([]int{1, 2, 3}), executor.MapOptions{Unordered: true, Chunk: 1}) {
		fmt.Println(r.Index, r.In, r.Out, r.Err)
	}
	// Unordered output:
	// 1 2 4 <nil>
	// 0 1 1 <nil>
	// 2 3 9 <nil>
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
	done, pending, err := executor.Wait[executor.AnyFuture](ctx, executor.FirstError, long, fails)
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

	var futures []*executor.Future[int]
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
	if lost, ok := errors.AsType[*executor.WorkerLostError](err); ok {
		fmt.Println("lost:", lost.Task, lost.Cause)
	}
	fmt.Println(after.Wait(ctx))
	// Output:
	// not found: true
	// lost: exit exit status 3
	// 144 <nil>
}

// What is not done in time is cancelled.
func ExampleExecutor_Shutdown() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "goroutines", executor.Config{Workers: 1})
	if err != nil {
		log.Fatal(err)
	}
	f := forever.Submit(ctx, ex, 0)
	for f.State() == executor.Pending {
		runtime.Gosched()
	}

	patience, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	fmt.Println(ex.Shutdown(patience))
	_, err = f.Wait(ctx)
	fmt.Println(errors.Is(err, executor.ErrShutdown), errors.Is(err, executor.ErrCancelled))
	// Output:
	// shutting down: context deadline exceeded, with 1 tasks running and 0 waiting
	// true true
}
