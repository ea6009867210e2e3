package harnesstest

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// mixed doubles its argument, but fails if the argument is negative, panics if it is 13,
// and ends its goroutine if it is 26.
var mixed = executor.NewTask("harnesstest.mixed", func(_ context.Context, n int64) (int64, error) {
	if n == 13 {
		panic("thirteen")
	}
	if n == 26 {
		runtime.Goexit()
	}
	if n < 0 {
		return 0, errMine
	}
	return 2 * n, nil
})

func testBatch(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 2, core.Config{})
	for _, n := range []int{0, 1, 16, 17, 1000} {
		in := make([]int64, n)
		for i := range in {
			in[i] = int64(i)
		}
		b, err := submitBatch(double, ctx, ex, in).Wait(ctx)
		if err != nil || len(b.Values) != n || len(b.Errs) != 0 || b.Run < 0 {
			t.Errorf("a batch of %d gave %d values, errors %v and %v after %v; want as many values, no errors", n, len(b.Values), b.Errs, err, b.Run)
			continue
		}
		for i, v := range b.Values {
			if v != int64(2*i) {
				t.Errorf("value %d of %d is %d; want %d", i, n, v, 2*i)
				break
			}
		}
	}
}

func testBatchErrors(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	in := make([]int64, 40)
	for i := range in {
		in[i] = int64(i)
	}
	in[0], in[17], in[39] = -1, -1, -1 // and 13 panics, and 26 ends its goroutine
	f := submitBatch(mixed, ctx, ex, in)
	if got, want := core.CallOf(f).Task(), mixed.Name()+core.BatchSuffix; got != want {
		t.Errorf("the batch goes by the name %q; want %q", got, want)
	}
	b, err := f.Wait(ctx)
	if err != nil || len(b.Values) != len(in) {
		t.Fatalf("the batch gave %d values, %v; want %d, nil", len(b.Values), err, len(in))
	}
	if got := slices.Sorted(maps.Keys(b.Errs)); !slices.Equal(got, []int{0, 13, 17, 26, 39}) {
		t.Errorf("there are errors for %v; want 0 13 17 26 39", got)
	}
	for i, err := range b.Errs {
		var te *executor.TaskError
		var pe *executor.PanicError
		switch {
		case i == 13 && (!errors.As(err, &pe) || pe.Task != mixed.Name() || pe.Value != "thirteen" || !strings.Contains(pe.Stack, "harnesstest")):
			t.Errorf("error %d is %#v; want a *PanicError of %s with its value and stack", i, err, mixed.Name())
		case i == 26 && (!errors.As(err, &pe) || pe.Task != mixed.Name() || pe.Value != "runtime.Goexit was called"):
			t.Errorf("error %d is %#v; want a *PanicError of %s that tells of Goexit", i, err, mixed.Name())
		case i != 13 && i != 26 && (!errors.As(err, &te) || te.Task != mixed.Name() || !errors.Is(err, errMine)):
			t.Errorf("error %d is %#v; want a *TaskError of %s that wraps the task's", i, err, mixed.Name())
		}
	}
	for i, v := range b.Values {
		if _, failed := b.Errs[i]; failed && v != 0 || !failed && v != 2*in[i] {
			t.Errorf("value %d is %d; want %d, or 0 where there is an error", i, v, 2*in[i])
		}
	}
	// In a batch, too, a task that ends its goroutine has failed.
	b, err = submitBatch(exits, ctx, ex, []int64{1, 2, 3}).Wait(ctx)
	for i := range 3 {
		var pe *executor.PanicError
		if err != nil || !errors.As(b.Errs[i], &pe) {
			t.Errorf("argument %d of a batch of tasks that end their goroutine gave %v, and the batch %v; want a *PanicError, nil", i, b.Errs[i], err)
		}
	}
	if b, err := submitBatch(double, ctx, ex, []int64{4}).Wait(ctx); err != nil || b.Values[0] != 8 {
		t.Errorf("after it a batch returned %v, %v; want 8", b.Values, err)
	}
}

// Arguments that Cut takes back have not begun and never will, and the others are done.
func testBatchCut(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	h := newHold(1)
	defer h.close(ctx)
	const n = 5
	running := submitBatch(holds, ctx, ex, slices.Repeat([]hold{h}, n))
	if _, err := h.Started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	queued := submitBatch(double, ctx, ex, []int64{1, 2, 3})
	single := double.Submit(ctx, ex, 1)
	for what, c := range map[string]*core.Call{"a batch in the queue": core.CallOf(queued), "a single call": core.CallOf(single)} {
		if left, ok := c.Cut(); ok {
			t.Errorf("Cut() of %s = %d, true; want false", what, left)
		}
	}
	left, ok := core.CallOf(running).Cut()
	switch {
	case !ok && s.b.Shared:
		t.Error("Cut() of a running batch = false; want that it takes back what has not begun")
	case !ok:
		left = n
	case left != 1:
		t.Errorf("Cut() of a batch that runs its first argument left %d; want 1", left)
	}
	if again, ok := core.CallOf(running).Cut(); ok {
		t.Errorf("a second Cut() = %d, true; want false", again)
	}
	for range left {
		if err := h.Release.Put(ctx, 0); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := running.Wait(ctx); err != nil || len(b.Values) != left || len(b.Errs) != 0 {
		t.Errorf("the batch gave %d values, errors %v and %v; want %d values", len(b.Values), b.Errs, err, left)
	}
	if left, ok := core.CallOf(running).Cut(); ok {
		t.Errorf("Cut() of a batch that is done = %d, true; want false", left)
	}
	if b, err := queued.Wait(ctx); err != nil || !slices.Equal(b.Values, []int64{2, 4, 6}) {
		t.Errorf("the batch behind it gave %v, %v; want 2 4 6", b.Values, err)
	}
	if v, err := single.Wait(ctx); err != nil || v != 2 {
		t.Errorf("the call behind it gave %d, %v; want 2", v, err)
	}
	if more := drain(ctx, h.Started); len(more) != left-1 {
		t.Errorf("%d more arguments began after the first; want %d", len(more), left-1)
	}
}

// An argument or a result that cannot be encoded fails alone.
func testBatchUnencodable(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	in, errIn := submitBatch(encodes, ctx, ex, []any{true, make(chan int), true}).Wait(ctx)
	out, errOut := submitBatch(unencodable, ctx, ex, []bool{true, false, true}).Wait(ctx)
	for what, b := range map[string]struct {
		err  error
		errs map[int]error
	}{"input": {errIn, in.Errs}, "result": {errOut, out.Errs}} {
		switch {
		case b.err != nil || s.b.Shared && b.errs != nil:
			t.Errorf("a batch with an %s that cannot be encoded gave %v, errors %v; want none where it is passed as it is", what, b.err, b.errs)
		case !s.b.Shared && (len(b.errs) != 1 || !errors.Is(b.errs[1], executor.ErrEncode)):
			t.Errorf("a batch with one %s of three that cannot be encoded gave errors %v; want ErrEncode for number 1", what, b.errs)
		}
	}
}

func testBatchCancel(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	h := newHold(1)
	running := submitBatch(holds, ctx, ex, []hold{h, h, h})
	queued := submitBatch(double, ctx, ex, []int64{1, 2, 3})
	if _, err := h.Started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	if !queued.Cancel() || queued.State() != executor.Cancelled {
		t.Errorf("Cancel() of a batch in the queue left it %v; want cancelled", queued.State())
	}
	if running.Cancel() {
		t.Error("Cancel() of a running batch = true; want false")
	}
	if _, err := running.Wait(ctx); !errors.Is(err, executor.ErrCancelled) || running.State() != executor.Cancelled {
		t.Errorf("the running batch ended %v, with %v; want cancelled, with ErrCancelled", running.State(), err)
	}
	if more := drain(ctx, h.Started); len(more) > 0 {
		t.Errorf("%d more arguments were begun after the batch was cancelled; want none", len(more))
	}
	h.close(ctx)
}

// A batch that is cancelled during its last argument reports that, as any other does.
func testBatchCancelLast(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	h := newHold(1)
	defer h.close(ctx)
	f := submitBatch(holds, ctx, ex, []hold{h})
	if _, err := h.Started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	f.Cancel()
	if b, err := f.Wait(ctx); !errors.Is(err, executor.ErrCancelled) && !errors.Is(b.Errs[0], executor.ErrCancelled) {
		t.Errorf("the batch ended with %v and errors %v; want ErrCancelled", err, b.Errs)
	}
}
