package pystyle

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/f3f4c0de/harness/executor"
)

// A Pool is an executor with the methods of Python's multiprocessing.Pool. Its
// initializer, recycling, idle timeout and bounded queue are fields of
// [executor.Config]: Init, MaxTasksPerWorker, IdleTimeout, Queue and Full. All methods
// are safe for concurrent use.
//
// Tasks are applied through [For]:
//
//	pool, err := pystyle.NewPool(ctx, "processes", executor.Config{Workers: 4})
//	squares, err := pystyle.For(pool, square).Map(ctx, []int{1, 2, 3})
type Pool struct {
	ex *executor.Executor

	mu     sync.Mutex
	closed bool
}

// NewPool opens a pool on the named backend; see [executor.Open]. The caller calls
// [Pool.Close] or [Pool.Terminate], and then [Pool.Join].
func NewPool(ctx context.Context, backend string, cfg executor.Config) (*Pool, error) {
	ex, err := executor.Open(ctx, backend, cfg)
	if err != nil {
		return nil, err
	}
	if err := ex.Warm(ctx); err != nil {
		return nil, errors.Join(err, ex.Close())
	}
	return &Pool{ex: ex}, nil
}

// Executor returns the executor of the pool, for executor.Map and Task.Submit. It must be
// closed by the methods of the pool.
func (p *Pool) Executor() *executor.Executor { return p.ex }

// Close takes no more tasks: later ones fail with [executor.ErrClosed]. It does
// not wait: see Join.
func (p *Pool) Close() { p.stop(nil) }

// Terminate takes no more tasks, cancels those that have not started and tells
// those that run to stop, all with [executor.ErrShutdown]. It does not wait: see Join.
func (p *Pool) Terminate() { p.stop(executor.ErrShutdown) }

func (p *Pool) stop(cause error) {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.ex.Stop(cause)
}

// Join waits until every task is done and every worker has ended. When ctx ends first,
// the remaining tasks are cancelled, as by [executor.Executor.Shutdown]. It is an error
// to join a pool that was neither closed nor terminated, or to join it in a task or a
// callback of the pool; in the latter case the error wraps [executor.ErrNested]. Joining
// again is harmless.
func (p *Pool) Join(ctx context.Context) error {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if !closed {
		return errors.New("executor: joining a pool that still takes tasks; call Close or Terminate before Join")
	}
	return p.ex.Shutdown(ctx)
}

// Resize changes the number of workers; see [executor.Executor.Resize].
func (p *Pool) Resize(workers int) error { return p.ex.Resize(workers) }

// Stats returns the figures of the pool; see [executor.Executor.Stats].
func (p *Pool) Stats() executor.Stats { return p.ex.Stats() }

// An Applier applies a task in a pool. It is a value, safe for concurrent use.
type Applier[In, Out any] struct {
	pool *Pool
	task *executor.Task[In, Out]
}

// For returns an Applier for the task in the pool. It starts nothing.
func For[In, Out any](p *Pool, task *executor.Task[In, Out]) Applier[In, Out] {
	return Applier[In, Out]{p, task}
}

// Apply runs the task and waits for its result.
func (a Applier[In, Out]) Apply(ctx context.Context, in In) (Out, error) {
	return a.task.Submit(ctx, a.pool.ex, in).Wait(ctx)
}

// ApplyAsync runs the task and returns its future at once. When it is done, done
// is called with the result, or failed with the error; either may be nil. See
// Future.OnDone for what they may do.
func (a Applier[In, Out]) ApplyAsync(ctx context.Context, in In, done func(Out), failed func(error)) *executor.Future[Out] {
	f := a.task.Submit(ctx, a.pool.ex, in)
	f.OnDone(func(f *executor.Future[Out]) {
		v, err := f.Wait(context.Background()) // it is done
		switch {
		case err != nil && failed != nil:
			failed(err)
		case err == nil && done != nil:
			done(v)
		}
	})
	return f
}

// Map runs the task on every input, waits, and returns the results in the order of the
// inputs. The first error, in that order, ends Map and cancels the rest.
func (a Applier[In, Out]) Map(ctx context.Context, in []In) ([]Out, error) {
	return executor.Map(ctx, a.pool.ex, a.task, in)
}

// Imap runs the task on every input and yields the results in the order of the inputs;
// see [executor.Results].
func (a Applier[In, Out]) Imap(ctx context.Context, in iter.Seq[In], opt executor.MapOptions) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		for r := range executor.Results(ctx, a.pool.ex, a.task, in, opt) {
			if !yield(r.Out, r.Err) {
				return
			}
		}
	}
}

// ImapUnordered is Imap, but yields the results in the order in which they arrive.
func (a Applier[In, Out]) ImapUnordered(ctx context.Context, in iter.Seq[In], opt executor.MapOptions) iter.Seq2[Out, error] {
	opt.Unordered = true
	return a.Imap(ctx, in, opt)
}

// A Pair is the argument of a task that takes two values.
type Pair[A, B any] struct {
	First  A
	Second B
}

// Starmap runs a task that takes a Pair on every pair of values, waits, and returns the
// results in the order of the pairs. Errors are as with [Applier.Map].
func Starmap[A, B, Out any](ctx context.Context, p *Pool, task *executor.Task[Pair[A, B], Out], in iter.Seq2[A, B]) ([]Out, error) {
	var pairs []Pair[A, B]
	for a, b := range in {
		pairs = append(pairs, Pair[A, B]{a, b})
	}
	return For(p, task).Map(ctx, pairs)
}
