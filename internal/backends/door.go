package backends

import (
	"context"
	"fmt"
	"sync"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
)

// A door lets calls into the queue of an executor. Its fields are guarded by
// the executor's lock.
type door struct {
	mu      *sync.Mutex // the executor's
	limit   int         // calls that may be in the queue; 0: no bound
	policy  core.FullPolicy
	crew    *core.Crew
	queued  func() int   // calls for which no worker is ready
	refused func() error // why the executor takes no calls
	room    sync.Cond    // there is room, or the executor takes no more calls
	blocked int          // submitters that wait for room
	coming  int          // those of them that have got room and are on their way
}

func newDoor(mu *sync.Mutex, cfg core.Config, crew *core.Crew, queued func() int, refused func() error) door {
	return door{mu: mu, limit: cfg.Queue, policy: cfg.Full, crew: crew, queued: queued, refused: refused, room: sync.Cond{L: mu}}
}

func (d *door) full() bool { return d.limit > 0 && d.queued()+d.coming >= d.limit }

// admit returns nil when a call may be queued. It waits for room, if that is
// the policy. The caller holds the lock.
func (d *door) admit(ctx context.Context) error {
	if err := d.refused(); err != nil || !d.full() {
		return err
	}
	if d.policy == core.Reject {
		return fault.ErrFull
	}
	d.blocked++
	d.mu.Unlock()
	in := false // no longer stuck, whatever others do with the room
	stuck := func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return !in && d.full() && d.refused() == nil && ctx.Err() == nil
	}
	var err error
	nested := core.Await(ctx, d.crew, stuck, func() {
		defer context.AfterFunc(ctx, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.room.Broadcast()
		})()
		d.mu.Lock()
		defer d.mu.Unlock()
		for d.full() && d.refused() == nil && ctx.Err() == nil {
			d.room.Wait()
		}
		if in = true; ctx.Err() != nil {
			err = context.Cause(ctx)
			d.room.Signal() // it may have been meant for another
			return
		}
		d.coming++
	})
	d.mu.Lock()
	d.blocked--
	if in && err == nil {
		d.coming--
	}
	switch {
	case nested != nil:
		return fmt.Errorf("submitting to a full queue: %w: every worker of the executor waits for a task that needs a worker", nested)
	case err != nil:
		return err
	}
	return d.refused()
}

// left tells that calls have left the queue. The caller holds the lock.
func (d *door) left(calls int) {
	for range min(calls, d.blocked) {
		d.room.Signal()
	}
}

// shut wakes everybody who waits, because refused has changed. The caller
// holds the lock.
func (d *door) shut() { d.room.Broadcast() }
