package core

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/f3f4c0de/harness/internal/fault"
)

// BatchSuffix ends the name under which a call of [Task.SubmitBatch] goes: the
// task's name and this.
const BatchSuffix = "[]"

// A Batch is what a task returned for each of several arguments.
type Batch[Out any] struct {
	// Values has a result for each argument, in their order: the zero value
	// where there is an error. Arguments that [Call.Cut] took back have none.
	Values []Out

	// Errs has the errors by the index of the argument; nil if there are
	// none. They are what the future of a single call would report.
	Errs map[int]error

	// Run is how long the whole took on its worker.
	Run time.Duration
}

// SubmitBatch hands the task with several arguments to ex as one call, which a
// worker runs one after the other, and returns its future as Submit does. So a
// short task pays the price of a submission once for many. An argument that
// fails, panics, or ends its goroutine does not keep the worker from the rest.
// Cancelling stops between two arguments and fails the whole; see [Call.Cut] for
// how to take back those that have not begun. in must not be changed until the
// future is done. There can be no more than math.MaxUint32 arguments.
func (t *Task[In, Out]) SubmitBatch(ctx context.Context, ex Executor, in []In) *Future[Batch[Out]] {
	return t.SubmitBatchInto(ctx, ex, in, nil)
}

// SubmitBatchInto is [Task.SubmitBatch] with memory for the Values of the batch,
// which is used if it has the capacity for them. All of it must be zero, and must
// be left alone until the future is done.
func (t *Task[In, Out]) SubmitBatchInto(ctx context.Context, ex Executor, in []In, into []Out) *Future[Batch[Out]] {
	t.declared("SubmitBatch")
	p := &pendingBatch[In, Out]{task: t, in: in}
	p.out.Values = into[:0]
	p.call.init(ctx, p, t.traits|batched)
	if uint64(len(in)) > math.MaxUint32 {
		p.call.Fail(fmt.Errorf("submitting %d arguments of task %s at once: more than %d", len(in), t.name, uint32(math.MaxUint32)), 0, 0)
		return &p.Future
	}
	p.claim.Store(claim(0, uint32(len(in))))
	submit(ctx, ex, &p.call)
	return &p.Future
}

// A claim word says how many arguments of a batch have begun, in its lower half,
// and how many are to be run at all, in its upper half. The worker claims an
// argument before it touches it; who wants the rest back, or stopped, lowers the
// upper half. All do so by compare-and-swap, so that an argument that was taken
// back has not begun and never will.
func claim(begun, end uint32) uint64 { return uint64(end)<<32 | uint64(begun) }

// claimNext claims the next argument of a batch, and reports false if there is
// none.
func claimNext(word *atomic.Uint64) (i int, ok bool) {
	for {
		w := word.Load()
		begun, end := uint32(w), uint32(w>>32)
		if begun >= end {
			return 0, false
		}
		if word.CompareAndSwap(w, w+1) {
			return int(begun), true
		}
	}
}

// claimBack takes back what has not begun, and reports false if there is
// nothing. end says how many arguments there are then.
func claimBack(word *atomic.Uint64, end func(begun uint32) uint32) (left int, ok bool) {
	for {
		w := word.Load()
		begun, to := uint32(w), uint32(w>>32)
		if begun >= to {
			return int(to), false
		}
		if to = end(begun); word.CompareAndSwap(w, claim(begun, to)) {
			return int(to), true
		}
	}
}

// pendingBatch is for a batch what pending is for a single call.
type pendingBatch[In, Out any] struct {
	Future[Batch[Out]]
	task  *Task[In, Out]
	in    []In
	claim atomic.Uint64 // see there; of a batch that runs in this process
	wire  crossing      // of one that is carried to another
}

func (p *pendingBatch[In, Out]) name() string     { return p.task.name }
func (p *pendingBatch[In, Out]) idempotent() bool { return p.task.again }

func (p *pendingBatch[In, Out]) timeout() time.Duration { return p.task.limit }

func (p *pendingBatch[In, Out]) origin() *TaskIdentity { return p.task.id }
func (p *pendingBatch[In, Out]) release()              { p.in = nil }

func (p *pendingBatch[In, Out]) argument() reflect.Value { return reflect.ValueOf(p.in) }

// cut takes back the arguments that have not begun. The batch is then done with
// those that have.
func (p *pendingBatch[In, Out]) cut() (left int, ok bool) {
	return claimBack(&p.claim, func(begun uint32) uint32 { return begun })
}

// stop keeps the worker from the arguments that have not begun. That none are
// left tells it from cut.
func (p *pendingBatch[In, Out]) stop() {
	claimBack(&p.claim, func(uint32) uint32 { return 0 })
}

func (p *pendingBatch[In, Out]) run(ctx context.Context) error {
	if len(p.in) > 1 && p.call.ctx.Done() != nil {
		p.call.completion() // which sees to it that the end of the context stops the batch
	}
	var gate Gate
	if w := WorkerOf(ctx); w != nil {
		gate = w.Gate
	}
	start := Now()
	if n := len(p.in); n <= cap(p.out.Values) {
		p.out.Values = p.out.Values[:n]
	} else {
		p.out.Values = make([]Out, n)
	}
	return p.runRest(ctx, gate, start)
}

// runRest runs the arguments that have not begun, and tells how the batch ended.
func (p *pendingBatch[In, Out]) runRest(ctx context.Context, gate Gate, start Stamp) error {
	for p.runSome(ctx, gate, start) {
	}
	end := int(p.claim.Load() >> 32)
	if end == 0 && p.call.stopped() {
		return context.Canceled // Call.Run puts the reason in its place
	}
	p.out.Values = p.out.Values[:end]
	p.out.Run = Now().Sub(start)
	return nil
}

// runSome runs arguments until there are none, or one panics: then it reports
// true. One that calls runtime.Goexit cannot be kept from ending the goroutine,
// but the rest is run, and the call completed, before that happens.
func (p *pendingBatch[In, Out]) runSome(ctx context.Context, gate Gate, start Stamp) (panicked bool) {
	i, ok := 0, true
	defer func() {
		if !ok {
			return
		}
		err := fault.Goexit(p.task.name)
		if v := recover(); v != nil {
			err = fault.NewPanic(p.task.name, v)
			panicked = true
		}
		p.failed(i, err)
		if !panicked {
			p.call.returned(p.runRest(ctx, gate, start))
		}
	}()
	fn, word, in, values := p.task.fn, &p.claim, p.in, p.out.Values
	for {
		if i, ok = claimNext(word); !ok {
			return false
		}
		if gate != nil {
			gate.Yield()
		}
		v, err := fn(ctx, in[i])
		if err != nil {
			p.failed(i, p.call.explain(&fault.TaskError{Task: p.task.name, Err: err}))
			if p.call.stopped() {
				p.stop() // it may have heard sooner of the end of its context
			}
			continue
		}
		values[i] = v
	}
}

func (p *pendingBatch[In, Out]) failed(i int, err error) {
	if p.out.Errs == nil {
		p.out.Errs = make(map[int]error)
	}
	p.out.Errs[i] = err
}
