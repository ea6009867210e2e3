package executor_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/executor/pystyle"
)

func conformAfterShutdown(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	if err := ex.Shutdown(c.ctx); err != nil {
		c.Fatal(err)
	}
	_, err := failing.Submit(c.ctx, ex, 1).Wait(c.ctx)
	c.wantErr("Submit after Shutdown", err, executor.ErrClosed)
	_, err = submitBatch(c.ctx, ex, failing, []int64{1}).Wait(c.ctx)
	c.wantErr("SubmitBatch after Shutdown", err, executor.ErrClosed)
	for _, err := range ordered(c.ctx, ex, failing, numbers(3), executor.MapOptions{}) {
		c.wantErr("Map after Shutdown", err, executor.ErrClosed)
	}
	c.wantErr("Resize after Shutdown", ex.Resize(1), executor.ErrClosed)
}

func conformShutdownPending(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	_, h := c.hold(ex)
	var futures []*executor.Future[int64]
	for range 20 {
		futures = append(futures, failing.Submit(c.ctx, ex, 1))
	}
	ex.Stop(nil) // which does not wait
	c.want("State() of what is queued at Stop", futures[19].State(), executor.Pending)
	c.letGo(h)
	if err := ex.Shutdown(c.ctx); err != nil {
		c.Error(err)
	}
	for i, f := range futures {
		if f.State() != executor.Done || f.Err() != nil {
			c.Errorf("after Shutdown task %d is %v, %v; want done, nil", i, f.State(), f.Err())
		}
	}
}

func conformShutdownCancels(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	running, _ := c.hold(ex)
	var futures []*executor.Future[int64]
	for range 20 {
		futures = append(futures, failing.Submit(c.ctx, ex, 1))
	}
	cause := errors.New("out of patience")
	ctx, cancel := context.WithCancelCause(c.ctx)
	cancel(cause)
	err := ex.Shutdown(ctx)
	c.wantErr("Shutdown()", err, cause)
	// One of them may be on its way to the worker.
	if !regexp.MustCompile(`, with 1 tasks running and (20|19) waiting$`).MatchString(fmt.Sprint(err)) {
		c.Errorf("Shutdown() = %v; want how many were running and waiting", err)
	}
	for i, f := range append(futures, running) {
		if _, err := f.Wait(c.ctx); !errors.Is(err, executor.ErrShutdown) || f.State() != executor.Cancelled {
			c.Errorf("after Shutdown task %d is %v, %v; want cancelled, ErrShutdown", i, f.State(), err)
		}
	}
}

func conformShutdownTwice(c *conform) {
	ex := c.open(executor.Config{Workers: 2})
	var closing sync.WaitGroup
	for range 5 { // while tasks are submitted
		closing.Go(func() {
			if _, err := failing.Submit(c.ctx, ex, 1).Wait(c.ctx); err != nil && !errors.Is(err, executor.ErrClosed) {
				c.Errorf("a task submitted during Close: %v; want none or ErrClosed", err)
			}
			if err := ex.Close(); err != nil {
				c.Errorf("Close() = %v", err)
			}
		})
	}
	closing.Wait()
}

func conformReuse(c *conform) {
	ex := c.open(executor.Config{Workers: 3})
	n := c.workers
	var holdings []holding
	var futures []*executor.Future[int64]
	for range n {
		f, h := c.hold(ex)
		holdings, futures = append(holdings, h), append(futures, f)
	}
	for _, h := range holdings {
		c.letGo(h)
	}
	if _, err := executor.All(c.ctx, futures...); err != nil {
		c.Fatal(err)
	}
	for range 20 {
		if _, err := failing.Submit(c.ctx, ex, 1).Wait(c.ctx); err != nil {
			c.Fatal(err)
		}
	}
	if got := ex.Stats().Started; got != n && c.backend.Name != "spawn" {
		c.Errorf("Stats().Started = %d; want %d: workers that are idle are used again", got, n)
	}
}

func conformRecycling(c *conform) {
	ex := c.open(executor.Config{Workers: 1, MaxTasksPerWorker: 3})
	workers := make(map[int64]int)
	for range 11 {
		pid, err := whoami.Submit(c.ctx, ex, 0).Wait(c.ctx)
		if err != nil {
			c.Fatal(err)
		}
		workers[pid]++
	}
	if !c.backend.Shared {
		for pid, n := range workers {
			if n > 3 {
				c.Errorf("process %d did %d tasks; want at most 3", pid, n)
			}
		}
	}
	if st := ex.Stats(); st.Started < 4 || st.Lost != 0 {
		c.Errorf("Stats() = %+v; want at least 4 workers started for 11 tasks, none lost", st)
	}
	// More than a worker may do is pending when it is closed.
	var futures []*executor.Future[int64]
	for range 20 {
		futures = append(futures, failing.Submit(c.ctx, ex, 1))
	}
	if err := ex.Close(); err != nil {
		c.Error(err)
	}
	for i, f := range futures {
		if f.State() != executor.Done || f.Err() != nil {
			c.Errorf("after Close task %d is %v, %v; want done, nil", i, f.State(), f.Err())
		}
	}
}

func conformInit(c *conform) {
	h := c.holding(1)
	for range 3 {
		c.letGo(h)
	}
	ex := c.open(executor.Config{Workers: 1, Init: held.With(h)})
	if v, err := failing.Submit(c.ctx, ex, 1).Wait(c.ctx); v != 2 || err != nil {
		c.Fatalf("a task returned %d, %v; want 2, nil", v, err)
	}
	if n, err := h.Started.Get(c.ctx); n != 1 || err != nil {
		c.Errorf("the initializer told %d, %v; want 1, nil before the first task", n, err)
	}
}

func conformInitFails(c *conform) {
	ex, err := executor.Open(c.ctx, c.backend.Name, executor.Config{Workers: 1, Init: failing.With(0)})
	if err == nil { // spawn starts workers only for tasks
		defer ex.Close()
		for range 3 {
			_, err = failing.Submit(c.ctx, ex, 1).Wait(c.ctx)
		}
	}
	var ie *executor.InitError
	if !errors.As(err, &ie) || !errors.Is(err, errMine) {
		c.Errorf("with an initializer that fails: %v; want an *InitError that wraps its error", err)
	}
}

func conformTraceback(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	_, err := carriesOut.Submit(c.ctx, ex, order{Do: panicking}).Wait(c.ctx)
	var pe *executor.PanicError
	if !errors.As(err, &pe) || !strings.Contains(pe.Stack, "stress_test.go") {
		c.Errorf("a task that panicked gave %v; want a *PanicError with the stack of the task", err)
	}
	_, err = failing.Submit(c.ctx, ex, -4).Wait(c.ctx)
	if err == nil || err.Error() != "task executor.failing: given -4: an error of the task's own" {
		c.Errorf("a task that failed gave %v; want the texts of what it wraps", err)
	}
}

func conformUnencodable(c *conform) {
	ex := c.open(executor.Config{Workers: 1})
	want := executor.ErrEncode
	if c.backend.Shared {
		want = nil // nothing is encoded
	}
	for range 5 { // and the workers go on
		_, err := channels.Submit(c.ctx, ex, make(chan int)).Wait(c.ctx)
		c.wantErr("a channel as input", err, want)
		_, err = channels.Submit(c.ctx, ex, "make one").Wait(c.ctx)
		c.wantErr("a channel as result", err, want)
		if v, err := channels.Submit(c.ctx, ex, "nothing").Wait(c.ctx); v != "taken" || err != nil {
			c.Errorf("what can be encoded gave %v, %v; want taken, nil", v, err)
		}
	}
	for _, err := range ordered(c.ctx, ex, channels, slices.Values([]any{make(chan int)}), executor.MapOptions{}) {
		c.wantErr("a channel as input of Map", err, want)
	}
	if lost := ex.Stats().Lost; lost != 0 {
		c.Errorf("Stats().Lost = %d; want 0", lost)
	}
}

func conformApply(c *conform) {
	p := c.pool(executor.Config{Workers: 2})
	if v, err := pystyle.For(p, failing).Apply(c.ctx, 5); v != 10 || err != nil {
		c.Errorf("Apply() = %d, %v; want 10, nil", v, err)
	}
	h := c.holding(7)
	f := pystyle.For(p, held).ApplyAsync(c.ctx, h, nil, nil)
	short, cancel := context.WithTimeout(c.ctx, time.Millisecond)
	defer cancel()
	_, err := f.Wait(short)
	c.wantErr("Wait() with a timeout", err, context.DeadlineExceeded)
	c.letGo(h)
	if v, err := f.Wait(c.ctx); v != 7 || err != nil {
		c.Errorf("Wait() = %d, %v; want 7, nil", v, err)
	}
}

func conformApplyCallbacks(c *conform) {
	p := c.pool(executor.Config{Workers: 2})
	called := make(chan any, 4)
	done, failed := func(v int64) { called <- v }, func(err error) { called <- err }
	pystyle.For(p, failing).ApplyAsync(c.ctx, 1, done, failed)
	c.want("what a callback was given", <-called, 2)
	pystyle.For(p, failing).ApplyAsync(c.ctx, 0, done, failed)
	err, _ := (<-called).(error)
	c.wantErr("what an error callback was given", err, errMine)
	f := pystyle.For(p, failing).ApplyAsync(c.ctx, 0, done, nil)
	g := pystyle.For(p, failing).ApplyAsync(c.ctx, 1, nil, failed)
	p.Close()
	if err := p.Join(c.ctx); err != nil {
		c.Error(err)
	}
	if len(called) > 0 || f.State() != executor.Done || g.State() != executor.Done {
		c.Errorf("%d callbacks were called that were not asked for; the tasks are %v and %v", len(called), f.State(), g.State())
	}
}

func conformPoolMap(c *conform) {
	p := c.pool(executor.Config{Workers: 2})
	got, err := pystyle.For(p, failing).Map(c.ctx, []int64{1, 2, 3})
	c.want("Map()", fmt.Sprint(got, err), "[2 4 6] <nil>")
	got, err = pystyle.For(p, failing).Map(c.ctx, []int64{1, 0, 3})
	c.wantErr("Map() with an error", err, errMine)
	c.want("results of Map() with an error", len(got), 0)
	var te *executor.TaskError
	if !errors.As(err, &te) || te.Task != failing.Name() {
		c.Errorf("Map() with an error = %v; want a *TaskError", err)
	}
	got, err = pystyle.Starmap(c.ctx, p, sum, func(yield func(int64, int64) bool) {
		_ = yield(1, 2) && yield(3, 4)
	})
	c.want("Starmap()", fmt.Sprint(got, err), "[3 7] <nil>")
	got, err = pystyle.For(p, failing).Map(c.ctx, nil)
	c.want("Map() of nothing", fmt.Sprint(got, err), "[] <nil>")
	for v, err := range pystyle.For(p, failing).Imap(c.ctx, slices.Values([]int64{4}), executor.MapOptions{}) {
		c.want("Imap()", fmt.Sprint(v, err), "8 <nil>")
	}
	for v, err := range pystyle.For(p, failing).ImapUnordered(c.ctx, slices.Values([]int64{4}), executor.MapOptions{}) {
		c.want("ImapUnordered()", fmt.Sprint(v, err), "8 <nil>")
	}
}

func conformJoin(c *conform) {
	p := c.pool(executor.Config{Workers: 2})
	if err := p.Join(c.ctx); err == nil || !strings.Contains(err.Error(), "Close or Terminate") {
		c.Errorf("Join() before Close() = %v; want an error that says so", err)
	}
	f := pystyle.For(p, failing).ApplyAsync(c.ctx, 1, nil, nil)
	p.Close()
	p.Close()
	for range 2 {
		if err := p.Join(c.ctx); err != nil {
			c.Errorf("Join() = %v", err)
		}
	}
	c.want("State() after Join()", f.State(), executor.Done)
	_, err := pystyle.For(p, failing).Apply(c.ctx, 1)
	c.wantErr("Apply() after Close()", err, executor.ErrClosed)
}

func conformTerminate(c *conform) {
	p := c.pool(executor.Config{Workers: 1})
	running, h := c.hold(p.Executor())
	var futures []*executor.Future[int64]
	for range 50 {
		futures = append(futures, pystyle.For(p, held).ApplyAsync(c.ctx, h, nil, nil))
	}
	p.Terminate()
	if err := p.Join(c.ctx); err != nil {
		c.Errorf("Join() after Terminate() = %v", err)
	}
	for i, f := range append(futures, running) {
		if f.State() != executor.Cancelled || !errors.Is(f.Err(), executor.ErrShutdown) {
			c.Errorf("after Terminate() task %d is %v, %v; want cancelled, ErrShutdown", i, f.State(), f.Err())
		}
	}
}

func conformPoolResize(c *conform) {
	p := c.pool(executor.Config{Workers: 1})
	if err := p.Resize(0); err == nil {
		c.Error("Resize(0) = nil; want an error")
	}
	if most := c.backend.MaxWorkers; most > 0 {
		if err := p.Resize(most + 1); err == nil {
			c.Errorf("Resize(%d) = nil; want an error", most+1)
		}
		return
	}
	if err := p.Resize(2); err != nil {
		c.Fatal(err)
	}
	_, first := c.hold(p.Executor())
	_, second := c.hold(p.Executor())
	c.want("Stats().Busy", p.Stats().Busy, 2)
	c.letGo(first)
	c.letGo(second)
}
