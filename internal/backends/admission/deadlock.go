package admission

import (
	"sync"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
)

// patience is how long all workers of an executor wait, some of them on queues, while
// calls are queued, before the watch looks for a call that would end a wait. It does
// not look at once because code outside of the executor may end the wait.
const patience = time.Second

// A DeadlockWatch resolves deadlocks of an executor whose workers all wait, some of
// them on queues, while calls are queued. It does nothing, and sets no timer, unless
// all workers wait and calls are queued.
type DeadlockWatch struct {
	mu      *sync.Mutex // the executor's
	waits   *core.WaitTracker
	queued  func() bool
	resolve func(s *core.WaitSnapshot) (refuse func())

	timer   *time.Timer // nil until it is set for the first time
	set     bool
	changes uint64 // what waits.Changes returned when the timer was set
}

// NewDeadlockWatch returns a watch over the waits of the workers of an executor with the
// lock mu. queued reports whether calls are queued that no idle worker will take.
// resolve starts a worker for a call that may end the deadlock and returns nil, or
// returns a function that refuses a wait, or nil if it can do neither. Both are called
// with mu held. The watch must not be copied after Start.
func NewDeadlockWatch(mu *sync.Mutex, waits *core.WaitTracker, queued func() bool, resolve func(s *core.WaitSnapshot) (refuse func())) DeadlockWatch {
	return DeadlockWatch{mu: mu, waits: waits, queued: queued, resolve: resolve}
}

// Start begins the watch. It must be called before the first worker is started.
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
		w.timer = time.AfterFunc(patience, w.check)
	} else {
		w.timer.Reset(patience)
	}
}

// check resolves a deadlock if no wait has begun or ended since the timer was set.
func (w *DeadlockWatch) check() {
	now := w.waits.Snapshot() // before mu is locked: the tracker's own lock comes first
	w.mu.Lock()
	var refuse func()
	w.set = false
	switch {
	case now.Changes != w.changes:
		w.Expect()
	case now.Queues() > 0 && w.queued():
		refuse = w.resolve(now)
	}
	w.mu.Unlock()
	if refuse != nil {
		refuse()
	}
}

// Stop ends the watch. It must be called when no call is left.
func (w *DeadlockWatch) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}
