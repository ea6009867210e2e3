package ipc

import (
	"slices"

	"github.com/f3f4c0de/harness/internal/core"
)

// maxExtra bounds the extra workers.
const maxExtra = 64

// pending reports whether there are calls that have not begun. The queues that tasks
// wait for are in this process, so it is known here which worker waits. The caller
// holds mu.
func (p *processes) pending() bool {
	return p.broken == nil && (p.left() || slices.ContainsFunc(*p.dispatchers.Load(), func(d *dispatcher) bool {
		c := d.current()
		return c != nil && c.waiting() > 0
	}))
}

// resolveDeadlock is for [admission.DeadlockWatch]. It starts an extra worker, beyond
// those that there are to be, for the first call that may end the deadlock, wherever
// that call waits. The worker ends when the call is done. The caller holds mu.
func (p *processes) resolveDeadlock(s *core.WaitSnapshot) (refuse func()) {
	dispatchers := *p.dispatchers.Load()
	if len(dispatchers) >= p.size+maxExtra {
		return nil
	}
	for i := range p.calls.Len() {
		if _, ok := p.calls.At(i).MayEnd(s); ok {
			p.calls.MoveToFront(i)
			p.startExtra(dispatchers)
			return nil
		}
	}
	for _, d := range dispatchers {
		if c := d.current(); c != nil {
			if call := c.takeBack(func(call *core.Call) bool { _, ok := call.MayEnd(s); return ok }); call != nil {
				p.calls.PushFront(call)
				p.startExtra(dispatchers)
				return nil
			}
		}
	}
	return nil
}

func (p *processes) startExtra(dispatchers []*dispatcher) {
	d := p.newDispatcher(freeIndex(dispatchers))
	d.extra = true
	dispatchers = append(slices.Clone(dispatchers), d)
	p.dispatchers.Store(&dispatchers)
	p.running.Go(d.run)
}

// takeBack takes back the first call for which may is true of those that the worker
// has been sent and has not begun, or returns nil.
func (c *conn) takeBack(may func(*core.Call) bool) *core.Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := c.done; id != c.next; id++ {
		if call := c.calls[id%slots]; call != nil && c.shared.state(id) == stateSent && may(call) && c.shared.withdraw(id) {
			c.calls[id%slots] = nil
			c.limitItems(id, call)
			call.Unclaim()
			return call
		}
	}
	return nil
}
