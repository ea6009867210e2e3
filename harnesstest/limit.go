package harnesstest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

var (
	// untilStopped waits until its context ends, and returns the cause.
	untilStopped = executor.NewTask("harnesstest.untilStopped", func(ctx context.Context, _ int64) (int64, error) {
		executor.Blocking(ctx, func() { <-ctx.Done() })
		return 0, context.Cause(ctx)
	})
	// stubborn reports that it runs, and never returns if it is in a worker process.
	stubborn = executor.NewTask("harnesstest.stubborn", func(ctx context.Context, started *executor.Queue[int64]) (int64, error) {
		if err := started.Put(context.WithoutCancel(ctx), 1); err != nil {
			return 0, err
		}
		n := int64(1)
		for n > 0 { // for centuries, and without a function call
			n++
		}
		return n, nil
	})
)

// checkTimeout checks that an error is that of a task whose time limit has passed.
func checkTimeout(t *testing.T, what string, err error, task string, limit time.Duration) {
	t.Helper()
	var te *executor.TimeoutError
	if !errors.As(err, &te) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: %v; want a *TimeoutError, which is context.DeadlineExceeded", what, err)
		return
	}
	if want := (executor.TimeoutError{Task: task, Limit: limit}); *te != want {
		t.Errorf("%s: %+v; want %+v", what, *te, want)
	}
}

// When the time limit of a task has passed, its context ends and its future reports a
// TimeoutError. The task does not count as cancelled.
func testTimeLimit(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	const limit = 2 * time.Millisecond
	task := untilStopped.Timeout(limit)
	f := task.Submit(ctx, ex, 0)
	_, err := f.Wait(ctx)
	checkTimeout(t, "a task that waits until it is stopped", err, task.Name(), limit)
	if f.State() != executor.Done || core.CallOf(f).Cancelled() {
		t.Errorf("it is %v, and cancelled: %t; want done, not cancelled", f.State(), core.CallOf(f).Cancelled())
	}
	_, err = executor.Then(f, func(v int64) (int64, error) { return v, nil }).Wait(ctx)
	checkTimeout(t, "Then of that", err, task.Name(), limit)
	_, err = task.Idempotent().Submit(ctx, ex, 0).Wait(ctx)
	checkTimeout(t, "an idempotent task", err, task.Name(), limit)
	b, err := submitBatch(task, ctx, ex, []int64{0}).Wait(ctx)
	if err == nil {
		err = b.Errs[0]
	}
	checkTimeout(t, "a batch of one", err, task.Name(), limit)
	if got, err := double.Timeout(time.Hour).Submit(ctx, ex, 2).Wait(ctx); got != 4 || err != nil {
		t.Errorf("a task that is done in time returned %d, %v; want 4, nil", got, err)
	}
	if got, err := double.Submit(ctx, ex, 2).Wait(ctx); got != 4 || err != nil {
		t.Errorf("after that a task without a limit returned %d, %v; want 4, nil", got, err)
	}
}

// The time that a task waits before it starts does not count.
func testTimeLimitQueued(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 2, core.Config{})
	const limit = 10 * time.Millisecond
	release := occupy(ctx, t, ex, n)
	var queued []*executor.Future[int64]
	for i := range int64(20) { // some of them in worker processes
		queued = append(queued, double.Timeout(limit).Submit(ctx, ex, i))
	}
	long, cancel := context.WithTimeout(ctx, 3*limit)
	defer cancel()
	<-long.Done()
	for i, f := range queued {
		if f.State() != executor.Pending {
			t.Errorf("task %d, whose limit is shorter than it has waited, is %v; want pending", i, f.State())
		}
	}
	release()
	for i, f := range queued {
		if got, err := f.Wait(ctx); got != int64(2*i) || err != nil {
			t.Errorf("task %d returned %d, %v; want %d, nil: it was quick once it had started", i, got, err, 2*i)
		}
	}
}

// If a task does not return, its worker process is killed, and no other.
func testTimeLimitKills(t *testing.T, s *suite) {
	if s.b.Shared {
		t.Skip("a task inside the process cannot be killed")
	}
	ctx, m, _ := s.manager(t, 1, core.Config{CancelGrace: time.Millisecond})
	started := executor.NewQueue[int64](10)
	const limit = 5 * time.Millisecond
	f := stubborn.Timeout(limit).Idempotent().Submit(ctx, m, started)
	var behind []*executor.Future[int64]
	for i := range int64(5) {
		behind = append(behind, double.Submit(ctx, m, i))
	}
	_, err := f.Wait(ctx)
	checkTimeout(t, "a task that does not stop", err, stubborn.Name(), limit)
	var lost *executor.WorkerLostError
	if errors.As(err, &lost) || f.State() != executor.Done {
		t.Errorf("it is %v, and reports %v; want done, and nothing of the worker", f.State(), err)
	}
	for i, f := range behind {
		if got, err := f.Wait(ctx); got != int64(2*i) || err != nil {
			t.Errorf("task %d behind it returned %d, %v; want %d, nil", i, got, err, 2*i)
		}
	}
	s.finish(t)
	if ran := drain(ctx, started); len(ran) > 1 {
		t.Errorf("it was started %d times; want once, although it is idempotent", len(ran))
	}
	if got := m.Stats().Lost; got != 1 {
		t.Errorf("%d workers were lost; want 1", got)
	}
}

// In Map the limit holds for each input.
func testTimeLimitMap(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 2, core.Config{})
	const limit = 2 * time.Millisecond
	task := napsOrWaits.Timeout(limit)
	in := make([]int64, 50)
	in[7], in[31] = -1, -1
	n := 0
	for r := range executor.Results(ctx, ex, task, func(yield func(int64) bool) {
		for _, v := range in {
			if !yield(v) {
				return
			}
		}
	}, executor.MapOptions{Chunk: 10}) {
		n++
		switch {
		case r.In < 0:
			checkTimeout(t, "an input that waits until it is stopped", r.Err, task.Name(), limit)
		case r.Err != nil:
			t.Errorf("input %d beside one whose limit has passed: %v; want nil", r.Index, r.Err)
		}
	}
	if n != len(in) {
		t.Errorf("there were %d results; want %d", n, len(in))
	}
}

// napsOrWaits waits until it is stopped if its argument is below 0.
var napsOrWaits = executor.NewTask("harnesstest.napsOrWaits", func(ctx context.Context, n int64) (int64, error) {
	if n >= 0 {
		return n, nil
	}
	executor.Blocking(ctx, func() { <-ctx.Done() })
	return 0, ctx.Err()
})
