package backends

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/child"
)

const (
	// endTimeout is how long a worker may take to end after its last task.
	endTimeout = 30 * time.Second

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
	claims *shared
	tasks  map[string]uint16 // index by name
	header func(b []byte, c *harness.Call) []byte
	watch  *harness.ProcessObserver
	out    frameWriter
	// Guarded by out.mu: what add found last, and what it has added.
	lastName  string
	lastIndex uint16
	adding    []*harness.Call

	spawn harness.ProcessExit // what is known so far

	lost chan struct{} // closed once nothing more comes from the worker, with exit set
	exit child.Exit

	ctx     context.Context // ends with the conn: what queues are asked with
	cancel  context.CancelFunc
	asking  sync.WaitGroup
	endOnce func() error

	mu          sync.Mutex
	sending     []*harness.Call              // what send has not yet noted in calls
	noted       sync.Cond                    // there is less in sending
	answered    atomic.Pointer[harness.Call] // what result is about to complete
	calls       [slots]*harness.Call         // those sent and not answered, by id; nil if withdrawn
	first       uint32                       // id of the first, after what prepared the worker
	next        uint32                       // id of the next to be sent
	done        uint32                       // id of the next to be answered
	window      uint32                       // how many the worker should have at a time
	mean        float64                      // nanoseconds of a task, lately
	useful      bool                         // a task was done
	graces      map[uint32]*time.Timer       // running out for tasks that were told to stop, by id
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

func (c *conn) inFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.next - c.done)
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
	for id := c.done; id != c.next; id++ {
		if c.calls[id%slots] != nil && c.claims.state(id) == slotSent {
			n++
		}
	}
	return n
}

// running reports whether the worker runs a call.
func (c *conn) running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := c.done; id != c.next; id++ {
		if c.calls[id%slots] != nil && c.claims.state(id) == slotStarted {
			return true
		}
	}
	return false
}

// sent returns the calls that the worker has been sent and has not answered, and
// those that it is being sent.
func (c *conn) sent() (calls []*harness.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := c.done; id != c.next; id++ {
		if call := c.calls[id%slots]; call != nil {
			calls = append(calls, call)
		}
	}
	return append(calls, c.sending...)
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
// ones first, and appends them to batch in the order in which they were sent.
func (c *conn) withdraw(n int, batch []*harness.Call) []*harness.Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := len(batch)
	for id := c.next - 1; id != c.done-1 && len(batch)-from < n; id-- {
		if call := c.calls[id%slots]; call != nil && c.claims.withdraw(id) {
			c.calls[id%slots] = nil
			call.Unclaim()
			batch = append(batch, call)
		}
	}
	for i, j := from, len(batch)-1; i < j; i, j = i+1, j-1 {
		batch[i], batch[j] = batch[j], batch[i]
	}
	return batch
}

// find returns the id under which the call is in flight. The caller holds mu.
func (c *conn) find(call *harness.Call) (id uint32, ok bool) {
	for id := c.done; id != c.next; id++ {
		if c.calls[id%slots] == call {
			return id, true
		}
	}
	return 0, false
}

func (c *conn) started(call *harness.Call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.find(call)
	return ok && c.claims.state(id) == slotStarted || c.answered.Load() == call
}

// abort takes the call back if it has not started, and else passes on that it
// is to stop. If it does not within the grace period, the worker is killed.
func (c *conn) abort(call *harness.Call, cause error) (found, neverRan bool) {
	c.mu.Lock()
	id, found := c.find(call)
	for !found && slices.Contains(c.sending, call) {
		c.noted.Wait() // nobody may touch the argument before it has been encoded
		id, found = c.find(call)
	}
	if found && c.claims.withdraw(id) {
		c.calls[id%slots] = nil
		neverRan = true
	}
	if found && !neverRan {
		c.limit(id, call)
	}
	c.mu.Unlock()
	if found && !neverRan {
		_ = c.out.write(frameCancel, cancelFrame{id, cause.Error()}.appendTo(nil))
	}
	return found, neverRan
}

// limit kills the worker if the call is still running after the grace period.
// The caller holds mu.
func (c *conn) limit(id uint32, call *harness.Call) {
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
	if name := call.Task(); name != c.lastName {
		index, ok := c.index(name)
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

// index returns by which index the worker knows a task.
func (c *conn) index(name string) (uint16, bool) {
	name, batch := strings.CutSuffix(name, harness.BatchSuffix)
	index, ok := c.tasks[name]
	if batch {
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

// salvage returns the calls that a lost worker had not started, and the one
// that it was running, if there is one.
func (c *conn) salvage() (unstarted, running []*harness.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; c.done != c.next; c.done++ {
		call := c.calls[c.done%slots]
		c.calls[c.done%slots] = nil
		switch {
		case call == nil: // withdrawn
		case c.claims.state(c.done) == slotSent:
			call.Unclaim()
			unstarted = append(unstarted, call)
		default:
			running = append(running, call)
		}
	}
	return unstarted, running
}

// lostError tells how the worker was lost while it ran the call.
func (c *conn) lostError(call *harness.Call) *harness.WorkerLostError {
	return &harness.WorkerLostError{
		Worker: c.feeder.index, PID: c.proc.PID(), Cause: c.exit.Cause, Code: c.exit.Code, Signal: c.exit.Signal,
		OutOfMemory: c.exit.OutOfMemory, Task: call.Task(), Stderr: c.exit.Stderr,
	}
}

// release lets go of the memory that was shared with a worker that has ended.
// Nothing may be in flight: nobody looks at a slot then.
func (c *conn) release() { c.claims.unmap() }

// listen takes what the worker says until it says no more. Then the worker is
// lost, unless it was told to end.
func (c *conn) listen(in *bufio.Reader) {
	var fault error
	for {
		f, err := readFrame(in, c.claims.fromWorker)
		if err == nil {
			err = c.hear(f)
			f.done()
		}
		if err != nil {
			fault = err
			break
		}
	}
	c.mu.Lock()
	c.over = true
	for _, t := range c.graces {
		t.Stop()
	}
	c.mu.Unlock()
	c.cancel()
	c.asking.Wait()
	if errors.Is(fault, io.EOF) {
		c.exit = c.proc.End(endTimeout)
	} else {
		c.proc.Kill()
		c.exit = c.proc.Wait()
		c.exit.Cause = fmt.Sprintf("%v; it ended with %s", fault, c.exit.Cause)
	}
	if c.watch != nil && c.watch.Exited != nil {
		c.spawn.Ended, c.spawn.Code, c.spawn.Cause = harness.Now(), c.exit.Code, c.exit.Cause
		c.watch.Exited(c.spawn)
	}
	close(c.lost)
	c.feeder.wake()
}

// gone is the error for what is asked of a worker that has ended.
func (c *conn) gone() error { return fmt.Errorf("the worker ended with %s", c.exit.Cause) }

func (c *conn) hear(f frame) error {
	switch f.kind {
	case frameResult:
		r, err := parseResult(f.body)
		if err != nil {
			return err
		}
		return c.result(f, r)
	case frameAsk:
		a, err := parseAsk(f.own(f.body))
		if err != nil {
			return err
		}
		c.answer(a)
	case frameUnask:
		request, err := parseUnask(f.body)
		if err != nil {
			return err
		}
		c.mu.Lock()
		if cancel := c.asks[request]; cancel != nil {
			cancel()
		}
		c.mu.Unlock()
	case frameReply:
		r, err := parseAnswer(f.own(f.body))
		if err != nil {
			return err
		}
		c.mu.Lock()
		ch := c.replies[r.request]
		delete(c.replies, r.request)
		c.mu.Unlock()
		if ch != nil {
			ch <- r
		}
	case frameMessage:
		m, err := parseMessage(f.own(f.body))
		if err != nil {
			return err
		}
		if c.watch != nil && c.watch.Message != nil {
			c.watch.Message(c.feeder.index, m.topic, m.payload)
		}
	default:
		return fmt.Errorf("frame of unknown kind %d", f.kind)
	}
	return nil
}

// result completes the oldest call in flight.
func (c *conn) result(f frame, r resultFrame) error {
	c.mu.Lock()
	if r.id != c.done || c.done == c.next {
		c.mu.Unlock()
		return fmt.Errorf("result of task %d; want that of %d", r.id, c.done)
	}
	call := c.calls[r.id%slots]
	c.answered.Store(call)
	defer c.answered.Store(nil)
	c.calls[r.id%slots] = nil
	c.claims.set(r.id, slotFree)
	c.done++
	if r.outcome != outcomeWithdrawn {
		c.useful = true
		c.pace(float64(r.ended - r.started))
	}
	if len(c.graces) > 0 && c.graces[r.id] != nil {
		c.graces[r.id].Stop()
		delete(c.graces, r.id)
	}
	hungry := c.next-c.done <= c.window/2
	c.mu.Unlock()
	if hungry {
		c.feeder.wake()
	}
	if call != nil && c.feeder.p.killers.Load() > 0 {
		c.feeder.p.done(call.Task())
	}
	switch {
	case call == nil: // withdrawn
	case r.outcome == outcomeFailed:
		call.Fail(harness.DecodeError(r.payload), r.started, r.ended)
	default:
		if call.KeepsOutput() {
			r.payload = f.own(r.payload)
		}
		call.Complete(r.payload, r.started, r.ended)
	}
	return nil
}

// pace adapts the window to how long tasks take. The caller holds mu.
func (c *conn) pace(ns float64) {
	c.mean += (ns - c.mean) / 8
	c.window = uint32(max(least, min(slots, float64(ahead)/max(1, c.mean))))
}

// answer does for the worker what it asked, beside everything else: it may
// take long. There are as many at a time as the worker's task has goroutines
// that ask.
func (c *conn) answer(a askFrame) {
	ctx, cancel := context.WithCancel(c.ctx)
	c.mu.Lock()
	c.asks[a.request] = cancel
	c.mu.Unlock()
	c.asking.Go(func() {
		v, err := harness.AnswerQueue(ctx, a.op, a.queue, a.payload)
		c.mu.Lock()
		delete(c.asks, a.request)
		c.mu.Unlock()
		cancel()
		_ = c.out.write(frameAnswer, answerOf(a.request, v, err).appendTo(nil))
	})
}

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
	_ = c.out.write(frameControl, controlFrame{n, request, payload}.bytes())
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
	c.proc.In.Close()
	t := time.AfterFunc(endTimeout, c.proc.Kill)
	defer t.Stop()
	<-c.lost
	if c.exit.Code == 0 {
		return nil
	}
	return fmt.Errorf("worker %d (pid %d) did not end in good order: %s\n%s", c.feeder.index, c.proc.PID(), c.exit.Cause, c.exit.Stderr)
}
