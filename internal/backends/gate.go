package backends

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
	holder  *seat // who has it, or had it last
	changes uint64
	waiters []*seat // first come, first woken
}

func newGate(interval time.Duration) *gate {
	g := &gate{interval: interval}
	g.taken.L = &g.mu
	return g
}

// A seat is a worker at the gate.
type seat struct {
	gate  *gate
	wake  chan struct{}
	timer *time.Timer

	mu      sync.Mutex
	task    uint64 // counts those that have run here
	runs    bool   // one does now
	outside int    // goroutines of it that are in Block or Free
}

func (g *gate) seat() *seat {
	s := &seat{gate: g, wake: make(chan struct{}, 1)}
	if g.interval > 0 {
		s.timer = time.NewTimer(time.Hour)
		s.timer.Stop()
	}
	return s
}

// begin blocks until the gate is s's, for a task that is about to run.
func (s *seat) begin() {
	s.enter()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.task++
	s.runs, s.outside = true, 0
}

// finish gives the gate up after the task. A goroutine that the task has left
// behind in Block has done so already, and does not take it again.
func (s *seat) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs = false; s.outside == 0 {
		s.leave()
	}
}

// enter blocks until the gate is s's.
func (s *seat) enter() {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.held {
		changes := g.changes
		g.waiters = append(g.waiters, s)
		g.mu.Unlock()
		late := s.sleep()
		g.mu.Lock()
		if g.interval == 0 {
			return // it was handed over
		}
		if late {
			g.forget(s)
			if g.held && g.changes == changes {
				g.wanted.Store(true)
			}
		}
	}
	g.held = true
	g.give(s)
}

// give makes s the holder. The caller holds mu.
func (g *gate) give(s *seat) {
	if g.holder != s {
		g.holder = s
		g.changes++
		g.taken.Broadcast()
	}
	g.wanted.Store(false)
}

// sleep waits until s is woken, or reports that an interval has passed.
func (s *seat) sleep() (late bool) {
	if s.timer == nil {
		<-s.wake
		return false
	}
	s.timer.Reset(s.gate.interval)
	defer s.timer.Stop()
	select {
	case <-s.wake:
		return false
	case <-s.timer.C:
		return true
	}
}

// forget removes s from those to be woken. It may have been woken meanwhile,
// which then is for nothing: it looks at the gate anyway.
func (g *gate) forget(s *seat) {
	for i, w := range g.waiters {
		if w == s {
			g.waiters = append(g.waiters[:i], g.waiters[i+1:]...)
			return
		}
	}
	<-s.wake
}

// leave gives the gate up.
func (s *seat) leave() {
	g := s.gate
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
func (s *seat) Yield() {
	g := s.gate
	if !g.wanted.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.runs || s.outside > 0 {
		return // the gate is not the task's
	}
	g.mu.Lock()
	g.release()
	for g.holder == s {
		g.taken.Wait()
	}
	g.mu.Unlock()
	s.enter()
}

// Block implements [core.Gate]. If several goroutines of a task block at the
// same time, the gate is given up by the first and taken again by the last.
func (s *seat) Block(wait func()) {
	s.mu.Lock()
	if !s.runs {
		s.mu.Unlock()
		wait()
		return
	}
	task := s.task
	if s.outside++; s.outside == 1 {
		s.leave()
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.runs || s.task != task {
			return // the task has left this goroutine behind
		}
		if s.outside--; s.outside == 0 {
			s.enter()
		}
	}()
	wait()
}

// Free implements [core.Gate].
func (s *seat) Free(compute func()) {
	if s.gate.interval == 0 {
		compute()
		return
	}
	s.Block(compute)
}
