package backends

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
// A feeder per worker takes calls from the queue and keeps the worker supplied
// (feeder.go). It takes no more than the worker can do in two milliseconds, but
// one ahead, so that a worker never waits for its parent to be
// scheduled. When the queue is empty, a worker with nothing to do is given what
// others have been sent and have not started.
type processes struct {
	cfg     core.Config
	known   *known
	site    core.Site
	crew    core.Crew // workers whose tasks wait for queues
	still   standstill
	patrol  patrol
	thefts  atomic.Int32              // see patience
	feeders atomic.Pointer[[]*feeder] // replaced as a whole, with mu held
	running sync.WaitGroup            // feeders
	life    context.Context           // what workers are started in; ended by halt when Stop has a cause
	halt    context.CancelCauseFunc
	needed  context.Context // what workers are started in later: until nothing is left to do, see slacken
	enough  context.CancelFunc

	mu       sync.Mutex
	door     door
	watched  map[<-chan struct{}]func() bool // ends of contexts that calls at workers were submitted with, and what stops watching
	calls    ring
	sleepers []*feeder // those that found the queue empty
	woken    int       // feeders that were woken and have not looked yet
	apart    apart
	size     int // workers wanted
	started  int
	lost     int
	closed   bool
	broken   error // why nothing is run any more
	errs     []error
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
	n := workers(cfg)
	if err := afford("processes", 0, n, processNeed); err != nil {
		return nil, err
	}
	p := &processes{cfg: cfg, known: newKnown(tasks), size: n}
	if cfg.Init != nil {
		if err := p.known.check(cfg.Init.Task().Identity()); err != nil {
			return nil, fmt.Errorf("Config.Init: %w", err)
		}
	}
	p.site = core.Site{Observer: cfg.Observer, Timing: cfg.Timing, Carrier: p}
	p.life, p.halt = context.WithCancelCause(context.Background())
	p.needed, p.enough = context.WithCancel(p.life)
	p.crew.Resize(n)
	p.still = p.standing()
	p.still.watch()
	p.patrol.timer = time.AfterFunc(time.Hour, p.look)
	p.patrol.timer.Stop() // until it is expected
	p.door = newDoor(&p.mu, cfg, nil, p.waiting, p.refused)
	feeders := make([]*feeder, n)
	p.feeders.Store(&feeders)
	var starting sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		feeders[i] = p.newFeeder(i)
		starting.Go(func() { errs[i] = feeders[i].start(ctx) })
	}
	starting.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, f := range feeders {
			err = errors.Join(err, f.end())
		}
		return nil, err
	}
	for _, f := range feeders {
		p.running.Go(f.run)
	}
	return p, nil
}

func (p *processes) Submit(ctx context.Context, c *core.Call) {
	c.Enter(&p.site)
	if err := p.known.check(c.Origin()); err != nil {
		c.Fail(err, 0, 0)
		return
	}
	p.mu.Lock()
	if err := p.door.admit(ctx); err != nil {
		p.mu.Unlock()
		c.Fail(err, 0, 0)
		return
	}
	p.lane(c).push(c)
	p.wake()
	p.still.expect()
	p.mu.Unlock()
}

func (p *processes) refused() error {
	if p.closed {
		return fault.ErrClosed
	}
	return p.broken
}

// waiting is how many calls are in the queue beside those that feeders are
// about to take.
func (p *processes) waiting() int { return p.queued() - len(p.sleepers) - p.woken }

// wake wakes one feeder that sleeps because the queue was empty. The caller
// holds mu.
func (p *processes) wake() {
	if n := len(p.sleepers); n > 0 {
		f := p.sleepers[n-1] // those without a worker come first
		p.sleepers = p.sleepers[:n-1]
		f.woken = true
		p.woken++
		f.wake()
	}
}

// wakeAll wakes all sleepers, one of which may have nothing to do: there is
// something to be stolen now.
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
	p.door.shut()
	p.slacken()
	var queued []*core.Call
	if cause != nil {
		queued = p.empty()
		queued = slices.AppendSeq(queued, maps.Keys(p.apart.under))
		p.halt(cause)
	}
	p.mu.Unlock()
	for _, c := range queued {
		c.Cancel(cause)
	}
	for _, f := range *p.feeders.Load() {
		if c := f.current(); c != nil && cause != nil {
			c.cancelAll(cause)
		}
		f.wake()
	}
}

// empty empties the queue. The caller holds mu.
func (p *processes) empty() (queued []*core.Call) {
	for _, r := range []*ring{&p.calls, &p.apart.raw} {
		for r.n > 0 {
			queued = append(queued, r.pop())
		}
	}
	return queued
}

// Resize implements [core.Manager].
func (p *processes) Resize(n int) error {
	if n < 1 {
		return resizeError("processes", n, 0)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(p.broken, fault.ErrBroken) && !p.closed {
		p.broken = nil
		for _, f := range *p.feeders.Load() {
			f.afresh = true
			f.wake()
		}
	}
	if err := p.refused(); err != nil {
		return err
	}
	feeders := slices.Clone(*p.feeders.Load())
	if err := afford("processes", len(feeders), n, processNeed); err != nil {
		return err
	}
	p.size = n
	staying := 0
	for _, f := range feeders {
		if !f.leaving {
			staying++
		}
	}
	// Those that are on their way out stay first: so there never are more
	// processes than were asked for.
	for _, f := range feeders {
		if f.leaving && staying < n {
			f.leaving = false
			staying++
			f.wake()
		}
	}
	for _, f := range slices.Backward(feeders) {
		if !f.leaving && staying > n {
			f.leaving = true
			staying--
			f.wake()
		}
	}
	for ; staying < n; staying++ {
		f := p.newFeeder(freeIndex(feeders))
		feeders = append(feeders, f)
		p.running.Go(f.run)
	}
	p.feeders.Store(&feeders)
	return nil
}

// freeIndex returns the lowest index that no feeder has.
func freeIndex(feeders []*feeder) int {
	for i := 0; ; i++ {
		if !slices.ContainsFunc(feeders, func(f *feeder) bool { return f.index == i }) {
			return i
		}
	}
}

// Stats implements [core.Manager]. The queue comes last: a call that is sent
// to a worker meanwhile is not counted twice.
func (p *processes) Stats() core.Stats {
	var s core.Stats
	for _, f := range *p.feeders.Load() {
		if c := f.current(); c != nil && !c.isLost() {
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
	s.Queued += p.queued() + len(p.apart.under)
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
	p.still.stop()
	p.patrol.timer.Stop()
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

// take removes up to n calls from the queue for f, and leaves as many for each
// of the other workers. If there are none, f is woken when there are; more tells
// whether there may be.
func (p *processes) take(f *feeder, n int, batch []*core.Call) (_ []*core.Call, more prospect) {
	for {
		batch, more = p.pop(f, n, batch[:0])
		none := len(batch) == 0
		// Without the lock: one that is not wanted any more is completed by
		// this, and what its callbacks do is not known.
		batch = slices.DeleteFunc(batch, func(c *core.Call) bool { return !c.Wanted() })
		if len(batch) > 0 || none {
			return batch, more
		}
	}
}

// pop is take before it is known whether the calls are still wanted.
func (p *processes) pop(f *feeder, n int, batch []*core.Call) (_ []*core.Call, more prospect) {
	p.mu.Lock()
	woken := f.woken
	if f.woken {
		f.woken = false
		p.woken--
	}
	p.sleepers = slices.DeleteFunc(p.sleepers, func(s *feeder) bool { return s == f })
	if f.leaving {
		p.wake() // in its place
		p.mu.Unlock()
		return batch, leaving
	}
	had := p.queued()
	n = min(n, max(1, had/len(*p.feeders.Load())))
	p.encode(n - p.calls.n - p.apart.quick)
	for p.calls.n > 0 && len(batch) < n {
		batch = append(batch, p.calls.pop())
	}
	p.door.left(had - p.queued())
	switch startable := f.startable(); {
	case startable && p.queued() > 0:
		more = due
		f.woken = true // it takes them when it has started
		p.woken++
	case startable:
		p.sleepers = slices.Insert(p.sleepers, 0, f)
	case n == 0 && woken:
		p.wake() // another, in its place
	case n == 0:
	case len(batch) == 0:
		p.sleepers = append(p.sleepers, f)
	case p.queued() > 0:
		p.wake()
	}
	if p.closed && !p.left() {
		more = closing
	}
	p.mu.Unlock()
	return batch, more
}

// dispensable reports whether f has no more to do but what it has.
func (p *processes) dispensable(f *feeder) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return f.leaving || p.closed && !p.left()
}

// giveBack returns calls that were taken and not finished. They are the next to
// be taken.
func (p *processes) giveBack(calls []*core.Call) {
	p.mu.Lock()
	broken := p.broken
	if broken == nil {
		for _, c := range slices.Backward(calls) {
			p.lane(c).pushFront(c)
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

// steal takes what the busiest worker has been sent and not started, half of
// it but no more than n, for a worker with nothing to do.
func (p *processes) steal(n int, batch []*core.Call) []*core.Call {
	for {
		victim, most, stuck := p.victim()
		if victim == nil {
			return batch
		}
		if batch = victim.withdraw(min(n, (most+1)/2), batch); len(batch) > 0 {
			if stuck {
				p.thefts.Add(1)
			}
			return batch
		}
		// Another was faster. There may be more elsewhere, of which nobody
		// would tell again.
	}
}

// victim returns the worker that has the most that can be taken from it, how much
// that is, and whether it is stuck; nil if none has anything.
func (p *processes) victim() (victim *conn, most int, stuck bool) {
	for _, f := range *p.feeders.Load() {
		if c := f.current(); c != nil {
			if has, is := c.offers(p.patience()); has > most {
				victim, most, stuck = c, has, is
			}
		}
	}
	return victim, most, stuck
}

// stealable reports whether there is something for a worker that is to be started.
func (p *processes) stealable() bool {
	victim, _, _ := p.victim()
	return victim != nil && p.needed.Err() == nil
}

// Abort implements [core.Carrier].
func (p *processes) Abort(c *core.Call, cause error) bool {
	text := textOf(cause) // beforehand, since it may take long
	for _, f := range *p.feeders.Load() {
		if conn := f.current(); conn != nil {
			if found, neverRan := conn.abort(c, text); found {
				return neverRan
			}
		}
	}
	return false // its claim was taken back; or see conn.send
}

// Cut implements [core.Carrier].
func (p *processes) Cut(c *core.Call) (left int, ok bool) {
	for _, f := range *p.feeders.Load() {
		if conn := f.current(); conn != nil {
			if left, ok = conn.cut(c); ok {
				return left, true
			}
		}
	}
	return 0, false
}

// Started implements [core.Carrier].
func (p *processes) Started(c *core.Call) bool {
	for _, f := range *p.feeders.Load() {
		if conn := f.current(); conn != nil && conn.started(c) {
			return true
		}
	}
	return false
}

// Control implements [core.Controller].
func (p *processes) Control(ctx context.Context, request string, payload []byte) ([]core.Reply, error) {
	var conns []*conn
	for _, f := range *p.feeders.Load() {
		if c := f.current(); c != nil {
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
				replies[i] = &core.Reply{Worker: c.feeder.index, PID: c.proc.PID(), Payload: b}
			case c.isLost() && c.exit.Code == 0: // it was one too many, or had done its share
			default:
				errs[i] = fmt.Errorf("worker %d (pid %d): request %s: %w", c.feeder.index, c.proc.PID(), request, err)
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
