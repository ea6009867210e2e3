package backends

import (
	"github.com/f3f4c0de/harness/internal/core"
)

// An apart is where calls are whose argument methods of the program's own encode:
// that is done on goroutines of its own, since it may take long, or never end. Its
// fields are guarded by the executor's lock.
type apart struct {
	raw   ring               // not begun
	under map[*core.Call]int // begun, with how often the patrol has come by
	quick int                // those of them that have not taken long so far
}

// slowAfter is how often the patrol comes by until an encoding is one that takes long.
const slowAfter = 2

// queued returns how many calls no worker and no encoding has got to. The caller
// holds mu.
func (p *processes) queued() int { return p.calls.n + p.apart.raw.n }

// left reports whether there are calls that no worker has. The caller holds mu.
func (p *processes) left() bool { return p.queued() > 0 || len(p.apart.under) > 0 }

// lane returns where a call has to wait. The caller holds mu.
func (p *processes) lane(c *core.Call) *ring {
	if foreign, _ := c.Foreign(); foreign && !c.Encoded() {
		return &p.apart.raw
	}
	return &p.calls
}

// encode begins to encode the arguments of up to n calls. No more than there are
// workers are encoded at a time, since they would only slow each other down, unless
// they take long and perhaps only wait. The caller holds mu.
func (p *processes) encode(n int) {
	a := &p.apart
	for n > 0 && a.raw.n > 0 && a.quick < p.size {
		c := a.raw.pop()
		if !c.Encode(func() { p.encoded(c) }) {
			continue // it was cancelled
		}
		if a.under == nil {
			a.under = make(map[*core.Call]int)
		}
		a.under[c] = 0
		a.quick++
		n--
		p.patrol.expect()
	}
}

// encoded puts a call whose encoding has ended first in the queue.
func (p *processes) encoded(c *core.Call) {
	p.mu.Lock()
	if p.apart.under[c] < slowAfter {
		p.apart.quick--
	}
	delete(p.apart.under, c)
	p.mu.Unlock()
	p.giveBack([]*core.Call{c})
}

// lookApart is the part of the patrol that looks after encodings. It reports whether it has to come by again.
func (p *processes) lookApart() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := &p.apart
	for c, seen := range a.under {
		if seen < slowAfter {
			if a.under[c] = seen + 1; seen+1 == slowAfter {
				a.quick--
				p.wake() // others may be begun
			}
		}
	}
	return a.quick > 0
}
