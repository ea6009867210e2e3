package harness

import (
	"context"
	"sync"
	"sync/atomic"
)

// A Crew is the workers of one executor, as far as they wait for each other. A
// task that waits for another task of its own executor keeps its worker. When
// every worker does so, none is left to run what they wait for: [Await] then
// refuses the last of them instead of letting all wait for ever. The zero Crew
// is usable, and all methods are safe for concurrent use.
type Crew struct {
	size    atomic.Int64 // 0: no bound, so that somebody can always be found
	waiting atomic.Int64 // len(waits)

	mu    sync.Mutex
	waits []*crewWait
}

type crewWait struct {
	worker *Worker
	stuck  func() bool
}

// Resize says how many workers there are; 0 is no bound.
func (c *Crew) Resize(workers int) { c.size.Store(int64(workers)) }

// Waiting returns how many of the workers wait for each other, at most. An
// executor that wants fewer workers must keep one that does not: it may be the
// one that the others wait for.
func (c *Crew) Waiting() int { return int(c.waiting.Load()) }

// enter notes that w waits, and reports whether anybody is left to work.
func (c *Crew) enter(w *Worker, stuck func() bool) (*crewWait, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := &crewWait{w, stuck}
	c.waits = append(c.waits, wait)
	c.waiting.Add(1) // before size is read: see Waiting
	size := int(c.size.Load())
	if size == 0 || len(c.waits) < size {
		return wait, true
	}
	waiting := make(map[*Worker]bool)
	for _, other := range c.waits {
		// One whose wait is over has not got around to leaving.
		if other.stuck() {
			waiting[other.worker] = true
		}
	}
	if len(waiting) < size {
		return wait, true
	}
	c.remove(wait)
	return nil, false
}

func (c *Crew) leave(wait *crewWait) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(wait)
}

func (c *Crew) remove(wait *crewWait) {
	for i, other := range c.waits {
		if other == wait {
			last := len(c.waits) - 1
			c.waits[i], c.waits[last] = c.waits[last], nil
			c.waits = c.waits[:last]
			c.waiting.Add(-1)
			return
		}
	}
}

// Await calls wait, as [Blocking] does, in which the caller waits for an
// executor with that crew, until stuck would report false. If the caller is a
// task of the crew, and the others all wait likewise, Await returns ErrNested
// without calling wait. A nil crew is nobody's. stuck must not block.
func Await(ctx context.Context, crew *Crew, stuck func() bool, wait func()) error {
	w := WorkerOf(ctx)
	if w == nil || crew == nil || w.Crew != crew {
		Blocking(ctx, wait)
		return nil
	}
	token, ok := crew.enter(w, stuck)
	if !ok {
		return ErrNested
	}
	defer crew.leave(token)
	Blocking(ctx, wait)
	return nil
}
