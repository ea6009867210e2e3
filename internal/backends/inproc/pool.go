// Package inproc holds the backends that run tasks in the submitter's process. They
// share one pool of long-lived workers and differ in its settings: see [model].
package inproc

import (
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/f3f4c0de/harness/internal/backends/admission"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
)

// A model has the settings in which the backends inside the process differ.
type model struct {
	name       string
	maxWorkers int   // 0: no bound
	locked     bool  // each worker has an OS thread for itself
	gate       *gate // what a task holds while it runs; nil if nothing
	single     bool  // each worker runs only one task
}

// need returns the resources that a worker needs.
func (m model) need() admission.Need {
	if m.locked {
		return admission.Thread
	}
	return admission.Goroutine
}

// A pool runs calls on goroutines of this process.
//
// Note: the workers are long-lived unless the configuration says otherwise. A new
// goroutine for each task would grow its stack inside the task, which doubles the time
// of a short task.
type pool struct {
	model   model
	cfg     core.Config
	waits   core.WaitTracker
	site    core.Site
	running sync.WaitGroup // workers

	mu        sync.Mutex
	nonEmpty  sync.Cond
	admission admission.Control
	calls     admission.Queue
	live      []*poolWorker // by index; nil where there is no worker
	free      []int         // the indexes without a worker
	alive     int
	size      int // workers wanted
	idle      int // workers that wait in next
	started   int
	starting  int       // workers that are not prepared yet
	prepared  sync.Cond // starting is zero, or the pool is closed
	closed    bool
	stopped   error // the cause that was given to Stop
	broken    error // why the pool runs no more calls
	deadlock  admission.DeadlockWatch
	reaper    *time.Timer // ends workers that are idle for too long
	reaping   bool        // reaper is set
}

// A poolWorker is one worker of a pool.
type poolWorker struct {
	core.Worker
	waiter *waiter    // nil without a gate
	tasks  int        // how many tasks it has taken
	call   *core.Call // the call that it runs; nil if it runs none
	since  time.Time  // when it became idle; zero if it is not
	leave  bool       // it has been idle for too long
	extra  bool       // it was started beyond size to resolve a deadlock, and runs one task
	gone   bool       // it is no longer counted as alive
}

func openPool(ctx context.Context, cfg core.Config, m model) (*pool, error) {
	p := &pool{model: m, cfg: cfg}
	p.site = core.Site{Observer: cfg.Observer, Timing: cfg.Timing, Waits: &p.waits}
	p.nonEmpty.L, p.prepared.L = &p.mu, &p.mu
	p.admission = admission.NewControl(&p.mu, cfg, &p.waits, func() int { return p.calls.Len() - p.idle }, p.refused)
	p.deadlock = admission.NewDeadlockWatch(&p.mu, &p.waits, func() bool { return p.calls.Len() > p.idle && p.broken == nil }, p.resolveDeadlock)
	p.deadlock.Start()
	p.reaper = time.AfterFunc(time.Hour, p.reap)
	p.reaper.Stop()
	n := admission.Workers(cfg)
	if m.maxWorkers > 0 {
		n = min(n, m.maxWorkers)
	}
	if err := admission.Afford(m.name, 0, n, m.need()); err != nil {
		return nil, err
	}
	if m.single && cfg.Workers == 0 {
		n = math.MaxInt
	}
	p.setSize(n)
	if p.onDemand() {
		return p, nil
	}
	err := p.Warm(ctx)
	switch {
	case err == nil:
		return p, nil
	case ctx.Err() != nil:
		p.Stop(context.Cause(ctx))
		return nil, err // a worker that hangs in Init is abandoned
	}
	return nil, errors.Join(err, p.Close())
}

// onDemand reports whether workers are started when there are tasks for them.
func (p *pool) onDemand() bool { return p.cfg.OnDemand || p.model.single }

// Warm implements [core.Warmer]. It does nothing where each task has a worker of its
// own.
func (p *pool) Warm(ctx context.Context) (err error) {
	p.mu.Lock()
	if err := p.refused(); err != nil || p.model.single {
		p.mu.Unlock()
		return err
	}
	for p.alive < p.size {
		p.start()
	}
	p.mu.Unlock()
	core.Blocking(ctx, func() {
		defer context.AfterFunc(ctx, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.prepared.Broadcast()
		})()
		p.mu.Lock()
		defer p.mu.Unlock()
		for p.starting > 0 && !p.closed && ctx.Err() == nil {
			p.prepared.Wait()
		}
		if err = p.refused(); err == nil && p.starting > 0 {
			err = context.Cause(ctx)
		}
	})
	return err
}

// setSize sets how many workers there should be. The caller holds mu, unless p is not
// shared yet.
func (p *pool) setSize(n int) {
	p.size = n
	if n == math.MaxInt {
		n = 0
	}
	p.waits.Resize(n)
}

// start starts a worker. The caller holds mu.
func (p *pool) start() *poolWorker {
	index := len(p.live)
	if n := len(p.free); n > 0 {
		index, p.free = p.free[n-1], p.free[:n-1]
	} else {
		p.live = append(p.live, nil)
	}
	w := &poolWorker{Worker: core.Worker{Index: index, PID: os.Getpid(), Waits: &p.waits}}
	if p.model.gate != nil {
		w.waiter = p.model.gate.newWaiter()
		w.Gate = w.waiter
	}
	p.live[index] = w
	p.alive++
	p.started++
	p.starting++
	p.running.Go(func() { p.site.Inside(func() { p.work(w) }) })
	return w
}

// work is what a worker's goroutine runs.
func (p *pool) work(w *poolWorker) {
	defer p.left(w) // also if a task ends the goroutine with runtime.Goexit
	if p.model.locked {
		runtime.LockOSThread() // never unlocked, so that the thread ends with the goroutine
		w.Thread = threadID()
	}
	if err := p.prepare(w); err != nil {
		return
	}
	for {
		c, ok := p.next(w)
		if !ok {
			return
		}
		p.run(w, c)
	}
}

func (p *pool) run(w *poolWorker, c *core.Call) {
	if w.waiter == nil {
		c.Run(&w.Worker)
		return
	}
	w.waiter.begin()
	defer w.waiter.finish()
	c.Run(&w.Worker)
}

// prepare runs Config.Init. If Init fails, the pool is broken.
func (p *pool) prepare(w *poolWorker) (err error) {
	ended := false
	defer func() {
		if !ended {
			err = w.call.Err() // Init has called runtime.Goexit, which ends this goroutine
		}
		if err != nil {
			err = &fault.InitError{Worker: w.Index, Err: err}
			p.fail(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.starting--; p.starting == 0 {
			p.prepared.Broadcast()
		}
	}()
	if p.cfg.Init != nil {
		c := p.cfg.Init.Call(context.Background())
		p.mu.Lock()
		w.call = c // for Stop
		stopped := p.stopped
		p.mu.Unlock()
		if stopped != nil {
			c.Cancel(stopped)
		}
		p.run(w, c)
		err = c.Err()
	}
	ended = true
	return err
}

// fail breaks the pool: the calls in the queue fail with err, and no more are run.
func (p *pool) fail(err error) {
	p.mu.Lock()
	if p.broken == nil {
		p.broken = err
	}
	calls := p.take()
	p.mu.Unlock()
	for _, c := range calls {
		c.Fail(err, 0, 0)
	}
}

// take removes all calls from the queue and returns them. The caller holds mu.
func (p *pool) take() []*core.Call {
	var calls []*core.Call
	for p.calls.Len() > 0 {
		calls = append(calls, p.calls.Pop())
	}
	p.admission.Recheck()
	return calls
}

// left is called when a worker ends, and replaces the worker if it is needed.
func (p *pool) left(w *poolWorker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live[w.Index] = nil
	p.free = append(p.free, w.Index)
	needed := !w.gone && !p.surplus()
	if !w.gone {
		p.alive--
	}
	if needed && p.broken == nil && p.calls.Len() > p.idle {
		p.start()
	}
	p.supply()
}

// supply starts workers for queued calls that no idle worker will take. The caller
// holds mu.
func (p *pool) supply() {
	if p.broken != nil {
		return
	}
	for missing := p.calls.Len() - p.idle; missing > 0 && p.alive < p.size; missing-- {
		p.start()
	}
}

// Submit implements [core.Executor].
func (p *pool) Submit(ctx context.Context, c *core.Call) {
	c.Enter(&p.site)
	p.mu.Lock()
	if err := p.admission.Admit(ctx); err != nil {
		p.mu.Unlock()
		c.Fail(err, 0, 0)
		return
	}
	p.calls.Push(c)
	wake := p.idle > 0
	if p.calls.Len() > p.idle {
		if p.alive < p.size {
			p.start()
		} else if p.waits.AllWaiting() {
			p.deadlock.Expect()
		}
	}
	p.mu.Unlock()
	if wake {
		p.nonEmpty.Signal()
	}
}

// refused returns why the pool takes no calls, or nil. The caller holds mu.
func (p *pool) refused() error {
	if p.closed {
		return fault.ErrClosed
	}
	return p.broken
}

// next returns the next call for w. It blocks while there is none, and reports
// false when w must end.
func (p *pool) next(w *poolWorker) (*core.Call, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.call = nil
	if most := p.cfg.MaxTasksPerWorker; most > 0 && w.tasks >= most || p.model.single && w.tasks > 0 {
		return nil, false
	}
	extra := w.extra
	w.extra = false
	for p.calls.Len() == 0 || p.surplus() && !extra {
		if p.surplus() {
			w.gone = true // before another worker calls surplus
			p.alive--
			return nil, false
		}
		if p.closed || p.broken != nil || w.leave {
			return nil, false
		}
		p.idle++
		if p.cfg.IdleTimeout > 0 && w.since.IsZero() {
			w.since = time.Now()
			if !p.reaping {
				p.reaping = true
				p.reaper.Reset(p.cfg.IdleTimeout)
			}
		}
		p.nonEmpty.Wait()
		p.idle--
	}
	w.since, w.leave = time.Time{}, false
	c := p.calls.Pop()
	w.tasks++
	w.call = c
	p.admission.Left(1)
	return c, true
}

// surplus reports whether a worker must end because there are too many. The last
// worker that does not wait for tasks of the pool must not: the others may wait for
// what only it can run. The caller holds mu.
func (p *pool) surplus() bool { return p.alive > p.size && p.alive-1 > p.waits.Waiting() }

// resolveDeadlock is for [admission.DeadlockWatch]. It starts an extra worker for the
// first call that may end the deadlock. If there can be no more workers, it returns a
// function that refuses a wait. The caller holds mu.
func (p *pool) resolveDeadlock(s *core.WaitSnapshot) (refuse func()) {
	if s.Workers < p.alive {
		return nil // a worker beyond size does not wait
	}
	for i := range p.calls.Len() {
		refuse, ok := p.calls.At(i).MayEnd(s)
		if !ok {
			continue
		}
		if p.model.maxWorkers > 0 && p.alive >= p.model.maxWorkers || admission.AffordOne(p.model.name, p.alive, p.model.need()) != nil {
			return refuse
		}
		p.calls.MoveToFront(i)
		p.start().extra = true
		return nil
	}
	return nil
}

// reap ends the workers that have been idle for too long.
func (p *pool) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := time.Duration(0)
	for _, w := range p.live {
		if w == nil || w.since.IsZero() {
			continue
		}
		left := p.cfg.IdleTimeout - time.Since(w.since)
		if w.leave = left <= 0; !w.leave && (next == 0 || left < next) {
			next = left
		}
	}
	if p.reaping = next > 0; p.reaping {
		p.reaper.Reset(next)
	}
	p.nonEmpty.Broadcast()
}

// Stop implements [core.Manager].
func (p *pool) Stop(cause error) {
	p.mu.Lock()
	p.closed = true
	p.nonEmpty.Broadcast()
	p.prepared.Broadcast()
	p.admission.Recheck()
	var calls []*core.Call
	if cause != nil {
		p.stopped = cause
		calls = p.take()
		for _, w := range p.live {
			if w != nil && w.call != nil {
				calls = append(calls, w.call)
			}
		}
	}
	p.mu.Unlock()
	for _, c := range calls {
		c.Cancel(cause)
	}
}

// Resize implements [core.Manager].
func (p *pool) Resize(n int) error {
	if n < 1 || p.model.maxWorkers > 0 && n > p.model.maxWorkers {
		return admission.ResizeError(p.model.name, n, p.model.maxWorkers)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fault.ErrClosed
	}
	if err := admission.Afford(p.model.name, p.alive, n, p.model.need()); err != nil {
		return err
	}
	p.setSize(n)
	for !p.onDemand() && p.alive < n && p.broken == nil {
		p.start()
	}
	p.supply()
	p.nonEmpty.Broadcast()
	return nil
}

// Stats implements [core.Manager].
func (p *pool) Stats() core.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := core.Stats{Workers: p.size, Alive: p.alive, Queued: p.calls.Len(), Started: p.started}
	if p.size == math.MaxInt {
		s.Workers = 0
	}
	for _, w := range p.live {
		if w != nil && w.call != nil {
			s.Busy++
		}
	}
	return s
}

// Outside returns an error if it is called in a task or a callback of the pool.
// [core.Handle.Shutdown] calls it.
func (p *pool) Outside(what string) error { return p.site.Outside(what) }

// Close implements [core.Executor].
func (p *pool) Close() error {
	if err := p.Outside("Close"); err != nil {
		return err
	}
	p.Stop(nil)
	p.running.Wait()
	p.reaper.Stop()
	p.deadlock.Stop()
	p.site.Wait()
	return nil
}

// opened returns the pool as an Executor, and a nil Executor, not a nil *pool in one, if
// there is an error.
func opened(p *pool, err error) (core.Executor, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}
