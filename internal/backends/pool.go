package backends

import (
	"context"
	"os"
	"runtime"
	"sync"

	"github.com/f3f4c0de/harness"
)

// workers returns how many workers cfg asks for.
func workers(cfg harness.Config) int {
	if cfg.Workers > 0 {
		return cfg.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// A pool runs calls on long-lived goroutines of this process.
//
// Note: a goroutine per task instead would grow its stack inside the task,
// which doubles the time of a short one.
type pool struct {
	queue   queue
	workers sync.WaitGroup
	obs     *harness.Observer
	timed   bool
}

func openPool(cfg harness.Config, n int) *pool {
	p := &pool{obs: cfg.Observer, timed: cfg.Timing}
	p.queue.init()
	for i := range n {
		w := &harness.Worker{Index: i, PID: os.Getpid()}
		p.workers.Go(func() { p.work(w) })
	}
	return p
}

func (p *pool) Submit(_ context.Context, c *harness.Call) {
	c.Watch(p.obs, p.timed)
	if !p.queue.push(c) {
		c.Fail(harness.ErrClosed, 0, 0)
	}
}

func (p *pool) work(w *harness.Worker) {
	finished := false
	defer func() {
		if !finished { // a task ended the goroutine with runtime.Goexit
			p.workers.Go(func() { p.work(w) })
		}
	}()
	for {
		c, ok := p.queue.pop()
		if !ok {
			finished = true
			return
		}
		c.Run(w)
	}
}

func (p *pool) Close() error {
	p.queue.close()
	p.workers.Wait()
	return nil
}
