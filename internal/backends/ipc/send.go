package ipc

import (
	"cmp"
	"slices"

	"github.com/f3f4c0de/harness/internal/core"
)

// sendGroup is how many calls are encoded at a time. The others can be taken by
// another worker meanwhile.
const sendGroup = 64

// send sends calls to the worker, those that were not cancelled. If the worker
// is lost, unfinished finds them.
func (c *conn) send(batch []*core.Call) {
	c.mu.Lock()
	c.unsent = append(c.unsent[:0], batch...)
	c.mu.Unlock()
	c.dispatcher.sending(batch)
	// Who told one to stop, or all, may have found it at no worker. If not, it
	// finds it here from now on.
	stopped := c.dispatcher.stopped()
	for _, call := range batch {
		if cause := cmp.Or(call.Interrupted(), stopped); cause != nil {
			call.Cancel(cause)
		}
	}
	for c.sendSome() {
	}
}

// sendSome sends some of what is not sent yet, and reports false if that is nothing.
func (c *conn) sendSome() bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.wait(flushBytes)
	c.mu.Lock()
	n := min(len(c.unsent), sendGroup)
	c.sending = append(c.sending[:0], c.unsent[:n]...)
	c.unsent = slices.Delete(c.unsent, 0, n)
	c.mu.Unlock()
	if n == 0 {
		_ = c.out.flush() // the rest may have been taken by another
		return false
	}
	var failed []func()
	added, done := c.adding[:0], 0
	for _, call := range c.sending {
		done++
		switch ok, err := c.add(call, c.next+uint32(len(added))); {
		case err != nil:
			failed = append(failed, func() { call.Fail(err, 0, 0) })
		case ok:
			added = append(added, call)
		}
		if len(c.out.buf) >= flushBytes {
			break
		}
	}
	c.written(added, done)
	clear(added)
	c.adding = added
	if failed != nil {
		c.out.mu.Unlock()
		for _, fail := range failed {
			fail()
		}
		c.out.mu.Lock()
	}
	return true
}

// add claims a call and adds it to what is written next, or reports that it was
// cancelled. The caller holds out.mu until it has been noted that the call is in
// flight.
func (c *conn) add(call *core.Call, id uint32) (ok bool, err error) {
	if name := call.TaskName(); name != c.lastName {
		index, ok := c.tasks[name]
		if !ok {
			return false, unknownTask(name)
		}
		c.lastName, c.lastIndex = name, index
	}
	index := c.lastIndex
	if call.Batch() {
		index |= batchTask
	}
	if !call.Claim() {
		return false, nil
	}
	call.Sent(c.index, c.pid())
	err = c.out.appendLarge(frameTask, call.InputSize(), func(b []byte) ([]byte, error) {
		var header func([]byte) []byte
		if c.header != nil {
			header = func(b []byte) []byte { return c.header(b, call) }
		}
		return call.AppendInput(taskFrame{id: id, task: index}.appendTo(b, header))
	})
	return err == nil, err
}

// written notes that calls are in flight, after so many of those that were to be
// sent were looked at, and writes them once there are enough, or no more. The caller
// holds out.mu.
func (c *conn) written(calls []*core.Call, done int) {
	c.mu.Lock()
	for _, call := range calls {
		if call.Batch() {
			c.shared.items[c.next%slots].Store(core.Items(call.Sending()))
		}
		state := stateSent
		if limit := call.TimeLimit(); limit > 0 {
			state |= timed
			c.limitTime(c.next, call, limit)
		}
		c.shared.set(c.next, state)
		c.calls[c.next%slots] = call
		c.next++
	}
	if left := c.sending[done:]; len(left) > 0 {
		c.unsent = slices.Insert(c.unsent, 0, left...)
	}
	clear(c.sending)
	c.sending = c.sending[:0]
	c.noted.Broadcast()
	last := len(c.unsent) == 0
	c.mu.Unlock()
	large := len(c.out.buf) > pipeBytes
	if large {
		c.dispatcher.offer() // this may take long, if the worker does not read
	}
	if last || large {
		_ = c.out.flush() // if it fails, the worker is lost, and listen ends
	}
}

// pipeBytes is what a pipe holds at least, so that writing so much to a worker that
// reads takes no time.
const pipeBytes = 32 << 10

// flushBytes bounds what is held in memory before it is written.
const flushBytes = 256 << 10
