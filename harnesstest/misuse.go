package harnesstest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// brackets has the name under which a batch of double is reported.
var brackets = executor.NewTask(double.Name()+core.BatchSuffix, func(_ context.Context, n int64) (int64, error) { return -n, nil })

// A task runs its own function or none, even if another task has its name.
func testNamesakes(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	negate := executor.NewTask(double.Name(), func(_ context.Context, n int64) (int64, error) { return -n, nil })
	length := executor.NewTask(double.Name(), func(_ context.Context, s string) (int, error) { return len(s), nil })
	check := func(what string, got, want any, err error) {
		t.Helper()
		if s.b.Shared && (got != want || err != nil) {
			t.Errorf("%s of double, which Main was not given, returned %v, %v; want %v, nil", what, got, err, want)
		}
		if !s.b.Shared && (!errors.Is(err, executor.ErrUnknownTask) || !strings.Contains(err.Error(), "another task of that name")) {
			t.Errorf("%s of double, which Main was not given, returned %v, %v; want ErrUnknownTask that tells why", what, got, err)
		}
	}
	for range 2 {
		v, err := negate.Submit(ctx, ex, 4).Wait(ctx)
		check("a namesake", v, int64(-4), err)
		b, err := submitBatch(negate, ctx, ex, []int64{4}).Wait(ctx)
		check("a batch of a namesake", len(b.Values), 1, err)
		n, err := length.Submit(ctx, ex, "four").Wait(ctx)
		check("a namesake with other types", n, 4, err)
		if v, err := double.Submit(ctx, ex, 4).Wait(ctx); v != 8 || err != nil {
			t.Errorf("the task itself returned %d, %v; want 8, nil", v, err)
		}
	}
	for range 2 {
		if v, err := brackets.Submit(ctx, ex, 4).Wait(ctx); v != -4 || err != nil {
			t.Errorf("task %s returned %d, %v; want -4, nil", brackets.Name(), v, err)
		}
		if b, err := submitBatch(double, ctx, ex, []int64{4}).Wait(ctx); !slices.Equal(b.Values, []int64{8}) || err != nil {
			t.Errorf("a batch of task %s returned %v, %v; want 8, nil", double.Name(), b.Values, err)
		}
		if b, err := submitBatch(brackets, ctx, ex, []int64{4}).Wait(ctx); !slices.Equal(b.Values, []int64{-4}) || err != nil {
			t.Errorf("a batch of task %s returned %v, %v; want -4, nil", brackets.Name(), b.Values, err)
		}
		if v, err := double.Idempotent().Submit(ctx, ex, 4).Wait(ctx); v != 8 || err != nil {
			t.Errorf("an idempotent copy returned %d, %v; want 8, nil", v, err)
		}
	}
}

// Misuse panics on the goroutine of the caller.
func testMisuse(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, core.Config{})
	var none context.Context
	var noTask *executor.Task[int64, int64]
	release := occupy(ctx, t, ex, n)
	f := double.Submit(ctx, ex, 1)
	for _, tt := range []struct {
		what, want string
		do         func()
	}{
		{"Submit without a context", "nil context", func() { double.Submit(none, ex, 1) }},
		{"SubmitBatch without a context", "nil context", func() { submitBatch(double, none, ex, []int64{1}) }},
		{"Submit of no task", "nil task", func() { noTask.Submit(ctx, ex, 1) }},
		{"SubmitBatch of no task", "nil task", func() { submitBatch(noTask, ctx, ex, []int64{1}) }},
		{"With of no task", "nil task", func() { noTask.With(1) }},
		{"Idempotent of no task", "nil task", func() { noTask.Idempotent() }},
		{"Timeout of no task", "nil task", func() { noTask.Timeout(1) }},
		{"Timeout of no time", "more than 0", func() { double.Timeout(0) }},
		{"Wait without a context", "nil context", func() { _, _ = f.Wait(none) }},
		{"executor.Wait without a context", "nil context", func() { _, _, _ = executor.Wait(none, executor.AllCompleted, f) }},
		{"AsCompleted without a context", "nil context", func() { executor.AsCompleted(none, f) }},
		{"Map without a context", "nil context", func() { _, _ = executor.Map(none, ex, double, []int64{1}) }},
		{"Results without a context", "nil context", func() {
			for range executor.Results(none, ex, double, slices.Values([]int64{1}), executor.MapOptions{}) {
				break
			}
		}},
	} {
		func() {
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, tt.want) {
					t.Errorf("%s panicked with %q; want what names the mistake, %s", tt.what, v, tt.want)
				}
			}()
			tt.do()
		}()
	}
	if ex, err := executor.OpenBackend(none, s.b, executor.Config{}); err == nil || !strings.Contains(err.Error(), "nil context") {
		t.Errorf("Open without a context = %v, %v; want an error that says so", ex, err)
	}
	release()
	if v, err := f.Wait(ctx); v != 2 || err != nil {
		t.Errorf("the task returned %d, %v; want 2, nil", v, err)
	}
}
