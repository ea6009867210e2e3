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

// A completion holds what is to happen when a call is done: whom to wake, what to call
// back, which context to end. It is made when somebody first asks for any of that before
// the call is done.
type completion struct {
	done chan struct{} // closed when the call is settled

	mu          sync.Mutex
	few         *few // nil if there is nothing of that
	ctx         context.Context
	cancel      context.CancelCauseFunc
	interrupted error       // why the task was told to stop
	unwatch     func() bool // stops watching the submitter's context

	told    atomic.Bool // interrupted is set
	expired atomic.Bool // it is, because the time limit has passed
	looked  atomic.Bool // somebody may look at the argument, with mu held: see MayEnd
	ending  bool        // no notices and callbacks are added any more; guarded by mu
}

// A few holds what most completions do not need.
type few struct {
	notices   []*notice // in no order
	callbacks []func()  // in order
	home      *Site     // which waits for the callbacks; nil without one
	encoded   []byte    // the argument, by Encode; for who drives the call
}

// some returns the few, and makes it if there is none. The caller holds mu.
func (m *completion) some() *few {
	if m.few == nil {
		m.few = new(few)
	}
	return m.few
}

// completion returns the call's completion. If it makes it, it also watches the
// submitter's context, whose end cancels the call.
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
	at int // in the completion's notices
}

// Notify has f called once when the call is done: by whoever completes it, or at
// once if it already is. So f must not block and must not be the user's; it is for
// those who wait for several calls. stop takes f back, so that nothing of it
// remains with the call; it may be called at any time and any number of times, and
// f may be called while it is. Safe for concurrent use.
func (c *Call) Notify(f func()) (stop func()) {
	m := c.completion()
	m.mu.Lock()
	if m.ending || c.phase.Load() == settled {
		m.mu.Unlock()
		f()
		return func() {}
	}
	few := m.some()
	n := &notice{f, len(few.notices)}
	few.notices = append(few.notices, n)
	m.mu.Unlock()
	return func() { m.forget(n) }
}

func (m *completion) forget(n *notice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.few.notices
	if n.at >= len(all) || all[n.at] != n {
		return // it was called, or forgotten before
	}
	last := len(all) - 1
	all[n.at] = all[last]
	all[n.at].at = n.at
	all[last] = nil
	if m.few.notices = all[:last]; last == 0 {
		m.few.notices = nil
	}
}

// OnDone has f called when the call is done, after what was added before; see
// [Future.OnDone].
func (c *Call) OnDone(f func()) {
	m := c.completion()
	m.mu.Lock()
	done := m.ending || c.phase.Load() == settled
	if !done {
		few := m.some()
		if few.home == nil {
			few.home = c.site.home()
			few.home.callbacks.add()
		}
		few.callbacks = append(few.callbacks, f)
	}
	m.mu.Unlock()
	if done {
		home := c.site.home()
		home.callbacks.add()
		defer home.callbacks.done()
		home.Inside(func() { c.callBack(f) })
	}
}

// callBackAll calls callbacks one after the other. If one ends the goroutine, the
// rest goes on in a new one.
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

// goCallBack calls callbacks on a goroutine of their own: they are the user's, so
// they may take long, and end it. The site's Wait waits for it.
func (c *Call) goCallBack(home *Site, callbacks []func()) {
	go home.Inside(func() { c.callBackAll(home, callbacks) })
}

// callBack calls a callback. If it panics, that is reported on the default
// logger, and is neither the task's failure nor that of whoever comes next.
func (c *Call) callBack(f func()) {
	defer func() {
		if v := recover(); v != nil {
			slog.Error("executor: a callback panicked", "task", c.Task(), "panic", v, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// end wakes everybody who waits, ends the task's context and has the callbacks
// called. One that is added from then on is called by whoever adds it. A
// second end does nothing but stop watching the context, which may have begun
// in between.
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
	var told few
	if m.few != nil {
		told, *m.few = *m.few, few{}
	}
	m.mu.Unlock()
	for _, n := range told.notices {
		n.f()
	}
	if len(told.callbacks) > 0 {
		c.goCallBack(told.home, told.callbacks)
	}
}

// context returns the context that can be cancelled apart from the
// submitter's, made when it is first asked for.
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

// interrupt cancels the task's context, because its time limit has passed or for
// another cause, and reports whether it was the first to.
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
		m.told.Store(true)
	}
	m.mu.Unlock()
	if first {
		if b, ok := c.body.(batch); ok && !c.carried {
			b.stop() // before the argument that it is at can return because of it
		}
		m.cancel(cause)
	}
	return first
}

// stopped reports whether a running task was told to stop, or is about to be.
func (c *Call) stopped() bool {
	m := c.waiters.Load()
	return m != nil && m.told.Load() || c.ctx.Err() != nil
}

// A taskContext is the context that a task's function runs with: the
// submitter's context, ended also by Cancel and by the function's return. It
// is the Call itself, so that a task costs no second allocation; what can be
// cancelled is made only if the task asks.
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
		return nil // a goroutine that was left behind is not on the worker
	}
	if obs := t.site.Observer; obs != nil && obs.Value != nil {
		if v := obs.Value(t.call(), key); v != nil {
			return v
		}
	}
	// The one that can be cancelled must be found by those derived from it.
	if ctx := t.own(); ctx != nil {
		return ctx.Value(key)
	}
	return t.ctx.Value(key)
}
