package executor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"strings"
	"time"

	"github.com/f3f4c0de/harness/executor"
)

// count is a task: a name, a function, and the types of what goes in and what
// comes out.
var count = executor.NewTask("count", func(_ context.Context, text string) (int, error) {
	return len(strings.Fields(text)), nil
})

// fileSize fails for files that cannot be read.
var fileSize = executor.NewTask("size", func(_ context.Context, name string) (int64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
})

func ExampleNewTask() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "goroutines", executor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	future := count.Submit(ctx, ex, "to be or not to be")
	n, err := future.Wait(ctx)
	fmt.Println(n, err)
	// Output: 6 <nil>
}

// A task's own error, and a panic of its function, are what the future reports.
// They are the same on every backend.
func ExampleTaskError() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "threads", executor.Config{Workers: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	_, err = fileSize.Submit(ctx, ex, "no such file").Wait(ctx)
	if failed, ok := errors.AsType[*executor.TaskError](err); ok {
		fmt.Printf("task %s failed, not found: %v\n", failed.Task, errors.Is(err, fs.ErrNotExist))
	}

	third := executor.NewTask("third", func(_ context.Context, list []int) (int, error) { return list[2], nil })
	_, err = third.Submit(ctx, ex, []int{1, 2}).Wait(ctx)
	if panicked, ok := errors.AsType[*executor.PanicError](err); ok {
		fmt.Printf("task %s: %s\n", panicked.Task, panicked.Value)
	}
	// Output:
	// task size failed, not found: true
	// task third: runtime error: index out of range [2] with length 2
}

// A task that has not started never will. One that runs is told by its context.
func ExampleFuture_Cancel() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "goroutines", executor.Config{Workers: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	runs := make(chan bool)
	patient := executor.NewTask("patient", func(ctx context.Context, _ int) (int, error) {
		runs <- true
		<-ctx.Done()
		return 0, ctx.Err()
	})
	first, second := patient.Submit(ctx, ex, 1), patient.Submit(ctx, ex, 2)
	<-runs
	fmt.Println("second never runs:", second.Cancel())
	fmt.Println("first never runs:", first.Cancel())
	_, err = first.Wait(ctx)
	fmt.Println(first.State(), errors.Is(err, executor.ErrCancelled))
	// Output:
	// second never runs: true
	// first never runs: false
	// cancelled true
}

// Callbacks run in the order in which they were added.
func ExampleFuture_OnDone() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "goroutines", executor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	f := count.Submit(ctx, ex, "all's well that ends well")
	done := make(chan struct{})
	f.OnDone(func(f *executor.Future[int]) { fmt.Println(f.State(), f.Err()) })
	f.OnDone(func(*executor.Future[int]) { close(done) })
	<-done
	// Output: done <nil>
}

// Then computes with a result once it is there, without anybody waiting for it.
func ExampleThen() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "goroutines", executor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	words := count.Submit(ctx, ex, "to be or not to be")
	text := executor.Then(words, func(n int) (string, error) { return fmt.Sprint(n, " words"), nil })
	fmt.Println(text.Wait(ctx))
	// Output: 6 words <nil>
}

// A queue hands values from task to task. On worker processes it does so, too:
// see examples/prodcons.
func ExampleQueue() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "goroutines", executor.Config{Workers: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	produce := executor.NewTask("produce", func(ctx context.Context, q *executor.Queue[int]) (int, error) {
		for n := range 5 {
			if err := q.Put(ctx, n*n); err != nil {
				return n, err
			}
		}
		return 5, q.Close(ctx)
	})
	sum := executor.NewTask("sum", func(ctx context.Context, q *executor.Queue[int]) (int, error) {
		total := 0
		for {
			n, err := q.Get(ctx)
			if errors.Is(err, executor.ErrQueueClosed) {
				return total, nil
			}
			if err != nil {
				return total, err
			}
			total += n
		}
	})
	q := executor.NewQueue[int](2) // Put waits while two lie in it
	produced, total := produce.Submit(ctx, ex, q), sum.Submit(ctx, ex, q)
	fmt.Println(produced.Wait(ctx))
	fmt.Println(total.Wait(ctx))
	// Output:
	// 5 <nil>
	// 30 <nil>
}

// On an event loop, one task runs while others wait.
func ExampleBlocking() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "eventloop", executor.Config{Workers: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	letter := make(chan string)
	read := executor.NewTask("read", func(ctx context.Context, _ int) (text string, err error) {
		executor.Blocking(ctx, func() {
			select {
			case text = <-letter:
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		})
		return text, err
	})
	write := executor.NewTask("write", func(ctx context.Context, text string) (int, error) {
		executor.Blocking(ctx, func() { letter <- text })
		return len(text), nil
	})
	got := read.Submit(ctx, ex, 0)
	write.Submit(ctx, ex, "hello")
	fmt.Println(got.Wait(ctx))
	// Output: hello <nil>
}

// A long computation lets others have their turn under an interpreter's lock,
// and looks whether it is still wanted.
func ExampleCheckpoint() {
	ctx := context.Background()
	ex, err := executor.Open(ctx, "gil", executor.Config{Workers: 2, SwitchInterval: time.Millisecond})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()

	sum := executor.NewTask("sum", func(ctx context.Context, n int) (total int, err error) {
		for i := range n {
			if i%100_000 == 0 { // about every 100 microseconds
				executor.Checkpoint(ctx)
				if ctx.Err() != nil {
					return total, context.Cause(ctx)
				}
			}
			total += i
		}
		return total, nil
	})
	fmt.Println(sum.Submit(ctx, ex, 1_000_000).Wait(ctx))
	// Output: 499999500000 <nil>
}
