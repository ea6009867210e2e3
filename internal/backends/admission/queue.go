package admission

import (
	"github.com/f3f4c0de/harness/internal/core"
)

// A Queue holds calls, first in, first out, and grows as needed. A call may also
// be put back at the front. The zero Queue is empty. It is not safe for concurrent
// use: the executor's lock guards it.
type Queue struct {
	buf  []*core.Call // a ring; its length is a power of two
	head int          // index of the oldest
	n    int
}

// Len returns how many calls are in the queue.
func (q *Queue) Len() int { return q.n }

// Push adds a call at the end.
func (q *Queue) Push(c *core.Call) {
	if q.n == len(q.buf) {
		q.grow()
	}
	q.buf[(q.head+q.n)&(len(q.buf)-1)] = c
	q.n++
}

// PushFront adds a call at the front: it is the next to be popped.
func (q *Queue) PushFront(c *core.Call) {
	if q.n == len(q.buf) {
		q.grow()
	}
	q.head = (q.head - 1) & (len(q.buf) - 1)
	q.buf[q.head] = c
	q.n++
}

// Pop removes the oldest call. There must be one.
func (q *Queue) Pop() *core.Call {
	c := q.buf[q.head]
	q.buf[q.head] = nil
	q.head = (q.head + 1) & (len(q.buf) - 1)
	q.n--
	return c
}

// At returns the i-th oldest call, counted from 0.
func (q *Queue) At(i int) *core.Call { return q.buf[(q.head+i)&(len(q.buf)-1)] }

// MoveToFront makes the i-th oldest call the oldest.
func (q *Queue) MoveToFront(i int) {
	c := q.At(i)
	for ; i > 0; i-- {
		q.buf[(q.head+i)&(len(q.buf)-1)] = q.At(i - 1)
	}
	q.buf[q.head] = c
}

func (q *Queue) grow() {
	buf := make([]*core.Call, max(64, 2*len(q.buf)))
	n := copy(buf, q.buf[q.head:])
	copy(buf[n:], q.buf[:q.head])
	q.buf, q.head = buf, 0
}
