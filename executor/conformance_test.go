package executor_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/executor/pystyle"
	"github.com/f3f4c0de/harness/internal/core"
)

var (
	// held tells that it runs, and returns its number once it is let go.
	held = executor.NewTask("executor.held", func(ctx context.Context, h holding) (int64, error) {
		if err := h.Started.Put(ctx, h.N); err != nil {
			return 0, err
		}
		_, err := h.Release.Get(ctx)
		return h.N, err
	})
	// heldOrNot is held if it is given queues, and else returns at once.
	heldOrNot = executor.NewTask("executor.heldOrNot", func(ctx context.Context, h holding) (int64, error) {
		if h.Started == nil {
			return h.N, nil
		}
		if err := h.Started.Put(ctx, h.N); err != nil {
			return 0, err
		}
		_, err := h.Release.Get(ctx)
		return h.N, err
	})
	// failing fails, unless its argument is positive.
	failing = executor.NewTask("executor.failing", func(_ context.Context, n int64) (int64, error) {
		if n > 0 {
			return 2 * n, nil
		}
		return 0, fmt.Errorf("given %d: %w", n, errMine)
	})
	sum = executor.NewTask("executor.sum", func(_ context.Context, p pystyle.Pair[int64, int64]) (int64, error) {
		return p.First + p.Second, nil
	})
	// channels takes and gives what cannot cross a process.
	channels = executor.NewTask("executor.channels", func(_ context.Context, v any) (any, error) {
		if v == "make one" {
			return make(chan int), nil
		}
		return "taken", nil
	})
)

type holding struct {
	N                int64
	Started, Release *executor.Queue[int64]
}

// conform is what a test of one backend works with.
type conform struct {
	*testing.T
	ctx     context.Context
	backend *core.Backend
	workers int // of the executor that was opened last
}

// width is how many workers the backend has if n are asked for.
func (c *conform) width(n int) int {
	if most := c.backend.MaxWorkers; most > 0 {
		return min(n, most)
	}
	return n
}

func (c *conform) open(cfg executor.Config) *executor.Executor {
	c.Helper()
	cfg.Workers = c.width(cfg.Workers)
	ex, err := executor.Open(c.ctx, c.backend.Name, cfg)
	if err != nil {
		c.Fatalf("Open(%s) = %v", c.backend.Name, err)
	}
	c.workers = cfg.Workers
	c.Cleanup(func() {
		if err := ex.Close(); err != nil {
			c.Errorf("Close() = %v", err)
		}
	})
	return ex
}

func (c *conform) pool(cfg executor.Config) *pystyle.Pool {
	c.Helper()
	cfg.Workers = c.width(cfg.Workers)
	p, err := pystyle.NewPool(c.ctx, c.backend.Name, cfg)
	if err != nil {
		c.Fatalf("NewPool(%s) = %v", c.backend.Name, err)
	}
	c.Cleanup(func() {
		p.Close()
		if err := p.Join(c.ctx); err != nil {
			c.Errorf("Join() = %v", err)
		}
	})
	return p
}

// holding makes what a held task needs, to be let go in the end at the latest.
func (c *conform) holding(n int64) holding {
	h := holding{n, executor.NewQueue[int64](1000), executor.NewQueue[int64](1000)}
	c.Cleanup(func() { c.letAllGo(h) })
	return h
}

func (c *conform) letAllGo(h holding) { _, _ = h.Release.Close(c.ctx), h.Started.Close(c.ctx) }

// hold submits a task that runs until it is let go, and waits until it does.
func (c *conform) hold(ex *executor.Executor) (*executor.Future[int64], holding) {
	c.Helper()
	h := c.holding(7)
	f := held.Submit(c.ctx, ex, h)
	if _, err := h.Started.Get(c.ctx); err != nil {
		c.Fatal(err)
	}
	return f, h
}

func (c *conform) letGo(h holding) {
	c.Helper()
	if err := h.Release.Put(c.ctx, 0); err != nil {
		c.Fatal(err)
	}
}

// ended makes futures that are done: with 2, with an error, and cancelled.
func (c *conform) ended(ex *executor.Executor) (good, bad, cancelled *executor.Future[int64]) {
	c.Helper()
	good, bad = failing.Submit(c.ctx, ex, 1), failing.Submit(c.ctx, ex, 0)
	<-good.Done()
	<-bad.Done()
	_, h := c.hold(ex)
	for range c.workers - 1 {
		_, other := c.hold(ex)
		defer c.letGo(other)
	}
	cancelled = failing.Submit(c.ctx, ex, 1)
	if !cancelled.Cancel() {
		c.Fatal("a queued task could not be cancelled")
	}
	c.letGo(h)
	return good, bad, cancelled
}

func (c *conform) want(what string, got, want any) {
	c.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		c.Errorf("%s = %v; want %v", what, got, want)
	}
}

func (c *conform) wantErr(what string, got, want error) {
	c.Helper()
	if !errors.Is(got, want) {
		c.Errorf("%s = %v; want %v", what, got, want)
	}
}

func numbers(n int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// A conformance test is about a behaviour that tests of CPython pin down.
type conformance struct {
	name, python string
	test         func(*conform)
}

// conformAll runs the tests on every backend.
func conformAll(t *testing.T, tests []conformance) {
	for _, b := range executor.Backends() {
		t.Run(b.Name, func(t *testing.T) {
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
					t.Cleanup(cancel)
					tt.test(&conform{T: t, ctx: ctx, backend: b})
					if err := pystyle.Finish(ctx); err != nil {
						t.Errorf("Finish() = %v", err)
					}
					if t.Failed() {
						t.Logf("after CPython's %s", tt.python)
					}
				})
			}
		})
	}
}

// What CPython's own tests pin down for concurrent.futures and
// multiprocessing.pool, each with the name of the test there.
func TestConformance(t *testing.T) {
	tests := []conformance{
		{"cancel in each state", "test_future.FutureTests.test_cancel, test_cancelled, test_done, test_running", conformCancel},
		{"result with a timeout", "test_future.FutureTests.test_result_with_timeout, test_exception_with_timeout", conformResultTimeout},
		{"result", "test_future.FutureTests.test_result_with_success, test_result_with_cancel, test_exception_with_success", conformResult},
		{"callback", "test_future.FutureTests.test_done_callback_with_result, …_with_exception, …_with_cancel", conformCallback},
		{"callback when done", "test_future.FutureTests.test_done_callback_already_successful, …_already_failed, …_already_cancelled", conformCallbackDone},
		{"callback raises", "test_future.FutureTests.test_done_callback_raises, …_raises_already_succeeded", conformCallbackRaises},
		{"wait for the first", "test_wait.WaitTests.test_first_completed, test_first_completed_some_already_completed", conformFirstCompleted},
		{"wait for an error", "test_wait.WaitTests.test_first_exception, …_some_already_complete, …_one_already_failed", conformFirstError},
		{"wait for all", "test_wait.WaitTests.test_all_completed, test_20369", conformAllCompleted},
		{"wait with a timeout", "test_wait.WaitTests.test_timeout", conformWaitTimeout},
		{"wait while tasks end", "test_wait.ThreadPoolWaitTests.test_pending_calls_race", conformWaitRace},
		{"as completed", "test_as_completed.AsCompletedTests.test_no_timeout", conformAsCompleted},
		{"as completed with a timeout", "test_as_completed.AsCompletedTests.test_future_times_out", conformAsCompletedTimeout},
		{"as completed with duplicates", "test_as_completed.AsCompletedTests.test_duplicate_futures", conformAsCompletedDuplicates},
		{"as completed across executors", "test_as_completed.AsCompletedTests (futures of several executors)", conformAcrossExecutors},
		{"map", "executor.ExecutorTest.test_map, test_process_pool.test_map_chunksize, _TestPool.test_imap, test_map_chunksize", conformMap},
		{"map with an error", "executor.ExecutorTest.test_map_exception, _TestPool.test_map_no_failfast", conformMapError},
		{"map with a timeout", "executor.ExecutorTest.test_map_timeout", conformMapTimeout},
		{"map of endless inputs", "executor.ExecutorTest.test_map_buffersize_on_infinite_iterable", conformMapEndless},
		{"map that is left", "executor.ExecutorTest.test_map_buffersize_when_buffer_is_full", conformMapLeft},
		{"map of short and long inputs", "Pool.map, which never divides a chunk", conformMapBalances},
		{"map of nothing", "_TestPool.test_empty_iterable", conformMapNothing},
		{"map of inputs that panic", "_TestPool.test_imap_handle_iterable_exception", conformMapInputsPanic},
		{"map unordered", "_TestPool.test_imap_unordered", conformMapUnordered},
		{"submit after shutdown", "test_shutdown.ExecutorShutdownTest.test_run_after_shutdown", conformAfterShutdown},
		{"shutdown with pending work", "test_shutdown.ExecutorShutdownTest.test_hang_issue12364, ThreadPoolShutdownTest.test_shutdown_no_wait", conformShutdownPending},
		{"shutdown that cancels", "test_shutdown.ExecutorShutdownTest.test_cancel_futures", conformShutdownCancels},
		{"shutdown twice", "executor.ExecutorTest.test_shutdown_race_issue12456", conformShutdownTwice},
		{"idle workers are used again", "test_process_pool.test_idle_process_reuse_one, test_saturation", conformReuse},
		{"max tasks per worker", "test_process_pool.test_max_tasks_per_child, test_max_tasks_early_shutdown, _TestPoolWorkerLifetime.test_pool_worker_lifetime, …_early_close", conformRecycling},
		{"initializer", "test_init.InitializerMixin.test_initializer", conformInit},
		{"initializer fails", "test_init.FailingInitializerMixin.test_initializer", conformInitFails},
		{"traceback", "test_process_pool.test_traceback, _TestPool.test_traceback", conformTraceback},
		{"cannot be encoded", "test_deadlock.ExecutorDeadlockTest.test_error_at_task_pickle, test_error_during_result_pickle_on_worker, _TestPool.test_map_unplicklable, test_unpickleable_result", conformUnencodable},
		{"apply", "_TestPool.test_apply, test_async, test_async_timeout", conformApply},
		{"apply with callbacks", "_TestPool.test_map_async_callbacks, test_async_error_callback", conformApplyCallbacks},
		{"pool map", "_TestPool.test_map, test_starmap, test_wrapped_exception", conformPoolMap},
		{"join", "Pool.join before close (ValueError), _TestPool.test_context", conformJoin},
		{"terminate", "_TestPool.test_terminate", conformTerminate},
		{"resize", "_TestPool.test_make_pool", conformPoolResize},
	}
	conformAll(t, tests)
}

func conformCancel(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	running, h := c.hold(ex)
	queued := failing.Submit(c.ctx, ex, 1)
	c.want("State() of a running and a queued task", []executor.State{running.State(), queued.State()}, []executor.State{executor.Running, executor.Pending})
	c.want("Cancel() of a queued task", queued.Cancel(), true)
	c.want("State() of a cancelled task", queued.State(), executor.Cancelled)
	c.want("Cancel() of a cancelled task", queued.Cancel(), false) // CPython says true
	c.letGo(h)
	if v, err := running.Wait(c.ctx); v != 7 || err != nil {
		c.Errorf("Wait() = %d, %v; want 7, nil", v, err)
	}
	c.want("Cancel() of a task that is done", running.Cancel(), false)
	c.want("State() of a task that is done", running.State(), executor.Done)
	bad := failing.Submit(c.ctx, ex, 0)
	<-bad.Done()
	c.want("Cancel() of a task that failed", bad.Cancel(), false)
	c.want("State() of a task that failed", bad.State(), executor.Done)
	// What CPython cannot do: a task that runs hears of it.
	running, _ = c.hold(ex)
	c.want("Cancel() of a running task", running.Cancel(), false)
	_, err := running.Wait(c.ctx)
	c.wantErr("Wait() of a task that was told to stop", err, executor.ErrCancelled)
}

func conformResultTimeout(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	f, h := c.hold(ex)
	queued := failing.Submit(c.ctx, ex, 0)
	none, cancel := context.WithTimeout(c.ctx, 0)
	defer cancel()
	for _, f := range []*executor.Future[int64]{f, queued} {
		_, err := f.Wait(none)
		c.wantErr("Wait() without any time", err, context.DeadlineExceeded)
	}
	c.letGo(h)
	<-queued.Done()
	if v, err := f.Wait(none); v != 7 || err != nil {
		c.Errorf("Wait() of a task that is done, without any time = %d, %v; want 7, nil", v, err)
	}
	_, err := queued.Wait(none)
	c.wantErr("Wait() of a task that failed, without any time", err, errMine)
}

func conformResult(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	f, h := c.hold(ex)
	queued := failing.Submit(c.ctx, ex, 1)
	results := make(chan error, 6)
	for range 3 { // many may wait, and all are woken
		go func() { _, err := f.Wait(c.ctx); results <- err }()
		go func() { _, err := queued.Wait(c.ctx); results <- err }()
	}
	queued.Cancel()
	for range 3 {
		c.wantErr("Wait() of a task that was cancelled meanwhile", <-results, executor.ErrCancelled)
	}
	c.letGo(h)
	for range 3 {
		c.wantErr("Wait()", <-results, nil)
	}
	for range 2 {
		if v, err := f.Wait(c.ctx); v != 7 || err != nil || f.Err() != nil {
			c.Errorf("Wait() = %d, %v; want 7, nil as often as it is asked", v, err)
		}
	}
}

func conformCallback(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	_, h := c.hold(ex)
	var mu sync.Mutex
	got := make(map[string][]int)
	futures := map[string]*executor.Future[int64]{
		"result": failing.Submit(c.ctx, ex, 1), "error": failing.Submit(c.ctx, ex, 0), "cancel": failing.Submit(c.ctx, ex, 1),
	}
	var called sync.WaitGroup
	for name, f := range futures {
		for i := range 10 {
			called.Add(1)
			f.OnDone(func(g *executor.Future[int64]) {
				defer called.Done()
				mu.Lock()
				defer mu.Unlock()
				if g != f || g.State() < executor.Done {
					c.Errorf("%s: a callback was given a future that is %v; want the one that it was added to, done", name, g.State())
				}
				got[name] = append(got[name], i)
			})
		}
	}
	cancelled := make(chan bool)
	futures["cancel"].OnDone(func(*executor.Future[int64]) { close(cancelled) })
	futures["cancel"].Cancel()
	<-cancelled
	mu.Lock()
	c.want("callbacks of a cancelled task", got["cancel"], []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	c.want("callbacks of the others", len(got), 1)
	mu.Unlock()
	c.letGo(h)
	called.Wait()
	for name := range futures {
		c.want("callbacks, "+name, got[name], []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	}
}

func conformCallbackDone(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	good, bad, cancelled := c.ended(ex)
	for name, f := range map[string]*executor.Future[int64]{"good": good, "bad": bad, "cancelled": cancelled} {
		called := false
		f.OnDone(func(*executor.Future[int64]) { called = true })
		c.want("called when OnDone has returned, "+name, called, true)
	}
}

func conformCallbackRaises(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	f, h := c.hold(ex)
	called := make(chan bool, 3)
	quiet(c.T)
	f.OnDone(func(*executor.Future[int64]) { called <- true; panic("doh") })
	f.OnDone(func(*executor.Future[int64]) { called <- true })
	c.letGo(h)
	<-called
	<-called
	if v, err := f.Wait(c.ctx); v != 7 || err != nil {
		c.Errorf("Wait() = %d, %v; want 7, nil", v, err)
	}
	f.OnDone(func(*executor.Future[int64]) { called <- true; panic("doh") })
	<-called
}

func conformFirstCompleted(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	_, _, cancelled := c.ended(ex)
	good := failing.Submit(c.ctx, ex, 1)
	<-good.Done()
	slow, h := c.hold(ex)
	behind := failing.Submit(c.ctx, ex, 1)
	done, pending, err := executor.Wait(c.ctx, executor.FirstCompleted, slow, good, behind, cancelled)
	c.want("Wait(FirstCompleted) with some done", fmt.Sprint(index(done, slow, good, behind, cancelled), index(pending, slow, good, behind, cancelled), err), "[1 3] [0 2] <nil>")
	c.letGo(h)
	never, h := c.holdLater(ex)
	done, _, err = executor.Wait(c.ctx, executor.FirstCompleted, never, behind)
	c.want("Wait(FirstCompleted)", fmt.Sprint(index(done, never, behind), err), "[1] <nil>")
	c.letGo(h)
}

// holdLater is hold without waiting until the task runs.
func (c *conform) holdLater(ex *executor.Executor) (*executor.Future[int64], holding) {
	h := c.holding(8)
	return held.Submit(c.ctx, ex, h), h
}

// index returns where the futures are among all.
func index(futures []*executor.Future[int64], all ...*executor.Future[int64]) []int {
	at := []int{}
	for _, f := range futures {
		at = append(at, slices.Index(all, f))
	}
	return at
}

func conformFirstError(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	good, bad, cancelled := c.ended(ex)
	slow, h := c.hold(ex)
	done, pending, err := executor.Wait(c.ctx, executor.FirstError, good, slow, bad)
	c.want("Wait(FirstError) with one that has failed", fmt.Sprint(index(done, good, slow, bad), index(pending, good, slow, bad), err), "[0 2] [1] <nil>")
	later := failing.Submit(c.ctx, ex, 0)
	never, h2 := c.holdLater(ex)
	c.letGo(h)
	done, _, err = executor.Wait(c.ctx, executor.FirstError, never, cancelled, good, later) // a cancelled one is no error
	if err != nil || !slices.Contains(done, later) || slices.Contains(done, never) {
		c.Errorf("Wait(FirstError) = %v, %v; want that it waits for the one that fails", index(done, never, cancelled, good, later), err)
	}
	c.letGo(h2)
	done, pending, err = executor.Wait(c.ctx, executor.FirstError, never, cancelled, good)
	c.want("Wait(FirstError) without one", fmt.Sprint(len(done), len(pending), err), "3 0 <nil>")
}

func conformAllCompleted(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	good, bad, cancelled := c.ended(ex)
	slow, h := c.hold(ex)
	c.letGo(h)
	done, pending, err := executor.Wait(c.ctx, executor.AllCompleted, slow, bad, slow, good, cancelled, slow)
	c.want("Wait(AllCompleted), each once", fmt.Sprint(index(done, slow, bad, good, cancelled), len(pending), err), "[0 1 2 3] 0 <nil>")
	for _, until := range []executor.Until{executor.AllCompleted, executor.FirstCompleted, executor.FirstError} {
		done, pending, err = executor.Wait[*executor.Future[int64]](c.ctx, until)
		c.want("Wait() of nothing", fmt.Sprint(len(done), len(pending), err), "0 0 <nil>")
	}
	// bpo-20369: a future that is there twice and does not end.
	never, h := c.hold(ex)
	short, cancel := context.WithTimeout(c.ctx, time.Millisecond)
	defer cancel()
	done, pending, err = executor.Wait(short, executor.AllCompleted, never, never)
	c.want("Wait() of the same twice", fmt.Sprint(len(done), len(pending), errors.Is(err, context.DeadlineExceeded)), "0 1 true")
	c.letGo(h)
}

func conformWaitTimeout(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	good, bad, cancelled := c.ended(ex)
	slow, h := c.hold(ex)
	defer c.letGo(h)
	for _, timeout := range []time.Duration{0, time.Millisecond} {
		short, cancel := context.WithTimeout(c.ctx, timeout)
		done, pending, err := executor.Wait(short, executor.AllCompleted, cancelled, slow, good, bad)
		c.want("Wait() with a timeout", fmt.Sprint(index(done, cancelled, slow, good, bad), index(pending, cancelled, slow, good, bad)), "[0 2 3] [1]")
		c.wantErr("error of Wait() with a timeout", err, context.DeadlineExceeded)
		_, _, err = executor.Wait(short, executor.FirstCompleted, slow, good)
		c.wantErr("error of Wait(FirstCompleted) when one is done and no time is left", err, nil)
		cancel()
	}
}

func conformWaitRace(c *conform) {
	ex := c.open(executor.Config{Workers: 4})
	for range 20 {
		var futures []*executor.Future[int64]
		for range 20 {
			futures = append(futures, failing.Submit(c.ctx, ex, 1))
		}
		done, pending, err := executor.Wait(c.ctx, executor.AllCompleted, futures...)
		if len(done) != 20 || len(pending) != 0 || err != nil {
			c.Fatalf("Wait() gave %d done, %d pending, %v; want 20, 0, nil", len(done), len(pending), err)
		}
	}
}

func conformAsCompleted(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	good, bad, cancelled := c.ended(ex)
	slow, h := c.hold(ex)
	last := failing.Submit(c.ctx, ex, 1)
	all := []*executor.Future[int64]{last, slow, bad, cancelled, good}
	var order []int
	for f := range executor.AsCompleted(c.ctx, all...) {
		if order = append(order, slices.Index(all, f)); len(order) == 3 {
			c.letGo(h)
		}
	}
	c.want("order of AsCompleted", order, []int{2, 3, 4, 1, 0})
	for f := range executor.AsCompleted[*executor.Future[int64]](c.ctx) {
		c.Errorf("AsCompleted() of nothing gave %v", f)
	}
}

func conformAsCompletedTimeout(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	good, bad, cancelled := c.ended(ex)
	slow, h := c.hold(ex)
	defer c.letGo(h)
	for _, timeout := range []time.Duration{0, time.Millisecond} {
		short, cancel := context.WithTimeout(c.ctx, timeout)
		n := 0
		for f := range executor.AsCompleted(short, slow, bad, cancelled, good) {
			if n++; f == slow {
				c.Error("AsCompleted() gave a future that is not done")
			}
		}
		cancel()
		c.want("futures from AsCompleted() until the timeout", n, 3)
	}
}

func conformAsCompletedDuplicates(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	slow, h := c.hold(ex)
	n := 0
	futures := executor.AsCompleted(c.ctx, slow, slow, slow)
	c.letGo(h)
	for range futures {
		n++
	}
	c.want("futures from AsCompleted() of the same three times", n, 1)
	for range futures {
		n++
	}
	c.want("futures when they are ranged over once more", n, 2)
	results, err := executor.All(c.ctx, slow, slow)
	c.want("All() of the same twice", fmt.Sprint(results, err), "[7 7] <nil>")
}

func conformAcrossExecutors(c *conform) {
	first, second := c.open(executor.Config{Workers: 1}), c.open(executor.Config{Workers: 1})
	other, err := executor.Open(c.ctx, "goroutines", executor.Config{Workers: 1})
	if err != nil {
		c.Fatal(err)
	}
	defer other.Close()
	a, ha := c.hold(first)
	b, hb := c.hold(second)
	d, hd := c.hold(other)
	lets := map[*executor.Future[int64]]func(){ // what is to be done next
		d: func() { c.letGo(hb) },
		b: func() { c.letGo(ha) },
		a: func() {},
	}
	var order []int
	c.letGo(hd)
	for f := range executor.AsCompleted(c.ctx, a, b, d) {
		order = append(order, slices.Index([]*executor.Future[int64]{a, b, d}, f))
		lets[f]()
	}
	c.want("order of AsCompleted() across executors", order, []int{2, 1, 0})
}
