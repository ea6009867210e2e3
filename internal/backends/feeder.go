package backends

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/f3f4c0de/harness"
)

// A feeder supplies one worker, and starts its process: when the executor is
// opened, and again after that was lost, or has ended because it had done its
// share or had nothing to do.
type feeder struct {
	p     *processes
	index int
	kick  chan struct{} // something has changed

	mu   sync.Mutex
	conn *conn // nil while there is no process; only run and Open change it

	losses int // in a row, without a task to blame

	leaving bool // there are too many workers; guarded by p.mu
	woken   bool // by p.wake; guarded by p.mu
}

func (p *processes) newFeeder(index int) *feeder {
	return &feeder{p: p, index: index, kick: make(chan struct{}, 1)}
}

// A prospect is what a feeder that found no calls can expect.
type prospect int

const (
	open    prospect = iota // more may come
	closing                 // what others have is all there is
	leaving                 // it is one too many
)

func (f *feeder) wake() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

func (f *feeder) current() *conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conn
}

func (f *feeder) set(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conn = c
}

// run supplies the worker until the executor is closed and nothing is left, or
// there are too many workers.
func (f *feeder) run() {
	var batch []*harness.Call
	for {
		if f.conn != nil && f.conn.isLost() {
			if err := f.bury(); err != nil {
				f.giveUp(err)
				return
			}
		}
		if f.conn != nil && f.conn.spent() {
			f.retire()
		}
		if room := f.room(); room > 0 {
			var more prospect
			batch, more = f.p.take(f, room, batch[:0])
			idle := len(batch) == 0 && (f.conn == nil || f.conn.inFlight() == 0)
			if idle && more != leaving {
				batch = f.p.steal(f.share(), batch)
			}
			switch {
			case len(batch) > 0:
				if err := f.supply(batch); err != nil {
					f.p.giveBack(batch)
					f.giveUp(err)
					return
				}
				clear(batch)
				continue
			case idle && more != open:
				f.retire()
				if f.p.dismiss(f) {
					return
				}
				continue
			}
		}
		f.sleep()
	}
}

// room is how many calls the worker can be sent now.
func (f *feeder) room() int {
	if f.conn != nil {
		return f.conn.room()
	}
	if most := f.p.cfg.MaxTasksPerWorker; most > 0 {
		return min(most, least)
	}
	return least
}

// supply sends calls to the worker, after it has started one if need be.
func (f *feeder) supply(batch []*harness.Call) error {
	if f.conn == nil {
		if err := f.start(f.p.life); err != nil {
			return fmt.Errorf("replacing worker %d: %w", f.index, err)
		}
	}
	f.conn.send(batch)
	if f.conn.inFlight() > 1 {
		f.p.wakeAll()
	}
	return nil
}

// sleep waits until something has changed. After the idle timeout it ends a
// worker that has nothing to do.
func (f *feeder) sleep() {
	timeout := f.p.cfg.IdleTimeout
	if timeout <= 0 || f.conn == nil || f.conn.inFlight() > 0 {
		<-f.kick
		return
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-f.kick:
	case <-t.C:
		f.retire()
	}
}

// retire ends the worker, if there is one, in good order. Nothing is in flight.
func (f *feeder) retire() {
	if err := f.end(); err != nil {
		f.p.mu.Lock()
		defer f.p.mu.Unlock()
		f.p.note(err)
	}
}

func (f *feeder) end() error {
	c := f.conn
	if c == nil {
		return nil
	}
	err := c.end()
	f.set(nil)
	c.release()
	return err
}

// bury looks after the calls of a worker that is lost. The task that it ran is
// lost with it; those that it had not started go back to the queue. It is an
// error if that happens again and again without a task to blame.
func (f *feeder) bury() error {
	c := f.conn
	unstarted, ran := c.salvage()
	f.set(nil)
	f.p.giveBack(unstarted)
	if c.wasUseful() || len(ran) > 0 {
		f.losses = 0
	}
	f.p.mu.Lock()
	f.p.lost++
	if len(ran) == 0 {
		f.losses++
		if f.p.life.Err() == nil { // or else it may have been killed because of Stop
			f.p.note(fmt.Errorf("worker %d (pid %d) was lost between two tasks: %s", f.index, c.proc.PID(), c.exit.Cause))
		}
	}
	f.p.mu.Unlock()
	for _, call := range ran {
		if cause := call.Interrupted(); cause != nil {
			call.Fail(cause, 0, 0) // it may well have been killed for that
			continue
		}
		f.p.killed(call, c.lostError(call))
	}
	c.release()
	if f.losses >= maxLosses {
		return fmt.Errorf("gave up on worker %d, which was lost %d times in a row, the last time with %s", f.index, f.losses, c.exit.Cause)
	}
	return nil
}

// share is how many calls an idle worker may be given of what others have.
func (f *feeder) share() int {
	if most := f.p.cfg.MaxTasksPerWorker; most > 0 {
		return f.room()
	}
	return slots
}

// dismiss forgets a feeder that has nothing to do, and reports whether it did:
// calls may have come back meanwhile, and it may be the last that is left.
func (p *processes) dismiss(f *feeder) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	others := slices.ContainsFunc(*p.feeders.Load(), func(g *feeder) bool { return g != f && !g.leaving })
	if p.broken == nil && p.calls.n > 0 && (!f.leaving || !others) {
		f.leaving = false
		return false
	}
	p.remove(f)
	return true
}

// remove forgets a feeder that ends, and reports whether none is left. The
// caller holds mu.
func (p *processes) remove(f *feeder) (last bool) {
	feeders := slices.DeleteFunc(slices.Clone(*p.feeders.Load()), func(g *feeder) bool { return g == f })
	p.feeders.Store(&feeders)
	p.sleepers = slices.DeleteFunc(p.sleepers, func(g *feeder) bool { return g == f })
	if f.woken {
		p.woken--
		p.wake()
	}
	return !slices.ContainsFunc(feeders, func(g *feeder) bool { return !g.leaving })
}

// giveUp leaves the calls to the other workers. If there are none, or none can
// be prepared, the calls fail.
func (f *feeder) giveUp(err error) {
	p := f.p
	var unprepared *harness.InitError
	p.mu.Lock()
	last := p.remove(f)
	if !last && !errors.As(err, &unprepared) {
		if p.life.Err() == nil {
			p.note(err) // no task tells
		}
		p.wake()
		p.mu.Unlock()
		return
	}
	p.broken = err
	p.door.shut()
	queued := p.empty()
	p.mu.Unlock()
	for _, c := range queued {
		c.Fail(err, 0, 0)
	}
}
