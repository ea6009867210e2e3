package core

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/f3f4c0de/harness/internal/fault"
)

// A WaitTracker records which workers of one executor wait for tasks of that executor or
// on queues, and so detects deadlocks. A task that waits for another task of its own
// executor keeps its worker. If all workers waited so, none would be left to run the
// tasks that they wait for: [Await] refuses the wait of the last one. A task that waits
// on a [Queue] keeps its worker as well, but code outside of the executor may end the
// wait. So it is not refused: when all workers wait, the function that was given to
// OnAllWaiting is called. The zero WaitTracker is usable, and all methods are safe for
// concurrent use.
type WaitTracker struct {
	size           atomic.Int64  // 0: no bound, so a free worker can always be found
	taskWaits      atomic.Int64  // waits for tasks
	workersWaiting atomic.Int64  // workers that wait, for tasks or on queues
	changes        atomic.Uint64 // how often a wait has begun or ended
	onAllWaiting   func()        // see OnAllWaiting

	mu     sync.Mutex
	waits  []*trackedWait // in no order
	queues int            // how many of waits are on queues
}

// A trackedWait is the wait of one goroutine of a worker's task.
type trackedWait struct {
	worker *Worker
	stuck  func() bool // in a wait for a task, whether it has not ended; nil in a wait on a queue
	store  any         // in a wait on a queue, its *store
	refuse func()      // in a wait on a queue, ends the wait
	at     int         // in WaitTracker.waits
}

// Resize sets how many workers there are; 0 is no bound.
func (t *WaitTracker) Resize(workers int) { t.size.Store(int64(workers)) }

// Waiting returns an upper bound of the number of workers that wait for tasks. An
// executor that ends surplus workers must keep one that does not wait: the others may
// wait for what only it can run.
func (t *WaitTracker) Waiting() int { return int(t.taskWaits.Load()) }

// OnAllWaiting sets the function that is called when all workers wait and at least one
// of them on a queue. It is called without locks held, on the goroutine of the last
// wait, and must not block. It must be set before the first wait.
func (t *WaitTracker) OnAllWaiting(f func()) { t.onAllWaiting = f }

// AllWaiting reports whether all workers wait. It is cheap.
func (t *WaitTracker) AllWaiting() bool {
	size := t.size.Load()
	return size > 0 && t.workersWaiting.Load() >= size
}

// Changes returns how often a wait has begun or ended. If two calls return the same
// number, no wait has begun or ended between them.
func (t *WaitTracker) Changes() uint64 { return t.changes.Load() }

// A WaitSnapshot is what the workers of an executor waited for at one moment.
type WaitSnapshot struct {
	Workers int    // how many workers waited
	Changes uint64 // what WaitTracker.Changes returned
	queues  map[any]*trackedWait
}

// Queues returns on how many queues the workers waited.
func (s *WaitSnapshot) Queues() int { return len(s.queues) }

// Snapshot returns what the workers wait for.
func (t *WaitTracker) Snapshot() *WaitSnapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &WaitSnapshot{Workers: int(t.workersWaiting.Load()), Changes: t.changes.Load(), queues: make(map[any]*trackedWait)}
	for _, w := range t.waits {
		if w.store != nil {
			s.queues[w.store] = w
		}
	}
	return s
}

// enter records that w waits for a task. It reports false, and records nothing, if then
// all workers would wait for tasks.
func (t *WaitTracker) enter(w *Worker, stuck func() bool) (*trackedWait, bool) {
	t.mu.Lock()
	wait := &trackedWait{worker: w, stuck: stuck}
	t.add(wait)
	if t.allStuck() {
		t.remove(wait)
		t.mu.Unlock()
		return nil, false
	}
	all := t.queues > 0 && t.AllWaiting()
	t.mu.Unlock()
	if all && t.onAllWaiting != nil {
		t.onAllWaiting()
	}
	return wait, true
}

// allStuck reports whether every worker waits for a task. The caller holds mu.
func (t *WaitTracker) allStuck() bool {
	size := int(t.size.Load()) // after taskWaits was changed: see Waiting
	if size == 0 || len(t.waits)-t.queues < size {
		return false
	}
	waiting := make(map[*Worker]bool)
	for _, w := range t.waits {
		// A wait may be over although its goroutine has not called leave yet.
		if w.stuck != nil && w.stuck() {
			waiting[w.worker] = true
		}
	}
	return len(waiting) >= size
}

// enterQueue records that w waits on a queue. refuse ends the wait with an error.
func (t *WaitTracker) enterQueue(w *Worker, store any, refuse func()) *trackedWait {
	wait := &trackedWait{worker: w, store: store, refuse: refuse}
	t.mu.Lock()
	t.add(wait)
	all := t.AllWaiting()
	t.mu.Unlock()
	if all && t.onAllWaiting != nil {
		t.onAllWaiting()
	}
	return wait
}

func (t *WaitTracker) leave(wait *trackedWait) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(wait)
}

func (t *WaitTracker) add(wait *trackedWait) {
	wait.at = len(t.waits)
	t.waits = append(t.waits, wait)
	t.changes.Add(1)
	if wait.store != nil {
		t.queues++
	} else {
		t.taskWaits.Add(1)
	}
	if wait.worker.waiting++; wait.worker.waiting == 1 {
		t.workersWaiting.Add(1)
	}
}

func (t *WaitTracker) remove(wait *trackedWait) {
	last := len(t.waits) - 1
	t.waits[wait.at] = t.waits[last]
	t.waits[wait.at].at = wait.at
	t.waits[last] = nil
	t.waits = t.waits[:last]
	t.changes.Add(1)
	if wait.store != nil {
		t.queues--
	} else {
		t.taskWaits.Add(-1)
	}
	if wait.worker.waiting--; wait.worker.waiting == 0 {
		t.workersWaiting.Add(-1)
	}
}

// Await calls wait, in [Blocking]. In wait the caller waits for a task of the executor
// with that tracker, or for room in its queue. stuck reports whether the wait still has
// to go on; it must not block. If the caller is a task of that executor, and the tasks
// on all other workers wait as well, Await returns ErrNested and does not call
// wait. With a nil tracker it only calls wait.
func Await(ctx context.Context, tracker *WaitTracker, stuck func() bool, wait func()) error {
	w := WorkerOf(ctx)
	if w == nil || tracker == nil || w.Waits != tracker {
		Blocking(ctx, wait)
		return nil
	}
	token, ok := tracker.enter(w, stuck)
	if !ok {
		return fault.ErrNested
	}
	defer tracker.leave(token)
	Blocking(ctx, wait)
	return nil
}

// OnWorker returns a context like that of a task on worker w. A backend uses it to act
// for a task that runs in another process: a wait in [AnswerQueue] with such a context
// counts as a wait of w.
func OnWorker(ctx context.Context, w *Worker) context.Context {
	return context.WithValue(ctx, workerKey{}, w)
}
