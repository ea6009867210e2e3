package ipc

import (
	"github.com/f3f4c0de/harness/internal/backends/admission"
	"github.com/f3f4c0de/harness/internal/core"
)

// encodings holds the calls whose arguments are encoded by methods of the program's
// own. Each encoding has a goroutine of its own, since it may take long, or never end.
// The executor's lock guards the fields.
type encodings struct {
	pending admission.Queue    // not begun
	running map[*core.Call]int // begun, with how often the watchdog has looked
	quick   int                // those of them that have not taken long so far
}

// slowAfter is how often the watchdog looks until an encoding is one that takes long.
const slowAfter = 2

// queued returns how many calls no worker and no encoding has got to. The caller
// holds mu.
func (p *processes) queued() int { return p.calls.Len() + p.encodings.pending.Len() }

// left reports whether there are calls that no worker has. The caller holds mu.
func (p *processes) left() bool { return p.queued() > 0 || len(p.encodings.running) > 0 }

// queueFor returns where a call has to wait. The caller holds mu.
func (p *processes) queueFor(c *core.Call) *admission.Queue {
	if foreign, _ := c.Foreign(); foreign && !c.Encoded() {
		return &p.encodings.pending
	}
	return &p.calls
}

// encode begins to encode the arguments of up to n calls. No more than there are
// workers are encoded at a time, since they would only slow each other down, unless
// they take long and perhaps only wait. The caller holds mu.
func (p *processes) encode(n int) {
	a := &p.encodings
	for n > 0 && a.pending.Len() > 0 && a.quick < p.size {
		c := a.pending.Pop()
		if !c.Encode(func() { p.encoded(c) }) {
			continue // it was cancelled
		}
		if a.running == nil {
			a.running = make(map[*core.Call]int)
		}
		a.running[c] = 0
		a.quick++
		n--
		p.watchdog.expect()
	}
}

// encoded puts a call whose encoding has ended first in the queue.
func (p *processes) encoded(c *core.Call) {
	p.mu.Lock()
	if p.encodings.running[c] < slowAfter {
		p.encodings.quick--
	}
	delete(p.encodings.running, c)
	p.mu.Unlock()
	p.giveBack([]*core.Call{c})
}

// checkEncodings is the watchdog's look at the encodings: one that takes long no
// longer counts against the bound of encode. It reports whether the watchdog is to look
// again.
func (p *processes) checkEncodings() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := &p.encodings
	for c, seen := range a.running {
		if seen < slowAfter {
			if a.running[c] = seen + 1; seen+1 == slowAfter {
				a.quick--
				p.wake() // others may be begun
			}
		}
	}
	return a.quick > 0
}
