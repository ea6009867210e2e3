package backends

import (
	"slices"

	"github.com/f3f4c0de/harness/internal/core"
)

// maxSpares bounds the workers that are started beyond those that there are to be.
const maxSpares = 64

// standing is how processes watch for a standstill: the queues that tasks wait for
// are in this process, so that it is known here which worker waits.
func (p *processes) standing() standstill {
	return standstill{mu: &p.mu, crew: &p.crew, queued: p.pending, mend: p.mend}
}

// pending reports whether there are calls that have not begun. The caller holds mu.
func (p *processes) pending() bool {
	return p.broken == nil && (p.left() || slices.ContainsFunc(*p.feeders.Load(), func(f *feeder) bool {
		c := f.current()
		return c != nil && c.waiting() > 0
	}))
}

// mend implements standstill: it starts a worker more than there are to be for the
// first call that may end the standstill, wherever that waits. The worker ends when
// the call is done. The caller holds mu.
func (p *processes) mend(s *core.Standstill) (refuse func()) {
	feeders := *p.feeders.Load()
	if len(feeders) >= p.size+maxSpares {
		return nil
	}
	for i := range p.calls.n {
		if _, ok := p.calls.at(i).MayEnd(s); ok {
			p.calls.first(i)
			p.startSpare(feeders)
			return nil
		}
	}
	for _, f := range feeders {
		if c := f.current(); c != nil {
			if call := c.takeBack(func(call *core.Call) bool { _, ok := call.MayEnd(s); return ok }); call != nil {
				p.calls.pushFront(call)
				p.startSpare(feeders)
				return nil
			}
		}
	}
	return nil
}

func (p *processes) startSpare(feeders []*feeder) {
	f := p.newFeeder(freeIndex(feeders))
	f.spare = true
	feeders = append(slices.Clone(feeders), f)
	p.feeders.Store(&feeders)
	p.running.Go(f.run)
}

// takeBack takes back the first call for which may is true of those that the worker
// has been sent and has not begun, or returns nil.
func (c *conn) takeBack(may func(*core.Call) bool) *core.Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := c.done; id != c.next; id++ {
		if call := c.calls[id%slots]; call != nil && c.claims.state(id) == slotSent && may(call) && c.claims.withdraw(id) {
			c.calls[id%slots] = nil
			c.limitItems(id, call)
			call.Unclaim()
			return call
		}
	}
	return nil
}
