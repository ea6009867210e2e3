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

// BatchSuffix is appended to the task's name to make the name of a call of
// [Task.SubmitBatch].
const BatchSuffix = "[]"

// A Batch is what a task returned for each of several arguments.
type Batch[Out any] struct {
	// Values has a result for each argument, in the order of the arguments: the
	// zero value where there is an error. Arguments that [Call.Cut] took back have
	// no result.
	Values []Out

	// Errs has the errors by the index of the argument; nil if there are none.
	// Each is the error that the future of a single call would report.
	Errs map[int]error

	// Run is how long the whole batch took on its worker.
	Run time.Duration
}

// SubmitBatch hands the task with several arguments to ex as one call and returns
// its future as Submit does. One worker runs the task on one argument after the
// other, so many short tasks together pay the cost of one submission. If the task
// fails, panics, or ends its goroutine on one argument, the worker still runs the
// others. Cancelling takes effect between two arguments and fails the whole batch;
// [Call.Cut] takes back the arguments that have not begun. The caller must not change
// in until the future is done. There can be no more than math.MaxUint32 arguments.
func (t *Task[In, Out]) SubmitBatch(ctx context.Context, ex Executor, in []In) *Future[Batch[Out]] {
	return t.SubmitBatchInto(ctx, ex, in, nil)
}

// SubmitBatchInto is [Task.SubmitBatch] with memory for the Values of the batch. The
// memory is used if its capacity suffices. All of it must be zero, and the caller
// must not touch it until the future is done.
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

// A claim word says in its lower half how many arguments of a batch have begun, and
// in its upper half how many will be run at all. The worker claims an argument
// before it touches it. Whoever takes the rest back, or stops the batch, lowers the
// upper half. All of them use compare-and-swap, so an argument that was taken back
// has not begun and never will.
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

// claimBack takes back the arguments that have not begun, and reports false if there
// are none. end returns how many arguments the batch then has.
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
	claim atomic.Uint64 // the claim word of a batch that runs in this process
	wire  transfer      // the state of a batch that is sent to another process
}

func (p *pendingBatch[In, Out]) name() string     { return p.task.name }
func (p *pendingBatch[In, Out]) idempotent() bool { return p.task.idempotent }

func (p *pendingBatch[In, Out]) timeout() time.Duration { return p.task.limit }

func (p *pendingBatch[In, Out]) origin() *TaskIdentity { return p.task.id }
func (p *pendingBatch[In, Out]) release()              { p.in = nil }

func (p *pendingBatch[In, Out]) argument() reflect.Value { return reflect.ValueOf(p.in) }

// cut takes back the arguments that have not begun. The batch is then done when
// those that have begun are done.
func (p *pendingBatch[In, Out]) cut() (left int, ok bool) {
	return claimBack(&p.claim, func(begun uint32) uint32 { return begun })
}

// stop keeps the worker from running the arguments that have not begun. Afterwards
// the claim word says that 0 arguments are to be run, which cut never does.
func (p *pendingBatch[In, Out]) stop() {
	claimBack(&p.claim, func(uint32) uint32 { return 0 })
}

func (p *pendingBatch[In, Out]) run(ctx context.Context) error {
	if len(p.in) > 1 && p.call.ctx.Done() != nil {
		p.call.completion() // it watches the context, whose end stops the batch
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

// runRest runs the arguments that have not begun, and returns how the batch ended.
func (p *pendingBatch[In, Out]) runRest(ctx context.Context, gate Gate, start Stamp) error {
	for p.runSome(ctx, gate, start) {
	}
	end := int(p.claim.Load() >> 32)
	if end == 0 && p.call.stopped() {
		return context.Canceled // Call.Run replaces it by the cause
	}
	p.out.Values = p.out.Values[:end]
	p.out.Run = Now().Sub(start)
	return nil
}

// runSome runs arguments until there are none left, or until one panics: then it
// reports true. A task that calls runtime.Goexit ends the goroutine in any case, but
// the other arguments are run, and the call is completed, before the goroutine ends.
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
				p.stop() // the function may have seen the end of the context before this process did
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
