package inproc

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A gate is a lock that one task at a time holds while it runs: an interpreter lock, or
// the turn of an event loop.
//
// With an interval it is the lock of CPython since 3.2 (Python/ceval_gil.c). A worker
// that waits, while the holder has not changed for an interval, requests the lock. The
// holder releases it at its next Yield and then waits until another worker has taken
// it. The lock is not handed over: the worker that is woken competes with workers that
// have just arrived.
//
// Without an interval no worker can request the lock. When it is released it is handed
// to the worker that has waited longest, as from the ready queue of an event loop.
type gate struct {
	interval time.Duration

	requested atomic.Bool // a worker asks the holder to release the gate

	mu      sync.Mutex
	taken   sync.Cond // the holder has changed
	held    bool
	holder  *waiter   // the worker that holds the gate, or held it last
	changes uint64    // of the holder
	waiters []*waiter // in the order in which they began to wait
}

func newGate(interval time.Duration) *gate {
	g := &gate{interval: interval}
	g.taken.L = &g.mu
	return g
}

// A waiter is the state that the gate has for a worker, which waits for the gate, holds
// it, or does neither. It corresponds to CPython's thread state.
type waiter struct {
	gate  *gate
	wake  chan struct{}
	timer *time.Timer // nil without an interval

	mu      sync.Mutex
	task    uint64 // number of tasks that have begun on the worker
	runs    bool   // a task runs now
	outside int    // goroutines of that task that are in Block or Free
}

func (g *gate) newWaiter() *waiter {
	w := &waiter{gate: g, wake: make(chan struct{}, 1)}
	if g.interval > 0 {
		w.timer = time.NewTimer(time.Hour)
		w.timer.Stop()
	}
	return w
}

// begin acquires the gate for a task that is about to run.
func (w *waiter) begin() {
	w.enter()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.task++
	w.runs, w.outside = true, 0
}

// finish releases the gate after the task. If a goroutine that the task has left behind
// is in Block, the gate is released already, and that goroutine does not acquire it
// again.
func (w *waiter) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runs = false; w.outside == 0 {
		w.leave()
	}
}

// enter blocks until w holds the gate.
func (w *waiter) enter() {
	g := w.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.held {
		changes := g.changes
		g.waiters = append(g.waiters, w)
		g.mu.Unlock()
		late := w.sleep()
		g.mu.Lock()
		if g.interval == 0 {
			return // release has made w the holder
		}
		if late {
			g.forget(w)
			if g.held && g.changes == changes {
				g.requested.Store(true)
			}
		}
	}
	g.held = true
	g.give(w)
}

// give makes w the holder. The caller holds mu.
func (g *gate) give(w *waiter) {
	if g.holder != w {
		g.holder = w
		g.changes++
		g.taken.Broadcast()
	}
	g.requested.Store(false)
}

// sleep blocks until w is woken, or until an interval has passed: then it reports true.
func (w *waiter) sleep() (late bool) {
	if w.timer == nil {
		<-w.wake
		return false
	}
	w.timer.Reset(w.gate.interval)
	defer w.timer.Stop()
	select {
	case <-w.wake:
		return false
	case <-w.timer.C:
		return true
	}
}

// forget removes w from the waiters. If w was woken meanwhile, forget takes the wake-up
// from its channel: the caller looks at the gate in any case.
func (g *gate) forget(w *waiter) {
	for i, other := range g.waiters {
		if other == w {
			g.waiters = append(g.waiters[:i], g.waiters[i+1:]...)
			return
		}
	}
	<-w.wake
}

// leave releases the gate.
func (w *waiter) leave() {
	g := w.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.release()
}

// release releases the gate and wakes a waiter. The caller holds mu.
func (g *gate) release() {
	g.held = false
	if len(g.waiters) == 0 {
		return
	}
	i := 0
	if g.interval > 0 {
		i = rand.IntN(len(g.waiters))
	}
	next := g.waiters[i]
	g.waiters = slices.Delete(g.waiters, i, i+1)
	if g.interval == 0 {
		g.held = true
		g.give(next)
	}
	next.wake <- struct{}{}
}

// Yield implements [core.Gate].
func (w *waiter) Yield() {
	g := w.gate
	if !g.requested.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.runs || w.outside > 0 {
		return // the task does not hold the gate
	}
	g.mu.Lock()
	g.release()
	for g.holder == w {
		g.taken.Wait()
	}
	g.mu.Unlock()
	w.enter()
}

// Block implements [core.Gate]. If several goroutines of a task block at the same time,
// the first releases the gate and the last to return acquires it again.
func (w *waiter) Block(wait func()) {
	w.mu.Lock()
	if !w.runs {
		w.mu.Unlock()
		wait()
		return
	}
	task := w.task
	if w.outside++; w.outside == 1 {
		w.leave()
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.runs || w.task != task {
			return // the task of this goroutine has ended
		}
		if w.outside--; w.outside == 0 {
			w.enter()
		}
	}()
	wait()
}

// Free implements [core.Gate].
func (w *waiter) Free(compute func()) {
	if w.gate.interval == 0 {
		compute()
		return
	}
	w.Block(compute)
}
