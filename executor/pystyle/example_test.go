package pystyle_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/executor/pystyle"
)

// The tasks of the examples.
var (
	square   = executor.NewTask("square", func(_ context.Context, n int) (int, error) { return n * n, nil })
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
	// forever waits until it is cancelled.
	forever = executor.NewTask("forever", func(ctx context.Context, _ int) (int, error) {
		executor.Blocking(ctx, func() { <-ctx.Done() })
		return 0, context.Cause(ctx)
	})
)

func TestMain(m *testing.M) {
	executor.Main(square, multiply, size, forever)
	os.Exit(m.Run())
}

func ExamplePool() {
	ctx := context.Background()
	pool, err := pystyle.NewPool(ctx, "processes", executor.Config{Workers: 2, MaxTasksPerWorker: 100})
	if err != nil {
		log.Fatal(err)
	}
	squares := pystyle.For(pool, square)
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
	pool, err := pystyle.NewPool(ctx, "goroutines", executor.Config{Workers: 1})
	if err != nil {
		log.Fatal(err)
	}
	sizes := pystyle.For(pool, size)
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
	pool, err := pystyle.NewPool(ctx, "goroutines", executor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(pystyle.Starmap(ctx, pool, multiply, slices.All([]int{7, 8, 9}))) // of index and element
	pool.Close()
	fmt.Println(pool.Join(ctx))
	// Output:
	// [0 8 18] <nil>
	// <nil>
}

func ExampleThread() {
	ctx := context.Background()
	for _, backend := range []string{"goroutines", "threads", "processes"} {
		t := pystyle.NewThread(square.With(12), pystyle.ThreadConfig{Name: "squarer", Backend: backend})
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
	t := pystyle.NewThread(forever.With(0), pystyle.ThreadConfig{Daemon: true})
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
	t := pystyle.NewThread(square.With(12), pystyle.ThreadConfig{})
	if err := t.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := pystyle.Finish(ctx); err != nil { // in main: defer
		log.Fatal(err)
	}
	fmt.Println("is alive:", t.IsAlive())
	// Output: is alive: false
}
