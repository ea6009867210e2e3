package executor

import (
	"context"
	"errors"
	"iter"

	"github.com/f3f4c0de/harness/internal/core"
)

// A Queue passes values from some tasks to others, first in, first out, on every
// backend. It stays in the process that made it. A task gets it as part of its
// argument: in the same process the queue itself, in a worker process a reference
// through which Put, Get and Close operate on the queue of the submitter. Values are
// encoded as the arguments of tasks are. For a value that cannot be encoded or decoded
// the error wraps [ErrEncode], and a value that is in the queue stays there.
//
// A task that waits in Put or Get keeps its worker. If all workers wait for a second,
// and a task that is not started has the queue in its argument, the executor starts an
// extra worker for that task. An executor that can have no more workers, such as
// sequential, refuses the wait with [ErrNested].
//
// The zero Queue is not usable; [NewQueue] makes them. All methods are safe for
// concurrent use. A Queue that was sent to a worker process is kept until it is
// closed and drained, so close every queue.
type Queue[T any] core.Queue[T]

// NewQueue makes a queue that holds at most capacity values. It panics if capacity
// is less than 1: with an unbounded queue nobody notices that a consumer is too slow
// until memory runs out.
func NewQueue[T any](capacity int) *Queue[T] { return (*Queue[T])(core.NewQueue[T](capacity)) }

func (q *Queue[T]) core() *core.Queue[T] { return (*core.Queue[T])(q) }

// Put appends v. It blocks while the queue is full, until ctx ends. On a closed
// queue it returns ErrQueueClosed.
func (q *Queue[T]) Put(ctx context.Context, v T) error { return q.core().Put(ctx, v) }

// Get removes the oldest value. It blocks while the queue is empty, until ctx ends.
// On a queue that is closed and empty it returns ErrQueueClosed.
func (q *Queue[T]) Get(ctx context.Context) (T, error) { return q.core().Get(ctx) }

// All returns an iterator that yields what [Queue.Get] returns. It ends when the queue is
// closed and empty. Any other error, such as the end of ctx, is the last that it yields.
// Several goroutines may range over one queue; each value goes to one of them.
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

// Close makes the queue take no more values. The values in it can still be taken out,
// and calls that wait in Put return ErrQueueClosed. Closing twice is harmless. In a
// worker process the error tells that the submitter could not be reached; elsewhere it
// is nil.
func (q *Queue[T]) Close(ctx context.Context) error { return q.core().Close(ctx) }

// MarshalJSON encodes the reference that a worker process gets.
func (q *Queue[T]) MarshalJSON() ([]byte, error) { return q.core().MarshalJSON() }

// UnmarshalJSON makes q a reference to a queue of the submitter's process, or, in
// the process that made the queue, the queue itself.
func (q *Queue[T]) UnmarshalJSON(b []byte) error { return q.core().UnmarshalJSON(b) }
