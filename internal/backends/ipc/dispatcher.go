package ipc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
)

// A dispatcher supplies one worker, and starts its process: when the executor is
// opened, or with Config.OnDemand when there is a call for it, and again after that
// was lost, or has ended because it had done its share or had nothing to do.
type dispatcher struct {
	p     *processes
	index int
	kick  chan struct{} // wakes run

	mu   sync.Mutex
	conn *conn // nil while there is no process; only run and Open change it

	had      bool      // it has had a process
	replace  bool      // the process was lost, or could not be started, and is to be replaced without a call
	failures int       // starts in a row after which no task was done
	again    time.Time // when the next start may be tried

	afresh  bool // Resize asks for starts to be tried again; guarded by p.mu
	leaving bool // there are more workers than wanted, and this one ends; guarded by p.mu
	extra   bool // the worker is started for one call, to end a deadlock, and then leaves
	woken   bool // p.wake has woken it, and it has not looked at the queue since; guarded by p.mu

	starting bool         // it counts in p.starting; guarded by p.mu
	warmers  []chan error // those that wait for its worker to be ready; guarded by p.mu
}

func (p *processes) newDispatcher(index int) *dispatcher {
	return &dispatcher{p: p, index: index, kick: make(chan struct{}, 1)}
}

// A prospect tells a dispatcher that got no calls whether there may be some later.
type prospect int

const (
	open    prospect = iota // more may come
	closing                 // none will: the executor is closed and the queue empty
	due                     // there are calls, and a worker is to be started for them
	leaving                 // its worker is one too many
)

func (d *dispatcher) wake() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

func (d *dispatcher) current() *conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conn
}

func (d *dispatcher) set(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conn = c
}

// run supplies the worker until the executor is closed and nothing is left, or
// there are too many workers.
func (d *dispatcher) run() {
	var batch []*core.Call
	for {
		if d.conn != nil {
			d.conn.flush()
			if d.conn.isLost() {
				d.handleLoss()
			}
		}
		if d.conn != nil && d.conn.spent() {
			d.retire()
		}
		d.warm()
		pause := d.pause()
		if d.replace && pause <= 0 && d.p.wanted(d) {
			_ = d.restart(d.p.needed) // which has told failed
			pause = d.pause()
		}
		// A worker that stands still has no room, and all it had may have been stolen.
		// A dispatcher without a worker may have been woken instead of another.
		if room := max(d.room(), 0); room > 0 || d.conn == nil || !d.conn.busy(1) {
			var more prospect
			batch, more = d.p.take(d, room, batch[:0])
			idle := len(batch) == 0 && (d.conn == nil || !d.conn.busy(1))
			switch {
			case more == due:
				if d.restart(d.p.wanting()) != nil {
					d.p.cancelQueued()
				}
				continue
			case !idle || more == leaving:
			case room > 0:
				batch = d.p.steal(d.share(), batch)
			case d.startable() && d.p.claimStart(d):
				_ = d.restart(d.p.needed)
				continue
			}
			switch {
			case len(batch) > 0:
				d.supply(batch)
				clear(batch)
				continue
			case idle && more != open:
				d.retire()
				if d.p.dismiss(d) {
					return
				}
				continue
			}
		}
		d.sleep(pause)
	}
}

// room is how many calls the worker can be sent now.
func (d *dispatcher) room() int {
	switch {
	case d.conn != nil:
		return d.conn.room()
	case d.extra:
		return 1
	}
	return 0 // calls stay in the queue during the start, for others to take
}

// startable reports whether it has no worker, and may start one for whatever calls
// there are.
func (d *dispatcher) startable() bool { return d.conn == nil && !d.extra && d.pause() <= 0 }

// supply sends calls to the worker. A dispatcher of an extra worker starts it for them:
// if that fails they go back to the queue.
func (d *dispatcher) supply(batch []*core.Call) {
	if d.conn == nil && d.restart(d.p.life) != nil {
		if cause := context.Cause(d.p.life); cause != nil {
			for _, c := range batch {
				c.Cancel(cause)
			}
			return
		}
		d.p.giveBack(batch)
		return
	}
	if d.extra {
		d.p.mu.Lock()
		d.extra, d.leaving = false, true
		d.p.mu.Unlock()
	}
	d.conn.send(batch)
	if d.conn.busy(2) {
		d.offer()
	}
}

// What the connection to the worker tells the dispatcher, or asks it. It does so from
// several goroutines.

// sending is told that calls are about to be sent.
func (d *dispatcher) sending(calls []*core.Call) {
	d.p.watchContexts(calls)
	d.p.watchdog.expect()
}

// offer lets other workers take what this one has been sent and not started.
func (d *dispatcher) offer() { d.p.wakeAll() }

// taskDone is told that the worker has done a task.
func (d *dispatcher) taskDone() {
	if d.p.steals.Load() != 0 {
		d.p.steals.Store(0)
	}
}

// giveBack puts a call of which a part is still to be run back into the queue.
func (d *dispatcher) giveBack(c *core.Call) { d.p.giveBack([]*core.Call{c}) }

// runApart runs code of the program's own on a goroutine that Close waits for.
func (d *dispatcher) runApart(f func()) { d.p.site.Go(f) }

// stopped returns the cause with which the executor was stopped, or nil.
func (d *dispatcher) stopped() error { return context.Cause(d.p.life) }

// dispensable reports whether the worker is needed for no more than what it has.
func (d *dispatcher) dispensable() bool {
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	return d.leaving || d.p.closed && !d.p.left()
}

// restart starts a process for the worker, for the first time or once more.
func (d *dispatcher) restart(ctx context.Context) error {
	defer d.p.countStart(d)()
	defer time.AfterFunc(slowStart, func() { d.p.passOn(d) }).Stop()
	err := d.start(ctx)
	if d.replace = err != nil; d.replace && ctx.Err() == nil {
		if d.had {
			err = fmt.Errorf("replacing worker %d: %w", d.index, err)
		}
		d.failed(err)
	}
	return err
}

// countStart counts d among the dispatchers that start a worker, unless it does
// already, until stop is called.
func (p *processes) countStart(d *dispatcher) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.startBegins(d)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.startEnds(d)
		if d.current() == nil && p.queued() > 0 {
			p.wake() // another may have left the call to this start
		}
	}
}

// startBegins notes that d starts a worker: calls for which one is started need no
// other. The caller holds mu.
func (p *processes) startBegins(d *dispatcher) {
	if !d.starting {
		d.starting = true
		p.starting++
	}
}

func (p *processes) startEnds(d *dispatcher) {
	if d.starting {
		d.starting = false
		p.starting--
	}
}

// claimStart reports whether d is to start a worker for what can be taken from other
// workers: whether there is more of that, and in the queue, than workers are being
// started. Then d counts as one that starts one.
func (p *processes) claimStart(d *dispatcher) bool {
	if p.needed.Err() != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := p.queued()
	for _, other := range *p.dispatchers.Load() {
		if c := other.current(); c != nil {
			has, _ := c.offers(p.patience())
			calls += has
		}
	}
	if calls <= p.starting {
		return false
	}
	p.startBegins(d)
	return true
}

// warm starts a worker, if there is none and Warm has asked for it, and tells Warm
// when it is ready.
func (d *dispatcher) warm() {
	warmers, err := d.p.warmersOf(d)
	if len(warmers) == 0 {
		return
	}
	if err == nil && d.conn == nil && d.p.wanted(d) {
		if err = d.restart(d.p.needed); err != nil {
			d.p.mu.Lock()
			err = cmp.Or(d.p.refused(), err)
			d.p.mu.Unlock()
		}
	}
	for _, w := range warmers {
		w <- err
	}
}

// warmersOf removes those who wait for d's worker, and returns them, and why the
// executor takes no calls, if so.
func (p *processes) warmersOf(d *dispatcher) ([]chan error, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	warmers := d.warmers
	d.warmers = nil
	return warmers, p.refused()
}

// Warm implements [core.Warmer].
func (p *processes) Warm(ctx context.Context) error {
	p.mu.Lock()
	if err := p.refused(); err != nil {
		p.mu.Unlock()
		return err
	}
	var ready []chan error
	for _, d := range *p.dispatchers.Load() {
		if d.current() == nil && !d.leaving && !d.extra {
			w := make(chan error, 1)
			ready = append(ready, w)
			d.warmers = append(d.warmers, w)
			d.wake()
		}
	}
	p.mu.Unlock()
	var first error
	core.Blocking(ctx, func() {
		for _, w := range ready {
			select {
			case err := <-w:
				first = cmp.Or(first, err)
			case <-ctx.Done():
				first = cmp.Or(first, context.Cause(ctx))
				return
			}
		}
	})
	return first
}

// slowStart is after how long another dispatcher is to look after the calls that a worker
// is being started for.
const slowStart = time.Second

// passOn wakes another dispatcher in the place of d, whose start takes long.
func (p *processes) passOn(d *dispatcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.startEnds(d)
	if d.woken {
		d.woken = false
		p.woken--
	}
	p.wake()
}

const (
	// A start that fails is tried again after a while, which doubles each time.
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
	// maxFailures in a row, while there is no other worker, mean that none can be
	// had: about four seconds.
	maxFailures = 10
)

// failed is told that the worker could not be started, or was lost before it had
// done anything.
func (d *dispatcher) failed(err error) {
	d.failures++
	d.again = time.Now().Add(min(firstPause<<min(d.failures-1, 16), lastPause))
	d.p.startFailed(d, err)
}

// pause returns how long to wait until the worker may be started again.
func (d *dispatcher) pause() time.Duration {
	if d.failures == 0 {
		return 0
	}
	return time.Until(d.again)
}

// sleep waits until something has changed, or until the worker may be started
// again, which was not yet when there was that long to go. After the idle timeout it
// ends a worker that has nothing to do.
func (d *dispatcher) sleep(pause time.Duration) {
	var timeout time.Duration
	switch {
	case d.conn == nil:
		timeout = pause
	case d.p.cfg.IdleTimeout > 0 && !d.conn.busy(1):
		timeout = d.p.cfg.IdleTimeout
	}
	if timeout <= 0 {
		<-d.kick
		return
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-d.kick:
	case <-t.C:
		d.retire()
	}
}

// retire ends the worker, if there is one, in good order. Nothing is in flight.
func (d *dispatcher) retire() {
	if err := d.end(); err != nil {
		d.p.mu.Lock()
		defer d.p.mu.Unlock()
		d.p.note(err)
	}
}

func (d *dispatcher) end() error {
	c := d.conn
	if c == nil {
		return nil
	}
	err := c.end()
	d.set(nil)
	c.release()
	return err
}

// handleLoss looks after the calls of a worker that is lost. The task that it ran is
// lost with it, or tried again; those that it had not started go back to the queue.
func (d *dispatcher) handleLoss() {
	c := d.conn
	unstarted, ran := c.unfinished()
	d.set(nil)
	d.replace = true
	d.p.mu.Lock()
	d.p.lost++                                  // before anybody can know by a task
	if len(ran) == 0 && d.p.life.Err() == nil { // or else it may have been killed because of Stop
		d.p.note(c.lostWhen("between two tasks"))
	}
	d.p.mu.Unlock()
	var again []*core.Call
	for _, v := range ran {
		if v.Lose(c.lostError(v.Call), v.begun) {
			again = append(again, v.Call)
		}
	}
	if c.wasUseful() || len(ran) > 0 {
		d.failures = 0
	} else {
		d.failed(c.lostWhen("before it had done anything"))
	}
	d.p.giveBack(append(again, unstarted...))
	c.release()
}

// share is how many calls the idle worker may steal at a time.
func (d *dispatcher) share() int {
	if most := d.p.cfg.MaxTasksPerWorker; most > 0 {
		return d.room()
	}
	return slots
}

// dismiss removes a dispatcher that has nothing to do, and reports whether it did. It
// does not if calls have come back to the queue and no other dispatcher stays.
func (p *processes) dismiss(d *dispatcher) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	others := slices.ContainsFunc(*p.dispatchers.Load(), func(g *dispatcher) bool { return g != d && !g.leaving })
	if p.broken == nil && p.left() && (!d.leaving || !others) || !d.leaving && !p.closed {
		d.leaving = false
		return false
	}
	p.remove(d)
	return true
}

// remove forgets a dispatcher that ends. The caller holds mu.
func (p *processes) remove(d *dispatcher) {
	dispatchers := slices.DeleteFunc(slices.Clone(*p.dispatchers.Load()), func(g *dispatcher) bool { return g == d })
	p.dispatchers.Store(&dispatchers)
	for _, w := range d.warmers {
		w <- p.refused() // or nil: it is one too many
	}
	d.warmers = nil
	p.sleepers = slices.DeleteFunc(p.sleepers, func(g *dispatcher) bool { return g == d })
	if d.woken {
		p.woken--
		p.wake()
	}
	if p.closed {
		p.endNeedlessStarts()
		for _, g := range dispatchers {
			g.wake() // there may be nothing left for them either
		}
	}
}

// wanted reports whether d is to have a worker although it has no task for it.
func (p *processes) wanted(d *dispatcher) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !d.leaving && p.refused() == nil
}

// endNeedlessStarts ends the starts of workers for which nothing is left to do. The
// caller holds mu.
func (p *processes) endNeedlessStarts() {
	if p.closed && !p.left() && !slices.ContainsFunc(*p.dispatchers.Load(), func(d *dispatcher) bool { return d.current() != nil }) {
		p.cancelNeeded()
	}
}

// wanting returns the context for the start of a worker while there are calls in the
// queue.
func (p *processes) wanting() context.Context {
	if p.needed.Err() != nil {
		return p.life // they have come back since
	}
	return p.needed
}

// cancelQueued cancels what has come back to the queue of an executor that was stopped
// with a cause, where nobody starts a worker for it any more.
func (p *processes) cancelQueued() {
	cause := context.Cause(p.life)
	if cause == nil {
		return
	}
	p.mu.Lock()
	queued := p.empty()
	p.mu.Unlock()
	for _, c := range queued {
		c.Cancel(cause)
	}
}

// startFailed notes that d could not start a worker. If none can be prepared, or
// none can be had and there is no other, the calls fail.
func (p *processes) startFailed(d *dispatcher, err error) {
	var unprepared *fault.InitError
	p.mu.Lock()
	if d.afresh {
		d.afresh, d.failures = false, 1
	}
	alone := !slices.ContainsFunc(*p.dispatchers.Load(), func(g *dispatcher) bool { return g.current() != nil })
	never := p.cfg.OnDemand && p.started == 0
	if d.failures == 1 && !errors.As(err, &unprepared) && (!alone || !never) {
		p.note(err) // no task tells
	}
	switch {
	case errors.As(err, &unprepared):
	case alone && never: // Open would have found it
		err = fmt.Errorf("%w: no worker could be started: %w", fault.ErrBroken, err)
	case d.failures >= maxFailures && alone:
		err = fmt.Errorf("%w: %d starts of a worker have failed in a row, the last with: %w. Resize tries again, and so does another executor", fault.ErrBroken, d.failures, err)
	default:
		p.mu.Unlock()
		return
	}
	p.broken = err
	p.admission.Recheck()
	queued := p.empty()
	p.mu.Unlock()
	for _, c := range queued {
		c.Fail(err, 0, 0)
	}
}
