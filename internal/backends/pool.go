package backends

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
)

// workers returns how many workers cfg asks for.
func workers(cfg core.Config) int {
	if cfg.Workers > 0 {
		return cfg.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// A model is what tells the backends that stay inside the process apart.
type model struct {
	name       string
	maxWorkers int   // 0: no bound
	locked     bool  // each worker has an OS thread for itself
	gate       *gate // held while a task runs; nil if none is
	onDemand   bool  // a worker is started when there is a task for it
}

// need returns what a worker needs.
func (m model) need() need {
	if m.locked {
		return threadNeed
	}
	return goroutineNeed
}

// A pool runs calls on goroutines of this process.
//
// Note: the workers are long-lived, unless the configuration says otherwise. A
// goroutine per task grows its stack inside the task, which doubles the time of
// a short one.
type pool struct {
	model   model
	cfg     core.Config
	crew    core.Crew
	site    core.Site
	running sync.WaitGroup // workers

	mu       sync.Mutex
	nonEmpty sync.Cond
	door     door
	calls    ring
	live     []*poolWorker // by index; nil where there is none
	free     []int         // the indexes where there is none
	alive    int
	size     int // workers wanted
	idle     int // workers that wait in next
	started  int
	closed   bool
	stopped  error // with what Stop cancels
	broken   error
	still    standstill
	reaper   *time.Timer // ends workers that are idle for too long
	reaping  bool        // it is set
}

// A poolWorker is one worker of a pool.
type poolWorker struct {
	core.Worker
	seat  *seat      // nil without a gate
	tasks int        // that it has taken
	call  *core.Call // the last of them
	since time.Time  // when it became idle; zero if it is not
	leave bool       // it has been idle for too long
	extra bool       // it was started although there are enough, for one task
	gone  bool       // it is no longer counted as alive
}

func openPool(ctx context.Context, cfg core.Config, m model) (*pool, error) {
	p := &pool{model: m, cfg: cfg}
	p.site = core.Site{Observer: cfg.Observer, Timing: cfg.Timing, Crew: &p.crew}
	p.nonEmpty.L = &p.mu
	p.door = newDoor(&p.mu, cfg, &p.crew, func() int { return p.calls.n - p.idle }, p.refused)
	p.still = standstill{mu: &p.mu, crew: &p.crew, queued: func() bool { return p.calls.n > p.idle && p.broken == nil }, mend: p.mend}
	p.still.watch()
	p.reaper = time.AfterFunc(time.Hour, p.reap)
	p.reaper.Stop()
	n := workers(cfg)
	if m.maxWorkers > 0 {
		n = min(n, m.maxWorkers)
	}
	if err := afford(m.name, 0, n, m.need()); err != nil {
		return nil, err
	}
	if m.onDemand && cfg.Workers == 0 {
		n = math.MaxInt
	}
	p.setSize(n)
	if m.onDemand {
		return p, nil
	}
	ready := make(chan error, n)
	p.mu.Lock()
	for range n {
		p.start(ready)
	}
	p.mu.Unlock()
	var errs []error
	for range n {
		select {
		case err := <-ready:
			if err != nil {
				errs = append(errs, err)
			}
		case <-ctx.Done():
			errs = append(errs, context.Cause(ctx))
			p.Stop(context.Cause(ctx))
			return nil, errors.Join(errs...) // whoever hangs in Init is left behind
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs[0], p.Close())
	}
	return p, nil
}

// setSize sets how many workers there should be. The caller holds mu, or is
// the only one who knows of p.
func (p *pool) setSize(n int) {
	p.size = n
	if n == math.MaxInt {
		n = 0
	}
	p.crew.Resize(n)
}

// start starts a worker, which sends to ready, if that is not nil, once it is
// prepared. The caller holds mu.
func (p *pool) start(ready chan<- error) *poolWorker {
	index := len(p.live)
	if n := len(p.free); n > 0 {
		index, p.free = p.free[n-1], p.free[:n-1]
	} else {
		p.live = append(p.live, nil)
	}
	w := &poolWorker{Worker: core.Worker{Index: index, PID: os.Getpid(), Crew: &p.crew}}
	if p.model.gate != nil {
		w.seat = p.model.gate.seat()
		w.Gate = w.seat
	}
	p.live[index] = w
	p.alive++
	p.started++
	p.running.Go(func() { p.site.Inside(func() { p.work(w, ready) }) })
	return w
}

// work is the life of a worker.
func (p *pool) work(w *poolWorker, ready chan<- error) {
	defer p.left(w) // also if a task ends the goroutine with runtime.Goexit
	if p.model.locked {
		runtime.LockOSThread() // and never unlocked, so that the thread ends with it
		w.Thread = threadID()
	}
	if err := p.prepare(w, ready); err != nil {
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
	if w.seat == nil {
		c.Run(&w.Worker)
		return
	}
	w.seat.begin()
	defer w.seat.finish()
	c.Run(&w.Worker)
}

// prepare runs Config.Init. If that fails, the pool is broken.
func (p *pool) prepare(w *poolWorker, ready chan<- error) (err error) {
	ended := false
	defer func() {
		if !ended {
			err = w.call.Err() // it ended its goroutine, and so this one
		}
		if err != nil {
			err = &fault.InitError{Worker: w.Index, Err: err}
			p.fail(err)
		}
		if ready != nil {
			ready <- err
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

// fail breaks the pool: nothing more is run.
func (p *pool) fail(err error) {
	p.mu.Lock()
	p.broken = err
	calls := p.take()
	p.mu.Unlock()
	for _, c := range calls {
		c.Fail(err, 0, 0)
	}
}

// take empties the queue. The caller holds mu.
func (p *pool) take() []*core.Call {
	var calls []*core.Call
	for p.calls.n > 0 {
		calls = append(calls, p.calls.pop())
	}
	p.door.shut()
	return calls
}

// left is told that a worker has ended, and replaces it if there is need.
func (p *pool) left(w *poolWorker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live[w.Index] = nil
	p.free = append(p.free, w.Index)
	needed := !w.gone && !p.surplus()
	if !w.gone {
		p.alive--
	}
	if needed && p.broken == nil && p.calls.n > p.idle {
		p.start(nil)
	}
	p.supply()
}

// supply starts workers for what is in the queue, as far as they are missing.
// The caller holds mu.
func (p *pool) supply() {
	if p.broken != nil {
		return
	}
	for missing := p.calls.n - p.idle; missing > 0 && p.alive < p.size; missing-- {
		p.start(nil)
	}
}

func (p *pool) Submit(ctx context.Context, c *core.Call) {
	c.Enter(&p.site)
	p.mu.Lock()
	if err := p.door.admit(ctx); err != nil {
		p.mu.Unlock()
		c.Fail(err, 0, 0)
		return
	}
	p.calls.push(c)
	wake := p.idle > 0
	if p.calls.n > p.idle {
		if p.alive < p.size {
			p.start(nil)
		} else if p.crew.Standing() {
			p.still.expect()
		}
	}
	p.mu.Unlock()
	if wake {
		p.nonEmpty.Signal()
	}
}

func (p *pool) refused() error {
	if p.closed {
		return fault.ErrClosed
	}
	return p.broken
}

// next returns the next call for w. It blocks while there is none, and reports
// false when w is to end.
func (p *pool) next(w *poolWorker) (*core.Call, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.call = nil
	if most := p.cfg.MaxTasksPerWorker; most > 0 && w.tasks >= most || p.model.onDemand && w.tasks > 0 {
		return nil, false
	}
	extra := w.extra
	w.extra = false
	for p.calls.n == 0 || p.surplus() && !extra {
		if p.surplus() {
			w.gone = true // before the next one asks
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
	c := p.calls.pop()
	w.tasks++
	w.call = c
	p.door.left(1)
	return c, true
}

// surplus reports whether there is a worker too many. As long as all others
// wait for tasks of the pool, the last one is not. The caller holds mu.
func (p *pool) surplus() bool { return p.alive > p.size && p.alive-1 > p.crew.Waiting() }

// mend implements standstill: it starts a worker more than there are to be, for
// the first call that may end the standstill. The caller holds mu.
func (p *pool) mend(s *core.Standstill) (refuse func()) {
	if s.Workers < p.alive {
		return nil // one that is more than there are to be is at work
	}
	for i := range p.calls.n {
		refuse, ok := p.calls.at(i).MayEnd(s)
		if !ok {
			continue
		}
		if p.model.maxWorkers > 0 && p.alive >= p.model.maxWorkers || affordOf(limits(), p.model.name, p.alive, p.alive+1, p.model.need()) != nil {
			return refuse
		}
		p.calls.first(i)
		p.start(nil).extra = true
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
	p.door.shut()
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
		return resizeError(p.model.name, n, p.model.maxWorkers)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fault.ErrClosed
	}
	if err := afford(p.model.name, p.alive, n, p.model.need()); err != nil {
		return err
	}
	p.setSize(n)
	for !p.model.onDemand && p.alive < n && p.broken == nil {
		p.start(nil)
	}
	p.supply()
	p.nonEmpty.Broadcast()
	return nil
}

func resizeError(backend string, n, most int) error {
	if most > 0 {
		return fmt.Errorf("cannot resize to %d workers: %s can have 1 to %d", n, backend, most)
	}
	return fmt.Errorf("cannot resize to %d workers: %s needs at least 1", n, backend)
}

// Stats implements [core.Manager].
func (p *pool) Stats() core.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := core.Stats{Workers: p.size, Alive: p.alive, Queued: p.calls.n, Started: p.started}
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

// Outside implements what executor.Shutdown asks.
func (p *pool) Outside(what string) error { return p.site.Outside(what) }

func (p *pool) Close() error {
	if err := p.Outside("Close"); err != nil {
		return err
	}
	p.Stop(nil)
	p.running.Wait()
	p.reaper.Stop()
	p.still.stop()
	p.site.Wait()
	return nil
}
