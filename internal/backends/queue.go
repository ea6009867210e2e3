package backends

import (
	"sync"

	"github.com/f3f4c0de/harness"
)

// A queue holds the calls that wait for a worker of this process, first in,
// first out. It has no bound, because Submit promises not to wait for a free
// worker.
type queue struct {
	mu       sync.Mutex
	nonEmpty sync.Cond
	calls    ring
	idle     int // workers that wait in pop
	closed   bool
}

func (q *queue) init() { q.nonEmpty.L = &q.mu }

// push appends c, unless the queue is closed.
func (q *queue) push(c *harness.Call) bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	q.calls.push(c)
	wake := q.idle > 0
	q.mu.Unlock()
	if wake {
		q.nonEmpty.Signal()
	}
	return true
}

// pop removes the oldest call. It blocks while the queue is empty, and reports
// false once it is closed and empty.
func (q *queue) pop() (*harness.Call, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.calls.n == 0 {
		if q.closed {
			return nil, false
		}
		q.idle++
		q.nonEmpty.Wait()
		q.idle--
	}
	return q.calls.pop(), true
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.nonEmpty.Broadcast()
}
