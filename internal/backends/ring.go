package backends

import (
	"github.com/f3f4c0de/harness/internal/core"
)

// A ring holds calls, first in, first out, and grows as needed. A call may also
// be put back in front. It is not safe for concurrent use.
type ring struct {
	buf  []*core.Call // length is a power of two
	head int          // index of the oldest
	n    int
}

func (r *ring) push(c *core.Call) {
	if r.n == len(r.buf) {
		r.grow()
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = c
	r.n++
}

func (r *ring) pushFront(c *core.Call) {
	if r.n == len(r.buf) {
		r.grow()
	}
	r.head = (r.head - 1) & (len(r.buf) - 1)
	r.buf[r.head] = c
	r.n++
}

// pop removes the oldest call; there must be one.
func (r *ring) pop() *core.Call {
	c := r.buf[r.head]
	r.buf[r.head] = nil
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	return c
}

// at returns the i-th oldest call.
func (r *ring) at(i int) *core.Call { return r.buf[(r.head+i)&(len(r.buf)-1)] }

// first makes the i-th oldest call the oldest.
func (r *ring) first(i int) {
	c := r.at(i)
	for ; i > 0; i-- {
		r.buf[(r.head+i)&(len(r.buf)-1)] = r.at(i - 1)
	}
	r.buf[r.head] = c
}

func (r *ring) grow() {
	buf := make([]*core.Call, max(64, 2*len(r.buf)))
	n := copy(buf, r.buf[r.head:])
	copy(buf[n:], r.buf[:r.head])
	r.buf, r.head = buf, 0
}
