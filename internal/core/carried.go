package core

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/wire"
)

// maxRuns is how many workers may be lost while they run the same idempotent call, or
// the same argument of a batch of an idempotent task.
const maxRuns = 3

// Foreign reports whether the argument, and whether the result, is encoded by
// methods of the program's own. Those may take long or never return. So a goroutine
// that others wait for must not call them.
func (c *Call) Foreign() (input, output bool) {
	return c.traits&foreignInput != 0, c.traits&foreignOutput != 0
}

// DecodeInput sets the argument of a call that AnyTask.Incoming made. The error
// wraps ErrEncode. It may call methods of the argument's type, so the goroutine that
// is about to run the call calls it.
func (c *Call) DecodeInput(in []byte) error {
	began := c.coding()
	err := c.body.decodeInput(in)
	c.coded(ArgumentDecoded, began)
	if err != nil {
		return encodeError("input", c.Task(), err)
	}
	return nil
}

// Complete completes a claimed call with its encoded result. started and ended
// are when its function began and returned, as the worker's process stamped
// them. It reports true if the call is a batch of which a part is still to be run:
// then the call is not claimed any more, and the backend must give it to a worker
// again. If methods of the program's own decode the result, they run on another
// goroutine, and Complete does not wait for them.
func (c *Call) Complete(out []byte, started, ended Stamp) (again bool) {
	if c.Batch() {
		rest, err := c.body.(batchBody).takeFinal(out)
		if err != nil {
			c.Fail(encodeError("result", c.Task(), err), started, ended)
			return false
		}
		if rest {
			c.began = true
			return c.giveBack()
		}
	}
	if c.traits&foreignOutput != 0 {
		if c.phase.CompareAndSwap(running, decoding) {
			c.site.Go(func() { c.decode(decoding, out, started, ended) })
		}
		return false
	}
	c.decode(running, out, started, ended)
	return false
}

// decode decodes the result of a call that is in phase from, and completes it
// unless it was cancelled meanwhile.
func (c *Call) decode(from uint32, out []byte, started, ended Stamp) {
	if from == running && !c.phase.CompareAndSwap(running, settling) {
		return
	}
	began := c.coding()
	err := wire.ErrGoexit
	var failure error
	defer func() {
		if from == decoding && !c.phase.CompareAndSwap(decoding, settling) {
			return
		}
		c.coded(ResultDecoded, began)
		switch {
		case c.Batch() && c.body.(batchBody).whole():
			failure = nil // all results are decoded, even if a method ended the goroutine
		case failure == nil && err != nil:
			failure = encodeError("result", c.Task(), wire.ErrGoexit)
		}
		c.arrived(started, ended)
		c.finish(failure, false)
	}()
	if err = c.body.decodeOutput(out); err != nil {
		failure = encodeError("result", c.Task(), err) // before the call is settling: a method of err may never return
	}
}

// Part takes the results of the next arguments of a batch. It returns an error if b is
// not a part that can come next.
func (c *Call) Part(b []byte) error {
	batch, ok := c.body.(batchBody)
	if !ok {
		return errors.New("part of a result that is no batch")
	}
	return batch.takePart(b)
}

// Answered returns how many of the arguments that were sent have results.
func (c *Call) Answered() int {
	if batch, ok := c.body.(batchBody); ok {
		return batch.answered()
	}
	return 0
}

// PartFirst returns the number of the argument with which a part begins.
func PartFirst(part []byte) int {
	if len(part) < partHead {
		return 0
	}
	return int(binary.LittleEndian.Uint32(part))
}

// Room takes the results that a worker process has left in the Room of its
// [BatchStream] when it ended: those of the sent arguments with numbers below end. It
// returns an error if room does not hold them.
func (c *Call) Room(end int, room []byte) error {
	batch, ok := c.body.(batchBody)
	if !ok {
		return nil
	}
	return batch.takeRoom(end, room)
}

// Before returns how many arguments had a result when the call was sent.
func (c *Call) Before() int {
	if batch, ok := c.body.(batchBody); ok {
		return batch.before()
	}
	return 0
}

// Sending returns how many arguments AppendInput will encode: those of a batch
// that have no result, or one.
func (c *Call) Sending() int {
	if c.Batch() {
		return c.body.(batchBody).left()
	}
	return 1
}

// Limit tells a batch that only the first sent arguments of those that were sent will
// be run, because the others were taken back.
func (c *Call) Limit(sent int) {
	if batch, ok := c.body.(batchBody); ok {
		batch.limit(sent)
	}
}

// Lose tells a claimed call that its worker was lost with the given error. For a
// batch, begun is how many of the sent arguments the worker had begun. The call, or
// the one argument that was running, fails with the error, unless the task is
// idempotent and this was not the third time. Lose reports true if the backend must
// give the call to another worker: then the call is not claimed any more.
func (c *Call) Lose(lost error, begun int) (again bool) {
	if cause := c.Interrupted(); cause != nil {
		c.Fail(cause, 0, 0) // the worker may have been killed for that
		return false
	}
	if b, ok := c.body.(batchBody); ok {
		c.began = c.began || begun > 0
		if b.lose(lost, begun) {
			return c.giveBack()
		}
		return c.Complete(nil, 0, 0)
	}
	c.began = true
	if c.losses++; c.Idempotent() {
		if c.losses < maxRuns {
			return c.giveBack()
		}
		lost = quarantined(lost)
	}
	c.Fail(lost, 0, 0)
	return false
}

// giveBack makes a claimed call wait again, so that another worker can run it, and
// reports whether it did. It does not if the call was cancelled.
func (c *Call) giveBack() (again bool) {
	if cause := c.Interrupted(); cause != nil {
		c.Fail(cause, 0, 0)
		return false
	}
	if c.Batch() && c.Encoded() {
		c.keep(nil) // what Encode has encoded includes arguments that have a result now
	}
	return c.phase.CompareAndSwap(running, waiting)
}

func quarantined(lost error) error {
	return fmt.Errorf("%w: it was running when each of %d workers was lost: %w", fault.ErrQuarantined, maxRuns, lost)
}

// Encode encodes the argument of a call on another goroutine, for later calls of
// AppendInput. It fails the call if the argument cannot be encoded. In either case it
// then calls done. It is for calls whose argument is Foreign. If the call was
// cancelled before, Encode does nothing and reports false.
func (c *Call) Encode(done func()) bool {
	if !c.phase.CompareAndSwap(waiting, locked) {
		return false
	}
	encode := c.body.encoder() // while the call is locked nobody can complete it and so release its argument
	c.phase.Store(waiting)
	c.site.Go(func() {
		began := c.coding()
		var b []byte
		err := wire.ErrGoexit
		var failure error
		defer func() {
			c.coded(ArgumentEncoded, began)
			if failure == nil && err != nil {
				failure = encodeError("input", c.Task(), wire.ErrGoexit)
			}
			if failure != nil {
				c.Fail(failure, 0, 0)
			} else if b = append([]byte{}, b...); c.phase.CompareAndSwap(waiting, locked) {
				c.keep(b) // not nil
				c.phase.Store(waiting)
			}
			done()
		}()
		if encode(&b, &err); err != nil {
			failure = encodeError("input", c.Task(), err) // a method of err may end the goroutine
		}
	})
	return true
}

// Encoded reports whether Encode has done its work.
func (c *Call) Encoded() bool { return c.encoded() != nil }

// encoded returns the argument as Encode has encoded it, or nil.
func (c *Call) encoded() []byte {
	m := c.waiters.Load()
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.extras == nil {
		return nil
	}
	return m.extras.encoded
}

// keep stores the encoded argument until the call is settled.
func (c *Call) keep(b []byte) {
	m := c.completion()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.extra().encoded = b
}

// OwnErr returns the error that the function of a call that is done has returned, also
// if the call was told to stop and reports the cause. A worker process answers with
// it: the submitter knows why the call was told to stop.
func (c *Call) OwnErr() error { return ownErr(c.Err()) }

func ownErr(err error) error {
	if short, ok := err.(*stoppedError); ok { //nolint:errorlint // it is never wrapped
		return short.err
	}
	return err
}

// A batchBody is the body of a batch that is sent to another process.
type batchBody interface {
	takePart(b []byte) error
	takeRoom(end int, b []byte) error
	before() int
	takeFinal(b []byte) (rest bool, err error)
	answered() int
	left() int
	limit(sent int)
	lose(lost error, begun int) (rest bool)
	whole() bool
}

// A servedBody is the body of a batch in a worker process.
type servedBody interface {
	setStream(s BatchStream)
	cutShort() bool
}

// Stream sets how a batch that AnyTask.Incoming made returns its results. It does
// nothing for other calls.
func (c *Call) Stream(s BatchStream) {
	if b, ok := c.body.(servedBody); ok {
		b.setStream(s)
	}
}

// CutShort reports whether a batch that was run in a worker process has ended before
// its last argument because the task has called runtime.Goexit. The worker must still
// answer with the results that there are.
func (c *Call) CutShort() bool {
	if !c.Batch() {
		return false
	}
	b, ok := c.body.(servedBody)
	return ok && b.cutShort() && c.Interrupted() == nil
}
