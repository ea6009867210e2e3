package executor_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/f3f4c0de/harness/executor"
)

// Map returns the results of a slice in its order, or the first error in that order.
func TestMapOfASlice(t *testing.T) {
	ctx := t.Context()
	for _, b := range []string{"sequential", "goroutines", "processes"} {
		ex, err := executor.Open(ctx, b, executor.Config{Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := executor.Map(ctx, ex, square, []int{3, 1, 2}); err != nil || !slices.Equal(got, []int{9, 1, 4}) {
			t.Errorf("%s: Map() = %v, %v; want 9 1 4", b, got, err)
		}
		if got, err := executor.Map(ctx, ex, square, nil); err != nil || len(got) != 0 {
			t.Errorf("%s: Map() of nothing = %v, %v; want nothing", b, got, err)
		}
		if got, err := executor.Map(ctx, ex, failing, []int64{1, 0, -1}); got != nil || !errors.Is(err, errMine) || !strings.Contains(err.Error(), "given 0") {
			t.Errorf("%s: Map() = %v, %v; want the first error in the order of the inputs", b, got, err)
		}
		ended, end := context.WithCancel(ctx)
		end()
		if got, err := executor.Map(ended, ex, square, []int{1}); got != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Map() with a context that has ended = %v, %v; want its cause", b, got, err)
		}
		if err := ex.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A result knows its input, in whatever order the results come, and progress is told
// before each.
func TestResultsKnowTheirInputs(t *testing.T) {
	ctx := t.Context()
	for _, b := range executor.Backends() {
		for _, unordered := range []bool{false, true} {
			ex, err := executor.Open(ctx, b.Name, executor.Config{Workers: 3})
			if err != nil {
				t.Fatal(err)
			}
			const n = 1000
			seen := make([]bool, n)
			next, told, bad := 0, 0, 0
			opt := executor.MapOptions{Unordered: unordered, Progress: func(done, failed int) { told, bad = done, failed }}
			for r := range executor.Results(ctx, ex, failing, numbers(n), opt) {
				switch {
				case r.Index < 0 || r.Index >= n || seen[r.Index] || !unordered && r.Index != next:
					t.Fatalf("%s: a result has the index %d, after %d others", b.Name, r.Index, next)
				case r.In != int64(r.Index), r.In > 0 && (r.Err != nil || r.Out != 2*r.In), r.In == 0 && !errors.Is(r.Err, errMine):
					t.Errorf("%s: result %d of input %d is %d, %v", b.Name, r.Index, r.In, r.Out, r.Err)
				}
				seen[r.Index] = true
				if next++; told != next {
					t.Errorf("%s: at result %d, %d were told to be done", b.Name, next, told)
				}
			}
			if next != n || bad != 1 {
				t.Errorf("%s: %d results, of which %d were told to have failed; want %d and 1", b.Name, next, bad, n)
			}
			if err := ex.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// The end of the context is the last result, and of no input.
func TestResultsEndWithTheContext(t *testing.T) {
	ex, err := executor.Open(t.Context(), "goroutines", executor.Config{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer ex.Close()
	cause := errors.New("enough")
	ctx, end := context.WithCancelCause(t.Context())
	defer end(nil)
	var last executor.Result[int64, int64]
	for r := range executor.Results(ctx, ex, failing, func(yield func(int64) bool) {
		for i := int64(1); yield(i); i++ {
		}
	}, executor.MapOptions{}) {
		if last = r; r.Index == 10 {
			end(cause)
		}
	}
	if last.Index != -1 || !errors.Is(last.Err, cause) {
		t.Errorf("the last result is %+v; want the index -1 and %v", last, cause)
	}
}

// A queue is ranged over until it is closed and drained, or the context ends.
func TestQueueAll(t *testing.T) {
	ctx := t.Context()
	q := executor.NewQueue[int](3)
	for i := range 3 {
		if err := q.Put(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Close(ctx); err != nil {
		t.Fatal(err)
	}
	var got []int
	for v, err := range q.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	if !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("All() of a closed queue gave %v; want 0 1 2", got)
	}
	ended, end := context.WithCancel(ctx)
	end()
	n := 0
	for _, err := range executor.NewQueue[int](1).All(ended) {
		if n++; !errors.Is(err, context.Canceled) {
			t.Errorf("All() gave %v when the context had ended; want its cause", err)
		}
	}
	if n != 1 {
		t.Errorf("All() gave %d values when the context had ended; want one with an error", n)
	}
}

// An observer is told of every task, once at each moment, and sees the same one.
func TestObserverSeesTasks(t *testing.T) {
	ctx := t.Context()
	for _, b := range executor.Backends() {
		var submitted, started, ended atomic.Int64
		infos := make(chan executor.TaskInfo, 10)
		obs := &executor.Observer{
			Submit: func(task executor.TaskInfo) { submitted.Add(1); infos <- task },
			Start:  func(ctx context.Context, _ executor.TaskInfo) context.Context { started.Add(1); return ctx },
			End: func(task executor.TaskInfo, err error) {
				if ended.Add(1); task != <-infos || task.Name() != failing.Name() || task.Context() != ctx || task.Cancelled() {
					t.Errorf("%s: End was told of another task: %s", b.Name, task.Name())
				}
				if tm := task.Timing(); err == nil && (tm.Ended.Before(tm.Started) || tm.PID == 0) {
					t.Errorf("%s: the task's timing is %+v", b.Name, tm)
				}
			},
		}
		ex, err := executor.Open(ctx, b.Name, executor.Config{Workers: 1, Observer: obs})
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(2) {
			_, _ = failing.Submit(ctx, ex, i).Wait(ctx) // the first fails
		}
		if err := ex.Close(); err != nil {
			t.Error(err)
		}
		here := int64(0)
		if b.Shared {
			here = 2
		}
		if submitted.Load() != 2 || started.Load() != here || ended.Load() != 2 {
			t.Errorf("%s: submitted %d, started here %d, ended %d; want 2, %d, 2", b.Name, submitted.Load(), started.Load(), ended.Load(), here)
		}
	}
}

// The log has a line for each task that is over.
func TestLog(t *testing.T) {
	ctx := t.Context()
	for _, b := range []string{"goroutines", "processes"} {
		var text bytes.Buffer
		log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
		ex, err := executor.Open(ctx, b, executor.Config{Workers: 1, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(2) {
			_, _ = failing.Submit(ctx, ex, i).Wait(ctx)
		}
		if err := ex.Close(); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"level=WARN msg=\"task failed\" task=executor.failing worker=0", "given 0", "level=DEBUG msg=\"task done\"", " run="} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s: the log has no %q:\n%s", b, want, &text)
			}
		}
		if n := strings.Count(text.String(), "\n"); n != 2 {
			t.Errorf("%s: the log has %d lines; want 2", b, n)
		}
	}
}

// Workers that mostly wait are as many as keep the processors busy.
func TestWaits(t *testing.T) {
	p := runtime.GOMAXPROCS(0)
	for waits, want := range map[float64]int{0: p, 0.5: 2 * p, 0.9: 10 * p, 0.75: 4 * p} {
		ex, err := executor.Open(t.Context(), "goroutines", executor.Config{Waits: waits})
		if err != nil {
			t.Fatal(err)
		}
		if got := ex.Stats().Workers; got != want {
			t.Errorf("with Waits %v there are to be %d workers; want %d", waits, got, want)
		}
		if err := ex.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, waits := range []float64{-0.1, 1, 2} {
		if _, err := executor.Open(t.Context(), "goroutines", executor.Config{Waits: waits}); err == nil {
			t.Errorf("Open() with Waits %v = nil; want an error", waits)
		}
	}
}

// Flags pick the model; a variable of the environment is the default.
func TestFlags(t *testing.T) {
	tests := []struct {
		args             []string
		backend, workers string // of the environment
		want             string // the backend, or what the error says
		n                int
	}{
		{nil, "", "", "goroutines", 3},
		{[]string{"-backend", "threads", "-workers", "2"}, "", "", "threads", 2},
		{nil, "gil", "5", "gil", 5},
		{[]string{"-backend", "sequential"}, "gil", "5", "sequential", 1},
		{[]string{"-backend", "thread"}, "", "", `no backend is named "thread"`, 0},
		{[]string{"-workers", "-1"}, "", "", "want a number of at least 0", 0},
		{nil, "asyncio", "", `no backend is named "asyncio"`, 0},
		{nil, "", "many", "HARNESS_WORKERS", 0},
	}
	for _, tt := range tests {
		t.Setenv(executor.EnvBackend, tt.backend)
		t.Setenv(executor.EnvWorkers, tt.workers)
		fs := flag.NewFlagSet("test", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		open := executor.Flags(fs, executor.Config{Workers: 3})
		err := fs.Parse(tt.args)
		if err == nil {
			var ex *executor.Executor
			if ex, err = open(t.Context()); err == nil {
				if ex.Backend() != tt.want || ex.Stats().Workers != tt.n {
					t.Errorf("%q opened %s with %d workers; want %s with %d", tt.args, ex.Backend(), ex.Stats().Workers, tt.want, tt.n)
				}
				if err := ex.Close(); err != nil {
					t.Error(err)
				}
				continue
			}
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q, HARNESS_BACKEND=%s, HARNESS_WORKERS=%s: %v; want %q", tt.args, tt.backend, tt.workers, err, tt.want)
		}
	}
}
