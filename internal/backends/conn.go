package backends

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
)

const (
	// endTimeout is how long a worker may take to end after its last task, and
	// stillTimeout how long it may neither compute nor wait for a processor then.
	endTimeout   = 30 * time.Second
	stillTimeout = 5 * time.Second
	endTick      = 50 * time.Millisecond

	// ahead is how much work a worker should have been sent, at least: enough
	// for many short tasks to cross in one write, and for its parent to be
	// scheduled late on processors that are all busy.
	ahead = 2 * time.Millisecond
	// least is one task to run and one to go on with.
	least = 2
)

// A conn is the submitter's end of the conversation with one worker process.
type conn struct {
	feeder *feeder
	proc   *child.Process
	self   *core.Worker // as which its task waits for queues
	claims *shared
	tasks  map[string]uint16 // index by name
	header func(b []byte, c *core.Call) []byte
	watch  *core.ProcessObserver
	out    *frameWriter
	// Guarded by out.mu: what add found last, and what it has added.
	lastName  string
	lastIndex uint16
	adding    []*core.Call

	spawn core.ProcessExit // what is known so far

	lost chan struct{} // closed once nothing more comes from the worker, with exit set
	exit child.Exit

	ctx     context.Context // ends with the conn: what queues are asked with
	cancel  context.CancelFunc
	endOnce func() error

	mu          sync.Mutex
	unsent      []*core.Call              // what send has not got to
	sending     []*core.Call              // what it encodes, and has not yet noted in calls
	noted       sync.Cond                 // sending is empty
	answered    atomic.Pointer[core.Call] // what result is about to complete
	calls       [slots]*core.Call         // those sent and not answered, by id; nil if withdrawn
	first       uint32                    // id of the first, after what prepared the worker
	next        uint32                    // id of the next to be sent
	done        uint32                    // id of the next to be answered
	window      uint32                    // how many the worker should have at a time
	mean        float64                   // nanoseconds of a task, lately
	useful      bool                      // a task was done
	seen        uint32                    // done when the patrol came by last
	stale       int                       // how often it has found nothing done since, and something waiting
	robbed      bool                      // something was withdrawn, and the feeder has not been told
	graces      map[uint32]*time.Timer    // running out for tasks that were told to stop, by id
	asks        map[uint32]context.CancelFunc
	replies     map[uint32]chan answerFrame
	lastRequest uint32
	over        bool // nothing more comes from the worker
}

func (c *conn) isLost() bool {
	select {
	case <-c.lost:
		return true
	default:
		return false
	}
}

// room returns how many more calls the worker should be sent now: none until
// half of what it should have is done, so that they go in batches.
func (c *conn) room() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.next - c.done
	if n > c.window/2 || c.over {
		return 0
	}
	if most := c.feeder.p.cfg.MaxTasksPerWorker; most > 0 {
		return min(int(c.window-n), most-int(c.next-c.first))
	}
	return int(c.window - n)
}

// spent reports whether the worker has done all that one may do.
func (c *conn) spent() bool {
	most := c.feeder.p.cfg.MaxTasksPerWorker
	c.mu.Lock()
	defer c.mu.Unlock()
	return most > 0 && int(c.next-c.first) >= most && c.next == c.done
}

// busy reports whether the worker has been sent, or is being sent, so many calls at
// least that are not answered. What was taken back is none of them.
func (c *conn) busy(least int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.sending) + len(c.unsent)
	for id := c.done; id != c.next && n < least; id++ {
		if c.calls[id%slots] != nil {
			n++
		}
	}
	return n >= least
}

func (c *conn) wasUseful() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.useful
}

// waiting returns how many calls the worker has been sent and has not started.
func (c *conn) waiting() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, _ = c.count()
	return n
}

// offers returns how many calls an idle worker may be given of those that the worker
// has been sent and has not started. One that the worker is about to start is none of
// them, unless the patrol has found that it did not so often, and then it is stuck:
// two workers that are slow to start would take it from each other for ever.
func (c *conn) offers(patience int) (n int, stuck bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, running := c.count()
	if n > 1 || running {
		return n, false
	}
	if c.stale < patience {
		return 0, false
	}
	return n, n > 0
}

// count returns how many calls the worker has been sent and has not started, and
// whether it runs one. The caller holds mu.
func (c *conn) count() (n int, running bool) {
	for id := c.done; id != c.next; id++ {
		if c.calls[id%slots] == nil {
			continue
		}
		switch c.claims.state(id) {
		case slotSent:
			n++
		case slotStarted:
			running = true
		}
	}
	return n + len(c.unsent), running
}

// age notes that the patrol has come by. It reports whether all that the worker had
// has been taken from it since.
func (c *conn) age() (robbed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, running := c.count()
	if n > 0 && c.done == c.seen {
		c.stale++
	} else {
		c.stale = 0
	}
	c.seen = c.done
	if robbed = c.robbed && n == 0 && !running; robbed {
		c.robbed = false
	}
	return robbed
}

// running reports whether the worker runs a call.
func (c *conn) running() (running bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, running = c.count()
	return running
}

// sent returns the calls that the worker has been sent and has not answered, and
// those that it is being sent.
func (c *conn) sent() (calls []*core.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := c.done; id != c.next; id++ {
		if call := c.calls[id%slots]; call != nil {
			calls = append(calls, call)
		}
	}
	return append(append(calls, c.sending...), c.unsent...)
}

// cancelAll cancels the calls that the worker has been sent, the last ones
// first, so that it does not begin one when it is told to stop another.
//
// A worker that has not answered for all of them after the grace period is
// killed, even if it runs none: it may have been stopped.
func (c *conn) cancelAll(cause error) {
	for _, call := range slices.Backward(c.sent()) {
		call.Cancel(cause)
	}
	grace := c.feeder.p.cfg.CancelGrace
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := c.next - 1; grace >= 0 && c.next != c.done && !c.over && c.graces[last] == nil {
		c.graces[last] = time.AfterFunc(grace, c.proc.Kill)
	}
}

// withdraw takes back up to n calls that the worker has not started, the last
// ones first, and appends them to batch in the order in which they were sent. What
// was not sent yet, because the worker does not read, is the first to be taken.
func (c *conn) withdraw(n int, batch []*core.Call) []*core.Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := len(batch)
	for last := len(c.unsent) - 1; last >= 0 && len(batch)-from < n; last-- {
		batch = append(batch, c.unsent[last])
		c.unsent[last] = nil
		c.unsent = c.unsent[:last]
	}
	for id := c.next - 1; id != c.done-1 && len(batch)-from < n; id-- {
		if call := c.calls[id%slots]; call != nil && c.claims.withdraw(id) {
			c.calls[id%slots] = nil
			c.limitItems(id, call)
			call.Unclaim()
			batch = append(batch, call)
		}
	}
	slices.Reverse(batch[from:])
	c.robbed = len(batch) > from || c.robbed
	return batch
}

// limitItems tells a batch how many of its arguments were left to the worker, and
// returns how many of them that has begun.
func (c *conn) limitItems(id uint32, call *core.Call) (begun int) {
	if !call.Batch() {
		return 1
	}
	begun, end := core.SplitItems(c.claims.items[id%slots].Load())
	call.Limit(end)
	return begun
}

// cut takes back the arguments of a batch that runs which the worker has not begun,
// and returns how many are left.
func (c *conn) cut(call *core.Call) (left int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, found := c.find(call)
	if !found || c.claims.state(id) != slotStarted {
		return 0, false
	}
	left, ok = core.CutItems(&c.claims.items[id%slots])
	return call.Before() + left, ok
}

// find returns the id under which the call is in flight. The caller holds mu.
func (c *conn) find(call *core.Call) (id uint32, ok bool) {
	for id := c.done; id != c.next; id++ {
		if c.calls[id%slots] == call {
			return id, true
		}
	}
	return 0, false
}

// textOf returns what the cause of a cancellation says, unless its method panics,
// ends the goroutine or takes long.
func textOf(err error) string {
	const unsaid = "cancelled"
	switch err { //nolint:errorlint // these very ones
	case fault.ErrCancelled, context.Canceled, context.DeadlineExceeded:
		return err.Error()
	}
	said := make(chan string, 1)
	go func() {
		text := unsaid
		defer func() {
			_ = recover()
			said <- text
		}()
		text = err.Error()
	}()
	late := time.NewTimer(textTimeout)
	defer late.Stop()
	select {
	case text := <-said:
		return text
	case <-late.C:
		return unsaid
	}
}

// textTimeout bounds how long the method of a cause may take.
const textTimeout = 10 * time.Millisecond

func (c *conn) started(call *core.Call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.find(call)
	return ok && c.claims.state(id) == slotStarted || c.answered.Load() == call
}

// abort takes the call back if it has not started, and else passes on that it
// is to stop, and what the cause says. If it does not within the grace period, the
// worker is killed.
func (c *conn) abort(call *core.Call, cause string) (found, neverRan bool) {
	c.mu.Lock()
	id, found := c.find(call)
	for !found && slices.Contains(c.sending, call) {
		c.noted.Wait() // nobody may touch the argument before it has been encoded
		id, found = c.find(call)
	}
	if found && c.claims.withdraw(id) {
		c.calls[id%slots] = nil
		neverRan = true
		c.feeder.wake() // it may have nothing left
	}
	if found && !neverRan {
		c.limit(id, call)
	}
	c.mu.Unlock()
	if found && !neverRan {
		_ = c.out.add(frameCancel, cancelFrame{id, cause}.bytes()) // it is short
		c.feeder.wake()
	}
	return found, neverRan
}

// limit kills the worker if the call is still running after the grace period.
// The caller holds mu.
func (c *conn) limit(id uint32, call *core.Call) {
	grace := c.feeder.p.cfg.CancelGrace
	if grace < 0 {
		return
	}
	c.graces[id] = time.AfterFunc(grace, func() {
		c.mu.Lock()
		running := !c.over && c.calls[id%slots] == call
		c.mu.Unlock()
		if running {
			c.proc.Kill()
		}
	})
}

// A victim is a call that was lost with its worker, which had begun so many of the
// arguments if it is a batch.
type victim struct {
	*core.Call
	begun int
}

// salvage returns the calls that a lost worker had not started, and the one that it
// was running, if there is one. What it had finished was heard, or found in memory.
func (c *conn) salvage() (unstarted []*core.Call, running []victim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; c.done != c.next; c.done++ {
		call := c.calls[c.done%slots]
		c.calls[c.done%slots] = nil
		if call == nil { // withdrawn
			continue
		}
		begun := c.limitItems(c.done, call)
		if c.claims.state(c.done) == slotSent {
			call.Unclaim()
			unstarted = append(unstarted, call)
		} else {
			running = append(running, victim{call, begun})
		}
	}
	return unstarted, running
}

// lostError tells how the worker was lost while it ran the call.
func (c *conn) lostError(call *core.Call) *fault.WorkerLostError {
	return &fault.WorkerLostError{
		Worker: c.feeder.index, PID: c.proc.PID(), Cause: c.exit.Cause, Code: c.exit.Code, Signal: c.exit.Signal,
		OutOfMemory: c.exit.OutOfMemory, Task: call.Task(), Stderr: c.exit.Stderr,
	}
}

// release lets go of the memory that was shared with a worker that has ended.
// Nothing may be in flight: nobody looks at a slot then.
func (c *conn) release() { c.claims.unmap() }

func (c *conn) control(ctx context.Context, request string, payload []byte) ([]byte, error) {
	ch := make(chan answerFrame, 1)
	c.mu.Lock()
	c.lastRequest++
	n := c.lastRequest
	if !c.over {
		c.replies[n] = ch
	}
	c.mu.Unlock()
	// If the worker has ended, it is being reaped, and then lost is closed.
	_ = c.out.add(frameControl, controlFrame{n, request, payload}.bytes())
	c.feeder.wake()
	select {
	case r := <-ch:
		return r.value()
	case <-c.lost:
		return nil, c.gone()
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.replies, n)
		c.mu.Unlock()
		return nil, context.Cause(ctx)
	}
}

// end tells the worker that there is no more to do and waits until it has
// ended. The error tells how, if that was not in good order.
func (c *conn) end() error { return c.endOnce() }

func (c *conn) endNow() error {
	if c.isLost() {
		return nil // whoever lost a task by it knows
	}
	c.hangUp()
	why := c.awaitEnd()
	if c.exit.Code == 0 || c.feeder.p.life.Err() != nil { // Stop has it killed if it takes too long
		return nil
	}
	return fmt.Errorf("worker %d (pid %d) did not end in good order: %s%s\n%s", c.feeder.index, c.proc.PID(), why, c.exit.Cause, c.exit.Stderr)
}

// awaitEnd waits until a worker that was told to end has ended. One that does not
// move is killed, and awaitEnd says so.
func (c *conn) awaitEnd() (why string) {
	began := time.Now()
	tick := time.NewTicker(endTick)
	defer tick.Stop()
	moved, active := began, time.Duration(-1)
	for {
		select {
		case <-c.lost:
			return why
		case <-tick.C:
		}
		if now := c.proc.Active(); now != active {
			moved, active = time.Now(), now
		}
		switch {
		case c.proc.Stopped():
			why = "it was stopped by a signal, and killed; "
		case time.Since(began) > endTimeout, active >= 0 && time.Since(moved) > stillTimeout:
			why = "it did not move, and was killed; "
		default:
			continue
		}
		c.proc.Kill()
	}
}
