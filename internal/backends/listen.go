package backends

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
	c.mu.Unlock()
	if c.watch != nil && c.watch.Exited != nil {
		c.spawn.Ended, c.spawn.Code, c.spawn.Cause = core.Now(), c.exit.Code, c.exit.Cause
		c.watch.Exited(c.spawn)
	}
	close(c.lost)
	c.feeder.wake()
}

// recover takes the results that the worker had not sent when it ended, from the
// memory that was shared with it.
func (c *conn) recover() {
	box := c.claims.outbox
	left := box.mem[:min(int(box.whole.Load()), cap(box.mem))]
	for len(left) > 5 {
		n := binary.LittleEndian.Uint32(left)
		if n < 1 || uint64(n) > uint64(len(left)-4) {
			return
		}
		kind, body := frameKind(left[4]), bytes.Clone(left[5:4+n])
		left = left[4+n:]
		if kind&^byBelt != frameResult {
			continue // it is nobody's any more
		}
		f := frame{kind: kind, body: body}
		if kind&byBelt != 0 {
			var err error
			if f.body, f.end, err = c.claims.fromWorker.find(body); err != nil {
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
	running := id != c.next && call != nil && call.Batch() && c.claims.state(id) == slotStarted
	c.mu.Unlock()
	room := c.claims.room
	if !running || room.id.Load() != id || int(room.first.Load()) != call.Answered() {
		return
	}
	begun, _ := core.SplitItems(c.claims.items[id%slots].Load())
	_ = call.Room(begun-1, room.mem[:cap(room.mem)]) // what cannot be read was not there
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
	c.claims.set(r.id, slotFree)
	c.done++
	if r.outcome != outcomeWithdrawn {
		if c.feeder.p.thefts.Load() != 0 {
			c.feeder.p.thefts.Store(0)
		}
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
	switch {
	case call == nil: // withdrawn
	case r.outcome == outcomeFailed:
		call.Fail(wire.DecodeError(r.payload), r.started, r.ended)
	default:
		if call.KeepsOutput() {
			r.payload = f.own(r.payload)
		}
		if call.Complete(r.payload, r.started, r.ended) {
			c.feeder.p.giveBack([]*core.Call{call})
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
	c.feeder.p.site.Go(func() {
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
