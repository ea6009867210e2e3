package inproc

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A gate is held by one task at a time while it runs: an interpreter's lock, or
// the turn of an event loop.
//
// With an interval it is the lock of CPython since 3.2 (Python/ceval_gil.c).
// Who waits and has seen no change of hands for an interval asks the holder to
// let go, which it does when it next looks; it then stands back until somebody
// else has taken the lock. Whoever is first takes it: the one that is woken
// competes with those who happen to come by.
//
// Without an interval the turn is only ever given up, and goes to the one who
// has waited longest: the ready queue of an event loop.
type gate struct {
	interval time.Duration

	wanted atomic.Bool // somebody asks the holder to let go

	mu      sync.Mutex
	taken   sync.Cond // the holder has changed
	held    bool
	holder  *waiter // who has it, or had it last
	changes uint64
	waiters []*waiter // first come, first woken
}

func newGate(interval time.Duration) *gate {
	g := &gate{interval: interval}
	g.taken.L = &g.mu
	return g
}

// A waiter is a worker as the gate sees it: it waits at the gate, is inside, or is
// elsewhere. CPython has a thread state for it.
type waiter struct {
	gate  *gate
	wake  chan struct{}
	timer *time.Timer

	mu      sync.Mutex
	task    uint64 // counts those that have run here
	runs    bool   // one does now
	outside int    // goroutines of it that are in Block or Free
}

func (g *gate) newWaiter() *waiter {
	w := &waiter{gate: g, wake: make(chan struct{}, 1)}
	if g.interval > 0 {
		w.timer = time.NewTimer(time.Hour)
		w.timer.Stop()
	}
	return w
}

// begin blocks until the gate is w's, for a task that is about to run.
func (w *waiter) begin() {
	w.enter()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.task++
	w.runs, w.outside = true, 0
}

// finish gives the gate up after the task. A goroutine that the task has left
// behind in Block has done so already, and does not take it again.
func (w *waiter) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runs = false; w.outside == 0 {
		w.leave()
	}
}

// enter blocks until the gate is w's.
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
			return // it was handed over
		}
		if late {
			g.forget(w)
			if g.held && g.changes == changes {
				g.wanted.Store(true)
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
	g.wanted.Store(false)
}

// sleep waits until w is woken, or reports that an interval has passed.
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

// forget removes w from those to be woken. It may have been woken meanwhile,
// which then is for nothing: it looks at the gate anyway.
func (g *gate) forget(w *waiter) {
	for i, other := range g.waiters {
		if other == w {
			g.waiters = append(g.waiters[:i], g.waiters[i+1:]...)
			return
		}
	}
	<-w.wake
}

// leave gives the gate up.
func (w *waiter) leave() {
	g := w.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.release()
}

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
	if !g.wanted.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.runs || w.outside > 0 {
		return // the gate is not the task's
	}
	g.mu.Lock()
	g.release()
	for g.holder == w {
		g.taken.Wait()
	}
	g.mu.Unlock()
	w.enter()
}

// Block implements [core.Gate]. If several goroutines of a task block at the
// same time, the gate is given up by the first and taken again by the last.
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
			return // the task has left this goroutine behind
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
