package executor

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/f3f4c0de/harness/internal/core"
)

// Until says when [Wait] returns.
type Until uint8

// The conditions of Wait.
const (
	AllCompleted   Until = iota // every future is done
	FirstCompleted              // one is done
	FirstError                  // one has failed, or all are done; a cancelled one has not failed
)

// Wait blocks until the condition until holds for the futures, which may be of several
// executors. It returns the futures that are done and those that are not, each once and
// in the order given. If ctx ends first, it also returns the cause of ctx. The error of
// a task is never the error of Wait: look at each future.
func Wait[F AnyFuture](ctx context.Context, until Until, futures ...F) (done, pending []F, err error) {
	checkContext(ctx, "Wait")
	futures = distinct(futures)
	if !slices.ContainsFunc(futures, func(f F) bool { return until.met(f) }) {
		a := watch(futures)
		defer a.stop()
		for range futures {
			var i int
			if i, err = a.next(ctx); err != nil || until.met(futures[i]) {
				break
			}
		}
	}
	over := false
	for _, f := range futures {
		if isDone(core.CallOf(f)) {
			done = append(done, f)
		} else {
			pending = append(pending, f)
		}
		over = over || until.met(f)
	}
	if len(pending) == 0 || over {
		err = nil
	}
	return done, pending, err
}

// met reports whether the future alone ends the wait.
func (u Until) met(f AnyFuture) bool {
	return u == FirstCompleted && isDone(core.CallOf(f)) || u == FirstError && f.State() == Done && f.Err() != nil
}

// AsCompleted returns an iterator over the futures in the order in which they are done:
// first those that are done when the loop begins. It yields each future once. They may
// be of several executors. The sequence ends early if ctx ends, so look at ctx after the
// loop.
func AsCompleted[F AnyFuture](ctx context.Context, futures ...F) iter.Seq[F] {
	checkContext(ctx, "AsCompleted")
	futures = distinct(futures)
	return func(yield func(F) bool) {
		a := watch(futures)
		defer a.stop()
		for range futures {
			i, err := a.next(ctx)
			if err != nil || !yield(futures[i]) {
				return
			}
		}
	}
}

// checkContext panics if ctx is nil, with the name of the function that was given it.
func checkContext(ctx context.Context, function string) {
	if ctx == nil {
		panic("executor: " + function + " was called with a nil context")
	}
}

// All waits for all futures and returns their results in the order given. When one
// fails, All cancels the others and returns its error. If ctx ends first, All returns
// the cause of ctx, and the tasks go on.
func All[Out any](ctx context.Context, futures ...*Future[Out]) ([]Out, error) {
	for f := range AsCompleted(ctx, futures...) {
		if err := f.Err(); err != nil {
			for _, other := range futures {
				other.Cancel()
			}
			return nil, err
		}
	}
	results := make([]Out, len(futures))
	for i, f := range futures {
		if !isDone(core.CallOf(f)) {
			return nil, context.Cause(ctx)
		}
		results[i], _ = f.Wait(ctx) // it is done, and has not failed
	}
	return results, nil
}

// distinct returns the futures, each once.
func distinct[F AnyFuture](futures []F) []F {
	seen := make(map[*core.Call]bool, len(futures))
	for _, f := range futures {
		seen[core.CallOf(f)] = true
	}
	if len(seen) == len(futures) {
		return futures
	}
	return slices.DeleteFunc(slices.Clone(futures), func(f F) bool {
		first := seen[core.CallOf(f)]
		delete(seen, core.CallOf(f))
		return !first
	})
}

func isDone(c *core.Call) bool {
	s := c.State()
	return s == core.Done || s == core.Cancelled
}

// arrivals tells which of several futures are done.
type arrivals[F AnyFuture] struct {
	futures []F
	done    chan int // has room for all, so that completing a future never blocks
	stops   []func()
}

func watch[F AnyFuture](futures []F) *arrivals[F] {
	a := &arrivals[F]{futures, make(chan int, len(futures)), make([]func(), len(futures))}
	for i, f := range futures {
		a.stops[i] = core.CallOf(f).Notify(func() { a.done <- i })
	}
	return a
}

// stop removes the notifications from the futures that are not done.
func (a *arrivals[F]) stop() {
	for _, stop := range a.stops {
		stop()
	}
}

// next returns the index of the next future that is done. If none can ever be done,
// because all need the worker that waits, they fail with ErrNested.
func (a *arrivals[F]) next(ctx context.Context) (i int, err error) {
	select {
	case i := <-a.done:
		return i, nil
	default:
	}
	wait := func() {
		select {
		case i = <-a.done:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if nested := await(ctx, a.futures, wait); nested != nil {
		for _, f := range a.futures {
			core.CallOf(f).Cancel(nestedError(core.CallOf(f).Task(), nested))
		}
		core.Blocking(ctx, wait)
	}
	return i, err
}

func nestedError(task string, nested error) error {
	return fmt.Errorf("waiting for task %s: %w: every worker of the executor waits for a task that needs a worker", task, nested)
}

// await calls wait, in which the caller waits until any of the futures is done. If that
// is not possible, it returns ErrNested and does not call wait.
func await[F core.SealedFuture](ctx context.Context, futures []F, wait func()) error {
	w := core.WorkerOf(ctx)
	if w == nil || w.Waits == nil {
		core.Blocking(ctx, wait)
		return nil
	}
	// Futures that are done already do not end the wait for the others.
	var left []F
	for _, f := range futures {
		if !isDone(core.CallOf(f)) {
			left = append(left, f)
		}
	}
	return core.Await(ctx, w.Waits, func() bool {
		for _, f := range left {
			if core.CallOf(f).Waits() != w.Waits || isDone(core.CallOf(f)) {
				return false
			}
		}
		return true
	}, wait)
}
