package admission

import (
	"sync"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
)

// patience is how long all workers of an executor may wait, some of them on
// queues, while calls are queued, until the watch asks whether one of these calls
// would end a wait. Somebody outside of the executor may end it at any time.
const patience = time.Second

// A DeadlockWatch resolves deadlocks of an executor whose workers all wait, some of
// them on queues, while calls are queued. It does nothing, and sets no timer, unless
// all workers wait and calls are queued.
type DeadlockWatch struct {
	mu     *sync.Mutex // the executor's
	waits  *core.WaitTracker
	queued func() bool
	mend   func(s *core.WaitSnapshot) (refuse func())

	timer   *time.Timer // nil before the first
	set     bool
	changes uint64 // of waits, when the timer was set
}

// NewDeadlockWatch returns a watch over the waits of an executor's workers with the lock mu.
// queued reports whether there are calls and no worker is free. mend starts a worker
// for a call that may end the deadlock, or returns what refuses a wait, or nil if it
// can do neither. Both are called with mu held. The watch must not be copied after
// Start.
func NewDeadlockWatch(mu *sync.Mutex, waits *core.WaitTracker, queued func() bool, mend func(s *core.WaitSnapshot) (refuse func())) DeadlockWatch {
	return DeadlockWatch{mu: mu, waits: waits, queued: queued, mend: mend}
}

// Start has the tracker tell when all workers wait. It is called before the first
// worker is started.
func (w *DeadlockWatch) Start() {
	w.waits.OnAllWaiting(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.Expect()
	})
}

// Expect sets the timer if all workers wait and calls are queued. An executor calls
// it when it has queued a call. The caller holds the executor's lock.
func (w *DeadlockWatch) Expect() {
	if w.set || !w.waits.AllWaiting() || !w.queued() {
		return
	}
	w.set, w.changes = true, w.waits.Changes()
	if w.timer == nil {
		w.timer = time.AfterFunc(patience, w.look)
	} else {
		w.timer.Reset(patience)
	}
}

// look resolves a deadlock if nothing has moved since the timer was set.
func (w *DeadlockWatch) look() {
	now := w.waits.Snapshot() // without mu, which is locked after the tracker's own lock
	w.mu.Lock()
	var refuse func()
	w.set = false
	switch {
	case now.Changes != w.changes:
		w.Expect()
	case now.Queues() > 0 && w.queued():
		refuse = w.mend(now)
	}
	w.mu.Unlock()
	if refuse != nil {
		refuse()
	}
}

// Stop ends the watch. It is called when no call is left.
func (w *DeadlockWatch) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}
