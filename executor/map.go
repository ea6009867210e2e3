package executor

import (
	"context"
	"iter"
	"runtime"
	"time"

	"github.com/f3f4c0de/harness"
)

// MapOptions say how Map deals its inputs out. The zero MapOptions suit most.
type MapOptions struct {
	// Chunk is how many inputs make one call; zero is adapted to how long
	// they take, so that short ones do not pay for a call each and long ones
	// are not kept behind each other.
	Chunk int

	// Ahead bounds how many inputs have been taken whose results have not;
	// zero is what keeps all workers busy.
	Ahead int
}

// Map runs the task on every input and returns the results in the order of the
// inputs: for each its value, or the error that the future of a single call
// would report. It takes inputs only as results are asked for, a bounded number
// ahead, so endless inputs do not need endless memory. Leaving the loop, or an
// end of ctx, cancels what has been submitted; the latter is the last error. An
// error of one input does not end the loop.
//
// Nothing runs until the results are ranged over, and each time that is done,
// everything runs again. in is ranged over on the caller's goroutine.
func Map[In, Out any](ctx context.Context, ex harness.Executor, task *harness.Task[In, Out], in iter.Seq[In], opt MapOptions) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		m := newMapper[In, Out](ctx, ex, opt)
		defer m.cancel()
		next := func() (*portion[In, Out], error) {
			p := m.pending[0]
			_, err := p.future.Wait(ctx)
			if p.future.State() < harness.Done && err != nil {
				return nil, err
			}
			return p, nil
		}
		m.run(task, in, func(*portion[In, Out]) {}, next, yield)
	}
}

// MapUnordered is [Map] with the results in the order in which they come, so
// that none waits for one before it.
func MapUnordered[In, Out any](ctx context.Context, ex harness.Executor, task *harness.Task[In, Out], in iter.Seq[In], opt MapOptions) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		m := newMapper[In, Out](ctx, ex, opt)
		defer m.cancel()
		arrived := make(chan *portion[In, Out], m.workers*maxEach+1)
		submitted := func(p *portion[In, Out]) {
			p.future.Call().Notify(func() { arrived <- p })
		}
		next := func() (p *portion[In, Out], err error) {
			futures := make([]harness.AnyFuture, len(m.pending))
			for i, p := range m.pending {
				futures[i] = p.future
			}
			nested := await(ctx, futures, func() {
				select {
				case p = <-arrived:
				case <-ctx.Done():
					err = context.Cause(ctx)
				}
			})
			if nested != nil {
				return nil, nested
			}
			return p, err
		}
		m.run(task, in, submitted, next, yield)
	}
}

// A mapper deals inputs out in portions.
type mapper[In, Out any] struct {
	ctx     context.Context
	ex      harness.Executor
	opt     MapOptions
	grain   time.Duration
	workers int
	most    int                 // portions that may be pending
	pending []*portion[In, Out] // in the order of their inputs
	inputs  int                 // in them
	size    int                 // inputs of the next portion
	filling time.Duration       // that an input takes to come, lately
	free    [][]In
}

// A portion is what one call does.
type portion[In, Out any] struct {
	in     []In
	future *harness.Future[harness.Batch[Out]]
}

const (
	// A call should take so long, in this process and in another: long beside
	// what a call costs, short beside what a worker may wait for another at
	// the end.
	nearGrain = 200 * time.Microsecond
	farGrain  = time.Millisecond
	maxChunk  = 8192

	// supply is how much work each worker should have pending: enough for
	// whoever takes the results to be scheduled late.
	supply = 4 * time.Millisecond
	// maxEach bounds the calls that each worker has pending.
	maxEach = int(2 + supply/nearGrain)
)

func newMapper[In, Out any](ctx context.Context, ex harness.Executor, opt MapOptions) *mapper[In, Out] {
	m := &mapper[In, Out]{ctx: ctx, ex: ex, opt: opt, grain: nearGrain, workers: runtime.GOMAXPROCS(0), size: 1}
	if _, far := ex.(harness.Controller); far {
		m.grain = farGrain
	}
	if manager, ok := ex.(harness.Manager); ok {
		if n := manager.Stats().Workers; n > 0 {
			m.workers = n
		}
	}
	m.most = 2*m.workers + 2 // until it is known how long they take
	m.setSize(max(1, opt.Chunk))
	return m
}

func (m *mapper[In, Out]) setSize(n int) {
	if m.opt.Ahead > 0 {
		n = min(n, max(1, m.opt.Ahead/m.workers))
	}
	m.size = n
}

// room reports whether another portion may be submitted.
func (m *mapper[In, Out]) room() bool {
	if m.opt.Ahead > 0 && m.inputs+m.size > m.opt.Ahead && m.inputs > 0 {
		return false
	}
	return len(m.pending) < m.most
}

// run takes inputs and yields results until there are none or nobody wants
// them. next returns a portion that is done, and blocks until there is one.
func (m *mapper[In, Out]) run(task *harness.Task[In, Out], in iter.Seq[In],
	submitted func(*portion[In, Out]), next func() (*portion[In, Out], error), yield func(Out, error) bool,
) {
	var chunk []In
	var ended error
	started := harness.Now()
	submit := func() {
		p := &portion[In, Out]{in: chunk, future: task.SubmitBatch(m.ctx, m.ex, chunk)}
		m.pending = append(m.pending, p)
		m.inputs += len(chunk)
		submitted(p)
		now := harness.Now()
		m.filling += (now.Sub(started)/time.Duration(len(chunk)) - m.filling) / 4
	}
	emit := func() bool {
		p, err := next()
		if err != nil {
			m.fail(err, yield)
			return false
		}
		return m.emit(p, yield)
	}
	for v := range in {
		if chunk == nil {
			chunk = m.slice()
		}
		if chunk = append(chunk, v); len(chunk) < m.size {
			continue
		}
		submit()
		for chunk = nil; !m.room() || len(m.pending) > 0 && isDone(m.pending[0].future); {
			if !emit() {
				return
			}
		}
		if m.ctx.Err() != nil { // whatever came now would fail with it
			ended = context.Cause(m.ctx)
			break
		}
		started = harness.Now()
	}
	if len(chunk) > 0 {
		submit()
	}
	for len(m.pending) > 0 {
		if !emit() {
			return
		}
	}
	if ended != nil {
		m.fail(ended, yield)
	}
}

func (m *mapper[In, Out]) fail(err error, yield func(Out, error) bool) (more bool) {
	var zero Out
	return yield(zero, err)
}

// slice returns an empty slice for the inputs of a portion.
func (m *mapper[In, Out]) slice() []In {
	if n := len(m.free); n > 0 {
		s := m.free[n-1]
		m.free = m.free[:n-1]
		return s
	}
	return make([]In, 0, m.size)
}

// emit yields the results of a portion.
func (m *mapper[In, Out]) emit(p *portion[In, Out], yield func(Out, error) bool) bool {
	for i, q := range m.pending {
		if q == p {
			m.pending = append(m.pending[:i], m.pending[i+1:]...)
			break
		}
	}
	m.inputs -= len(p.in)
	batch, err := p.future.Wait(m.ctx)
	if err != nil && m.ctx.Err() != nil {
		m.fail(context.Cause(m.ctx), yield) // and so would the others
		return false
	}
	if err != nil {
		for range p.in {
			if !m.fail(err, yield) {
				return false
			}
		}
		return true
	}
	m.adapt(len(p.in), batch.Run)
	n := len(p.in)
	clear(p.in)
	m.free = append(m.free, p.in[:0])
	if batch.Errs == nil {
		for _, v := range batch.Values {
			if !yield(v, nil) {
				return false
			}
		}
		return true
	}
	for i := range n {
		if !yield(batch.Values[i], batch.Errs[i]) {
			return false
		}
	}
	return true
}

// adapt sets the size of portions by how long one took. It grows step by step:
// the first few may not be like the rest.
func (m *mapper[In, Out]) adapt(n int, run time.Duration) {
	m.most = max(2*m.workers+2, m.workers*min(maxEach, int(2+supply/max(run, 1))))
	if m.opt.Chunk > 0 {
		return
	}
	each := max(run/time.Duration(n), m.filling, 1)
	m.setSize(int(max(1, min(m.grain/each, 8*time.Duration(n), maxChunk))))
}

// cancel cancels what nobody will take.
func (m *mapper[In, Out]) cancel() {
	for _, p := range m.pending {
		p.future.Cancel()
	}
}
