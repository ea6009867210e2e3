package harnesstest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

func containsAll(s string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(s, p) })
}

// captureLog has the default logger write to the returned buffer until the test ends.
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

// The panic of a callback is reported, the other callbacks are called, and the worker
// goes on.
func testCallbackPanics(t *testing.T, s *suite) {
	logged := captureLog(t)
	ctx, ex, n := s.open(t, 1, core.Config{})
	release := occupy(ctx, t, ex, n)
	f := double.Submit(ctx, ex, 1)
	var got []int
	called := make(chan struct{})
	f.OnDone(func(*executor.Future[int64]) { got = append(got, 0) })
	f.OnDone(func(*executor.Future[int64]) { panic("in the first callback") })
	f.OnDone(func(*executor.Future[int64]) { got = append(got, 1) })
	f.OnDone(func(*executor.Future[int64]) { panic(errors.New("in the second")) })
	f.OnDone(func(*executor.Future[int64]) { got = append(got, 2); close(called) })
	release()
	<-called
	if !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("the callbacks that do not panic were called as %v; want 0 1 2", got)
	}
	if v, err := f.Wait(ctx); v != 2 || err != nil {
		t.Errorf("Wait() = %d, %v; want 2, nil: the task did not fail", v, err)
	}
	f.OnDone(func(*executor.Future[int64]) { panic("in the third") }) // on this goroutine
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
	ctx, ex, n := s.open(t, 1, core.Config{})
	taskCtx, cancel := context.WithCancel(ctx)
	release := occupy(ctx, t, ex, n)
	futures := map[string]*executor.Future[int64]{
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
		f.OnDone(func(f *executor.Future[int64]) { c <- f.Err() })
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
	ctx, ex, _ := s.open(t, 2, core.Config{})
	const depth = 50
	end := make(chan *executor.Future[int64], 1)
	var again func(*executor.Future[int64])
	again = func(f *executor.Future[int64]) {
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

// A lateContext has ended, but its Done channel is not closed yet.
type lateContext struct{ context.Context }

func (lateContext) Err() error { return context.Canceled }

// A callback may also submit if its task is cancelled because its context has ended.
func testCallbackSubmitsCancelled(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, core.Config{})
	open, cancel := context.WithCancel(ctx) // its Done channel is watched
	defer cancel()
	release := occupy(ctx, t, ex, n)
	f := double.Submit(lateContext{open}, ex, 1)
	got := make(chan *executor.Future[int64], 1)
	f.OnDone(func(*executor.Future[int64]) { got <- double.Submit(ctx, ex, 4) })
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
	ctx, ex, n := s.open(t, 1, core.Config{})
	release := occupy(ctx, t, ex, n)
	length := func(v int64) (string, error) { return strings.Repeat("x", int(v)), nil }
	never := func(int64) (string, error) {
		t.Error("Then called the function of a future that failed")
		return "", nil
	}
	one := double.Submit(ctx, ex, 1)
	chained := executor.Then(executor.Then(one, length), func(s string) (int, error) { return len(s) + 1, nil })
	wrong := executor.Then(one, func(int64) (string, error) { return "", errMine })
	panicking := executor.Then(one, func(int64) (string, error) { panic("then") })
	failing := fails.Submit(ctx, ex, "x")
	failed := executor.Then(failing, never)
	dropped := executor.Then(one, func(int64) (string, error) {
		t.Error("Then called the function of what was cancelled")
		return "", nil
	})
	if !dropped.Cancel() || dropped.State() != executor.Cancelled {
		t.Errorf("after Cancel() the derived future is %v; want cancelled", dropped.State())
	}
	if one.State() != executor.Pending {
		t.Errorf("cancelling what Then returned made the first %v; want pending", one.State())
	}
	unwanted := double.Submit(ctx, ex, 1)
	afterUnwanted := executor.Then(unwanted, never)
	unwanted.Cancel()
	if _, err := afterUnwanted.Wait(ctx); !errors.Is(err, executor.ErrCancelled) {
		t.Errorf("Then of a cancelled task: %v; want ErrCancelled", err)
	}
	release()
	if v, err := chained.Wait(ctx); v != 3 || err != nil {
		t.Errorf("Then of Then returned %d, %v; want 3, nil", v, err)
	}
	if v, err := executor.Then(one, length).Wait(ctx); v != "xx" || err != nil {
		t.Errorf("Then of a task that is done returned %q, %v; want xx, nil", v, err)
	}
	if _, err := wrong.Wait(ctx); !errors.Is(err, errMine) {
		t.Errorf("Then of a function that fails: %v; want its error", err)
	}
	var pe *executor.PanicError
	if _, err := panicking.Wait(ctx); !errors.As(err, &pe) || pe.Value != "then" {
		t.Errorf("Then of a function that panics: %v; want a *PanicError with its value", err)
	}
	<-failing.Done()
	if _, err := failed.Wait(ctx); !errors.Is(err, errMine) || !errors.Is(err, failing.Err()) {
		t.Errorf("Then of a task that failed: %v; want the task's error, %v", err, failing.Err())
	}
}

func testCallbacks(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, core.Config{})
	release := occupy(ctx, t, ex, n)
	f := double.Submit(ctx, ex, 1)
	var mu sync.Mutex
	var got []int
	note := func(i int) func(*executor.Future[int64]) {
		return func(g *executor.Future[int64]) {
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
	f.OnDone(func(*executor.Future[int64]) { close(called) })
	release()
	<-called
	f.OnDone(note(3))
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("callbacks ran in the order %v; want 0 1 2 3", got)
	}
}

// A slow callback delays only the later callbacks of the same future.
func testCallbackBlocks(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, core.Config{})
	release := occupy(ctx, t, ex, n)
	f := double.Submit(ctx, ex, 1)
	begun, end := make(chan struct{}), make(chan struct{})
	var after atomic.Bool
	f.OnDone(func(*executor.Future[int64]) {
		close(begun)
		<-end
	})
	f.OnDone(func(*executor.Future[int64]) { after.Store(true) })
	release()
	<-begun
	for i := range int64(100) {
		if v, err := double.Submit(ctx, ex, i).Wait(ctx); v != 2*i || err != nil {
			t.Fatalf("while a callback waits a task returned %d, %v; want %d, nil", v, err, 2*i)
		}
	}
	if after.Load() {
		t.Error("a callback was called before the one that was added before it had returned")
	}
	close(end)
	s.finish(t)
	if !after.Load() {
		t.Error("when Close had returned a callback had not been called")
	}
}

// After a callback that ends its goroutine, the other callbacks are called and the
// executor goes on.
func testCallbackGoexit(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, core.Config{})
	release := occupy(ctx, t, ex, n)
	f := double.Submit(ctx, ex, 1)
	then := executor.Then(f, func(int64) (int64, error) {
		runtime.Goexit()
		return 0, nil
	})
	var got []int
	last := make(chan struct{})
	for i := range 3 {
		f.OnDone(func(*executor.Future[int64]) {
			got = append(got, i)
			runtime.Goexit()
		})
	}
	f.OnDone(func(*executor.Future[int64]) { close(last) })
	release()
	<-last
	if !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("the callbacks that end their goroutine were called as %v; want 0 1 2", got)
	}
	var pe *executor.PanicError
	if _, err := then.Wait(ctx); !errors.As(err, &pe) {
		t.Errorf("Then of a function that ends its goroutine: %v; want a *PanicError", err)
	}
	for i := range int64(10) {
		if v, err := double.Submit(ctx, ex, i).Wait(ctx); v != 2*i || err != nil {
			t.Errorf("after that a task returned %d, %v; want %d, nil", v, err, 2*i)
		}
	}
}

// refusedToClose checks the error of a Close that would wait for its caller.
func refusedToClose(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, executor.ErrNested) || !containsAll(err.Error(), "Stop") {
		t.Errorf("%s = %v; want ErrNested and what to do", what, err)
	}
}

func testCloseInCallback(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, core.Config{})
	release := occupy(ctx, t, ex, n)
	f := double.Submit(ctx, ex, 1)
	errs := make(chan error, 4)
	f.OnDone(func(*executor.Future[int64]) {
		errs <- ex.Close()
		errs <- ex.Shutdown(ctx)
	})
	then := executor.Then(f, func(int64) (int64, error) { return 0, ex.Close() })
	then.OnDone(func(*executor.Future[int64]) { errs <- ex.Close() })
	release()
	refusedToClose(t, "Close() in a callback", <-errs)
	refusedToClose(t, "Shutdown() in a callback", <-errs)
	refusedToClose(t, "Close() in a callback of what Then returned", <-errs)
	_, err := then.Wait(ctx)
	refusedToClose(t, "Close() in a function of Then", err)
	f.OnDone(func(*executor.Future[int64]) { errs <- ex.Close() })
	refusedToClose(t, "Close() in a callback of a future that was done", <-errs)
	if v, err := double.Submit(ctx, ex, 4).Wait(ctx); v != 8 || err != nil {
		t.Errorf("after that a task returned %d, %v; want 8, nil", v, err)
	}
}

// deep calls f with many frames on the stack.
func deep(n int, f func() error) error {
	if n == 0 {
		return f()
	}
	err := deep(n-1, f)
	return err
}

func testCloseInTask(t *testing.T, s *suite) {
	if !s.b.Shared {
		t.Skip("a worker process has no way to its executor")
	}
	ctx, ex, _ := s.open(t, 2, core.Config{})
	closes := map[string]func(ctx context.Context) error{
		"Close() in a task":      func(context.Context) error { return ex.Close() },
		"Close() deep in a task": func(context.Context) error { return deep(1000, ex.Close) },
		"Shutdown() in a task":   func(ctx context.Context) error { return ex.Shutdown(ctx) },
		"Close() in Blocking":    func(ctx context.Context) (err error) { executor.Blocking(ctx, func() { err = ex.Close() }); return err },
		"Close() in a callback of what is done, in a task": func(context.Context) (err error) {
			f := double.Submit(ctx, nil, 1)
			f.OnDone(func(*executor.Future[int64]) { err = ex.Close() })
			return err
		},
	}
	for what, f := range closes {
		_, err := does.Submit(ctx, ex, f).Wait(ctx)
		refusedToClose(t, what, err)
	}
	// A task may close another executor.
	_, err := does.Submit(ctx, ex, func(ctx context.Context) error {
		other, err := open(ctx, s.b, core.Config{Workers: 1})
		if err != nil {
			return err
		}
		if v, err := double.Submit(ctx, other, 4).Wait(ctx); v != 8 || err != nil {
			t.Errorf("a task of an executor that a task has opened returned %d, %v; want 8, nil", v, err)
		}
		return other.Close()
	}).Wait(ctx)
	if err != nil {
		t.Errorf("a task that opens and closes an executor of its own: %v; want no error", err)
	}
	if v, err := double.Submit(ctx, ex, 4).Wait(ctx); v != 8 || err != nil {
		t.Errorf("after that a task returned %d, %v; want 8, nil", v, err)
	}
}

// Close returns after all callbacks, including those of derived futures.
func testCloseWaitsForCallbacks(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 2, core.Config{})
	var called atomic.Int64
	const tasks = 20
	for i := range int64(tasks) {
		f := double.Submit(ctx, ex, i)
		if i%2 == 0 {
			f = executor.Then(f, func(v int64) (int64, error) { return v, nil })
		}
		f.OnDone(func(*executor.Future[int64]) {
			runtime.Gosched()
			called.Add(1)
		})
	}
	s.finish(t)
	if n := called.Load(); n != tasks {
		t.Errorf("when Close had returned %d of %d callbacks had", n, tasks)
	}
}

// A long chain of Then needs neither a deep stack nor many goroutines at a time.
func testThenDeep(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 1, core.Config{})
	release := occupy(ctx, t, ex, n)
	const depth = 20_000
	most, before := 0, runtime.NumGoroutine()
	f := double.Submit(ctx, ex, 0)
	for i := range depth {
		f = executor.Then(f, func(v int64) (int64, error) {
			if i%1000 == 0 {
				most = max(most, runtime.NumGoroutine())
			}
			return v + 1, nil
		})
	}
	release()
	if v, err := f.Wait(ctx); v != depth || err != nil {
		t.Errorf("a chain of %d returned %d, %v; want %d, nil", depth, v, err, depth)
	}
	if most > before+depth/4 {
		t.Errorf("a chain of %d took %d goroutines; there were %d before it", depth, most, before)
	}
	failed := fails.Submit(ctx, ex, "x")
	f = failed
	for range 1000 {
		f = executor.Then(f, func(int64) (int64, error) { panic("called") })
	}
	if _, err := f.Wait(ctx); !same(err, failed.Err()) {
		t.Errorf("the end of a chain whose task fails: %v; want the task's error, %v", err, failed.Err())
	}
}

func same(a, b error) bool { return a == b } //nolint:errorlint // the very error
