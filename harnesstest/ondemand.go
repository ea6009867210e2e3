package harnesstest

import (
	"context"
	"errors"
	"testing"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// With OnDemand a worker is started when there is a task that no idle worker takes,
// and there are never more than were asked for.
func testOnDemand(t *testing.T, s *suite) {
	ctx, m, n := s.manager(t, 3, core.Config{OnDemand: true})
	check := func(when string, want executor.Stats) {
		t.Helper()
		if got := m.Stats(); got != want {
			t.Errorf("%s: Stats() = %+v; want %+v", when, got, want)
		}
	}
	check("after Open", executor.Stats{Workers: n})
	if got, err := double.Submit(ctx, m, 4).Wait(ctx); got != 8 || err != nil {
		t.Errorf("the first task returned %d, %v; want 8, nil", got, err)
	}
	if got := m.Stats(); got.Started != 1 {
		t.Errorf("after one task Stats() = %+v; want one worker started", got)
	}
	release := occupy(ctx, t, m, n)
	var queued []*executor.Future[int64]
	for i := range int64(20) {
		queued = append(queued, double.Submit(ctx, m, i))
	}
	settle(ctx, t, m, "all workers to be busy, and 20 tasks queued", func(got executor.Stats) bool {
		return got.Alive == n && got.Busy == n && got.Queued == len(queued)
	})
	if got := m.Stats(); !s.perTask(t) && got.Started != n {
		t.Errorf("with more tasks than workers Stats() = %+v; want %d workers started", got, n)
	}
	release()
	for i, f := range queued {
		if got, err := f.Wait(ctx); got != int64(2*i) || err != nil {
			t.Errorf("task %d returned %d, %v; want %d, nil", i, got, err, 2*i)
		}
	}
}

// perTask reports whether the backend starts a worker for each task, and so none
// beforehand.
func (s *suite) perTask(t *testing.T) bool {
	t.Helper()
	ex, err := open(t.Context(), s.b, core.Config{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ex.Close() }()
	return ex.Stats().Started == 0
}

// Close, Stop and Resize start no worker on an executor that has not started any.
func testOnDemandUnused(t *testing.T, s *suite) {
	_, m, n := s.manager(t, 2, core.Config{OnDemand: true})
	for _, n := range []int{1, n} {
		if err := m.Resize(n); err != nil {
			t.Errorf("Resize(%d) = %v", n, err)
		}
	}
	if got := m.Stats(); got.Started != 0 || got.Alive != 0 {
		t.Errorf("after Resize without a task Stats() = %+v; want no worker started", got)
	}
	s.finish(t)
	ctx, m, _ := s.manager(t, 2, core.Config{OnDemand: true})
	m.Stop(errors.New("stopped by the test"))
	if _, err := double.Submit(ctx, m, 1).Wait(ctx); !errors.Is(err, executor.ErrClosed) {
		t.Errorf("a task submitted after Stop: %v; want ErrClosed", err)
	}
	s.finish(t)
	if got := m.Stats(); got.Started != 0 {
		t.Errorf("after Stop and Close Stats() = %+v; want no worker started", got)
	}
}

// Warm starts the workers that are missing, and blocks until they are ready.
func testWarm(t *testing.T, s *suite) {
	ctx, m, n := s.manager(t, 3, core.Config{OnDemand: true, Init: job(prepares, allow(t.Context(), t, 100))})
	if s.perTask(t) {
		n = 0 // no worker is started before there is a task
	}
	for range 2 {
		if err := m.Warm(ctx); err != nil {
			t.Fatalf("Warm() = %v", err)
		}
		if got := m.Stats(); got.Started != n || got.Alive != n {
			t.Errorf("after Warm Stats() = %+v; want %d workers started and alive", got, n)
		}
	}
	if n > 0 {
		occupy(ctx, t, m, n)()
		if got := m.Stats(); got.Started != n {
			t.Errorf("after as many tasks at a time as there are workers, all warm, Stats() = %+v; want no more started", got)
		}
	}
	s.finish(t)
	if err := m.Warm(ctx); !errors.Is(err, executor.ErrClosed) {
		t.Errorf("Warm after Close = %v; want ErrClosed", err)
	}
}

// Warm returns when its context ends. The workers that it has started go on.
func testWarmGivesUp(t *testing.T, s *suite) {
	if s.perTask(t) {
		t.Skip("there is no worker to be started beforehand")
	}
	h := newHold(1)
	defer h.close(t.Context())
	ctx, m, n := s.manager(t, 2, core.Config{OnDemand: true, Init: job(holds, h)})
	cause := errors.New("no longer waiting")
	short, cancel := context.WithCancelCause(ctx)
	warm := make(chan error, 1)
	go func() { warm <- m.Warm(short) }() // ends when cancel is called
	for range n {
		if _, err := h.Started.Get(ctx); err != nil {
			t.Fatal(err)
		}
	}
	cancel(cause)
	if err := <-warm; !errors.Is(err, cause) {
		t.Errorf("Warm whose context has ended = %v; want its cause", err)
	}
	for range n {
		if err := h.Release.Put(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Warm(ctx); err != nil {
		t.Errorf("Warm once more = %v", err)
	}
	if got := m.Stats(); got.Started != n {
		t.Errorf("Stats() = %+v; want %d workers started", got, n)
	}
}

// The failure of Init is reported by Warm, or else by the first task.
func testInitFailsOnDemand(t *testing.T, s *suite) {
	for _, first := range []string{"Warm", "task"} {
		ctx := t.Context()
		h := allow(ctx, t, 0)
		ctx, m, _ := s.manager(t, 2, core.Config{OnDemand: true, Init: job(prepares, h)})
		if first == "Warm" && !s.perTask(t) {
			checkInitError(t, "Warm", m.Warm(ctx))
		}
		_, err := double.Submit(ctx, m, 1).Wait(ctx)
		checkInitError(t, "the first task after Open and "+first, err)
		checkInitError(t, "Warm after a task", m.Warm(ctx))
		s.finish(t)
		h.close(ctx)
	}
}
