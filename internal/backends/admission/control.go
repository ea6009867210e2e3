// Package admission decides what enters an executor: which calls its queue takes,
// how many workers the machine can have, and what to do when all workers wait
// while calls are queued.
//
// The executors inside the process and the one with worker processes use it. It knows
// neither workers nor processes, only the executor's lock and the functions that the
// executor gives it.
package admission

import (
	"context"
	"fmt"
	"sync"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
)

// A Control lets calls into the bounded queue of an executor. The executor's lock
// guards it: the caller of each method holds that lock.
type Control struct {
	mu      *sync.Mutex // the executor's
	limit   int         // calls that may be in the queue; 0: no bound
	policy  core.FullPolicy
	waits   *core.WaitTracker
	queued  func() int   // calls for which no worker is ready
	refused func() error // why the executor takes no calls
	room    sync.Cond    // there is room, or the executor takes no more calls
	blocked int          // submitters that wait for room
	granted int          // those of them that have got room and have not returned from Admit
}

// NewControl returns the admission control of an executor with the lock mu, for the
// queue that cfg asks for. queued returns how many calls wait for a worker, and
// refused why the executor takes no calls, or nil if it does; both are called with
// mu held. A submitter that is a task of the same executor and waits for room counts as a
// worker that waits; waits may be nil.
func NewControl(mu *sync.Mutex, cfg core.Config, waits *core.WaitTracker, queued func() int, refused func() error) Control {
	return Control{mu: mu, limit: cfg.Queue, policy: cfg.Full, waits: waits, queued: queued, refused: refused, room: sync.Cond{L: mu}}
}

func (c *Control) full() bool { return c.limit > 0 && c.queued()+c.granted >= c.limit }

// Admit returns nil when a call may be queued, and otherwise why not: the error that
// refused returns, [fault.ErrFull], the cause of ctx, or [fault.ErrNested]. If the queue
// is full and the policy is core.Block, it releases the lock while it waits for room.
func (c *Control) Admit(ctx context.Context) error {
	if err := c.refused(); err != nil || !c.full() {
		return err
	}
	if c.policy == core.Reject {
		return fault.ErrFull
	}
	c.blocked++
	c.mu.Unlock()
	in := false // this submitter no longer waits, even if others fill the queue again
	stuck := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return !in && c.full() && c.refused() == nil && ctx.Err() == nil
	}
	var err error
	nested := core.Await(ctx, c.waits, stuck, func() {
		defer context.AfterFunc(ctx, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.room.Broadcast()
		})()
		c.mu.Lock()
		defer c.mu.Unlock()
		for c.full() && c.refused() == nil && ctx.Err() == nil {
			c.room.Wait()
		}
		if in = true; ctx.Err() != nil {
			err = context.Cause(ctx)
			c.room.Signal() // the signal that woke this one may be needed by another
			return
		}
		c.granted++
	})
	c.mu.Lock()
	c.blocked--
	if in && err == nil {
		c.granted--
	}
	switch {
	case nested != nil:
		return fmt.Errorf("submitting to a full queue: %w: every worker of the executor waits for a task that needs a worker", nested)
	case err != nil:
		return err
	}
	return c.refused()
}

// Left wakes as many submitters that wait for room as calls have left the queue.
func (c *Control) Left(calls int) {
	for range min(calls, c.blocked) {
		c.room.Signal()
	}
}

// Recheck wakes all submitters that wait for room. It is called when the result of
// refused has changed.
func (c *Control) Recheck() { c.room.Broadcast() }
