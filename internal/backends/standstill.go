package backends

import (
	"sync"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
)

// patience is how long all workers of an executor may wait, some of them on
// queues, while calls are queued, until it is looked whether one of these would end
// a wait. Somebody outside may end it all the time.
const patience = time.Second

// A standstill looks after the workers of an executor that all wait. Its fields are
// guarded by the executor's lock. Nothing runs, and no timer is set, unless all
// wait and calls are queued.
type standstill struct {
	mu     *sync.Mutex // the executor's
	crew   *core.Crew
	queued func() bool // there are calls, and no worker is free; mu is held

	// mend starts a worker for a call that may end the standstill, or returns
	// what refuses a wait. mu is held.
	mend func(s *core.Standstill) (refuse func())

	timer   *time.Timer // nil before the first
	set     bool
	changes uint64 // of the crew, when the timer was set
}

// watch has the crew tell when all wait.
func (s *standstill) watch() {
	s.crew.OnStandstill(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.expect()
	})
}

// expect sets the timer if all workers wait and calls are queued. An executor calls
// it when it has queued one. The caller holds mu.
func (s *standstill) expect() {
	if s.set || !s.crew.Standing() || !s.queued() {
		return
	}
	s.set, s.changes = true, s.crew.Changes()
	if s.timer == nil {
		s.timer = time.AfterFunc(patience, s.look)
	} else {
		s.timer.Reset(patience)
	}
}

// look mends a standstill if nothing has moved since the timer was set.
func (s *standstill) look() {
	now := s.crew.Standstill() // without mu, which is locked after the crew's own lock
	s.mu.Lock()
	var refuse func()
	s.set = false
	switch {
	case now.Changes != s.changes:
		s.expect()
	case now.Queues() > 0 && s.queued():
		refuse = s.mend(now)
	}
	s.mu.Unlock()
	if refuse != nil {
		refuse()
	}
}

// stop ends the watch: no call is left.
func (s *standstill) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
}
