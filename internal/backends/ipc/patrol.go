package ipc

import (
	"sync/atomic"
	"time"
)

// stallAfter is how often it is looked after calls that were sent and have not
// begun although nothing has happened.
const stallAfter = 20 * time.Millisecond

// A patrol looks after workers that may stand still, as long as there are calls in
// flight: one timer for all, which costs who sends a call one load. A timer of the
// call's own would wake a thread each time it is set.
type patrol struct {
	timer *time.Timer // set before anybody calls expect
	due   atomic.Bool
}

// expect has the workers looked after from now on. Safe for concurrent use.
func (t *patrol) expect() {
	if !t.due.Load() && t.due.CompareAndSwap(false, true) {
		t.timer.Reset(stallAfter)
	}
}

// look offers what a worker has been sent and has not begun to those with nothing to
// do, has those look from whom all was taken, and ends writes that nobody needs.
func (p *processes) look() {
	p.patrol.due.Store(false) // first, so that what is sent from now on is looked after later
	busy, waiting := p.lookApart(), false
	for _, f := range *p.feeders.Load() {
		c := f.current()
		if c == nil {
			continue
		}
		if c.age() {
			f.wake() // it may have to end
		}
		busy = c.unblock() || c.busy(1) || busy
		waiting = waiting || c.waiting() > 0
	}
	if waiting {
		p.wakeAll()
	}
	if busy {
		p.patrol.expect()
	}
}

// patience is how often the patrol has to come by until what a worker is about to
// start is given to another: twice as often each time that this has happened since a
// task was done.
func (p *processes) patience() int { return 2 << min(p.thefts.Load(), 6) }

// unblock ends the write that goes on if nobody wants what is written and the worker
// is not needed any more. It reports whether it is to be asked again.
func (c *conn) unblock() (again bool) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock() // until then the write has not ended, and so the memory is shared
	writing := c.out.writing
	if writing && !c.busy(1) && c.feeder.p.dispensable(c.feeder) {
		c.hangUp()
		return false
	}
	return writing
}
