package core

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/f3f4c0de/harness/internal/fault"
)

// A WaitTracker knows which workers of one executor wait for tasks of that executor, and
// on queues, and so detects deadlocks. A task that waits for another task of its own
// executor keeps its worker. When every worker does so, none is left to run what they
// wait for: [Await] then refuses the last of them. A task that waits on a [Queue] keeps its
// worker as well, but somebody outside of the executor may end the wait, so it is not
// refused: when all workers wait, the executor is told by OnAllWaiting. The zero WaitTracker
// is usable, and all methods are safe for concurrent use.
type WaitTracker struct {
	size           atomic.Int64  // 0: no bound, so that somebody can always be found
	taskWaits      atomic.Int64  // waits for tasks
	workersWaiting atomic.Int64  // workers that wait, for tasks or on queues
	changes        atomic.Uint64 // how often a wait has begun or ended
	onAllWaiting   func()        // see OnAllWaiting

	mu     sync.Mutex
	waits  []*trackedWait // in no order
	queues int            // of them those on queues
}

// A trackedWait is the wait of one goroutine of a worker's task.
type trackedWait struct {
	worker *Worker
	stuck  func() bool // for a task; nil for a queue
	store  any         // of the queue: a *store
	refuse func()      // ends the wait on the queue
	at     int         // in WaitTracker.waits
}

// Resize says how many workers there are; 0 is no bound.
func (t *WaitTracker) Resize(workers int) { t.size.Store(int64(workers)) }

// Waiting returns how many of the workers wait for each other, at most. An
// executor that wants fewer workers must keep one that does not: it may be the
// one that the others wait for.
func (t *WaitTracker) Waiting() int { return int(t.taskWaits.Load()) }

// OnAllWaiting sets what is called, without locks held, on a goroutine that is
// about to wait, when all workers wait and not all of them for tasks. It is set
// before the first wait and must not block.
func (t *WaitTracker) OnAllWaiting(f func()) { t.onAllWaiting = f }

// AllWaiting reports whether all workers wait. It is cheap.
func (t *WaitTracker) AllWaiting() bool {
	size := t.size.Load()
	return size > 0 && t.workersWaiting.Load() >= size
}

// Changes returns how often a wait has begun or ended: if it is the same some time
// later nothing has moved.
func (t *WaitTracker) Changes() uint64 { return t.changes.Load() }

// A WaitSnapshot is what the workers of an executor waited for at one moment.
type WaitSnapshot struct {
	Workers int    // that waited
	Changes uint64 // as WaitTracker.Changes tells them
	queues  map[any]*trackedWait
}

// Queues returns on how many queues they waited.
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

// enter notes that w waits for a task, and reports whether anybody is left to work.
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
	size := int(t.size.Load()) // after waiting was changed: see Waiting
	if size == 0 || len(t.waits)-t.queues < size {
		return false
	}
	waiting := make(map[*Worker]bool)
	for _, w := range t.waits {
		// One whose wait is over has not got around to leaving.
		if w.stuck != nil && w.stuck() {
			waiting[w.worker] = true
		}
	}
	return len(waiting) >= size
}

// enterQueue notes that w waits on a queue until refuse is called, or something
// happens there.
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

// Await calls wait, as [Blocking] does, in which the caller waits for something of the
// executor with that tracker, until stuck would report false. If the caller is a task of
// that executor, and the tasks on all other workers wait likewise, Await returns
// fault.ErrNested and does not call wait. With a nil tracker it only calls wait. stuck must
// not block.
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

// OnWorker returns a context as a task on that worker has it. A backend uses it to do
// something in the place of a task that runs elsewhere: [AnswerQueue] with such a context
// counts as a wait of that worker.
func OnWorker(ctx context.Context, w *Worker) context.Context {
	return context.WithValue(ctx, workerKey{}, w)
}
