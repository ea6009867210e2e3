package backends

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/child"
)

// Processes runs tasks on worker processes, each with one processor.
var Processes = &harness.Backend{
	Name: "processes",
	Doc: `worker processes, one task at a time in each

Each worker is this same program started again, with GOMAXPROCS=1 and a heap
and a garbage collector of its own. Nothing is shared: arguments and results
are encoded and cross a pipe, which is measured as a part of its own.
CPU-bound work scales to the processors, waiting scales to the workers.`,
	Open: func(ctx context.Context, cfg harness.Config) (harness.Executor, error) {
		return openProcesses(ctx, cfg)
	},
}

// maxLosses in a row without one task done mean that a worker cannot work.
const maxLosses = 3

// processes is an executor whose workers are processes.
//
// A feeder per worker takes calls from the queue and keeps the worker supplied
// (conn.go). It takes no more than the worker can do in a fraction of a
// millisecond, but one ahead, so that a worker never waits for its parent to be
// scheduled. When the queue is empty, a worker with nothing to do is given what
// others have been sent and have not started.
type processes struct {
	cfg     harness.Config
	feeders []*feeder
	running sync.WaitGroup // feeders

	mu       sync.Mutex
	calls    ring
	again    []*harness.Call // claimed before, and back from a worker that did not start them
	sleepers []*feeder       // those that found the queue empty
	closed   bool
	working  int   // feeders that have not given up
	broken   error // why the last one did
	errs     []error
}

func openProcesses(ctx context.Context, cfg harness.Config) (*processes, error) {
	if child.Role() == WorkerRole {
		return nil, errors.New("a worker process cannot start workers of its own; if this program did not mean to be a worker, call executor.Main or cli.Main first thing in main")
	}
	n := workers(cfg)
	p := &processes{cfg: cfg, working: n}
	var starting sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		f := &feeder{p: p, index: i, kick: make(chan struct{}, 1)}
		p.feeders = append(p.feeders, f)
		starting.Go(func() { f.conn, errs[i] = f.start(ctx) })
	}
	starting.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, f := range p.feeders {
			if f.conn != nil {
				err = errors.Join(err, f.conn.end())
				f.conn.release()
			}
		}
		return nil, err
	}
	for _, f := range p.feeders {
		p.running.Go(f.run)
	}
	return p, nil
}

func (p *processes) Submit(_ context.Context, c *harness.Call) {
	c.Watch(p.cfg.Observer, p.cfg.Timing)
	p.mu.Lock()
	err := p.broken
	if p.closed {
		err = harness.ErrClosed
	}
	if err != nil {
		p.mu.Unlock()
		c.Fail(err, 0, 0)
		return
	}
	p.calls.push(c)
	p.wake()
	p.mu.Unlock()
}

// wake wakes one feeder that sleeps because the queue was empty. The caller
// holds mu.
func (p *processes) wake() {
	if n := len(p.sleepers); n > 0 {
		f := p.sleepers[n-1]
		p.sleepers = p.sleepers[:n-1]
		f.wake()
	}
}

// wakeAll wakes all sleepers, one of which may have nothing to do: there is
// something to be stolen now.
func (p *processes) wakeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.sleepers) > 0 {
		p.wake()
	}
}

func (p *processes) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for _, f := range p.feeders {
		f.wake()
	}
	p.running.Wait()
	return errors.Join(p.errs...)
}

// take removes up to n calls from the queue for f, and leaves as many for each
// of the other workers. If there are none, f is woken when there are; closed
// tells that there will be none.
func (p *processes) take(f *feeder, n int, batch []*harness.Call) (_ []*harness.Call, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sleepers = slices.DeleteFunc(p.sleepers, func(s *feeder) bool { return s == f })
	for len(p.again) > 0 && len(batch) < n {
		batch = append(batch, p.again[0])
		p.again = p.again[1:]
	}
	n = min(n, len(batch)+max(1, p.calls.n/len(p.feeders)))
	for p.calls.n > 0 && len(batch) < n {
		c := p.calls.pop()
		if c.Claim(p) {
			batch = append(batch, c)
		}
	}
	if len(batch) == 0 {
		p.sleepers = append(p.sleepers, f)
	} else if p.calls.n > 0 {
		p.wake()
	}
	return batch, p.closed
}

// giveBack returns calls that were claimed and not started.
func (p *processes) giveBack(calls []*harness.Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.again = append(p.again, calls...)
	for range calls {
		p.wake()
	}
}

// steal takes what the busiest worker has been sent and not started, half of
// it, for a worker with nothing to do.
func (p *processes) steal(batch []*harness.Call) []*harness.Call {
	var victim *conn
	most := 0
	for _, f := range p.feeders {
		if c := f.current(); c != nil {
			if n := c.waiting(); n > most {
				victim, most = c, n
			}
		}
	}
	if victim == nil {
		return batch
	}
	return victim.withdraw((most+1)/2, batch)
}

// Abort implements [harness.Carrier].
func (p *processes) Abort(c *harness.Call, cause error) bool {
	for _, f := range p.feeders {
		if conn := f.current(); conn != nil {
			if found, neverRan := conn.abort(c, cause); found {
				return neverRan
			}
		}
	}
	return false // on its way from one worker to another; see conn.send
}

// Started implements [harness.Carrier].
func (p *processes) Started(c *harness.Call) bool {
	for _, f := range p.feeders {
		if conn := f.current(); conn != nil && conn.started(c) {
			return true
		}
	}
	return false
}

// Control implements [harness.Controller].
func (p *processes) Control(ctx context.Context, request string, payload []byte) ([]harness.Reply, error) {
	replies := make([]harness.Reply, len(p.feeders))
	errs := make([]error, len(p.feeders))
	var asking sync.WaitGroup
	for i, f := range p.feeders {
		c := f.current()
		asking.Go(func() {
			b, err := c.control(ctx, request, payload)
			if err != nil {
				errs[i] = fmt.Errorf("worker %d (pid %d): request %s: %w", i, c.proc.PID(), request, err)
			}
			replies[i] = harness.Reply{Worker: i, PID: c.proc.PID(), Payload: b}
		})
	}
	asking.Wait()
	return replies, errors.Join(errs...)
}

// A feeder supplies one worker, and replaces its process when that is lost.
type feeder struct {
	p     *processes
	index int
	kick  chan struct{} // something has changed

	mu   sync.Mutex
	conn *conn

	losses int // in a row, without a task done
}

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

// run supplies the worker until the executor is closed and nothing is left.
func (f *feeder) run() {
	var batch []*harness.Call
	for {
		if f.conn.isLost() {
			if err := f.replace(); err != nil {
				f.giveUp(err)
				return
			}
		}
		if room := f.conn.room(); room > 0 {
			var closed bool
			batch, closed = f.p.take(f, room, batch[:0])
			idle := len(batch) == 0 && f.conn.inFlight() == 0
			if idle {
				batch = f.p.steal(batch)
			}
			switch {
			case len(batch) > 0:
				f.conn.send(batch)
				clear(batch)
				if f.conn.inFlight() > 1 {
					f.p.wakeAll()
				}
				continue
			case idle && closed:
				f.finish()
				return
			}
		}
		<-f.kick
	}
}

// finish ends the worker in good order. Nothing is in flight.
func (f *feeder) finish() {
	err := f.conn.end()
	f.conn.release()
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	f.p.working--
	if err != nil {
		f.p.errs = append(f.p.errs, err)
	}
}

// replace starts a new process in the place of one that is lost. The task that
// it ran is lost with it; those that it had not started go back to the queue.
func (f *feeder) replace() error {
	if f.conn.wasUseful() {
		f.losses = 0
	}
	f.losses++
	f.p.giveBack(f.conn.salvage())
	f.conn.release()
	if f.losses >= maxLosses {
		return fmt.Errorf("gave up on worker %d, which was lost %d times in a row, the last time with %s", f.index, f.losses, f.conn.exit.Cause)
	}
	next, err := f.start(context.Background())
	if err != nil {
		return fmt.Errorf("replacing worker %d: %w", f.index, err)
	}
	f.mu.Lock()
	f.conn = next
	f.mu.Unlock()
	return nil
}

// giveUp leaves the calls to the other workers. If there are none, they fail.
func (f *feeder) giveUp(err error) {
	p := f.p
	p.mu.Lock()
	if p.working--; p.working > 0 {
		p.wake()
		p.mu.Unlock()
		return
	}
	p.broken = err
	orphans := p.again
	for p.calls.n > 0 {
		orphans = append(orphans, p.calls.pop())
	}
	p.again = nil
	p.mu.Unlock()
	for _, c := range orphans {
		c.Fail(err, 0, 0)
	}
}

// Pacing of a worker.
const (
	// ahead is how much work a worker should have been sent, at least: enough
	// for many short tasks to cross in one write.
	ahead = 200 * time.Microsecond
	// least is one task to run and one to go on with.
	least = 2
)
