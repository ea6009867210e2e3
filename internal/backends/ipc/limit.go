package ipc

import (
	"time"

	"github.com/f3f4c0de/harness/internal/core"
)

// A timeLimit is that of a call in flight. It is the submitter who decides when the
// limit has passed: a worker that computes, or was stopped, could not.
type timeLimit struct {
	timer *time.Timer
	since core.Stamp // when the call was found to run; only where stamps of processes do not compare
}

// limitTick is how often it is looked, at most, whether a call with a very short limit
// has been started.
const limitTick = 5 * time.Millisecond

// limitTime sees to the time limit of a call that is sent. A task that starts later
// than now cannot have reached its limit before the timer fires. The caller holds mu.
func (c *conn) limitTime(id uint32, call *core.Call, limit time.Duration) {
	if c.limits == nil {
		c.limits = make(map[uint32]*timeLimit)
	}
	c.limits[id] = &timeLimit{timer: time.AfterFunc(limit, func() { c.checkLimit(id, call) })}
}

// checkLimit tells the call that its time limit has passed, if it has, or else sets the
// timer again, to the moment before which it cannot.
func (c *conn) checkLimit(id uint32, call *core.Call) {
	c.mu.Lock()
	l := c.limits[id]
	if l == nil || c.over || c.calls[id%slots] != call {
		delete(c.limits, id) // it is done, or was withdrawn
		c.mu.Unlock()
		return
	}
	left := call.TimeLimit()
	if at, ok := c.shared.startedAt(id); !ok {
		left = max(left, limitTick)
	} else {
		if !core.StampsCompare {
			if l.since == 0 {
				l.since = core.Now()
			}
			at = l.since
		}
		left -= core.Now().Sub(at)
	}
	if left > 0 {
		l.timer.Reset(left)
		c.mu.Unlock()
		return
	}
	delete(c.limits, id)
	c.mu.Unlock()
	call.Expire()
}

// endLimit stops the timer of a call that is answered. The caller holds mu.
func (c *conn) endLimit(id uint32) {
	if l := c.limits[id]; l != nil {
		l.timer.Stop()
		delete(c.limits, id)
	}
}
