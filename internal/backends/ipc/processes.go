// Package ipc holds the backend that runs tasks in worker processes. It speaks a
// protocol of its own (protocol.go) with workers that are this same program
// (worker.go).
package ipc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f3f4c0de/harness/internal/backends/admission"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
)

// Processes runs tasks on worker processes, each with one processor.
var Processes = &core.Backend{
	Name: "processes",
	Doc: `worker processes, one task at a time in each

Each worker is this same program started again, with GOMAXPROCS=1 and a heap
and a garbage collector of its own. Nothing is shared: arguments and results
are encoded and cross a pipe, which is measured as a part of its own.
CPU-bound work scales to the processors, waiting scales to the workers.`,
	Open: func(ctx context.Context, cfg core.Config) (core.Executor, error) {
		p, err := openProcesses(ctx, cfg)
		if err != nil {
			return nil, err
		}
		return p, nil
	},
}

const (
	// maxErrors bounds what Close reports.
	maxErrors = 10

	// cancelGrace is the default of Config.CancelGrace.
	cancelGrace = time.Second
)

// processes is an executor whose workers are processes.
//
// Each worker has a dispatcher, which takes calls from the queue and sends them to the
// worker (dispatcher.go): as many as the worker can do in about two milliseconds, and at
// least one ahead, so that a worker never waits for its parent to be scheduled. When the
// queue is empty, an idle worker steals what others have been sent and have not started.
//
// Locks are taken in this order: a connection's out.mu, mu, a dispatcher's mu, a
// connection's mu.
type processes struct {
	cfg          core.Config
	known        *taskSet
	site         core.Site
	waits        core.WaitTracker // workers whose tasks wait for queues
	deadlock     admission.DeadlockWatch
	watchdog     watchdog
	steals       atomic.Int32                  // see patience
	dispatchers  atomic.Pointer[[]*dispatcher] // replaced as a whole, with mu held
	running      sync.WaitGroup                // dispatchers
	life         context.Context               // what workers are started in; ended by halt when Stop has a cause
	halt         context.CancelCauseFunc
	needed       context.Context // what workers are started in later: until nothing is left to do, see endNeedlessStarts
	cancelNeeded context.CancelFunc

	mu        sync.Mutex
	admission admission.Control
	watched   map[<-chan struct{}]func() bool // ends of contexts that calls at workers were submitted with, and what stops watching
	calls     admission.Queue
	sleepers  []*dispatcher // those that found the queue empty
	starting  int           // dispatchers that start a worker, and not for long
	woken     int           // dispatchers that were woken and have not looked yet
	encodings encodings
	size      int // workers wanted
	started   int
	lost      int
	closed    bool
	broken    error // why nothing is run any more
	errs      []error
}

func openProcesses(ctx context.Context, cfg core.Config) (*processes, error) {
	tasks, err := knownTasks(cfg.Tasks)
	if err != nil {
		return nil, err
	}
	cfg.Tasks = tasks
	if cfg.CancelGrace == 0 {
		cfg.CancelGrace = cancelGrace
	}
	n := admission.Workers(cfg)
	if err := admission.Afford("processes", 0, n, admission.Process); err != nil {
		return nil, err
	}
	p := &processes{cfg: cfg, known: newTaskSet(tasks), size: n}
	if cfg.Init != nil {
		if err := p.known.check(cfg.Init.Task().Identity()); err != nil {
			return nil, fmt.Errorf("Config.Init: %w", err)
		}
	}
	p.site = core.Site{Observer: cfg.Observer, Timing: cfg.Timing, Transport: p}
	p.life, p.halt = context.WithCancelCause(context.Background())
	p.needed, p.cancelNeeded = context.WithCancel(p.life)
	p.waits.Resize(n)
	p.deadlock = admission.NewDeadlockWatch(&p.mu, &p.waits, p.pending, p.resolveDeadlock)
	p.deadlock.Start()
	p.watchdog.timer = time.AfterFunc(time.Hour, p.check)
	p.watchdog.timer.Stop() // until it is expected
	p.admission = admission.NewControl(&p.mu, cfg, nil, p.waiting, p.refused)
	dispatchers := make([]*dispatcher, n)
	p.dispatchers.Store(&dispatchers)
	for i := range n {
		dispatchers[i] = p.newDispatcher(i)
	}
	if !cfg.OnDemand {
		if err := startAll(ctx, dispatchers); err != nil {
			return nil, err
		}
	}
	for _, d := range dispatchers {
		p.running.Go(d.run)
	}
	return p, nil
}

// startAll starts all workers, or none.
func startAll(ctx context.Context, dispatchers []*dispatcher) error {
	var starting sync.WaitGroup
	errs := make([]error, len(dispatchers))
	for i, d := range dispatchers {
		starting.Go(func() { errs[i] = d.start(ctx) })
	}
	starting.Wait()
	err := errors.Join(errs...)
	if err != nil {
		for _, d := range dispatchers {
			err = errors.Join(err, d.end())
		}
	}
	return err
}

func (p *processes) Submit(ctx context.Context, c *core.Call) {
	c.Enter(&p.site)
	if err := p.known.check(c.Origin()); err != nil {
		c.Fail(err, 0, 0)
		return
	}
	p.mu.Lock()
	if err := p.admission.Admit(ctx); err != nil {
		p.mu.Unlock()
		c.Fail(err, 0, 0)
		return
	}
	p.queueFor(c).Push(c)
	p.wake()
	p.deadlock.Expect()
	p.mu.Unlock()
}

func (p *processes) refused() error {
	if p.closed {
		return fault.ErrClosed
	}
	return p.broken
}

// waiting is how many calls are in the queue beside those that dispatchers are
// about to take.
func (p *processes) waiting() int { return p.queued() - len(p.sleepers) - p.woken }

// wake wakes one dispatcher that sleeps because the queue was empty. The caller
// holds mu.
func (p *processes) wake() {
	if n := len(p.sleepers); n > 0 {
		d := p.sleepers[n-1] // those without a worker come first
		p.sleepers = p.sleepers[:n-1]
		d.woken = true
		p.woken++
		d.wake()
	}
}

// wakeAll wakes all sleepers, since there is something to steal.
func (p *processes) wakeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.sleepers) > 0 {
		p.wake()
	}
}

// Stop implements [core.Manager].
func (p *processes) Stop(cause error) {
	p.mu.Lock()
	p.closed = true
	p.admission.Recheck()
	p.endNeedlessStarts()
	var queued []*core.Call
	if cause != nil {
		queued = p.empty()
		queued = slices.AppendSeq(queued, maps.Keys(p.encodings.running))
		p.halt(cause)
	}
	p.mu.Unlock()
	for _, c := range queued {
		c.Cancel(cause)
	}
	for _, d := range *p.dispatchers.Load() {
		if c := d.current(); c != nil && cause != nil {
			c.cancelAll(cause)
		}
		d.wake()
	}
}

// empty empties the queue. The caller holds mu.
func (p *processes) empty() (queued []*core.Call) {
	for _, r := range []*admission.Queue{&p.calls, &p.encodings.pending} {
		for r.Len() > 0 {
			queued = append(queued, r.Pop())
		}
	}
	return queued
}

// Resize implements [core.Manager].
func (p *processes) Resize(n int) error {
	if n < 1 {
		return admission.ResizeError("processes", n, 0)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(p.broken, fault.ErrBroken) && !p.closed {
		p.broken = nil
		for _, d := range *p.dispatchers.Load() {
			d.afresh = true
			d.wake()
		}
	}
	if err := p.refused(); err != nil {
		return err
	}
	dispatchers := slices.Clone(*p.dispatchers.Load())
	if err := admission.Afford("processes", len(dispatchers), n, admission.Process); err != nil {
		return err
	}
	p.size = n
	staying := 0
	for _, d := range dispatchers {
		if !d.leaving {
			staying++
		}
	}
	// Workers that were about to leave stay before others are started: so there are
	// never more processes than were asked for.
	for _, d := range dispatchers {
		if d.leaving && staying < n {
			d.leaving = false
			staying++
			d.wake()
		}
	}
	for _, d := range slices.Backward(dispatchers) {
		if !d.leaving && staying > n {
			d.leaving = true
			staying--
			d.wake()
		}
	}
	for ; staying < n; staying++ {
		d := p.newDispatcher(freeIndex(dispatchers))
		dispatchers = append(dispatchers, d)
		p.running.Go(d.run)
	}
	p.dispatchers.Store(&dispatchers)
	return nil
}

// freeIndex returns the lowest index that no dispatcher has.
func freeIndex(dispatchers []*dispatcher) int {
	for i := 0; ; i++ {
		if !slices.ContainsFunc(dispatchers, func(d *dispatcher) bool { return d.index == i }) {
			return i
		}
	}
}

// Stats implements [core.Manager]. The queue comes last: a call that is sent
// to a worker meanwhile is not counted twice.
func (p *processes) Stats() core.Stats {
	var s core.Stats
	for _, d := range *p.dispatchers.Load() {
		if c := d.current(); c != nil && !c.isLost() {
			s.Alive++
			s.Queued += c.waiting()
			if c.running() {
				s.Busy++
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Workers, s.Started, s.Lost = p.size, p.started, p.lost
	s.Queued += p.queued() + len(p.encodings.running)
	return s
}

// Outside implements what executor.Shutdown asks.
func (p *processes) Outside(what string) error { return p.site.Outside(what) }

func (p *processes) Close() error {
	if err := p.Outside("Close"); err != nil {
		return err
	}
	p.Stop(nil)
	p.running.Wait()
	p.deadlock.Stop()
	p.watchdog.timer.Stop()
	p.site.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unwatch() // all: nothing is in flight
	p.halt(fault.ErrClosed)
	return errors.Join(p.errs...)
}

// note keeps an error for Close, if there are not too many. The caller holds mu.
func (p *processes) note(err error) {
	if len(p.errs) < maxErrors {
		p.errs = append(p.errs, err)
	}
}

// take removes up to n calls from the queue for d, but no more than its share if all
// workers took as many. If there are none, d is woken when there are some, and more
// tells whether there may be.
func (p *processes) take(d *dispatcher, n int, batch []*core.Call) (_ []*core.Call, more prospect) {
	for {
		batch, more = p.pop(d, n, batch[:0])
		none := len(batch) == 0
		// Without the lock: one that is not wanted any more is completed by
		// this, and what its callbacks do is not known.
		batch = slices.DeleteFunc(batch, func(c *core.Call) bool { return !c.Wanted() })
		if len(batch) > 0 || none {
			return batch, more
		}
	}
}

// pop is take, and does not look whether the calls are still wanted.
func (p *processes) pop(d *dispatcher, n int, batch []*core.Call) (_ []*core.Call, more prospect) {
	p.mu.Lock()
	woken := d.woken
	if d.woken {
		d.woken = false
		p.woken--
	}
	p.sleepers = slices.DeleteFunc(p.sleepers, func(s *dispatcher) bool { return s == d })
	if d.leaving {
		p.wake() // in its place
		p.mu.Unlock()
		return batch, leaving
	}
	had := p.queued()
	n = min(n, max(1, had/len(*p.dispatchers.Load())))
	p.encode(n - p.calls.Len() - p.encodings.quick)
	for p.calls.Len() > 0 && len(batch) < n {
		batch = append(batch, p.calls.Pop())
	}
	p.admission.Left(had - p.queued())
	switch startable := d.startable(); {
	case startable && p.queued() > p.starting:
		more = due
		p.startBegins(d)
		d.woken = true // it takes them when it has started
		p.woken++
	case startable:
		p.sleepers = slices.Insert(p.sleepers, 0, d)
	case n == 0 && woken:
		p.wake() // another, in its place
	case n == 0:
	case len(batch) == 0:
		p.sleepers = append(p.sleepers, d)
	case p.queued() > 0:
		p.wake()
	}
	if p.closed && !p.left() {
		more = closing
	}
	p.mu.Unlock()
	return batch, more
}

// giveBack puts calls that were taken and not finished at the front of the queue.
func (p *processes) giveBack(calls []*core.Call) {
	p.mu.Lock()
	broken := p.broken
	if broken == nil {
		for _, c := range slices.Backward(calls) {
			p.queueFor(c).PushFront(c)
			p.wake()
		}
	}
	p.mu.Unlock()
	if broken == nil {
		return
	}
	for _, c := range calls {
		c.Fail(broken, 0, 0) // nobody would take them
	}
}

// steal withdraws half of the calls that the busiest worker has not started, but no more
// than n, for an idle worker.
func (p *processes) steal(n int, batch []*core.Call) []*core.Call {
	for {
		victim, most, stuck := p.victim()
		if victim == nil {
			return batch
		}
		if batch = victim.withdraw(min(n, (most+1)/2), batch); len(batch) > 0 {
			if stuck {
				p.steals.Add(1)
			}
			return batch
		}
		// Another thief was faster. There may be calls at other workers, and nobody
		// will wake this one for them again.
	}
}

// victim returns the worker that has the most that can be taken from it, how much
// that is, and whether it is stuck; nil if none has anything.
func (p *processes) victim() (victim *conn, most int, stuck bool) {
	for _, d := range *p.dispatchers.Load() {
		if c := d.current(); c != nil {
			if has, is := c.offers(p.patience()); has > most {
				victim, most, stuck = c, has, is
			}
		}
	}
	return victim, most, stuck
}

// Abort implements [core.Transport].
func (p *processes) Abort(c *core.Call, cause error) bool {
	told := cancelOf(cause) // beforehand, since it may take long
	for _, d := range *p.dispatchers.Load() {
		if conn := d.current(); conn != nil {
			if found, neverRan := conn.abort(c, told); found {
				return neverRan
			}
		}
	}
	return false // its claim was taken back; or see conn.send
}

// Cut implements [core.Transport].
func (p *processes) Cut(c *core.Call) (left int, ok bool) {
	for _, d := range *p.dispatchers.Load() {
		if conn := d.current(); conn != nil {
			if left, ok = conn.cut(c); ok {
				return left, true
			}
		}
	}
	return 0, false
}

// Started implements [core.Transport].
func (p *processes) Started(c *core.Call) bool {
	for _, d := range *p.dispatchers.Load() {
		if conn := d.current(); conn != nil && conn.started(c) {
			return true
		}
	}
	return false
}

// Control implements [core.Controller].
func (p *processes) Control(ctx context.Context, request string, payload []byte) ([]core.Reply, error) {
	var conns []*conn
	for _, d := range *p.dispatchers.Load() {
		if c := d.current(); c != nil {
			conns = append(conns, c)
		}
	}
	replies := make([]*core.Reply, len(conns))
	errs := make([]error, len(conns))
	var asking sync.WaitGroup
	for i, c := range conns {
		asking.Go(func() {
			b, err := c.control(ctx, request, payload)
			switch {
			case err == nil:
				replies[i] = &core.Reply{Worker: c.index, PID: c.pid(), Payload: b}
			case c.endedWell(): // it was one too many, or had done its share
			default:
				errs[i] = fmt.Errorf("worker %d (pid %d): request %s: %w", c.index, c.pid(), request, err)
			}
		})
	}
	asking.Wait()
	var answered []core.Reply
	for _, r := range replies {
		if r != nil {
			answered = append(answered, *r)
		}
	}
	return answered, errors.Join(errs...)
}
