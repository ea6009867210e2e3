package backends

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/f3f4c0de/harness"
)

// listen takes what the worker says until it says no more. Then the worker is
// lost, unless it was told to end.
func (c *conn) listen(in *bufio.Reader) {
	var fault error
	for {
		f, err := readFrame(in, c.claims.fromWorker)
		if err == nil {
			err = c.hear(f)
			f.done()
		}
		if err != nil {
			fault = err
			break
		}
	}
	c.mu.Lock()
	c.over = true
	for _, t := range c.graces {
		t.Stop()
	}
	c.mu.Unlock()
	c.cancel()
	c.asking.Wait()
	if errors.Is(fault, io.EOF) {
		c.exit = c.proc.End(endTimeout)
	} else {
		c.proc.Kill()
		c.exit = c.proc.Wait()
		c.exit.Cause = fmt.Sprintf("%v; it ended with %s", fault, c.exit.Cause)
	}
	if c.watch != nil && c.watch.Exited != nil {
		c.spawn.Ended, c.spawn.Code, c.spawn.Cause = harness.Now(), c.exit.Code, c.exit.Cause
		c.watch.Exited(c.spawn)
	}
	close(c.lost)
	c.feeder.wake()
}

// gone is the error for what is asked of a worker that has ended.
func (c *conn) gone() error { return fmt.Errorf("the worker ended with %s", c.exit.Cause) }

func (c *conn) hear(f frame) error {
	switch f.kind {
	case frameResult:
		r, err := parseResult(f.body)
		if err != nil {
			return err
		}
		return c.result(f, r)
	case frameAsk:
		a, err := parseAsk(f.own(f.body))
		if err != nil {
			return err
		}
		c.answer(a)
	case frameUnask:
		request, err := parseUnask(f.body)
		if err != nil {
			return err
		}
		c.mu.Lock()
		if cancel := c.asks[request]; cancel != nil {
			cancel()
		}
		c.mu.Unlock()
	case frameReply:
		r, err := parseAnswer(f.own(f.body))
		if err != nil {
			return err
		}
		c.mu.Lock()
		ch := c.replies[r.request]
		delete(c.replies, r.request)
		c.mu.Unlock()
		if ch != nil {
			ch <- r
		}
	case frameMessage:
		m, err := parseMessage(f.own(f.body))
		if err != nil {
			return err
		}
		if c.watch != nil && c.watch.Message != nil {
			c.watch.Message(c.feeder.index, m.topic, m.payload)
		}
	default:
		return fmt.Errorf("frame of unknown kind %d", f.kind)
	}
	return nil
}

// result completes the oldest call in flight.
func (c *conn) result(f frame, r resultFrame) error {
	c.mu.Lock()
	if r.id != c.done || c.done == c.next {
		c.mu.Unlock()
		return fmt.Errorf("result of task %d; want that of %d", r.id, c.done)
	}
	call := c.calls[r.id%slots]
	c.answered.Store(call)
	defer c.answered.Store(nil)
	c.calls[r.id%slots] = nil
	c.claims.set(r.id, slotFree)
	c.done++
	if r.outcome != outcomeWithdrawn {
		c.useful = true
		c.pace(float64(r.ended - r.started))
	}
	if len(c.graces) > 0 && c.graces[r.id] != nil {
		c.graces[r.id].Stop()
		delete(c.graces, r.id)
	}
	hungry := c.next-c.done <= c.window/2
	c.mu.Unlock()
	if hungry {
		c.feeder.wake()
	}
	if call != nil && c.feeder.p.killers.Load() > 0 {
		c.feeder.p.done(call.Task())
	}
	switch {
	case call == nil: // withdrawn
	case r.outcome == outcomeFailed:
		call.Fail(harness.DecodeError(r.payload), r.started, r.ended)
	default:
		if call.KeepsOutput() {
			r.payload = f.own(r.payload)
		}
		call.Complete(r.payload, r.started, r.ended)
	}
	return nil
}

// pace adapts the window to how long tasks take. The caller holds mu.
func (c *conn) pace(ns float64) {
	c.mean += (ns - c.mean) / 8
	c.window = uint32(max(least, min(slots, float64(ahead)/max(1, c.mean))))
}

// answer does for the worker what it asked, beside everything else: it may
// take long. There are as many at a time as the worker's task has goroutines
// that ask.
func (c *conn) answer(a askFrame) {
	ctx, cancel := context.WithCancel(c.ctx)
	c.mu.Lock()
	c.asks[a.request] = cancel
	c.mu.Unlock()
	c.asking.Go(func() {
		v, err := harness.AnswerQueue(ctx, a.op, a.queue, a.payload)
		c.mu.Lock()
		delete(c.asks, a.request)
		c.mu.Unlock()
		cancel()
		_ = c.out.write(frameAnswer, answerOf(a.request, v, err).appendTo(nil))
	})
}
