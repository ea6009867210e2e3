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

// MapOptions say how [Results] deals its inputs out. The zero MapOptions suit most.
type MapOptions struct {
	// Unordered has the results come in the order in which they are there, so that
	// none waits for one before it.
	Unordered bool

	// Chunk is how many inputs make one submission. Zero is adapted to how long they
	// take, so that short ones do not pay for a submission each; and those that wait
	// behind long ones are given to a worker with nothing to do. A task with a time
	// limit is given one input at a time in any case.
	Chunk int

	// Ahead bounds how many inputs have been taken whose results have not; zero is
	// what keeps all workers busy.
	Ahead int

	// Progress is called on the goroutine that ranges over the results, before each
	// of them is yielded, with how many there are by then and how many of them are
	// errors; nil is not called.
	Progress func(done, failed int)
}

// A Result is what came of one input.
type Result[In, Out any] struct {
	Index int // of the input, from 0
	In    In
	Out   Out   // the zero value if there is an error
	Err   error // what the future of a single submission would report
}

// Map runs the task on every input and returns the results in the order of the
// inputs. It blocks until all are done. The first error, in that order, ends it and
// cancels the rest. If ctx ends first, Map cancels what it has submitted and returns
// the cause.
func Map[In, Out any](ctx context.Context, ex *Executor, task *Task[In, Out], in []In) ([]Out, error) {
	out := make([]Out, 0, len(in))
	var failed error
	newMapper(ctx, ex, task, MapOptions{}).run(slices.Values(in), func(_ int, _ In, v Out, err error) bool {
		failed = err
		out = append(out, v)
		return err == nil
	})
	if failed != nil {
		return nil, failed
	}
	return out, nil
}

// Results runs the task on every input and returns a result for each, in the order of
// the inputs unless opt says otherwise. It takes inputs only as results are asked for,
// a bounded number ahead, so endless inputs do not need endless memory. Where inputs
// come slowly after fast ones, some wait for the next to come before they are run.
// Leaving the loop, or an end of ctx, cancels what has been submitted; the latter is a
// last result with the cause as its Err and the Index -1. An error of one input does not
// end the loop.
//
// Nothing runs until the results are ranged over, and each time that is done,
// everything runs again. in is ranged over on the caller's goroutine.
func Results[In, Out any](ctx context.Context, ex *Executor, task *Task[In, Out], in iter.Seq[In], opt MapOptions) iter.Seq[Result[In, Out]] {
	return func(yield func(Result[In, Out]) bool) {
		done, failed := 0, 0
		newMapper(ctx, ex, task, opt).run(in, func(i int, in In, out Out, err error) bool {
			if opt.Progress != nil && i >= 0 {
				done++
				if err != nil {
					failed++
				}
				opt.Progress(done, failed)
			}
			return yield(Result[In, Out]{i, in, out, err})
		})
	}
}

// A mapper deals inputs out in portions. It does not know beforehand how long
// an input takes: short ones may be followed by long ones. When a worker has
// nothing to do while a portion goes on for long, it takes back what has not
// begun of that, and deals it out anew.
type mapper[In, Out any] struct {
	ctx     context.Context
	ex      core.Executor
	task    *core.Task[In, Out]
	taken   int // inputs that are in portions, or were
	opt     MapOptions
	grain   time.Duration
	workers int
	most    int                    // portions that may be submitted and not yielded
	pending []*portion[In, Out]    // in the order of their inputs
	arrived chan *portion[In, Out] // those that are done; nil if they are yielded in order
	inputs  int                    // in pending
	cut     int                    // portions that were taken back, and are not submitted
	size    int                    // inputs of the next portion
	filling time.Duration          // that an input takes to come, lately
	freeIn  [][]In                 // memory for the inputs and the results of a portion
	freeOut [][]Out                // likewise, all zero
	late    *time.Timer
	timed   bool // late is set
	due     *time.Timer
	isDue   atomic.Bool // it is time to look at the clock
}

// A portion is what one call does.
type portion[In, Out any] struct {
	in     []In
	first  int                           // index of the first of them
	future *core.Future[core.Batch[Out]] // nil until it is submitted
	shares bool                          // the memory of in with other portions
	slow   bool                          // it was running when somebody was idle
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

	// patience is how many grains to wait for a result until looking whether a
	// portion has turned out too long, and lateness how many are too long.
	patience = 5
	lateness = 8

	// dueAfter is how often it is looked how long a portion has been filling, and
	// how long it may. To look for each input would take longer than a short task.
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
		m.opt.Chunk = 1 // the limit is that of one input
	}
	m.due = time.AfterFunc(dueAfter, func() { m.isDue.Store(true) })
	m.most = 2*m.workers + 2 // until it is known how long they take
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
	return m.cut == 0 && len(m.pending) < m.most
}

// run takes inputs and yields results until there are none or nobody wants
// them.
func (m *mapper[In, Out]) run(in iter.Seq[In], yield func(int, In, Out, error) bool) {
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
		if m.ctx.Err() != nil { // whatever came now would fail with it
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

// overdue reports whether a portion that began to be filled then is to be submitted
// as it is: its inputs come slowly.
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

// next returns the portion to be yielded, and blocks until it is done.
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

// comes returns what comes out of the channel when the next portion is done.
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

// awaited are the futures one of which is the next to be yielded.
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

// look takes back what has not begun of the portions that have been running
// since it looked last, if a worker is idle.
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
		m.cut++
		m.size = 1 // until it is known how long they take
	}
	m.deal()
}

// deal submits what was taken back, as far as there is room, and always if it
// is the next to be yielded.
func (m *mapper[In, Out]) deal() {
	if m.cut == 0 {
		return
	}
	room := m.most - (len(m.pending) - m.cut)
	if m.arrived == nil { // those that are done wait for those that were taken back
		for _, p := range m.pending {
			if p.future != nil && isDone(p.future.Call()) {
				room++
			}
		}
	}
	for i := 0; m.cut > 0 && i < len(m.pending); i++ {
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
			m.cut--
		}
		m.submit(p)
		room--
	}
}

// fail yields an error that is not of one input.
func (m *mapper[In, Out]) fail(err error, yield func(int, In, Out, error) bool) {
	var in In
	var out Out
	yield(-1, in, out, err)
}

// emit yields the results of a portion.
func (m *mapper[In, Out]) emit(p *portion[In, Out], yield func(int, In, Out, error) bool) bool {
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
		var none Out
		for i, in := range p.in {
			if !yield(p.first+i, in, none, err) {
				return false
			}
		}
		return true
	}
	m.adapt(len(p.in), batch.Run)
	for i, v := range batch.Values {
		var err error
		if batch.Errs != nil {
			err = batch.Errs[i]
		}
		if !yield(p.first+i, p.in[i], v, err) {
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

// take takes the last of some slices, and returns nil if there is none.
func take[T any](free *[][]T) []T {
	n := len(*free)
	if n == 0 {
		return nil
	}
	last := (*free)[n-1]
	*free = (*free)[:n-1]
	return last
}

// adapt sets the size of portions by how long one of n inputs took. It grows
// step by step: the first few may not be like the rest. It shrinks at once: the
// next may all be like the slowest of a portion that took too long.
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

// end cancels what nobody will take.
func (m *mapper[In, Out]) end() {
	m.late.Stop()
	m.due.Stop()
	for _, p := range m.pending {
		if p.future != nil {
			p.future.Cancel()
		}
	}
}
