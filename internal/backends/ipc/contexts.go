package ipc

import (
	"context"
	"slices"

	"github.com/f3f4c0de/harness/internal/core"
)

// maxWatched bounds the contexts that are watched at a time, beside those of
// calls in flight.
const maxWatched = 256

// watch sees to it that calls that were sent to a worker are cancelled when the
// context ends that they were submitted with. Many calls share one.
func (p *processes) watchContexts(calls []*core.Call) {
	var last <-chan struct{}
	for _, c := range calls {
		if done := c.Context().Done(); done != last {
			last = done
			p.watchContext(c.Context(), done)
		}
	}
}

func (p *processes) watchContext(ctx context.Context, done <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if done == nil || p.watched[done] != nil {
		return
	}
	if p.watched == nil {
		p.watched = make(map[<-chan struct{}]func() bool)
	}
	if len(p.watched) >= maxWatched {
		p.unwatch()
	}
	p.watched[done] = context.AfterFunc(ctx, func() {
		p.mu.Lock()
		delete(p.watched, done)
		p.mu.Unlock()
		for _, d := range *p.dispatchers.Load() {
			if c := d.current(); c != nil {
				for _, call := range slices.Backward(c.sent()) { // as in cancelAll
					if call.Context().Done() == done {
						call.Cancel(context.Cause(call.Context()))
					}
				}
			}
		}
	})
}

// unwatch stops watching the contexts that no call in flight needs. The caller
// holds mu.
func (p *processes) unwatch() {
	needed := make(map[<-chan struct{}]bool)
	for _, d := range *p.dispatchers.Load() {
		if c := d.current(); c != nil {
			for _, call := range c.sent() {
				needed[call.Context().Done()] = true
			}
		}
	}
	for done, stop := range p.watched {
		if !needed[done] {
			stop()
			delete(p.watched, done)
		}
	}
}
