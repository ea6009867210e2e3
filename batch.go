package harness

import (
	"context"
	"time"
)

// BatchSuffix ends the name under which a call of [Task.SubmitBatch] goes: the
// task's name and this.
const BatchSuffix = "[]"

// A Batch is what a task returned for each of several arguments.
type Batch[Out any] struct {
	// Values has a result for each argument, in their order: the zero value
	// where there is an error.
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
// fails, or panics, does not keep the worker from the rest. Cancelling stops
// between two arguments and fails the whole. in must not be changed until the
// future is done.
func (t *Task[In, Out]) SubmitBatch(ctx context.Context, ex Executor, in []In) *Future[Batch[Out]] {
	t.declared("SubmitBatch")
	p := &pendingBatch[In, Out]{task: t, in: in}
	p.call.init(ctx, p)
	submit(ctx, ex, &p.call)
	return &p.Future
}

// pendingBatch is for a batch what pending is for a single call.
type pendingBatch[In, Out any] struct {
	Future[Batch[Out]]
	task *Task[In, Out]
	in   []In
	wire wire
}

func (p *pendingBatch[In, Out]) name() string     { return p.task.name }
func (p *pendingBatch[In, Out]) idempotent() bool { return p.task.again }

func (p *pendingBatch[In, Out]) origin() *TaskIdentity { return p.task.id }
func (p *pendingBatch[In, Out]) batch() bool           { return true }
func (p *pendingBatch[In, Out]) release()              { p.in = nil }

func (p *pendingBatch[In, Out]) run(ctx context.Context) error {
	start := Now()
	p.out.Values = make([]Out, len(p.in))
	var gate Gate
	if w := WorkerOf(ctx); w != nil {
		gate = w.Gate
	}
	for i := 0; i < len(p.in); {
		i = p.runFrom(ctx, i, gate)
		if i < len(p.in) && p.call.stopped() {
			return context.Canceled // Call.Run puts the reason in its place
		}
	}
	p.out.Run = Now().Sub(start)
	return nil
}

// runFrom runs the arguments from the i-th on, until one panics or the rest is
// no longer wanted, and returns the index of the next.
func (p *pendingBatch[In, Out]) runFrom(ctx context.Context, i int, gate Gate) (next int) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil { // and not runtime.Goexit, which ends the batch
			p.failed(i, newPanicError(p.task.name, v))
			next = i + 1
		}
	}()
	for ; i < len(p.in) && !p.call.stopped(); i++ {
		if gate != nil {
			gate.Yield()
		}
		v, err := p.task.fn(ctx, p.in[i])
		if err != nil {
			p.failed(i, p.call.explain(&TaskError{Task: p.task.name, Err: err}))
			continue
		}
		p.out.Values[i] = v
	}
	returned = true
	return i
}

func (p *pendingBatch[In, Out]) failed(i int, err error) {
	if p.out.Errs == nil {
		p.out.Errs = make(map[int]error)
	}
	p.out.Errs[i] = err
}
