package backends

import (
	"sync"

	"github.com/f3f4c0de/harness"
)

// A queue holds the calls that wait for a worker, first in, first out. It has
// no bound, because Submit promises not to wait for a free worker.
type queue struct {
	mu       sync.Mutex
	nonEmpty sync.Cond
	ring     []*harness.Call // length is a power of two
	head     int             // index of the oldest
	n        int             // calls held
	idle     int             // workers that wait in pop
	closed   bool
}

func (q *queue) init() {
	q.nonEmpty.L = &q.mu
	q.ring = make([]*harness.Call, 64)
}

// push appends c, unless the queue is closed.
func (q *queue) push(c *harness.Call) bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = c
	q.n++
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
	for q.n == 0 {
		if q.closed {
			return nil, false
		}
		q.idle++
		q.nonEmpty.Wait()
		q.idle--
	}
	c := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return c, true
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.nonEmpty.Broadcast()
}

func (q *queue) grow() {
	ring := make([]*harness.Call, 2*len(q.ring))
	n := copy(ring, q.ring[q.head:])
	copy(ring[n:], q.ring[:q.head])
	q.ring, q.head = ring, 0
}
