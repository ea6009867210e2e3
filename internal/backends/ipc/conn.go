package ipc

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

// A conn is the submitter's end of the connection to one worker process. It has sent
// the calls with the ids from done up to next, and the worker answers them in that order.
//
// Two locks guard it. out.mu orders what is written, and is held while calls are
// encoded; mu guards what is in flight, and is never held while anything is written.
// Who needs both takes out.mu first.
type conn struct {
	dispatcher  *dispatcher // told of what happens here; used by its methods only
	index       int         // of the worker
	maxTasks    int         // Config.MaxTasksPerWorker
	cancelGrace time.Duration
	proc        *child.Process
	self        *core.Worker // as which the worker's task waits for queues
	shared      *shared
	tasks       map[string]uint16 // by name, the index that the worker knows a task by
	header      func(b []byte, c *core.Call) []byte
	observer    *core.ProcessObserver
	out         *frameWriter
	// Guarded by out.mu: what add found last, and what it has added.
	lastName  string
	lastIndex uint16
	adding    []*core.Call

	spawn core.ProcessExit // what is told to the observer; complete when the process has ended

	lost chan struct{} // closed when the process has ended and its last frame was read; exit is set then
	exit child.Exit

	ctx     context.Context // ends with the conn: what queues are asked with
	cancel  context.CancelFunc
	endOnce func() error

	mu          sync.Mutex
	unsent      []*core.Call              // given to send, and not encoded
	sending     []*core.Call              // being encoded, and not yet in calls
	noted       sync.Cond                 // sending is empty
	answered    atomic.Pointer[core.Call] // being completed by result, and no longer in calls
	calls       [slots]*core.Call         // sent and not answered, by id; nil if withdrawn
	first       uint32                    // id of the first, after what prepared the worker
	next        uint32                    // id of the next to be sent
	done        uint32                    // id of the next to be answered
	window      uint32                    // how many the worker should have at a time
	mean        float64                   // nanoseconds of a task, lately
	useful      bool                      // the worker has done a task
	seen        uint32                    // done at the watchdog's last check
	stale       int                       // checks in a row at which calls waited and none had been answered since the one before
	stolenFrom  bool                      // a call was withdrawn since the watchdog's last check
	graces      map[uint32]*time.Timer    // when the worker is killed for a task that was told to stop, by id
	limits      map[uint32]*timeLimit     // of calls in flight, by id; nil until there is one
	asks        map[uint32]context.CancelFunc
	replies     map[uint32]chan answerFrame
	lastRequest uint32
	over        bool // nothing more comes from the worker
}

// pid returns the id of the worker's process.
func (c *conn) pid() int { return c.proc.PID() }

// flush writes the frames that others have added without writing them.
func (c *conn) flush() { c.out.flushNow() }

// lostWhen is the error for a worker that was lost and ran no task.
func (c *conn) lostWhen(when string) error {
	return fmt.Errorf("worker %d (pid %d) was lost %s: %s", c.index, c.pid(), when, c.exit.Cause)
}

// endedWell reports whether the worker has ended, with exit status 0.
func (c *conn) endedWell() bool { return c.isLost() && c.exit.Code == 0 }

// isLost reports whether nothing more comes from the worker.
func (c *conn) isLost() bool {
	select {
	case <-c.lost:
		return true
	default:
		return false
	}
}

// room returns how many more calls the worker should be sent now: none until half of
// its window is done, so that calls are sent many at a time.
func (c *conn) room() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.next - c.done
	if n > c.window/2 || c.over {
		return 0
	}
	if most := c.maxTasks; most > 0 {
		return min(int(c.window-n), most-int(c.next-c.first))
	}
	return int(c.window - n)
}

// spent reports whether the worker has done as many tasks as Config.MaxTasksPerWorker
// allows.
func (c *conn) spent() bool {
	most := c.maxTasks
	c.mu.Lock()
	defer c.mu.Unlock()
	return most > 0 && int(c.next-c.first) >= most && c.next == c.done
}

// busy reports whether at least so many calls have been sent, or are being sent, to the
// worker and are not answered. Calls that were withdrawn do not count.
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

// offers returns how many of the calls that the worker has not started an idle worker
// may steal. A call that the worker is about to start is not offered: two workers that
// are slow to start would steal it from each other for ever. It is offered, and the
// worker is stuck, if the watchdog has found it waiting patience times in a row.
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
		switch c.shared.state(id) {
		case stateSent:
			n++
		case stateStarted:
			running = true
		}
	}
	return n + len(c.unsent), running
}

// age is called at each check of the watchdog. It reports whether calls were stolen
// from the worker since the last one and none is left.
func (c *conn) age() (stolenFrom bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, running := c.count()
	if n > 0 && c.done == c.seen {
		c.stale++
	} else {
		c.stale = 0
	}
	c.seen = c.done
	if stolenFrom = c.stolenFrom && n == 0 && !running; stolenFrom {
		c.stolenFrom = false
	}
	return stolenFrom
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
	grace := c.cancelGrace
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
		if call := c.calls[id%slots]; call != nil && c.shared.withdraw(id) {
			c.calls[id%slots] = nil
			c.limitItems(id, call)
			call.Unclaim()
			batch = append(batch, call)
		}
	}
	slices.Reverse(batch[from:])
	c.stolenFrom = len(batch) > from || c.stolenFrom
	return batch
}

// limitItems tells a batch how many of its arguments the worker is to run, the others
// having been cut off, and returns how many of them it has begun.
func (c *conn) limitItems(id uint32, call *core.Call) (begun int) {
	if !call.Batch() {
		return 1
	}
	begun, end := core.SplitItems(c.shared.items[id%slots].Load())
	call.Limit(end)
	return begun
}

// cut takes back the arguments that the worker has not begun of a batch that it runs. It
// returns how many are left.
func (c *conn) cut(call *core.Call) (left int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, found := c.find(call)
	if !found || c.shared.state(id) != stateStarted {
		return 0, false
	}
	left, ok = core.CutItems(&c.shared.items[id%slots])
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

// cancelOf returns the frame that tells a worker to cancel a task for that cause, but
// for the id of the task.
func cancelOf(cause error) cancelFrame {
	if late, ok := cause.(*fault.TimeoutError); ok { //nolint:errorlint // this very one
		return cancelFrame{limit: late.Limit, cause: late.Task}
	}
	return cancelFrame{cause: textOf(cause)}
}

// textOf returns what the cause of a cancellation says, unless its method panics,
// ends the goroutine or takes long.
func textOf(err error) string {
	const unsaid = "cancelled"
	switch err {
	case fault.ErrCancelled, context.Canceled, context.DeadlineExceeded: //nolint:errorlint // these very ones
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
	return ok && c.shared.state(id) == stateStarted || c.answered.Load() == call
}

// abort withdraws the call if the worker has not started it. Otherwise it tells the
// worker to cancel it, and kills the worker if the call is not answered within
// Config.CancelGrace.
func (c *conn) abort(call *core.Call, cause cancelFrame) (found, neverRan bool) {
	c.mu.Lock()
	id, found := c.find(call)
	for !found && slices.Contains(c.sending, call) {
		c.noted.Wait() // nobody may touch the argument before it has been encoded
		id, found = c.find(call)
	}
	if found && c.shared.withdraw(id) {
		c.calls[id%slots] = nil
		neverRan = true
		c.dispatcher.wake() // it may have nothing left
	}
	if found && !neverRan {
		c.killAfterGrace(id, call)
	}
	c.mu.Unlock()
	if found && !neverRan {
		cause.id = id
		_ = c.out.add(frameCancel, cause.bytes()) // it is short
		c.dispatcher.wake()
	}
	return found, neverRan
}

// killAfterGrace kills the worker if the call is still running after the grace period.
// The caller holds mu.
func (c *conn) killAfterGrace(id uint32, call *core.Call) {
	grace := c.cancelGrace
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

// A lostCall is a call that a worker was running when it was lost. Of a batch, the
// worker had begun so many of the arguments.
type lostCall struct {
	*core.Call
	begun int
}

// unfinished removes the calls that a lost worker had not started, and the one that
// it was running, if there is one, and returns them. The results of those that it had
// finished have arrived, or were found in shared memory.
func (c *conn) unfinished() (unstarted []*core.Call, running []lostCall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; c.done != c.next; c.done++ {
		call := c.calls[c.done%slots]
		c.calls[c.done%slots] = nil
		if call == nil { // withdrawn
			continue
		}
		begun := c.limitItems(c.done, call)
		if c.shared.state(c.done) == stateSent {
			call.Unclaim()
			unstarted = append(unstarted, call)
		} else {
			running = append(running, lostCall{call, begun})
		}
	}
	return unstarted, running
}

// lostError tells how the worker was lost while it ran the call.
func (c *conn) lostError(call *core.Call) *fault.WorkerLostError {
	return &fault.WorkerLostError{
		Worker: c.index, PID: c.pid(), Cause: c.exit.Cause, Code: c.exit.Code, Signal: c.exit.Signal,
		OutOfMemory: c.exit.OutOfMemory, Task: call.Task(), Stderr: c.exit.Stderr,
	}
}

// release unmaps the memory that was shared with a worker that has ended. Nothing may
// be in flight, so that nobody looks at the task table.
func (c *conn) release() { c.shared.unmap() }

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
	c.dispatcher.wake()
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
		return nil // the task that it ran reports it
	}
	c.hangUp()
	why := c.awaitEnd()
	if c.exit.Code == 0 || c.dispatcher.stopped() != nil { // Stop has it killed if it takes too long
		return nil
	}
	return fmt.Errorf("worker %d (pid %d) did not end in good order: %s%s\n%s", c.index, c.pid(), why, c.exit.Cause, c.exit.Stderr)
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
