package harnesstest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/f3f4c0de/harness"
)

func containsAll(s string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(s, p) })
}

// captureLog has the default logger write to what is returned, until the test
// ends.
func captureLog(t *testing.T) *lockedBuffer {
	t.Helper()
	b := &lockedBuffer{}
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(b, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return b
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A callback that panics is reported and does not keep the others from being
// called, nor the worker from going on.
func testCallbackPanics(t *testing.T, s *suite) {
	logged := captureLog(t)
	ctx, ex, n := s.open(t, 1, harness.Config{})
	release := occupy(ctx, t, ex, n)
	f := double.Submit(ctx, ex, 1)
	var got []int
	called := make(chan struct{})
	f.OnDone(func(*harness.Future[int64]) { got = append(got, 0) })
	f.OnDone(func(*harness.Future[int64]) { panic("in the first callback") })
	f.OnDone(func(*harness.Future[int64]) { got = append(got, 1) })
	f.OnDone(func(*harness.Future[int64]) { panic(errors.New("in the second")) })
	f.OnDone(func(*harness.Future[int64]) { got = append(got, 2); close(called) })
	release()
	<-called
	if !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("the callbacks that do not panic were called as %v; want 0 1 2", got)
	}
	if v, err := f.Wait(ctx); v != 2 || err != nil {
		t.Errorf("Wait() = %d, %v; want 2, nil: the task did not fail", v, err)
	}
	f.OnDone(func(*harness.Future[int64]) { panic("in the third") }) // on this goroutine
	for _, want := range []string{"in the first callback", "in the second", "in the third", double.Name()} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("logged was\n%swant it to report %q", logged, want)
		}
	}
	if v, err := double.Submit(ctx, ex, 4).Wait(ctx); v != 8 || err != nil {
		t.Errorf("after that a task returned %d, %v; want 8, nil", v, err)
	}
}

// A callback is called, once, however the task ends.
func testCallbackAlways(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, harness.Config{})
	taskCtx, cancel := context.WithCancel(ctx)
	release := occupy(ctx, t, ex, n)
	futures := map[string]*harness.Future[int64]{
		"done":          double.Submit(ctx, ex, 1),
		"failed":        fails.Submit(ctx, ex, "x"),
		"panicked":      panics.Submit(ctx, ex, "x"),
		"cancelled":     double.Submit(ctx, ex, 1),
		"context ended": double.Submit(taskCtx, ex, 1),
	}
	called := make(map[string]chan error)
	for name, f := range futures {
		c := make(chan error, 2)
		called[name] = c
		f.OnDone(func(f *harness.Future[int64]) { c <- f.Err() })
	}
	futures["cancelled"].Cancel()
	cancel()
	release()
	for name, f := range futures {
		<-f.Done()
		if err := <-called[name]; !errors.Is(err, f.Err()) {
			t.Errorf("%s: the callback saw error %v; the future has %v", name, err, f.Err())
		}
	}
	s.finish(t)
	for name, c := range called {
		if len(c) > 0 {
			t.Errorf("%s: the callback was called again", name)
		}
	}
}

// A callback may submit to the executor that calls it.
func testCallbackSubmits(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 2, harness.Config{})
	const depth = 50
	end := make(chan *harness.Future[int64], 1)
	var again func(*harness.Future[int64])
	again = func(f *harness.Future[int64]) {
		v, err := f.Wait(ctx)
		if err != nil || v >= depth {
			end <- f
			return
		}
		double.Submit(ctx, ex, v/2+1).OnDone(again)
	}
	double.Submit(ctx, ex, 0).OnDone(again)
	if v, err := (<-end).Wait(ctx); v != depth || err != nil {
		t.Errorf("the last of %d tasks, each submitted by the one before, returned %d, %v; want %d, nil", depth/2, v, err, depth)
	}
}

// A lateContext has ended, and those who watch it have not heard of it yet.
type lateContext struct{ context.Context }

func (lateContext) Err() error { return context.Canceled }

// So may the callback of a task that is found to be no longer wanted.
func testCallbackSubmitsCancelled(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, harness.Config{})
	open, cancel := context.WithCancel(ctx) // its Done channel is watched
	defer cancel()
	release := occupy(ctx, t, ex, n)
	f := double.Submit(lateContext{open}, ex, 1)
	got := make(chan *harness.Future[int64], 1)
	f.OnDone(func(*harness.Future[int64]) { got <- double.Submit(ctx, ex, 4) })
	release()
	select {
	case f := <-got:
		if v, err := f.Wait(ctx); v != 8 || err != nil {
			t.Errorf("a task that was submitted by a callback returned %d, %v; want 8, nil", v, err)
		}
	case <-ctx.Done():
		t.Fatal("the callback never came to an end")
	}
}

func testThen(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, harness.Config{})
	release := occupy(ctx, t, ex, n)
	length := func(v int64) (string, error) { return strings.Repeat("x", int(v)), nil }
	never := func(int64) (string, error) {
		t.Error("Then called the function of a future that failed")
		return "", nil
	}
	one := double.Submit(ctx, ex, 1)
	chained := harness.Then(harness.Then(one, length), func(s string) (int, error) { return len(s) + 1, nil })
	wrong := harness.Then(one, func(int64) (string, error) { return "", errMine })
	panicking := harness.Then(one, func(int64) (string, error) { panic("then") })
	failing := fails.Submit(ctx, ex, "x")
	failed := harness.Then(failing, never)
	dropped := harness.Then(one, func(int64) (string, error) {
		t.Error("Then called the function of what was cancelled")
		return "", nil
	})
	if !dropped.Cancel() || dropped.State() != harness.Cancelled {
		t.Errorf("after Cancel() the derived future is %v; want cancelled", dropped.State())
	}
	if one.State() != harness.Pending {
		t.Errorf("cancelling what Then returned made the first %v; want pending", one.State())
	}
	unwanted := double.Submit(ctx, ex, 1)
	afterUnwanted := harness.Then(unwanted, never)
	unwanted.Cancel()
	if _, err := afterUnwanted.Wait(ctx); !errors.Is(err, harness.ErrCancelled) {
		t.Errorf("Then of a cancelled task: %v; want ErrCancelled", err)
	}
	release()
	if v, err := chained.Wait(ctx); v != 3 || err != nil {
		t.Errorf("Then of Then returned %d, %v; want 3, nil", v, err)
	}
	if v, err := harness.Then(one, length).Wait(ctx); v != "xx" || err != nil {
		t.Errorf("Then of a task that is done returned %q, %v; want xx, nil", v, err)
	}
	if _, err := wrong.Wait(ctx); !errors.Is(err, errMine) {
		t.Errorf("Then of a function that fails: %v; want its error", err)
	}
	var pe *harness.PanicError
	if _, err := panicking.Wait(ctx); !errors.As(err, &pe) || pe.Value != "then" {
		t.Errorf("Then of a function that panics: %v; want a *PanicError with its value", err)
	}
	<-failing.Done()
	if _, err := failed.Wait(ctx); !errors.Is(err, errMine) || !errors.Is(err, failing.Err()) {
		t.Errorf("Then of a task that failed: %v; want the task's error, %v", err, failing.Err())
	}
}

func testCallbacks(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, harness.Config{})
	release := occupy(ctx, t, ex, n)
	f := double.Submit(ctx, ex, 1)
	var mu sync.Mutex
	var got []int
	note := func(i int) func(*harness.Future[int64]) {
		return func(g *harness.Future[int64]) {
			mu.Lock()
			defer mu.Unlock()
			if v, err := g.Wait(ctx); v != 2 || err != nil {
				t.Errorf("callback %d sees %d, %v; want 2, nil", i, v, err)
			}
			got = append(got, i)
		}
	}
	called := make(chan struct{})
	for i := range 3 {
		f.OnDone(note(i))
	}
	f.OnDone(func(*harness.Future[int64]) { close(called) })
	release()
	<-called
	f.OnDone(note(3))
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("callbacks ran in the order %v; want 0 1 2 3", got)
	}
}
