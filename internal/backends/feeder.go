package backends

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
)

// A feeder supplies one worker, and starts its process: when the executor is
// opened, and again after that was lost, or has ended because it had done its
// share or had nothing to do.
type feeder struct {
	p     *processes
	index int
	kick  chan struct{} // something has changed

	mu   sync.Mutex
	conn *conn // nil while there is no process; only run and Open change it

	replace  bool      // the process was lost, or could not be started: another is due
	failures int       // starts in a row after which no task was done
	again    time.Time // when the next is due

	afresh  bool // Resize has it try again; guarded by p.mu
	leaving bool // there are too many workers; guarded by p.mu
	spare   bool // it is for one call, and then leaves
	woken   bool // by p.wake; guarded by p.mu
}

func (p *processes) newFeeder(index int) *feeder {
	return &feeder{p: p, index: index, kick: make(chan struct{}, 1)}
}

// A prospect is what a feeder that found no calls can expect.
type prospect int

const (
	open    prospect = iota // more may come
	closing                 // what others have is all there is
	due                     // there are some, for which a worker must be started first
	leaving                 // it is one too many
)

func (f *feeder) wake() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

func (f *feeder) current() *conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conn
}

func (f *feeder) set(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conn = c
}

// run supplies the worker until the executor is closed and nothing is left, or
// there are too many workers.
func (f *feeder) run() {
	var batch []*core.Call
	for {
		if f.conn != nil {
			f.conn.out.flushNow()
			if f.conn.isLost() {
				f.bury()
			}
		}
		if f.conn != nil && f.conn.spent() {
			f.retire()
		}
		pause := f.pause()
		if f.replace && pause <= 0 && f.p.wanted(f) {
			f.restart(f.p.needed)
			pause = f.pause()
		}
		// A worker that stands still has no room and may have nothing left. Who has
		// no worker may have been woken instead of another.
		if room := max(f.room(), 0); room > 0 || f.conn == nil || !f.conn.busy(1) {
			var more prospect
			batch, more = f.p.take(f, room, batch[:0])
			idle := len(batch) == 0 && (f.conn == nil || !f.conn.busy(1))
			switch {
			case more == due:
				if !f.restart(f.p.wanting()) {
					f.p.cancelQueued()
				}
				continue
			case !idle || more == leaving:
			case room > 0:
				batch = f.p.steal(f.share(), batch)
			case f.startable() && f.p.stealable():
				f.restart(f.p.needed)
				continue
			}
			switch {
			case len(batch) > 0:
				f.supply(batch)
				clear(batch)
				continue
			case idle && more != open:
				f.retire()
				if f.p.dismiss(f) {
					return
				}
				continue
			}
		}
		f.sleep(pause)
	}
}

// room is how many calls the worker can be sent now.
func (f *feeder) room() int {
	switch {
	case f.conn != nil:
		return f.conn.room()
	case f.spare:
		return 1
	}
	return 0 // a start may take long, and others could do them meanwhile
}

// startable reports whether it has no worker, and may start one for whatever calls
// there are.
func (f *feeder) startable() bool { return f.conn == nil && !f.spare && f.pause() <= 0 }

// supply sends calls to the worker. A spare starts it for them: if that fails they
// go back to the queue.
func (f *feeder) supply(batch []*core.Call) {
	if f.conn == nil && !f.restart(f.p.life) {
		if cause := context.Cause(f.p.life); cause != nil {
			for _, c := range batch {
				c.Cancel(cause)
			}
			return
		}
		f.p.giveBack(batch)
		return
	}
	if f.spare {
		f.p.mu.Lock()
		f.spare, f.leaving = false, true
		f.p.mu.Unlock()
	}
	f.conn.send(batch)
	if f.conn.busy(2) {
		f.p.wakeAll()
	}
}

// restart starts a process for the worker once more.
func (f *feeder) restart(ctx context.Context) bool {
	defer time.AfterFunc(slowStart, func() { f.p.passOn(f) }).Stop()
	err := f.start(ctx)
	if err != nil && ctx.Err() == nil {
		f.failed(fmt.Errorf("replacing worker %d: %w", f.index, err))
	}
	f.replace = err != nil
	return err == nil
}

// slowStart is when a start takes long: somebody else is to do what it is for.
const slowStart = time.Second

// passOn wakes another feeder in the place of f.
func (p *processes) passOn(f *feeder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.woken {
		f.woken = false
		p.woken--
		p.wake()
	}
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
func (f *feeder) failed(err error) {
	f.failures++
	f.again = time.Now().Add(min(firstPause<<min(f.failures-1, 16), lastPause))
	f.p.startFailed(f, err)
}

// pause returns how long to wait until the worker may be started again.
func (f *feeder) pause() time.Duration {
	if f.failures == 0 {
		return 0
	}
	return time.Until(f.again)
}

// sleep waits until something has changed, or until the worker may be started
// again, which was not yet when there was that long to go. After the idle timeout it
// ends a worker that has nothing to do.
func (f *feeder) sleep(pause time.Duration) {
	var timeout time.Duration
	switch {
	case f.conn == nil:
		timeout = pause
	case f.p.cfg.IdleTimeout > 0 && !f.conn.busy(1):
		timeout = f.p.cfg.IdleTimeout
	}
	if timeout <= 0 {
		<-f.kick
		return
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-f.kick:
	case <-t.C:
		f.retire()
	}
}

// retire ends the worker, if there is one, in good order. Nothing is in flight.
func (f *feeder) retire() {
	if err := f.end(); err != nil {
		f.p.mu.Lock()
		defer f.p.mu.Unlock()
		f.p.note(err)
	}
}

func (f *feeder) end() error {
	c := f.conn
	if c == nil {
		return nil
	}
	err := c.end()
	f.set(nil)
	c.release()
	return err
}

// bury looks after the calls of a worker that is lost. The task that it ran is
// lost with it, or tried again; those that it had not started go back to the queue.
func (f *feeder) bury() {
	c := f.conn
	unstarted, ran := c.salvage()
	f.set(nil)
	f.replace = true
	f.p.mu.Lock()
	f.p.lost++                                  // before anybody can know by a task
	if len(ran) == 0 && f.p.life.Err() == nil { // or else it may have been killed because of Stop
		f.p.note(fmt.Errorf("worker %d (pid %d) was lost between two tasks: %s", f.index, c.proc.PID(), c.exit.Cause))
	}
	f.p.mu.Unlock()
	var again []*core.Call
	for _, v := range ran {
		if v.Lose(c.lostError(v.Call), v.begun) {
			again = append(again, v.Call)
		}
	}
	if c.wasUseful() || len(ran) > 0 {
		f.failures = 0
	} else {
		f.failed(fmt.Errorf("worker %d (pid %d) was lost before it had done anything: %s", f.index, c.proc.PID(), c.exit.Cause))
	}
	f.p.giveBack(append(again, unstarted...))
	c.release()
}

// share is how many calls an idle worker may be given of what others have.
func (f *feeder) share() int {
	if most := f.p.cfg.MaxTasksPerWorker; most > 0 {
		return f.room()
	}
	return slots
}

// dismiss forgets a feeder that has nothing to do, and reports whether it did:
// calls may have come back meanwhile, and it may be the last that is left.
func (p *processes) dismiss(f *feeder) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	others := slices.ContainsFunc(*p.feeders.Load(), func(g *feeder) bool { return g != f && !g.leaving })
	if p.broken == nil && p.left() && (!f.leaving || !others) || !f.leaving && !p.closed {
		f.leaving = false
		return false
	}
	p.remove(f)
	return true
}

// remove forgets a feeder that ends. The caller holds mu.
func (p *processes) remove(f *feeder) {
	feeders := slices.DeleteFunc(slices.Clone(*p.feeders.Load()), func(g *feeder) bool { return g == f })
	p.feeders.Store(&feeders)
	p.sleepers = slices.DeleteFunc(p.sleepers, func(g *feeder) bool { return g == f })
	if f.woken {
		p.woken--
		p.wake()
	}
	if p.closed {
		p.slacken()
		for _, g := range feeders {
			g.wake() // there may be nothing left for them either
		}
	}
}

// wanted reports whether f is to have a worker although it has no task for it.
func (p *processes) wanted(f *feeder) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !f.leaving && p.refused() == nil
}

// slacken ends the starts of workers for which nothing is left to do. The caller holds
// mu.
func (p *processes) slacken() {
	if p.closed && !p.left() && !slices.ContainsFunc(*p.feeders.Load(), func(f *feeder) bool { return f.current() != nil }) {
		p.enough()
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

// startFailed notes that f could not start a worker. If none can be prepared, or
// none can be had and there is no other, the calls fail.
func (p *processes) startFailed(f *feeder, err error) {
	var unprepared *fault.InitError
	p.mu.Lock()
	if f.afresh {
		f.afresh, f.failures = false, 1
	}
	if f.failures == 1 && !errors.As(err, &unprepared) {
		p.note(err) // no task tells
	}
	alone := !slices.ContainsFunc(*p.feeders.Load(), func(g *feeder) bool { return g.current() != nil })
	switch {
	case errors.As(err, &unprepared):
	case f.failures >= maxFailures && alone:
		err = fmt.Errorf("%w: %d starts of a worker have failed in a row, the last with: %w. Resize tries again, and so does another executor", fault.ErrBroken, f.failures, err)
	default:
		p.mu.Unlock()
		return
	}
	p.broken = err
	p.door.shut()
	queued := p.empty()
	p.mu.Unlock()
	for _, c := range queued {
		c.Fail(err, 0, 0)
	}
}
