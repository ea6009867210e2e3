package executor

import (
	"context"
	"errors"
	"iter"

	"github.com/f3f4c0de/harness/internal/core"
)

// A Queue hands values from some tasks to others, first in, first out, on every
// backend. It stays in the process that made it. A task gets it as part of its
// argument: inside that process as it is, in a worker process as a reference
// through which Put, Get and Close reach back to the submitter. The values cross as
// the arguments of tasks do, exactly or not at all: one that cannot be encoded or
// decoded is an error that wraps [ErrEncode], and stays in the queue if it is in it.
//
// A task that waits in Put or Get keeps its worker. If that leaves none for the
// task that would end the wait, and nothing else does for a second, the executor
// starts one more for it, as long as that is needed: for a task whose argument
// holds the queue. An executor that can have no more workers, such as sequential,
// refuses the wait with [ErrNested].
//
// The zero Queue is not usable; [NewQueue] makes them. All methods are safe for
// concurrent use. A Queue that was sent to a worker process is kept until it is
// closed and drained, so close every queue.
type Queue[T any] core.Queue[T]

// NewQueue makes a queue that holds at most capacity values. It panics if capacity
// is less than 1: a queue without a bound hides a consumer that is too slow until
// memory runs out.
func NewQueue[T any](capacity int) *Queue[T] { return (*Queue[T])(core.NewQueue[T](capacity)) }

func (q *Queue[T]) core() *core.Queue[T] { return (*core.Queue[T])(q) }

// Put appends v. It blocks while the queue is full, until ctx ends. On a closed
// queue it returns ErrQueueClosed.
func (q *Queue[T]) Put(ctx context.Context, v T) error { return q.core().Put(ctx, v) }

// Get removes the oldest value. It blocks while the queue is empty, until ctx ends.
// On a queue that is closed and empty it returns ErrQueueClosed.
func (q *Queue[T]) Get(ctx context.Context) (T, error) { return q.core().Get(ctx) }

// All ranges over the values: each is what [Queue.Get] returns, until the queue is
// closed and empty, which ends the loop. Any other error, such as the end of ctx, is
// the last that it yields. Several may range over one queue; each value goes to one
// of them.
func (q *Queue[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := q.Get(ctx)
			if errors.Is(err, ErrQueueClosed) || !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// Close lets no more values in. Those that are in can still be taken out, and
// whoever waits in Put is told ErrQueueClosed. Closing twice is harmless. In a
// worker process the error is that of the way to the submitter; elsewhere it is nil.
func (q *Queue[T]) Close(ctx context.Context) error { return q.core().Close(ctx) }

// MarshalJSON makes the reference that a worker process gets.
func (q *Queue[T]) MarshalJSON() ([]byte, error) { return q.core().MarshalJSON() }

// UnmarshalJSON makes q a reference to a queue of the submitter's process, or, in
// the process that made the queue, the queue itself.
func (q *Queue[T]) UnmarshalJSON(b []byte) error { return q.core().UnmarshalJSON(b) }
