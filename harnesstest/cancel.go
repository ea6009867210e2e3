package harnesstest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/f3f4c0de/harness"
)

func testCancelQueued(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 2, harness.Config{})
	release := occupy(ctx, t, ex, n)
	h := newHold(7)
	defer h.close(ctx)
	f := holds.Submit(ctx, ex, h)
	if !f.Cancel() {
		t.Error("Cancel() of a queued task = false; want true")
	}
	if f.Cancel() {
		t.Error("Cancel() of a cancelled task = true; want false")
	}
	if _, err := f.Wait(ctx); !errors.Is(err, harness.ErrCancelled) {
		t.Errorf("Wait() = %v; want ErrCancelled", err)
	}
	if f.State() != harness.Cancelled {
		t.Errorf("State() = %v; want cancelled", f.State())
	}
	release()
	if _, err := double.Submit(ctx, ex, 1).Wait(ctx); err != nil {
		t.Error(err)
	}
	_ = h.Started.Close(ctx)
	if n, err := h.Started.Get(ctx); err == nil {
		t.Errorf("a cancelled task ran: it started %d", n)
	}
}

func testCancelRunning(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, harness.Config{})
	started := harness.NewQueue[int64](1)
	defer func() { _ = started.Close(ctx) }()
	f := untilCancelled.Submit(ctx, ex, started)
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	if f.Cancel() {
		t.Error("Cancel() of a running task = true; want false")
	}
	if _, err := f.Wait(ctx); !errors.Is(err, harness.ErrCancelled) {
		t.Errorf("Wait() = %v; want ErrCancelled", err)
	}
	if f.State() != harness.Cancelled {
		t.Errorf("State() = %v; want cancelled", f.State())
	}
}

func testContextEndsQueued(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, harness.Config{})
	release := occupy(ctx, t, ex, n)
	defer release()
	cause := errors.New("no longer wanted")
	taskCtx, cancel := context.WithCancelCause(ctx)
	f := double.Submit(taskCtx, ex, 1)
	cancel(cause)
	if _, err := f.Wait(ctx); !errors.Is(err, cause) {
		t.Errorf("Wait() = %v; want the context's cause", err)
	}
}

func testContextEndsRunning(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, harness.Config{})
	cause := errors.New("no longer wanted")
	taskCtx, cancel := context.WithCancelCause(ctx)
	started := harness.NewQueue[int64](1)
	defer func() { _ = started.Close(ctx) }()
	f := untilCancelled.Submit(taskCtx, ex, started)
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	cancel(cause)
	if _, err := f.Wait(ctx); !errors.Is(err, cause) {
		t.Errorf("Wait() = %v; want the context's cause", err)
	}
}

func testWaitGivesUp(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, harness.Config{})
	release := occupy(ctx, t, ex, n)
	f := double.Submit(ctx, ex, 1)
	cause := errors.New("cannot wait")
	waitCtx, cancel := context.WithCancelCause(ctx)
	cancel(cause)
	if _, err := f.Wait(waitCtx); !errors.Is(err, cause) {
		t.Errorf("Wait() = %v; want the cause of its own context", err)
	}
	release()
	if got, err := f.Wait(ctx); got != 2 || err != nil {
		t.Errorf("the task itself returned %d, %v; want 2, nil", got, err)
	}
	if got, err := f.Wait(waitCtx); got != 2 || err != nil {
		t.Errorf("Wait() of a task that is done = %d, %v; want 2, nil even though the context has ended", got, err)
	}
}

func testDeadline(t *testing.T, s *suite) {
	ctx, m, _ := s.manager(t, 1, harness.Config{})
	started := harness.NewQueue[int64](1)
	defer func() { _ = started.Close(ctx) }()
	own := errors.New("took too long")
	within := func(d time.Duration) context.Context {
		ctx, cancel := context.WithTimeoutCause(ctx, d, own)
		t.Cleanup(cancel)
		return ctx
	}
	check := func(what string, f *harness.Future[int64], want error) {
		t.Helper()
		if _, err := f.Wait(ctx); !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", what, err, want)
		}
	}
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	release := occupy(ctx, t, m, 1)
	check("queued", double.Submit(short, m, 1), context.DeadlineExceeded)
	check("queued, with a cause of its own", double.Submit(within(time.Millisecond), m, 1), own)
	check("submitted too late", double.Submit(short, m, 1), context.DeadlineExceeded)
	release()
	running := untilCancelled.Submit(within(10*time.Millisecond), m, started)
	check("running", running, own)
	if running.State() != harness.Done {
		t.Errorf("after its deadline a task is %v; want done: nobody has cancelled it", running.State())
	}
}
