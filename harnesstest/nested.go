package harnesstest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

var (
	// does calls its argument, which cannot be encoded for another process.
	does = executor.NewTask("harnesstest.does", func(ctx context.Context, f func(context.Context) error) (int64, error) {
		return 0, f(ctx)
	})
	// opens opens the named backend, and closes it.
	opens = executor.NewTask("harnesstest.opens", func(ctx context.Context, backend string) (int64, error) {
		ex, err := executor.Open(ctx, backend, executor.Config{Workers: 1})
		if err != nil {
			return 0, err
		}
		return 0, ex.Close()
	})
)

// If a task waits for another that can only run on its own worker, the wait is refused
// and does not last for ever.
func testNested(t *testing.T, s *suite) {
	if !s.b.Shared {
		ctx, ex, _ := s.open(t, 1, core.Config{})
		if _, err := opens.Submit(ctx, ex, s.b.Name).Wait(ctx); !errors.Is(err, executor.ErrNested) {
			t.Errorf("a worker that opened workers of its own: %v; want ErrNested", err)
		}
		return
	}
	ctx, ex, n := s.open(t, 2, core.Config{})
	inputs := []int64{1, 2, 3}
	ways := []struct {
		name string
		wait func(ctx context.Context) error
	}{
		{"Wait", func(ctx context.Context) error {
			_, err := double.Submit(ctx, ex, 1).Wait(ctx)
			return err
		}},
		{"Then", func(ctx context.Context) error {
			_, err := executor.Then(double.Submit(ctx, ex, 1), func(v int64) (int64, error) { return v, nil }).Wait(ctx)
			return err
		}},
		{"All", func(ctx context.Context) error {
			_, err := executor.All(ctx, double.Submit(ctx, ex, 1), double.Submit(ctx, ex, 2))
			return err
		}},
		{"AsCompleted", func(ctx context.Context) (err error) {
			for f := range executor.AsCompleted(ctx, double.Submit(ctx, ex, 1)) {
				err = f.Err()
			}
			return err
		}},
		{"executor.Wait", func(ctx context.Context) error {
			done, _, err := executor.Wait(ctx, executor.AllCompleted, double.Submit(ctx, ex, 1))
			if err == nil {
				err = done[0].Err()
			}
			return err
		}},
		{"Map", func(ctx context.Context) error {
			_, err := executor.Map(ctx, ex, double, inputs)
			return err
		}},
		{"Results", func(ctx context.Context) (err error) {
			for r := range executor.Results(ctx, ex, double, slices.Values(inputs), executor.MapOptions{}) {
				err = r.Err
			}
			return err
		}},
		{"Results, unordered", func(ctx context.Context) (err error) {
			for r := range executor.Results(ctx, ex, double, slices.Values(inputs), executor.MapOptions{Unordered: true}) {
				err = r.Err
			}
			return err
		}},
	}
	for _, way := range ways {
		// All workers run a task before any of them begins to wait.
		inside := make(chan struct{}, n)
		begin := make(chan struct{})
		var futures []*executor.Future[int64]
		for range n {
			futures = append(futures, does.Submit(ctx, ex, func(ctx context.Context) error {
				inside <- struct{}{}
				executor.Blocking(ctx, func() { <-begin })
				return way.wait(ctx)
			}))
		}
		for range n {
			<-inside
		}
		close(begin)
		refused := 0
		for _, f := range futures {
			_, err := f.Wait(ctx)
			switch {
			case errors.Is(err, executor.ErrNested):
				refused++
			case err != nil:
				t.Errorf("%s: a task that waits for another of its executor: %v; want ErrNested or none", way.name, err)
			}
		}
		if refused == 0 {
			t.Errorf("%s: none of %d tasks was refused to wait for a task of its own full executor", way.name, n)
		}
	}
	if got, err := double.Submit(ctx, ex, 4).Wait(ctx); got != 8 || err != nil {
		t.Errorf("after that a task returned %d, %v; want 8, nil", got, err)
	}
}

// A wait for room in the queue of a task's own full executor is refused, too.
func testNestedSubmit(t *testing.T, s *suite) {
	if !s.b.Shared {
		t.Skip("a worker process has no way to its executor")
	}
	ctx, ex, _ := s.open(t, 1, core.Config{Queue: 1})
	_, err := does.Submit(ctx, ex, func(ctx context.Context) error {
		for {
			if f := double.Submit(ctx, ex, 1); f.State() == executor.Done {
				return f.Err()
			}
		}
	}).Wait(ctx)
	if !errors.Is(err, executor.ErrNested) {
		t.Errorf("a task that submits to its own full executor: %v; want ErrNested", err)
	}
}

// While a worker is free, a task may wait for another.
func testNestedAllowed(t *testing.T, s *suite) {
	if !s.b.Shared || s.b.MaxWorkers == 1 {
		t.Skip("there is one worker, or it is in another process")
	}
	ctx, ex, _ := s.open(t, 2, core.Config{})
	for range 50 {
		_, err := does.Submit(ctx, ex, func(ctx context.Context) error {
			v, err := double.Submit(ctx, ex, 4).Wait(ctx)
			if err == nil && v != 8 {
				t.Errorf("the inner task returned %d; want 8", v)
			}
			return err
		}).Wait(ctx)
		if err != nil {
			t.Fatalf("one of two workers waits for the other: %v; want no error", err)
		}
	}
}

// A surplus worker stays as long as the others wait for what only it can run.
func testNestedResize(t *testing.T, s *suite) {
	if !s.b.Shared || s.b.MaxWorkers == 1 {
		t.Skip("there is one worker, or it is in another process")
	}
	ctx, m, _ := s.manager(t, 2, core.Config{})
	release := occupy(ctx, t, m, 1)
	waits := make(chan struct{})
	outer := does.Submit(ctx, m, func(ctx context.Context) error {
		f := double.Submit(ctx, m, 4)
		close(waits)
		_, err := f.Wait(ctx)
		return err
	})
	<-waits
	until(ctx, t, "the task to wait", func() bool {
		return slices.ContainsFunc(ours(), func(g string) bool {
			return containsAll(g, "[select", "core.Await(", "harnesstest.testNestedResize")
		})
	})
	if err := m.Resize(1); err != nil {
		t.Fatal(err)
	}
	release()
	if _, err := outer.Wait(ctx); err != nil && !errors.Is(err, executor.ErrNested) {
		t.Errorf("a task that waited for another when its executor shrank: %v; want that it ends", err)
	}
}
