package harnesstest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// prepares is for Config.Init. It reports that it runs, and fails when no value is left
// in the queue Release.
var prepares = executor.NewTask("harnesstest.prepares", func(ctx context.Context, h hold) (int64, error) {
	if err := h.Started.Put(ctx, h.N); err != nil {
		return 0, err
	}
	return h.Release.Get(ctx)
})

// allow makes a hold with which prepares succeeds so many times.
func allow(ctx context.Context, t *testing.T, times int) hold {
	t.Helper()
	h := newHold(0)
	for range times {
		if err := h.Release.Put(ctx, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Release.Close(ctx); err != nil {
		t.Fatal(err)
	}
	return h
}

// drain closes a queue and returns what was in it.
func drain(ctx context.Context, q *executor.Queue[int64]) (values []int64) {
	_ = q.Close(ctx) // no error in the process that made the queue
	for {
		v, err := q.Get(ctx)
		if err != nil {
			return values
		}
		values = append(values, v)
	}
}

// manager opens the backend as [suite.open] does.
func (s *suite) manager(t *testing.T, n int, cfg core.Config) (context.Context, *executor.Executor, int) {
	t.Helper()
	ctx, ex, n := s.open(t, n, cfg)
	if raw := (*core.Handle)(ex).Raw(); !implements[core.Manager](raw) {
		t.Fatalf("Open() gave a %T; want a backend.Manager", raw)
	}
	return ctx, ex, n
}

func implements[I any](v any) bool {
	_, ok := v.(I)
	return ok
}

// until waits until ok reports true, and fails the test if ctx ends before.
func until(ctx context.Context, t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, context.Cause(ctx))
		}
	}
}

// settle waits until Stats returns what is wanted.
func settle(ctx context.Context, t *testing.T, m *executor.Executor, want string, ok func(executor.Stats) bool) {
	t.Helper()
	var got executor.Stats
	defer func() {
		if t.Failed() {
			t.Logf("Stats() = %+v", got)
		}
	}()
	until(ctx, t, want, func() bool { got = m.Stats(); return ok(got) })
}

func testInit(t *testing.T, s *suite) {
	ctx := t.Context()
	h := allow(ctx, t, 100)
	ctx, m, n := s.manager(t, 3, core.Config{Init: job(prepares, h)})
	occupy(ctx, t, m, n)() // spawn starts a worker only when there is a task
	for range 20 {
		if _, err := double.Submit(ctx, m, 1).Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	s.finish(t)
	if got, started := len(drain(ctx, h.Started)), m.Stats().Started; got != started || got < n {
		t.Errorf("Init ran %d times on %d workers; want once on each of at least %d", got, started, n)
	}
}

func testInitFails(t *testing.T, s *suite) {
	ctx := t.Context()
	h := allow(ctx, t, 0)
	defer h.close(ctx)
	cfg := core.Config{Workers: 1, Init: job(prepares, h)}
	ex, err := open(ctx, s.b, cfg)
	if err == nil { // the workers are only started when there is a task
		s.ex = ex
		_, err = double.Submit(ctx, ex, 1).Wait(ctx)
	}
	checkInitError(t, "the first task", err)
}

func testInitFailsLater(t *testing.T, s *suite) {
	ctx := t.Context()
	h := allow(ctx, t, 1)
	defer h.close(ctx)
	ctx, m, _ := s.manager(t, 1, core.Config{Init: job(prepares, h), MaxTasksPerWorker: 1})
	if got, err := double.Submit(ctx, m, 1).Wait(ctx); got != 2 || err != nil {
		t.Fatalf("a task on a worker that was prepared returned %d, %v; want 2, nil", got, err)
	}
	var futures []*executor.Future[int64]
	for i := range int64(5) {
		futures = append(futures, double.Submit(ctx, m, i))
	}
	for _, f := range futures {
		_, err := f.Wait(ctx)
		checkInitError(t, "a task whose worker could not be prepared", err)
	}
	_, err := double.Submit(ctx, m, 1).Wait(ctx)
	checkInitError(t, "a task that was submitted later", err)
}

// Stop with a cause cancels an Init that is running, so that nobody waits for it for ever.
func testInitStopped(t *testing.T, s *suite) {
	ctx := t.Context()
	h := newHold(0)
	defer h.close(ctx)
	if err := h.Release.Put(ctx, 1); err != nil { // for the first worker only
		t.Fatal(err)
	}
	ctx, m, _ := s.manager(t, 1, core.Config{Init: job(holds, h), MaxTasksPerWorker: 1})
	if got, err := double.Submit(ctx, m, 1).Wait(ctx); got != 2 || err != nil {
		t.Fatalf("a task on a worker that was prepared returned %d, %v; want 2, nil", got, err)
	}
	f := double.Submit(ctx, m, 1)
	for range 2 {
		if _, err := h.Started.Get(ctx); err != nil {
			t.Fatal(err)
		}
	}
	cause := errors.New("no longer wanted")
	m.Stop(cause)
	if _, err := f.Wait(ctx); !errors.Is(err, cause) {
		t.Errorf("a task whose worker was being prepared when the executor was stopped: %v; want the cause", err)
	}
	s.finish(t)
}

func checkInitError(t *testing.T, what string, err error) {
	t.Helper()
	var ie *executor.InitError
	if !errors.As(err, &ie) || !errors.Is(err, executor.ErrQueueClosed) {
		t.Errorf("%s: %v; want an *InitError that wraps what Init failed with", what, err)
	}
}

func testMaxTasksPerWorker(t *testing.T, s *suite) {
	ctx := t.Context()
	h := allow(ctx, t, 100)
	ctx, m, n := s.manager(t, 2, core.Config{Init: job(prepares, h), MaxTasksPerWorker: 3})
	const tasks = 24
	var futures []*executor.Future[int64]
	for i := range int64(tasks) {
		futures = append(futures, double.Submit(ctx, m, i))
	}
	for i, f := range futures {
		if got, err := f.Wait(ctx); got != int64(2*i) || err != nil {
			t.Errorf("task %d returned %d, %v; want %d, nil", i, got, err, 2*i)
		}
	}
	s.finish(t)
	// A worker that was not needed any more before it was initialised has run no task.
	if inits, started := len(drain(ctx, h.Started)), m.Stats().Started; inits < tasks/3 || inits > started {
		t.Errorf("%d tasks took %d workers, %d of them prepared; want at least %d prepared, each once", tasks, started, inits, tasks/3)
	}
	if n > 1 {
		return
	}
	if lost := m.Stats().Lost; lost != 0 {
		t.Errorf("Stats().Lost = %d; want 0: the workers were told to end", lost)
	}
}

func testIdleTimeout(t *testing.T, s *suite) {
	ctx, m, n := s.manager(t, 2, core.Config{IdleTimeout: time.Millisecond})
	for range 3 {
		occupy(ctx, t, m, n)()
		until(ctx, t, "idle workers to end", func() bool { return m.Stats().Alive == 0 })
	}
	if got := m.Stats(); got.Started < 3*n || got.Lost != 0 || got.Workers != n {
		t.Errorf("Stats() = %+v; want at least %d workers started, none lost, %d wanted", got, 3*n, n)
	}
}

func testResize(t *testing.T, s *suite) {
	ctx, m, n := s.manager(t, 2, core.Config{})
	for _, n := range []int{0, -1} {
		if err := m.Resize(n); err == nil {
			t.Errorf("Resize(%d) = nil; want an error", n)
		}
	}
	more := n + 2
	if most := s.b.MaxWorkers; most > 0 {
		if err := m.Resize(most + 1); err == nil {
			t.Errorf("Resize(%d) = nil; want an error: there can be %d", most+1, most)
		}
		more = most
	}
	if err := m.Resize(more); err != nil {
		t.Fatalf("Resize(%d) = %v", more, err)
	}
	occupy(ctx, t, m, more)() // all at the same time
	if err := m.Resize(1); err != nil {
		t.Fatalf("Resize(1) = %v", err)
	}
	until(ctx, t, "workers that are too many to end", func() bool { return m.Stats().Alive <= 1 })
	release := occupy(ctx, t, m, 1)
	queued := double.Submit(ctx, m, 1)
	settle(ctx, t, m, "1 worker, alive and busy, and 1 queued", func(got executor.Stats) bool {
		return got.Workers == 1 && got.Alive == 1 && got.Busy == 1 && got.Queued == 1
	})
	if got := queued.State(); got != executor.Pending {
		t.Errorf("the one worker left is busy, and the next task is %v; want pending", got)
	}
	release()
	if _, err := queued.Wait(ctx); err != nil {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Resize(1); !errors.Is(err, executor.ErrClosed) {
		t.Errorf("Resize(1) after Close = %v; want ErrClosed", err)
	}
}

// Surplus workers end when their task is done, and not before.
func testResizeDownWhileBusy(t *testing.T, s *suite) {
	ctx, m, n := s.manager(t, 3, core.Config{})
	release := occupy(ctx, t, m, n)
	if err := m.Resize(1); err != nil {
		t.Fatalf("Resize(1) = %v", err)
	}
	var futures []*executor.Future[int64]
	for i := range int64(10) {
		futures = append(futures, double.Submit(ctx, m, i))
	}
	release()
	for i, f := range futures {
		if got, err := f.Wait(ctx); got != int64(2*i) || err != nil {
			t.Errorf("task %d returned %d, %v; want %d, nil", i, got, err, 2*i)
		}
	}
	until(ctx, t, "workers that are too many to end", func() bool { return m.Stats().Alive <= 1 })
}

// However often the number of workers is changed while they are being initialised, there
// are never more than were asked for.
func testResizeFlaps(t *testing.T, s *suite) {
	if s.b.MaxWorkers == 1 {
		t.Skip("there is one worker")
	}
	ctx := t.Context()
	h := newHold(0)
	if err := h.Release.Put(ctx, 1); err != nil { // for the first worker
		t.Fatal(err)
	}
	ctx, m, _ := s.manager(t, 1, core.Config{Init: job(holds, h)})
	release := sync.OnceFunc(func() {
		for range 500 {
			if err := h.Release.Put(ctx, 1); err != nil {
				t.Error(err)
			}
		}
	})
	defer release()
	const most = 4
	if err := m.Resize(most); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := m.Resize(1 + i%most); err != nil {
			t.Fatal(err)
		}
		if got := m.Stats(); got.Alive > most || s.b.Shared && got.Started > most+1 {
			t.Fatalf("after Resize(%d) Stats() = %+v; want at most %d workers, since no more were asked for and only the first can have ended", 1+i%most, got, most)
		}
	}
	release()
	for i := range int64(20) {
		if got, err := double.Submit(ctx, m, i).Wait(ctx); got != 2*i || err != nil {
			t.Errorf("after that task %d returned %d, %v; want %d, nil", i, got, err, 2*i)
		}
	}
	s.finish(t)
	h.close(ctx)
}

// A number of workers beyond what the machine allows is refused at once, with a reason,
// and nothing changes.
func testResizeBeyondReason(t *testing.T, s *suite) {
	ctx, m, n := s.manager(t, 1, core.Config{})
	for _, n := range []int{1 << 40, math.MaxInt} {
		if err := m.Resize(n); err == nil {
			t.Errorf("Resize(%d) = nil; want an error", n)
		}
		if s.b.MaxWorkers == 1 {
			continue // it has 1 worker, whatever is asked for
		}
		ex, err := open(ctx, s.b, core.Config{Workers: n})
		if err == nil {
			_ = ex.Close()
			t.Errorf("Open with %d workers gave no error", n)
		}
	}
	if got := m.Stats().Workers; got != n {
		t.Errorf("after Resize was refused there are to be %d workers; want %d", got, n)
	}
	if got, err := double.Submit(ctx, m, 4).Wait(ctx); got != 8 || err != nil {
		t.Errorf("after that a task returned %d, %v; want 8, nil", got, err)
	}
}

func testStats(t *testing.T, s *suite) {
	ctx, m, n := s.manager(t, 2, core.Config{})
	if got := m.Stats(); got.Workers != n || got.Busy != 0 || got.Queued != 0 || got.Lost != 0 {
		t.Errorf("Stats() = %+v; want %d workers, none busy, none lost and nothing queued", got, n)
	}
	release := occupy(ctx, t, m, n)
	var futures []*executor.Future[int64]
	for i := range int64(5) {
		futures = append(futures, double.Submit(ctx, m, i))
	}
	settle(ctx, t, m, fmt.Sprintf("%d workers, alive and busy, and 5 queued", n), func(got executor.Stats) bool {
		return got == executor.Stats{Workers: n, Alive: n, Busy: n, Queued: 5, Started: n}
	})
	release()
	for _, f := range futures {
		if _, err := f.Wait(ctx); err != nil {
			t.Error(err)
		}
	}
	until(ctx, t, "all workers to be idle", func() bool { s := m.Stats(); return s.Busy == 0 && s.Queued == 0 })
	s.finish(t)
	if got := m.Stats(); got.Alive != 0 || got.Busy != 0 || got.Queued != 0 {
		t.Errorf("Stats() after Close = %+v; want nobody alive", got)
	}
}

// After Stop without a cause the submitted tasks are still run.
func testStop(t *testing.T, s *suite) {
	ctx, m, _ := s.manager(t, 1, core.Config{})
	release := occupy(ctx, t, m, 1)
	queued := double.Submit(ctx, m, 4)
	m.Stop(nil)
	m.Stop(nil)
	if _, err := double.Submit(ctx, m, 1).Wait(ctx); !errors.Is(err, executor.ErrClosed) {
		t.Errorf("a task submitted after Stop: %v; want ErrClosed", err)
	}
	release()
	if got, err := queued.Wait(ctx); got != 8 || err != nil {
		t.Errorf("a task that was queued at Stop(nil) returned %d, %v; want 8, nil", got, err)
	}
}

// Stop with a cause cancels the submitted tasks.
func testStopWithCause(t *testing.T, s *suite) {
	ctx, m, _ := s.manager(t, 1, core.Config{})
	started := executor.NewQueue[int64](1)
	defer func() { _ = started.Close(ctx) }()
	running := untilCancelled.Submit(ctx, m, started)
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	h := newHold(1)
	var queued []*executor.Future[int64]
	for range 10 {
		queued = append(queued, holds.Submit(ctx, m, h))
	}
	cause := errors.New("stopped by the test")
	m.Stop(cause)
	for i, f := range slices.Concat([]*executor.Future[int64]{running}, queued) {
		if _, err := f.Wait(ctx); !errors.Is(err, cause) {
			t.Errorf("task %d of 1 running and 10 queued: %v; want the cause of Stop", i, err)
		}
	}
	m.Stop(errors.New("another cause")) // the first cause counts
	s.finish(t)
	if ran := drain(ctx, h.Started); len(ran) > 0 {
		t.Errorf("%d tasks ran that were queued at Stop; want none", len(ran))
	}
	h.close(ctx)
}
