package harnesstest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

func testCancelQueued(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 2, core.Config{})
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
	if _, err := f.Wait(ctx); !errors.Is(err, executor.ErrCancelled) {
		t.Errorf("Wait() = %v; want ErrCancelled", err)
	}
	if f.State() != executor.Cancelled {
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
	ctx, ex, _ := s.open(t, 1, core.Config{})
	started := executor.NewQueue[int64](1)
	defer func() { _ = started.Close(ctx) }()
	f := untilCancelled.Submit(ctx, ex, started)
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	if f.Cancel() {
		t.Error("Cancel() of a running task = true; want false")
	}
	if _, err := f.Wait(ctx); !errors.Is(err, executor.ErrCancelled) {
		t.Errorf("Wait() = %v; want ErrCancelled", err)
	}
	if f.State() != executor.Cancelled {
		t.Errorf("State() = %v; want cancelled", f.State())
	}
}

func testContextEndsQueued(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, core.Config{})
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
	ctx, ex, _ := s.open(t, 1, core.Config{})
	cause := errors.New("no longer wanted")
	taskCtx, cancel := context.WithCancelCause(ctx)
	started := executor.NewQueue[int64](1)
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
	ctx, ex, n := s.open(t, 1, core.Config{})
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
	ctx, m, _ := s.manager(t, 1, core.Config{})
	started := executor.NewQueue[int64](1)
	defer func() { _ = started.Close(ctx) }()
	own := errors.New("took too long")
	within := func(d time.Duration) context.Context {
		ctx, cancel := context.WithTimeoutCause(ctx, d, own)
		t.Cleanup(cancel)
		return ctx
	}
	check := func(what string, f *executor.Future[int64], want error) {
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
	if running.State() != executor.Done {
		t.Errorf("after its deadline a task is %v; want done: nobody has cancelled it", running.State())
	}
}

// errOwn is the error with which fickle fails.
var errOwn = errors.New("an error that was there before")

// A fickleness says how fickle ends, and whether it first waits until it is told to
// stop.
type fickleness struct {
	How     string
	Started *executor.Queue[int64]
}

var fickle = executor.NewTask("harnesstest.fickle", func(ctx context.Context, in fickleness) (int64, error) {
	if in.Started != nil {
		if err := in.Started.Put(ctx, 1); err != nil {
			return 0, err
		}
		executor.Blocking(ctx, func() { <-ctx.Done() })
	}
	switch in.How {
	case "the context's error":
		return 0, ctx.Err()
	case "the cause":
		return 0, context.Cause(ctx)
	case "somebody's cancellation":
		return 0, fmt.Errorf("reading: %w", context.Canceled)
	case "the very cancellation":
		return 0, context.Canceled
	case "somebody's deadline":
		return 0, fmt.Errorf("reading: %w", context.DeadlineExceeded)
	case "ErrCancelled":
		return 0, executor.ErrCancelled
	case "an error":
		return 0, fmt.Errorf("saving: %w", errOwn)
	case "a panic":
		panic("fickle")
	}
	return 7, nil
})

// A passing is a context whose deadline passes when the test wants it.
type passing struct {
	context.Context
	passed chan struct{}
}

func (p *passing) Done() <-chan struct{} { return p.passed }

func (p *passing) Err() error {
	select {
	case <-p.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Whether a task counts as cancelled depends on who told it to stop, not on its error.
func testWhoCancelled(t *testing.T, s *suite) {
	ctx, m, _ := s.manager(t, 1, core.Config{CancelGrace: -1})
	// Nobody has told the task to stop.
	for _, tt := range []struct {
		how  string
		want error // that the *TaskError wraps
	}{
		{"somebody's cancellation", context.Canceled},
		{"the very cancellation", context.Canceled},
		{"somebody's deadline", context.DeadlineExceeded},
		{"ErrCancelled", executor.ErrCancelled},
		{"an error", errOwn},
	} {
		f := fickle.Submit(ctx, m, fickleness{How: tt.how})
		_, err := f.Wait(ctx)
		var te *executor.TaskError
		if !errors.As(err, &te) || !errors.Is(err, tt.want) || f.State() != executor.Done {
			t.Errorf("nobody has cancelled, and the function returned %s: %v, %v; want a *TaskError that is %v, done", tt.how, err, f.State(), tt.want)
		}
		d := executor.Then(f, func(v int64) (int64, error) { return v, nil })
		if _, err := d.Wait(ctx); !same(err, f.Err()) || d.State() != executor.Done {
			t.Errorf("Then of that: %v, %v; want the same error, done", err, d.State())
		}
	}
	own := errors.New("the submitter's reason")
	limited := fickle.Timeout(time.Hour)
	late := &executor.TimeoutError{Task: fickle.Name(), Limit: time.Hour}
	// is reports whether err is the cause itself; wraps, whether err wraps the cause.
	is := func(err, cause error) bool {
		te, ok := err.(*executor.TimeoutError) //nolint:errorlint // it must not be wrapped
		return same(err, cause) || ok && same(cause, late) && *te == *late
	}
	wraps := func(err, cause error) bool {
		var te *executor.TimeoutError
		return errors.Is(err, cause) || errors.As(err, &te) && is(te, cause)
	}
	ways := []struct {
		name  string
		cause error
		state executor.State
		ctx   func() (_ context.Context, stop func(executor.AnyFuture))
	}{
		{"Cancel", executor.ErrCancelled, executor.Cancelled, func() (context.Context, func(executor.AnyFuture)) {
			return ctx, func(f executor.AnyFuture) { f.Cancel() }
		}},
		{"the context", context.Canceled, executor.Cancelled, func() (context.Context, func(executor.AnyFuture)) {
			ctx, cancel := context.WithCancel(ctx)
			return ctx, func(executor.AnyFuture) { cancel() }
		}},
		{"the context, with a cause", own, executor.Cancelled, func() (context.Context, func(executor.AnyFuture)) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func(executor.AnyFuture) { cancel(own) }
		}},
		{"a deadline", context.DeadlineExceeded, executor.Done, func() (context.Context, func(executor.AnyFuture)) {
			ctx := &passing{ctx, make(chan struct{})}
			return ctx, func(executor.AnyFuture) { close(ctx.passed) }
		}},
		{"its time limit", late, executor.Done, func() (context.Context, func(executor.AnyFuture)) {
			return ctx, func(f executor.AnyFuture) { core.CallOf(f).Expire() } // as if the time limit had passed
		}},
	}
	for _, way := range ways {
		for _, how := range []string{"the context's error", "the cause", "somebody's cancellation", "an error", "a panic", "nothing"} {
			started := executor.NewQueue[int64](1)
			theirs, stop := way.ctx()
			f := limited.Submit(theirs, m, fickleness{how, started})
			if _, err := started.Get(ctx); err != nil {
				t.Fatal(err)
			}
			stop(f)
			v, err := f.Wait(ctx)
			fail := func(want string) {
				t.Errorf("stopped by %s, the function gave %s: %d, %v, %v; want %s", way.name, how, v, err, f.State(), want)
			}
			var te *executor.TaskError
			var pe *executor.PanicError
			switch how {
			case "nothing":
				if v != 7 || err != nil || f.State() != executor.Done {
					fail("7, nil, done")
				}
			case "a panic":
				if !errors.As(err, &pe) || f.State() != executor.Done {
					fail("a *PanicError, done")
				}
			case "somebody's cancellation", "an error":
				with := map[string]error{"an error": errOwn, "somebody's cancellation": context.Canceled}[how]
				if !wraps(err, way.cause) || !errors.Is(err, with) || !errors.As(err, &te) || !strings.HasPrefix(err.Error(), way.cause.Error()) || f.State() != way.state {
					fail(fmt.Sprintf("%v with the function's own error, %v", way.cause, way.state))
				}
			default:
				if !is(err, way.cause) || f.State() != way.state {
					fail(fmt.Sprintf("%v, %v", way.cause, way.state))
				}
			}
			if d := executor.Then(f, func(v int64) (int64, error) { return v, nil }); d.State() != f.State() {
				t.Errorf("Then of that is %v; want %v", d.State(), f.State())
			}

			// The only argument of a batch, or the batch itself, reports the same.
			theirs, stop = way.ctx()
			of := submitBatch(limited, theirs, m, []fickleness{{how, started}})
			if _, err := started.Get(ctx); err != nil {
				t.Fatal(err)
			}
			stop(of)
			b, whole := of.Wait(ctx)
			_ = started.Close(ctx)
			if got := cmp.Or(whole, b.Errs[0]); !is(got, way.cause) && fmt.Sprint(got) != fmt.Sprint(err) {
				t.Errorf("stopped by %s, the function gave %s in a batch: %v; want %v, or %v", way.name, how, got, err, way.cause)
			}
		}
	}
	started := executor.NewQueue[int64](1)
	defer func() { _ = started.Close(ctx) }()
	f := fickle.Submit(ctx, m, fickleness{"an error", started})
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	queued := fickle.Submit(ctx, m, fickleness{})
	m.Stop(own)
	if _, err := f.Wait(ctx); !errors.Is(err, own) || !errors.Is(err, errOwn) || f.State() != executor.Cancelled {
		t.Errorf("stopped by Stop: %v, %v; want the cause with the function's error, cancelled", err, f.State())
	}
	if _, err := queued.Wait(ctx); !same(err, own) || queued.State() != executor.Cancelled {
		t.Errorf("queued at Stop: %v, %v; want the cause, cancelled", err, queued.State())
	}
}

// takesLong takes an argument whose garbage collection can be observed.
var takesLong = executor.NewTask("harnesstest.takesLong", func(_ context.Context, in large) (int64, error) {
	return int64(len(in.Content)), nil
})

type large struct{ Content *[1 << 16]byte }

// A future that is done does not keep the argument.
func testArgumentsAreLetGo(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, core.Config{})
	release := occupy(ctx, t, ex, n)
	collected := make(chan struct{}, 3)
	submit := func() *executor.Future[int64] {
		in := large{new([1 << 16]byte)}
		runtime.AddCleanup(in.Content, func(int) { collected <- struct{}{} }, 0)
		return takesLong.Submit(ctx, ex, in)
	}
	futures := []*executor.Future[int64]{submit(), submit(), submit()}
	futures[1].Cancel()
	release()
	for _, f := range futures {
		<-f.Done()
	}
	if v, err := double.Submit(ctx, ex, 1).Wait(ctx); v != 2 || err != nil { // so that the workers do not keep their last call
		t.Error(v, err)
	}
	until(ctx, t, "the arguments of what is done to be collected", func() bool {
		runtime.GC()
		return len(collected) == len(futures)
	})
	runtime.KeepAlive(futures)
}
