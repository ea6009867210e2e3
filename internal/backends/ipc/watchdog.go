package ipc

import (
	"sync/atomic"
	"time"
)

// watchdogPeriod is how often the watchdog looks at calls that were sent and have not
// begun.
const watchdogPeriod = 20 * time.Millisecond

// A watchdog looks for workers that stand still, as long as calls are in flight. It is
// one timer for all workers, which costs the sender of a call one load. A timer of the
// call's own would wake a thread each time it is set.
type watchdog struct {
	timer *time.Timer // set before anybody calls expect
	due   atomic.Bool
}

// expect has the watchdog look from now on. Safe for concurrent use.
func (t *watchdog) expect() {
	if !t.due.Load() && t.due.CompareAndSwap(false, true) {
		t.timer.Reset(watchdogPeriod)
	}
}

// check offers what a worker has been sent and has not begun to workers with nothing to
// do, wakes the dispatchers from whose workers all was taken, and ends writes that
// nobody needs.
func (p *processes) check() {
	p.watchdog.due.Store(false) // first, so that what is sent from now on is seen by the next check
	busy, waiting := p.checkEncodings(), false
	for _, d := range *p.dispatchers.Load() {
		c := d.current()
		if c == nil {
			continue
		}
		if c.age() {
			d.wake() // it may have to end
		}
		busy = c.unblock() || c.busy(1) || busy
		waiting = waiting || c.waiting() > 0
	}
	if waiting {
		p.wakeAll()
	}
	if busy {
		p.watchdog.expect()
	}
}

// patience is how often the watchdog has to look until a call that a worker is about
// to start is given to another worker: twice as often each time that this has happened
// since a task was done.
func (p *processes) patience() int { return 2 << min(p.steals.Load(), 6) }

// unblock ends the write that goes on if nobody wants what is written and the worker
// is not needed any more. It reports whether it is to be asked again.
func (c *conn) unblock() (again bool) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock() // until then the write has not ended, and so the memory is shared
	writing := c.out.writing
	if writing && !c.busy(1) && c.dispatcher.dispensable() {
		c.hangUp()
		return false
	}
	return writing
}
