package backends

import (
	"cmp"
	"context"

	"github.com/f3f4c0de/harness"
)

// send sends calls to the worker, those that were not cancelled. If the worker
// is lost, salvage finds them.
func (c *conn) send(batch []*harness.Call) {
	c.mu.Lock()
	c.sending = batch
	c.mu.Unlock()
	// Who told one to stop, or all, may have found it at no worker. If not, it
	// finds it here from now on.
	stopped := context.Cause(c.feeder.p.life)
	for _, call := range batch {
		if cause := cmp.Or(call.Interrupted(), stopped); cause != nil {
			call.Cancel(cause)
		}
	}
	c.out.mu.Lock()
	added := c.adding[:0]
	var failed []func()
	for i, call := range batch {
		switch ok, err := c.add(call, c.next+uint32(len(added))); {
		case err != nil:
			failed = append(failed, func() { call.Fail(err, 0, 0) })
		case ok:
			added = append(added, call)
		}
		if len(c.out.buf) >= flushBytes {
			c.written(added, batch[i+1:])
			added = added[:0]
		}
	}
	c.written(added, nil)
	clear(added)
	c.adding = added
	c.out.mu.Unlock()
	for _, fail := range failed {
		fail() // which calls callbacks
	}
	c.feeder.p.watch(batch)
}

// add claims a call and adds it to what is written next, or reports that it was
// cancelled. The caller holds out.mu until it has been noted that the call is in
// flight.
func (c *conn) add(call *harness.Call, id uint32) (ok bool, err error) {
	if name := call.Task(); name != c.lastName || call.Batch() != (c.lastIndex&batchTask != 0) {
		index, ok := c.index(call)
		if !ok {
			return false, unknownTask(name)
		}
		c.lastName, c.lastIndex = name, index
	}
	if !call.Claim() {
		return false, nil
	}
	call.Sent(c.feeder.index, c.proc.PID())
	err = c.out.appendLarge(frameTask, call.InputSize(), func(b []byte) ([]byte, error) {
		var header func([]byte) []byte
		if c.header != nil {
			header = func(b []byte) []byte { return c.header(b, call) }
		}
		return call.AppendInput(taskFrame{id: id, task: c.lastIndex}.appendTo(b, header))
	})
	return err == nil, err
}

// index returns by which index the worker knows the call's task.
func (c *conn) index(call *harness.Call) (uint16, bool) {
	index, ok := c.tasks[call.Origin().Name()]
	if call.Batch() {
		index |= batchTask
	}
	return index, ok
}

// written notes that calls are in flight, and what is left to be sent, and writes
// them. The caller holds out.mu.
func (c *conn) written(calls, left []*harness.Call) {
	c.mu.Lock()
	for _, call := range calls {
		c.claims.set(c.next, slotSent)
		c.calls[c.next%slots] = call
		c.next++
	}
	c.sending = left
	c.noted.Broadcast()
	c.mu.Unlock()
	_ = c.out.flush() // if it fails, the worker is lost, and listen ends
}

// flushBytes bounds what is held in memory before it is written.
const flushBytes = 256 << 10
