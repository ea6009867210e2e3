package core

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/f3f4c0de/harness/internal/fault"
)

// A Crew is the workers of one executor, as far as they wait for each other. A
// task that waits for another task of its own executor keeps its worker. When
// every worker does so, none is left to run what they wait for: [Await] then
// refuses the last of them instead of letting all wait for ever. One that waits
// on a [Queue] keeps its worker as well, but somebody outside of the executor may
// end the wait, so it is not refused: when all workers stand still the executor is
// told, by OnStandstill. The zero Crew is usable, and all methods are safe for
// concurrent use.
type Crew struct {
	size     atomic.Int64  // 0: no bound, so that somebody can always be found
	waiting  atomic.Int64  // waits for tasks
	standing atomic.Int64  // workers that wait, for tasks or on queues
	changes  atomic.Uint64 // how often a wait has begun or ended
	still    func()        // see OnStandstill

	mu     sync.Mutex
	waits  []*crewWait // in no order
	queues int         // of them those on queues
}

// A crewWait is the wait of one goroutine of a worker's task.
type crewWait struct {
	worker *Worker
	stuck  func() bool // for a task; nil for a queue
	store  any         // of the queue: a *store
	refuse func()      // ends the wait on the queue
	at     int         // in Crew.waits
}

// Resize says how many workers there are; 0 is no bound.
func (c *Crew) Resize(workers int) { c.size.Store(int64(workers)) }

// Waiting returns how many of the workers wait for each other, at most. An
// executor that wants fewer workers must keep one that does not: it may be the
// one that the others wait for.
func (c *Crew) Waiting() int { return int(c.waiting.Load()) }

// OnStandstill sets what is called, without locks held, on a goroutine that is
// about to wait, when all workers wait and not all of them for tasks. It is set
// before the first wait and must not block.
func (c *Crew) OnStandstill(f func()) { c.still = f }

// Standing reports whether all workers wait. It is cheap.
func (c *Crew) Standing() bool {
	size := c.size.Load()
	return size > 0 && c.standing.Load() >= size
}

// Changes returns how often a wait has begun or ended: if it is the same some time
// later nothing has moved.
func (c *Crew) Changes() uint64 { return c.changes.Load() }

// A Standstill is what the workers of a crew waited for at a moment.
type Standstill struct {
	Workers int    // that waited
	Changes uint64 // as Crew.Changes tells them
	queues  map[any]*crewWait
}

// Queues returns on how many queues they waited.
func (s *Standstill) Queues() int { return len(s.queues) }

// Standstill returns what the workers wait for.
func (c *Crew) Standstill() *Standstill {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &Standstill{Workers: int(c.standing.Load()), Changes: c.changes.Load(), queues: make(map[any]*crewWait)}
	for _, w := range c.waits {
		if w.store != nil {
			s.queues[w.store] = w
		}
	}
	return s
}

// enter notes that w waits for a task, and reports whether anybody is left to work.
func (c *Crew) enter(w *Worker, stuck func() bool) (*crewWait, bool) {
	c.mu.Lock()
	wait := &crewWait{worker: w, stuck: stuck}
	c.add(wait)
	if c.allStuck() {
		c.remove(wait)
		c.mu.Unlock()
		return nil, false
	}
	still := c.queues > 0 && c.Standing()
	c.mu.Unlock()
	if still && c.still != nil {
		c.still()
	}
	return wait, true
}

// allStuck reports whether every worker waits for a task. The caller holds mu.
func (c *Crew) allStuck() bool {
	size := int(c.size.Load()) // after waiting was changed: see Waiting
	if size == 0 || len(c.waits)-c.queues < size {
		return false
	}
	waiting := make(map[*Worker]bool)
	for _, w := range c.waits {
		// One whose wait is over has not got around to leaving.
		if w.stuck != nil && w.stuck() {
			waiting[w.worker] = true
		}
	}
	return len(waiting) >= size
}

// enterQueue notes that w waits on a queue until refuse is called, or something
// happens there.
func (c *Crew) enterQueue(w *Worker, store any, refuse func()) *crewWait {
	wait := &crewWait{worker: w, store: store, refuse: refuse}
	c.mu.Lock()
	c.add(wait)
	still := c.Standing()
	c.mu.Unlock()
	if still && c.still != nil {
		c.still()
	}
	return wait
}

func (c *Crew) leave(wait *crewWait) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(wait)
}

func (c *Crew) add(wait *crewWait) {
	wait.at = len(c.waits)
	c.waits = append(c.waits, wait)
	c.changes.Add(1)
	if wait.store != nil {
		c.queues++
	} else {
		c.waiting.Add(1)
	}
	if wait.worker.waits++; wait.worker.waits == 1 {
		c.standing.Add(1)
	}
}

func (c *Crew) remove(wait *crewWait) {
	last := len(c.waits) - 1
	c.waits[wait.at] = c.waits[last]
	c.waits[wait.at].at = wait.at
	c.waits[last] = nil
	c.waits = c.waits[:last]
	c.changes.Add(1)
	if wait.store != nil {
		c.queues--
	} else {
		c.waiting.Add(-1)
	}
	if wait.worker.waits--; wait.worker.waits == 0 {
		c.standing.Add(-1)
	}
}

// Await calls wait, as [Blocking] does, in which the caller waits for an
// executor with that crew, until stuck would report false. If the caller is a
// task of the crew, and the others all wait likewise, Await returns fault.ErrNested
// without calling wait. A nil crew is nobody's. stuck must not block.
func Await(ctx context.Context, crew *Crew, stuck func() bool, wait func()) error {
	w := WorkerOf(ctx)
	if w == nil || crew == nil || w.Crew != crew {
		Blocking(ctx, wait)
		return nil
	}
	token, ok := crew.enter(w, stuck)
	if !ok {
		return fault.ErrNested
	}
	defer crew.leave(token)
	Blocking(ctx, wait)
	return nil
}

// OnWorker returns a context as a task on that worker has it. It is for a backend
// that does something in the place of a task that runs elsewhere, so that it counts
// as that worker's: [AnswerQueue] with such a context waits as one of the worker's
// Crew.
func OnWorker(ctx context.Context, w *Worker) context.Context {
	return context.WithValue(ctx, workerKey{}, w)
}
