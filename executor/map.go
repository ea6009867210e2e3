package executor

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
)

// MapOptions say how [Results] distributes its inputs over the workers. The zero
// MapOptions suit most programs.
type MapOptions struct {
	// Unordered has results yielded in the order in which they arrive, so that no
	// result waits for one before it.
	Unordered bool

	// Chunk is how many inputs make one submission. With zero the number is adapted
	// to how long inputs take, so that many short inputs share the cost of one
	// submission, and inputs that wait behind long ones are given to an idle worker. A
	// task with a time limit always gets one input at a time.
	Chunk int

	// Ahead bounds how many inputs have been taken whose results have not been
	// yielded; zero is as many as keep all workers busy.
	Ahead int

	// Progress is called on the goroutine that ranges over the results, before each
	// result is yielded. done is the number of results including that one, and failed
	// how many of them are errors. Progress may be nil.
	Progress func(done, failed int)
}

// A Result is the result of one input.
type Result[In, Out any] struct {
	Index int // of the input, from 0
	In    In
	Out   Out   // the zero value if there is an error
	Err   error // what the future of a single submission would report
}

// report returns yield, after Progress was called for each result of an input.
func report[In, Out any](progress func(done, failed int), yield func(Result[In, Out]) bool) func(Result[In, Out]) bool {
	if progress == nil {
		return yield
	}
	done, failed := 0, 0
	return func(r Result[In, Out]) bool {
		if r.Index >= 0 {
			done++
			if r.Err != nil {
				failed++
			}
			progress(done, failed)
		}
		return yield(r)
	}
}

// Map runs the task on every input and returns the results in the order of the
// inputs. It blocks until all are done. The first error, in that order, ends Map and
// cancels the rest. If ctx ends first, Map cancels what it has submitted and returns
// the cause of ctx.
func Map[In, Out any](ctx context.Context, ex *Executor, task *Task[In, Out], in []In) ([]Out, error) {
	out := make([]Out, 0, len(in))
	var failed error
	newMapper(ctx, ex, task, MapOptions{}).run(slices.Values(in), func(r Result[In, Out]) bool {
		failed = r.Err
		out = append(out, r.Out)
		return r.Err == nil
	})
	if failed != nil {
		return nil, failed
	}
	return out, nil
}

// Results runs the task on every input and yields a result for each, in the order of
// the inputs unless opt says otherwise. It takes inputs only as results are asked for,
// a bounded number ahead, so endless inputs do not need endless memory. If inputs begin
// to come slowly, a taken input may wait for the next one before it is run. Leaving the
// loop, or an end of ctx, cancels what has been submitted. If ctx ends, the last result
// has the cause of ctx as its Err and the Index -1. An error of one input does not end
// the loop.
//
// Nothing runs until the results are ranged over, and each loop over them runs
// everything again. in is ranged over on the caller's goroutine.
func Results[In, Out any](ctx context.Context, ex *Executor, task *Task[In, Out], in iter.Seq[In], opt MapOptions) iter.Seq[Result[In, Out]] {
	return func(yield func(Result[In, Out]) bool) {
		newMapper(ctx, ex, task, opt).run(in, report(opt.Progress, yield))
	}
}

// A mapper submits inputs in portions. It does not know beforehand how long an input
// takes: long inputs may follow short ones. When a worker is idle while a portion runs
// for long, the mapper takes back the inputs of that portion that have not begun, and
// submits them in smaller portions.
type mapper[In, Out any] struct {
	ctx       context.Context
	ex        core.Executor
	task      *core.Task[In, Out]
	taken     int // inputs that have been put into portions
	opt       MapOptions
	grain     time.Duration // how long a portion should take
	workers   int
	most      int                    // portions that may be submitted and not yielded
	pending   []*portion[In, Out]    // in the order of their inputs
	arrived   chan *portion[In, Out] // those that are done; nil if they are yielded in order
	inputs    int                    // in pending
	takenBack int                    // portions that were taken back and are not submitted again
	size      int                    // inputs of the next portion
	filling   time.Duration          // how long the next input takes to come, a recent estimate
	freeIn    [][]In                 // memory for the inputs of a portion
	freeOut   [][]Out                // memory for the results of a portion, all zero
	late      *time.Timer
	timed     bool // late is set
	due       *time.Timer
	isDue     atomic.Bool // it is time to read the clock
}

// A portion is the inputs of one call.
type portion[In, Out any] struct {
	in     []In
	first  int                           // index of the first input
	future *core.Future[core.Batch[Out]] // nil until the portion is submitted
	shares bool                          // in shares memory with other portions
	slow   bool                          // it was running when a worker was idle
}

const (
	// nearGrain and farGrain are how long a call should take, in this process and in
	// another: much longer than the cost of a call, and short, because at the end
	// workers wait for the one with the last call.
	nearGrain = 200 * time.Microsecond
	farGrain  = time.Millisecond
	maxChunk  = 8192

	// supply is how much work each worker should have pending: enough to keep it busy
	// while the goroutine that takes the results is scheduled late.
	supply = 4 * time.Millisecond
	// maxEach bounds the calls that each worker has pending.
	maxEach = int(2 + supply/nearGrain)

	// patience is how many grains the mapper waits for a result before it checks
	// whether a portion takes too long. lateness is how many grains are too long.
	patience = 5
	lateness = 8

	// dueAfter is how long a portion may be filled, and how often the mapper checks
	// that. Reading the clock for each input would take longer than a short task.
	dueAfter = 5 * time.Millisecond
)

func newMapper[In, Out any](ctx context.Context, ex *Executor, task *Task[In, Out], opt MapOptions) *mapper[In, Out] {
	m := &mapper[In, Out]{
		ctx: ctx, ex: ex.raw(), task: task.core(), opt: opt, grain: nearGrain, workers: runtime.GOMAXPROCS(0), size: 1,
		late: time.NewTimer(time.Hour),
	}
	if ex != nil {
		if ex.Traits()&SharedMemory == 0 {
			m.grain = farGrain
		}
		if n := ex.Stats().Workers; n > 0 {
			m.workers = n
		}
	}
	if opt.Unordered {
		m.arrived = make(chan *portion[In, Out], m.workers*maxEach+1)
	}
	if m.task.TimeLimit() > 0 {
		m.opt.Chunk = 1 // the limit holds for each input, but a batch has one for all
	}
	m.due = time.AfterFunc(dueAfter, func() { m.isDue.Store(true) })
	m.most = 2*m.workers + 2 // until it is known how long inputs take
	m.setSize(max(1, m.opt.Chunk))
	return m
}

func (m *mapper[In, Out]) setSize(n int) {
	if m.opt.Ahead > 0 {
		n = min(n, max(1, m.opt.Ahead/m.workers))
	}
	m.size = n
}

// room reports whether a portion of new inputs may be submitted.
func (m *mapper[In, Out]) room() bool {
	if m.opt.Ahead > 0 && m.inputs+m.size > m.opt.Ahead && m.inputs > 0 {
		return false
	}
	return m.takenBack == 0 && len(m.pending) < m.most
}

// run takes inputs and yields results until there are no more or yield returns false.
func (m *mapper[In, Out]) run(in iter.Seq[In], yield func(Result[In, Out]) bool) {
	defer m.end()
	chunk := m.memory()
	var ended error
	started := core.Now()
	add := func() {
		p := &portion[In, Out]{in: chunk, first: m.taken}
		m.taken += len(chunk)
		m.pending = append(m.pending, p)
		m.inputs += len(chunk)
		m.submit(p)
		now := core.Now()
		m.filling += (now.Sub(started)/time.Duration(len(chunk)) - m.filling) / 4
	}
	emit := func() bool {
		p, err := m.next()
		if err != nil {
			m.fail(err, yield)
			return false
		}
		if !m.emit(p, yield) {
			return false
		}
		m.deal()
		return true
	}
	for v := range in {
		if chunk = append(chunk, v); len(chunk) < m.size && !m.overdue(started) {
			continue
		}
		add()
		for !m.room() || len(m.pending) > 0 && isDone(m.pending[0].future.Call()) {
			if !emit() {
				return
			}
		}
		chunk = m.memory()
		if m.ctx.Err() != nil { // a call that is submitted now would fail with it
			ended, chunk = context.Cause(m.ctx), nil
			break
		}
		started = core.Now()
	}
	if len(chunk) > 0 {
		add()
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

// overdue reports whether a portion whose filling began then should be submitted before
// it is full, because its inputs come slowly.
func (m *mapper[In, Out]) overdue(began core.Stamp) bool {
	if !m.isDue.Load() {
		return false
	}
	m.isDue.Store(false)
	m.due.Reset(dueAfter)
	return m.opt.Chunk == 0 && core.Now().Sub(began) > dueAfter
}

func (m *mapper[In, Out]) submit(p *portion[In, Out]) {
	p.future = m.task.SubmitBatchInto(m.ctx, m.ex, p.in, take(&m.freeOut))
	if m.arrived != nil {
		p.future.Call().OnDone(func() { m.arrived <- p })
	}
}

// next returns the portion to be yielded next. It blocks until that portion is done.
func (m *mapper[In, Out]) next() (*portion[In, Out], error) {
	if m.arrived != nil {
		select {
		case p := <-m.arrived:
			return p, nil
		default:
			return comes(m, m.arrived)
		}
	}
	p := m.pending[0]
	if isDone(p.future.Call()) {
		return p, nil
	}
	if _, err := comes(m, p.future.Done()); err != nil && !isDone(p.future.Call()) {
		return nil, err
	}
	return p, nil
}

// comes blocks until a value comes out of the channel, which is when the next portion is
// done.
func comes[T, In, Out any](m *mapper[In, Out], done <-chan T) (v T, err error) {
	for late := true; late && err == nil; {
		late = false
		nested := await(m.ctx, m.awaited(), func() {
			if !m.timed { // to set a timer wakes a thread
				m.timed = true
				m.late.Reset(patience * m.grain)
			}
			select {
			case v = <-done:
			case <-m.late.C:
				late, m.timed = true, false
			case <-m.ctx.Done():
				err = context.Cause(m.ctx)
			}
		})
		switch {
		case nested != nil:
			err = nestedError(m.task.Name(), nested)
		case late:
			m.look()
		}
	}
	return v, err
}

// awaited returns the futures of which one is the next to be yielded.
func (m *mapper[In, Out]) awaited() (futures []core.SealedFuture) {
	for _, p := range m.pending {
		if p.future != nil {
			futures = append(futures, p.future)
		}
		if m.arrived == nil {
			break
		}
	}
	return futures
}

// look takes back, if a worker is idle, the inputs that have not begun from the portions
// that were running at its last call and still run.
func (m *mapper[In, Out]) look() {
	if m.opt.Chunk > 0 {
		return
	}
	var running []int
	for i, p := range m.pending {
		if p.future != nil && !isDone(p.future.Call()) {
			if running = append(running, i); len(running) == m.workers {
				return
			}
		}
	}
	for _, i := range slices.Backward(running) { // so that the indexes stay right
		p := m.pending[i]
		if !p.slow {
			p.slow = true
			continue
		}
		left, ok := p.future.Call().Cut()
		if !ok {
			continue
		}
		m.pending = slices.Insert(m.pending, i+1, &portion[In, Out]{in: p.in[left:], first: p.first + left, shares: true})
		p.in, p.shares = p.in[:left], true
		m.takenBack++
		m.size = 1 // until it is known how long inputs take
	}
	m.deal()
}

// deal submits the portions that were taken back, as far as there is room. A portion that
// is the next to be yielded is always submitted.
func (m *mapper[In, Out]) deal() {
	if m.takenBack == 0 {
		return
	}
	room := m.most - (len(m.pending) - m.takenBack)
	if m.arrived == nil { // results are yielded in order: portions that are done wait for those that were taken back
		for _, p := range m.pending {
			if p.future != nil && isDone(p.future.Call()) {
				room++
			}
		}
	}
	for i := 0; m.takenBack > 0 && i < len(m.pending); i++ {
		p := m.pending[i]
		switch {
		case p.future != nil:
			continue
		case i > 0 && room <= 0:
			return
		case len(p.in) > m.size:
			rest := p
			p = &portion[In, Out]{in: rest.in[:m.size], first: rest.first, shares: true}
			rest.in, rest.first = rest.in[m.size:], rest.first+m.size
			m.pending = slices.Insert(m.pending, i, p)
		default:
			m.takenBack--
		}
		m.submit(p)
		room--
	}
}

// fail yields an error that does not belong to one input.
func (m *mapper[In, Out]) fail(err error, yield func(Result[In, Out]) bool) {
	yield(Result[In, Out]{Index: -1, Err: err})
}

// emit yields the results of a portion.
func (m *mapper[In, Out]) emit(p *portion[In, Out], yield func(Result[In, Out]) bool) bool {
	for i, q := range m.pending {
		if q == p {
			m.pending = append(m.pending[:i], m.pending[i+1:]...)
			break
		}
	}
	m.inputs -= len(p.in)
	batch, err := p.future.Wait(m.ctx)
	if err != nil && m.ctx.Err() != nil {
		m.fail(context.Cause(m.ctx), yield) // the other portions would fail with it as well
		return false
	}
	if err != nil {
		for i, in := range p.in {
			if !yield(Result[In, Out]{Index: p.first + i, In: in, Err: err}) {
				return false
			}
		}
		return true
	}
	m.adapt(len(p.in), batch.Run)
	in := p.in[:len(batch.Values)]
	for i, v := range batch.Values {
		r := Result[In, Out]{Index: p.first + i, In: in[i], Out: v}
		if batch.Errs != nil {
			r.Err = batch.Errs[i]
		}
		if !yield(r) {
			return false
		}
	}
	if !p.shares {
		clear(p.in)
		m.freeIn = append(m.freeIn, p.in[:0])
	}
	clear(batch.Values)
	m.freeOut = append(m.freeOut, batch.Values[:0])
	return true
}

// memory returns memory for the inputs of a portion.
func (m *mapper[In, Out]) memory() []In {
	n := min(m.size, maxChunk)
	if in := take(&m.freeIn); cap(in) >= n {
		return in
	}
	return make([]In, 0, n)
}

// take removes the last of some slices and returns it, or nil if there is none.
func take[T any](free *[][]T) []T {
	n := len(*free)
	if n == 0 {
		return nil
	}
	last := (*free)[n-1]
	*free = (*free)[:n-1]
	return last
}

// adapt sets the size of portions by how long a portion of n inputs took. The size grows
// step by step, because later inputs may take longer than the first. It shrinks at once,
// because all of the next inputs may be like the slowest of a portion that took too long.
func (m *mapper[In, Out]) adapt(n int, run time.Duration) {
	m.most = max(2*m.workers+2, m.workers*min(maxEach, int(2+supply/max(run, 1))))
	if m.opt.Chunk > 0 || n == 0 {
		return
	}
	each := max(run/time.Duration(n), m.filling, 1)
	if run > lateness*m.grain {
		each = run
	}
	m.setSize(int(max(1, min(m.grain/each, 8*time.Duration(n), maxChunk))))
}

// end cancels the portions whose results will not be yielded.
func (m *mapper[In, Out]) end() {
	m.late.Stop()
	m.due.Stop()
	for _, p := range m.pending {
		if p.future != nil {
			p.future.Cancel()
		}
	}
}
