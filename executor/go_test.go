package executor_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/executor"
)

// A function runs where memory is shared, and is refused elsewhere.
func TestGo(t *testing.T) {
	ctx := t.Context()
	for _, b := range executor.Backends() {
		t.Run(b.Name, func(t *testing.T) {
			ex, err := executor.Open(ctx, b.Name, executor.Config{Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer ex.Close()
			n := 4
			double := executor.Go(ctx, ex, func(context.Context) (int, error) { return 2 * n, nil })
			fails := executor.Go(ctx, ex, func(context.Context) (int, error) { return 0, errMine })
			got, err := double.Wait(ctx)
			if ex.Traits()&executor.SharedMemory == 0 {
				if !errors.Is(err, executor.ErrUnsuitable) || !strings.Contains(err.Error(), b.Name) {
					t.Errorf("Go() = %v; want an error that wraps ErrUnsuitable and names the backend", err)
				}
				return
			}
			if got != 8 || err != nil {
				t.Errorf("Go() = %d, %v; want 8, nil", got, err)
			}
			var te *executor.TaskError
			if _, err := fails.Wait(ctx); !errors.Is(err, errMine) || !errors.As(err, &te) || !strings.Contains(te.Task, "TestGo.func") {
				t.Errorf("a function that fails: %v; want a *TaskError with its name", err)
			}
			next := executor.Then(double, func(n int) (string, error) { return strings.Repeat("x", n), nil })
			if got, err := next.Wait(ctx); got != "xxxxxxxx" || err != nil {
				t.Errorf("Then() = %q, %v; want 8 x, nil", got, err)
			}
		})
	}
	closed := executor.Go(ctx, nil, func(context.Context) (int, error) { return 1, nil })
	if _, err := closed.Wait(ctx); err == nil || !strings.Contains(err.Error(), "nil") {
		t.Errorf("Go() without an executor = %v; want an error that says so", err)
	}
}

// What a program requires picks the backend, or refuses one.
func TestRequireAndPrefer(t *testing.T) {
	const shared, isolated, parallel = executor.SharedMemory, executor.Isolation, executor.Parallel
	tests := []struct {
		name            string
		require, prefer executor.Traits
		want            string // the backend, or what the error says
	}{
		{"", 0, 0, "goroutines"},
		{"", shared, parallel, "goroutines"},
		{"", 0, shared | parallel, "goroutines"},
		{"", parallel, 0, "goroutines"},
		{"", isolated, 0, "processes"},
		{"", 0, isolated, "processes"},
		{"", isolated | parallel, shared, "processes"},
		{"", shared | isolated, 0, "exclude each other"},
		{"processes", shared, 0, "processes has no shared memory"},
		{"gil", shared | parallel, 0, "gil has no parallel computing"},
		{"gomaxprocs1", parallel, 0, "gomaxprocs1 has no parallel computing"},
		{"threads", shared | parallel, isolated, "threads"},
		{"processes", 0, shared, "processes"},
	}
	for _, tt := range tests {
		ex, err := executor.Open(t.Context(), tt.name, executor.Config{Workers: 1, Require: tt.require, Prefer: tt.prefer})
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(tt.want, "has no") && !errors.Is(err, executor.ErrUnsuitable) {
				t.Errorf("Open(%q) requiring %v, preferring %v = %v; want %q", tt.name, tt.require, tt.prefer, err, tt.want)
			}
			continue
		}
		if ex.Backend() != tt.want {
			t.Errorf("Open(%q) requiring %v, preferring %v opened %s; want %s", tt.name, tt.require, tt.prefer, ex.Backend(), tt.want)
		}
		if err := ex.Close(); err != nil {
			t.Error(err)
		}
	}
}
