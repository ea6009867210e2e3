package core

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// A completion holds what must happen when a call is done: the goroutines to wake, the
// callbacks to call, the context to end. It is allocated only when one of these is
// first needed before the call is done.
type completion struct {
	done chan struct{} // closed when the call is settled

	mu          sync.Mutex
	extras      *extras // nil if there is nothing of that
	ctx         context.Context
	cancel      context.CancelCauseFunc
	interrupted error       // why the task was told to stop
	unwatch     func() bool // stops watching the submitter's context

	isInterrupted atomic.Bool // interrupted is set
	expired       atomic.Bool // interrupted is set because the time limit has passed
	argumentRead  atomic.Bool // MayEnd may be reading the argument, with mu held
	ending        bool        // no notices and callbacks are added any more; guarded by mu
}

// extras are the fields that most completions do not need.
type extras struct {
	notices   []*notice // in no order
	callbacks []func()  // in order
	home      *Site     // the site that waits for the callbacks; nil if there are none
	encoded   []byte    // the argument as Encode has encoded it; for the goroutine that drives the call
}

// extra returns the extras, and allocates them if there are none. The caller holds mu.
func (m *completion) extra() *extras {
	if m.extras == nil {
		m.extras = new(extras)
	}
	return m.extras
}

// completion returns the call's completion. If it has to make one, it also begins to
// watch the submitter's context, whose end cancels the call.
func (c *Call) completion() *completion {
	if m := c.waiters.Load(); m != nil {
		return m
	}
	if c.phase.Load() == settled {
		return completed
	}
	m := &completion{done: make(chan struct{})}
	if !c.waiters.CompareAndSwap(nil, m) {
		return c.waiters.Load()
	}
	if c.ctx.Done() != nil {
		unwatch := context.AfterFunc(c.ctx, func() { c.Cancel(context.Cause(c.ctx)) })
		m.mu.Lock()
		m.unwatch = unwatch
		m.mu.Unlock()
	}
	if c.phase.Load() == settled {
		m.end(c)
	}
	return m
}

// wait blocks until the call is done, and then returns nil, or until ctx ends.
func (c *Call) wait(ctx context.Context) error {
	if ctx == nil {
		panic("executor: Wait for task " + c.Task() + " was called with a nil context")
	}
	if c.phase.Load() == settled {
		return nil
	}
	done := c.Done()
	err := Await(ctx, c.site.Waits, c.unsettled, func() {
		select {
		case <-done:
		case <-ctx.Done():
		}
	})
	switch {
	case c.phase.Load() == settled:
		return nil
	case err != nil:
		return fmt.Errorf("waiting for task %s: %w: every worker of the executor waits for a task that needs a worker", c.Task(), err)
	}
	return context.Cause(ctx)
}

func (c *Call) unsettled() bool { return c.phase.Load() != settled }

// A notice is a function to be called when a call is done.
type notice struct {
	f  func()
	at int // its index in the completion's notices
}

// Notify has f called once when the call is done, on the goroutine that completes it,
// or at once if the call is already done. So f must not block and must not be the
// user's code. Notify serves functions that wait for several calls. stop removes f
// from the call; it may be called at any time and any number of times, and f may be
// called while stop runs. Safe for concurrent use.
func (c *Call) Notify(f func()) (stop func()) {
	m := c.completion()
	m.mu.Lock()
	if m.ending || c.phase.Load() == settled {
		m.mu.Unlock()
		f()
		return func() {}
	}
	x := m.extra()
	n := &notice{f, len(x.notices)}
	x.notices = append(x.notices, n)
	m.mu.Unlock()
	return func() { m.forget(n) }
}

func (m *completion) forget(n *notice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.extras.notices
	if n.at >= len(all) || all[n.at] != n {
		return // it was called or removed before
	}
	last := len(all) - 1
	all[n.at] = all[last]
	all[n.at].at = n.at
	all[last] = nil
	if m.extras.notices = all[:last]; last == 0 {
		m.extras.notices = nil
	}
}

// OnDone has f called when the call is done, after the callbacks that were added
// before it; see [Future.OnDone].
func (c *Call) OnDone(f func()) {
	m := c.completion()
	m.mu.Lock()
	done := m.ending || c.phase.Load() == settled
	if !done {
		x := m.extra()
		if x.home == nil {
			x.home = c.site.home()
			x.home.callbacks.add()
		}
		x.callbacks = append(x.callbacks, f)
	}
	m.mu.Unlock()
	if done {
		home := c.site.home()
		home.callbacks.add()
		defer home.callbacks.done()
		home.Inside(func() { c.callBack(f) })
	}
}

// callBackAll calls callbacks one after the other. If one ends the goroutine, a new
// goroutine calls the rest.
func (c *Call) callBackAll(home *Site, callbacks []func()) {
	defer func() {
		if len(callbacks) > 0 {
			c.goCallBack(home, callbacks)
			return
		}
		home.callbacks.done()
	}()
	for len(callbacks) > 0 {
		f := callbacks[0]
		callbacks = callbacks[1:]
		c.callBack(f)
	}
}

// goCallBack calls callbacks on a goroutine of their own. They are the user's code, so
// they may take long and may end the goroutine. Site.Wait waits for it.
func (c *Call) goCallBack(home *Site, callbacks []func()) {
	go home.Inside(func() { c.callBackAll(home, callbacks) })
}

// callBack calls a callback. If the callback panics, the panic is reported on the
// default logger; it affects neither the task nor the other callbacks.
func (c *Call) callBack(f func()) {
	defer func() {
		if v := recover(); v != nil {
			slog.Error("executor: a callback panicked", "task", c.Task(), "panic", v, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// end wakes all goroutines that wait, ends the task's context and has the callbacks
// called. A callback that is added later is called by the goroutine that adds it. A
// second call of end only stops watching the submitter's context: the watch may have
// begun after the first.
func (m *completion) end(c *Call) {
	m.mu.Lock()
	if m.unwatch != nil {
		m.unwatch()
	}
	if m.ending {
		m.mu.Unlock()
		return
	}
	m.ending = true
	close(m.done)
	if m.cancel != nil {
		m.cancel(nil)
	}
	var ended extras
	if m.extras != nil {
		ended, *m.extras = *m.extras, extras{}
	}
	m.mu.Unlock()
	for _, n := range ended.notices {
		n.f()
	}
	if len(ended.callbacks) > 0 {
		c.goCallBack(ended.home, ended.callbacks)
	}
}

// context returns the context of the task that Cancel cancels, which is derived from
// the submitter's. It is made when it is first needed.
func (m *completion) context(c *Call) context.Context {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx == nil {
		m.ctx, m.cancel = context.WithCancelCause(c.ctx)
		if c.phase.Load() == settled {
			m.cancel(nil)
		}
	}
	return m.ctx
}

// interrupt cancels the task's context with a cause and reports whether this was the
// first interruption. expired says that the cause is the time limit.
func (m *completion) interrupt(c *Call, cause error, expired bool) bool {
	if m == completed {
		return false
	}
	m.context(c)
	m.mu.Lock()
	first := m.interrupted == nil
	if first {
		m.interrupted = cause
		m.expired.Store(expired)
		m.isInterrupted.Store(true)
	}
	m.mu.Unlock()
	if first {
		if b, ok := c.body.(batch); ok && !c.carried {
			b.stop() // before cancel, which may make the running argument return
		}
		m.cancel(cause)
	}
	return first
}

// stopped reports whether a running task was told to stop, or will be at once because
// its context has ended.
func (c *Call) stopped() bool {
	m := c.waiters.Load()
	return m != nil && m.isInterrupted.Load() || c.ctx.Err() != nil
}

// A taskContext is the context that a task's function runs with. It ends with the
// submitter's context, by Cancel, and when the function returns. It is the Call
// itself, so that a task costs no second allocation. A context that can be cancelled
// is made only if the task asks for it.
type taskContext Call

func (t *taskContext) call() *Call { return (*Call)(t) }

// own returns the context that Cancel cancels, if there is one yet.
func (t *taskContext) own() context.Context {
	m := t.waiters.Load()
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ctx
}

func (t *taskContext) Deadline() (time.Time, bool) { return t.ctx.Deadline() }

func (t *taskContext) Done() <-chan struct{} {
	m := t.call().completion()
	if m == completed {
		return completed.done
	}
	return m.context(t.call()).Done()
}

func (t *taskContext) Err() error {
	if ctx := t.own(); ctx != nil {
		return ctx.Err()
	}
	if t.phase.Load() == settled {
		return context.Canceled
	}
	return t.ctx.Err()
}

func (t *taskContext) Value(key any) any {
	if key == (workerKey{}) {
		if w := t.worker; w == nil || w.Gate == nil || t.phase.Load() != settled {
			return w
		}
		return nil // the task has returned: a goroutine that it left behind is not on the worker
	}
	if obs := t.site.Observer; obs != nil && obs.Value != nil {
		if v := obs.Value(t.call(), key); v != nil {
			return v
		}
	}
	// Contexts that are derived from this one look for the cancellable context by a
	// key of package context.
	if ctx := t.own(); ctx != nil {
		return ctx.Value(key)
	}
	return t.ctx.Value(key)
}
