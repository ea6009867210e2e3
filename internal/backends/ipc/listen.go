package ipc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/wire"
)

// listen takes what the worker says until it says no more. Then the worker is
// lost, unless it was told to end.
func (c *conn) listen(in *bufio.Reader) {
	var fault error
	for {
		f, err := readFrame(in, c.shared.fromWorker)
		if err == nil {
			err = c.handle(f)
			f.done()
		}
		if err != nil {
			fault = err
			break
		}
	}
	c.cancel()
	if errors.Is(fault, io.EOF) {
		c.exit = c.proc.End(endTimeout)
	} else {
		c.proc.Kill()
		c.exit = c.proc.Wait()
		c.exit.Cause = fmt.Sprintf("%v; it ended with %s", fault, c.exit.Cause)
	}
	c.recover()
	c.mu.Lock()
	c.over = true
	for _, t := range c.graces {
		t.Stop()
	}
	for id := range c.limits {
		c.endLimit(id)
	}
	c.mu.Unlock()
	if c.observer != nil && c.observer.Exited != nil {
		c.spawn.Ended, c.spawn.Code, c.spawn.Cause = core.Now(), c.exit.Code, c.exit.Cause
		c.observer.Exited(c.spawn)
	}
	close(c.lost)
	c.dispatcher.wake()
}

// recover takes the results that the worker had not sent when it ended, from the
// memory that was shared with it.
func (c *conn) recover() {
	box := c.shared.outbox
	left := box.mem[:min(int(box.whole.Load()), cap(box.mem))]
	for len(left) > 5 {
		n := binary.LittleEndian.Uint32(left)
		if n < 1 || uint64(n) > uint64(len(left)-4) {
			return
		}
		kind, body := frameKind(left[4]), bytes.Clone(left[5:4+n])
		left = left[4+n:]
		if kind&^inRing != frameResult {
			continue // it is nobody's any more
		}
		f := frame{kind: kind, body: body}
		if kind&inRing != 0 {
			var err error
			if f.body, f.end, err = c.shared.fromWorker.find(body); err != nil {
				return
			}
			f.shared = true
		}
		r, err := parseResult(f.body)
		if err != nil {
			return
		}
		if c.arrived(r) {
			continue
		}
		if err := c.result(f, r); err != nil {
			return
		}
	}
	c.recoverRoom()
}

// arrived reports whether a result that was found has been heard before.
func (c *conn) arrived(r resultFrame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.id != c.done {
		return int32(r.id-c.done) < 0
	}
	call := c.calls[r.id%slots]
	return r.outcome == outcomePart && call != nil && core.PartFirst(r.payload) < call.Answered()
}

// recoverRoom takes the results of the batch that the worker was running.
func (c *conn) recoverRoom() {
	c.mu.Lock()
	id := c.done
	call := c.calls[id%slots]
	running := id != c.next && call != nil && call.Batch() && c.shared.state(id) == stateStarted
	c.mu.Unlock()
	room := c.shared.results
	if !running || room.id.Load() != id || int(room.first.Load()) != call.Answered() {
		return
	}
	begun, _ := core.SplitItems(c.shared.items[id%slots].Load())
	_ = call.Room(begun-1, room.mem[:cap(room.mem)]) // what cannot be read was not there
}

// gone is the error for what is asked of a worker that has ended.
func (c *conn) gone() error { return fmt.Errorf("the worker ended with %s", c.exit.Cause) }

func (c *conn) handle(f frame) error {
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
		if c.observer != nil && c.observer.Message != nil {
			c.observer.Message(c.index, m.topic, m.payload)
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
	if r.outcome == outcomePart {
		c.mu.Unlock()
		if call == nil {
			return fmt.Errorf("part of task %d, which was withdrawn", r.id)
		}
		if call.KeepsOutput() {
			r.payload = f.own(r.payload)
		}
		return call.Part(r.payload)
	}
	if call != nil && r.outcome == outcomeOK {
		c.limitItems(r.id, call)
	}
	c.answered.Store(call)
	defer c.answered.Store(nil)
	c.calls[r.id%slots] = nil
	c.shared.set(r.id, stateFree)
	c.done++
	if r.outcome != outcomeWithdrawn {
		c.dispatcher.taskDone()
		c.useful = true
		c.pace(float64(r.ended - r.started))
	}
	if len(c.graces) > 0 && c.graces[r.id] != nil {
		c.graces[r.id].Stop()
		delete(c.graces, r.id)
	}
	if len(c.limits) > 0 {
		c.endLimit(r.id)
	}
	hungry := c.next-c.done <= c.window/2
	c.mu.Unlock()
	if hungry {
		c.dispatcher.wake()
	}
	switch {
	case call == nil: // withdrawn
	case r.outcome == outcomeFailed:
		call.Fail(wire.DecodeError(r.payload), r.started, r.ended)
	default:
		if call.KeepsOutput() {
			r.payload = f.own(r.payload)
		}
		if call.Complete(r.payload, r.started, r.ended) {
			c.dispatcher.giveBack(call)
		}
	}
	return nil
}

// pace adapts the window to how long tasks take. The caller holds mu.
func (c *conn) pace(ns float64) {
	c.mean += (ns - c.mean) / 8
	c.window = uint32(max(least, min(slots, float64(ahead)/max(1, c.mean))))
}

// answer does for the worker what it asked, beside everything else: it may
// take long, and methods of the program's own may never return. There are as many at a time as the worker's task has goroutines
// that ask.
func (c *conn) answer(a askFrame) {
	ctx, cancel := context.WithCancel(core.OnWorker(c.ctx, c.self))
	c.mu.Lock()
	c.asks[a.request] = cancel
	c.mu.Unlock()
	c.dispatcher.runApart(func() {
		var v []byte
		err := fmt.Errorf("value of a queue %w: its own encoding called runtime.Goexit", fault.ErrEncode)
		defer func() { // also if that is so
			c.mu.Lock()
			delete(c.asks, a.request)
			c.mu.Unlock()
			cancel()
			_ = c.out.write(frameAnswer, answerOf(a.request, v, err).appendTo(nil))
		}()
		v, err = core.AnswerQueue(ctx, a.op, a.queue, a.payload)
	})
}
