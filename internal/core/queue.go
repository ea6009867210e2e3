package core

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/wire"
)

// A Queue passes values from some tasks to others, first in, first out, on
// every backend. It stays in the process that made it. A task gets it as part
// of its argument: in the same process the queue itself, in a worker process a
// reference through which Put, Get and Close operate on the queue of the submitter.
// Values are encoded as the arguments of tasks are. For a value that cannot be
// encoded or decoded the error wraps ErrEncode, and a value that is in the queue
// stays there.
//
// A task that waits in Put or Get keeps its worker. If all workers wait for a second,
// and a task that is not started has the queue in its argument, the executor starts an
// extra worker for that task. An executor that can have no more workers, such as
// sequential, refuses the wait with [fault.ErrNested].
//
// The zero Queue is not usable; [NewQueue] makes them. All methods are safe for
// concurrent use. A Queue that was sent to a worker process is kept until it is
// closed and drained, so close every queue.
type Queue[T any] struct {
	sealedQueue           //nolint:unused // the codec recognises a queue by its method
	store       *store[T] // nil in another process
	id          uint64    // of the queue, in another process
}

// NewQueue makes a queue that holds at most capacity values. It panics if
// capacity is less than 1: with an unbounded queue nobody notices that a consumer is
// too slow until memory runs out.
func NewQueue[T any](capacity int) *Queue[T] {
	if capacity < 1 {
		panic("executor: NewQueue needs a capacity of at least 1")
	}
	s := &store[T]{capacity: capacity}
	s.notEmpty.L, s.notFull.L = &s.mu, &s.mu
	return &Queue[T]{store: s}
}

// Put appends v. It blocks while the queue is full, until ctx ends. On a
// closed queue it returns ErrQueueClosed.
func (q *Queue[T]) Put(ctx context.Context, v T) error {
	if q.store != nil {
		return q.store.put(ctx, v)
	}
	payload, err := wire.ForElement[T]().Append(nil, &v)
	if err != nil {
		return fmt.Errorf("value for a queue %w: %w", fault.ErrEncode, err)
	}
	_, err = q.ask(ctx, QueuePut, payload)
	return err
}

// Get removes the oldest value. It blocks while the queue is empty, until ctx
// ends. On a queue that is closed and empty it returns ErrQueueClosed.
func (q *Queue[T]) Get(ctx context.Context) (T, error) {
	if q.store != nil {
		return q.store.get(ctx)
	}
	payload, err := q.ask(ctx, QueueGet, nil)
	var v, zero T
	if err == nil {
		if _, err = wire.ForElement[T]().Decode(payload, &v); err != nil {
			err = fmt.Errorf("value from a queue %w: %w", fault.ErrEncode, err)
		}
	}
	if err != nil {
		return zero, err
	}
	return v, nil
}

// Close makes the queue take no more values. The values in it can still be taken out,
// and calls that wait in Put return ErrQueueClosed. Closing twice is harmless. In
// a worker process the error tells that the submitter could not be reached; elsewhere
// it is nil.
func (q *Queue[T]) Close(ctx context.Context) error {
	if q.store != nil {
		q.store.close()
		return nil
	}
	_, err := q.ask(ctx, QueueClose, nil)
	return err
}

func (q *Queue[T]) ask(ctx context.Context, op QueueOp, payload []byte) ([]byte, error) {
	w := WorkerOf(ctx)
	if w == nil || w.Queues == nil {
		return nil, errors.New("executor: a queue from another process is reached with the context of the task that got it")
	}
	return w.Queues.Ask(ctx, op, q.id, payload)
}

// MarshalJSON encodes the reference that a worker process gets.
func (q *Queue[T]) MarshalJSON() ([]byte, error) {
	id := q.id
	if q.store != nil {
		id = q.store.publish()
	}
	return strconv.AppendUint(nil, id, 10), nil
}

// UnmarshalJSON makes q a reference to a queue of the submitter's process, or, in
// the process that made the queue, the queue itself.
func (q *Queue[T]) UnmarshalJSON(b []byte) (err error) {
	q.store = nil
	if q.id, err = strconv.ParseUint(string(b), 10, 64); err != nil || q.id>>32 != queueHome {
		return err
	}
	switch s := published.find(q.id).(type) {
	case *store[T]:
		q.store, q.id = s, 0
	case nil: // the queue was closed and drained
		q.store, q.id = NewQueue[T](1).store, 0
		q.store.close()
	default:
		return fmt.Errorf("it is a queue of other values than %v", reflect.TypeFor[T]())
	}
	return nil
}

// A QueueOp is an operation on a Queue that a worker process requests.
type QueueOp uint8

// The operations on a queue that a worker process can request.
const (
	QueuePut QueueOp = iota + 1
	QueueGet
	QueueClose
)

// A QueueClient gives a worker process access to the queues of the submitter's process.
type QueueClient interface {
	// Ask does op on the submitter's queue with that id and blocks until it
	// is done or ctx ends.
	Ask(ctx context.Context, op QueueOp, id uint64, payload []byte) ([]byte, error)
}

// AnswerQueue performs in the submitter's process the operation that a worker's
// QueueClient was asked for. It blocks as Put and Get do. An id that is not known is
// that of a queue that was closed and drained.
func AnswerQueue(ctx context.Context, op QueueOp, id uint64, payload []byte) ([]byte, error) {
	q := published.find(id)
	switch {
	case q == nil && op == QueueClose:
		return nil, nil
	case q == nil:
		return nil, fault.ErrQueueClosed
	}
	switch op {
	case QueuePut:
		return nil, q.putEncoded(ctx, payload)
	case QueueGet:
		return q.getEncoded(ctx)
	case QueueClose:
		q.close()
		return nil, nil
	}
	return nil, fmt.Errorf("executor: unknown queue operation %d", op)
}

// A store is the queue itself, in the process that made it.
type store[T any] struct {
	capacity int

	mu       sync.Mutex
	notEmpty sync.Cond
	notFull  sync.Cond
	values   []T
	lent     int // values taken out that are put back if they cannot be encoded
	closed   bool
	id       uint64 // in the table of published queues; 0 if it is not in the table
}

func (s *store[T]) put(ctx context.Context, v T) error {
	closed := false
	err := s.do(ctx, &s.notFull, func() bool {
		if closed = s.closed; closed || len(s.values) >= s.capacity {
			return closed
		}
		s.values = append(s.values, v)
		s.notEmpty.Signal()
		return true
	})
	if closed {
		return fault.ErrQueueClosed
	}
	return err
}

func (s *store[T]) get(ctx context.Context) (v T, err error) { return s.take(ctx, 0) }

// take takes the oldest value out. lend is 1 if a call of giveBack follows, else 0.
func (s *store[T]) take(ctx context.Context, lend int) (v T, err error) {
	closed := false
	err = s.do(ctx, &s.notEmpty, func() bool {
		if len(s.values) == 0 {
			closed = s.closed && s.lent == 0
			return closed
		}
		v, s.values[0] = s.values[0], v
		s.values = s.values[1:]
		s.lent += lend
		s.notFull.Signal()
		s.retire()
		return true
	})
	if closed {
		return v, fault.ErrQueueClosed
	}
	return v, err
}

// giveBack ends what take began with lend 1: the value was sent, or it becomes the
// oldest value again.
func (s *store[T]) giveBack(v T, sent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lent--
	if !sent {
		s.values = slices.Insert(s.values, 0, v)
		s.notEmpty.Signal()
	}
	if s.closed {
		s.notEmpty.Broadcast() // those who wait in get may now return ErrQueueClosed
	}
	s.retire()
}

// do calls try, with the lock held, until it reports true or ctx ends. Between
// two calls it waits for c.
func (s *store[T]) do(ctx context.Context, c *sync.Cond, try func() bool) error {
	s.mu.Lock()
	ok := try()
	s.mu.Unlock()
	if ok {
		return nil
	}
	refused := false // guarded by s.mu
	if w := WorkerOf(ctx); w != nil && w.Waits != nil {
		defer w.Waits.leave(w.Waits.enterQueue(w, s, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			refused = true
			c.Broadcast()
		}))
	}
	Blocking(ctx, func() {
		defer context.AfterFunc(ctx, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			c.Broadcast()
		})()
		s.mu.Lock()
		defer s.mu.Unlock()
		for ok = try(); !ok && !refused && ctx.Err() == nil; ok = try() {
			c.Wait()
		}
		if !ok {
			c.Signal() // the signal that woke this one may be needed by another
		}
	})
	switch {
	case ok:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("waiting on a queue: %w: every worker of the executor waits, it can have no more, and a task that has the queue waits for one", fault.ErrNested)
}

func (s *store[T]) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.notEmpty.Broadcast()
	s.notFull.Broadcast()
	s.retire()
}

// publish gives the queue an id that other processes can use.
func (s *store[T]) publish() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id == 0 {
		s.id = published.add(s)
	}
	return s.id
}

// retire removes a published queue from the table once it is closed and drained. The
// caller holds mu.
func (s *store[T]) retire() {
	if s.id != 0 && s.closed && len(s.values) == 0 && s.lent == 0 {
		published.remove(s.id)
	}
}

func (s *store[T]) putEncoded(ctx context.Context, b []byte) error {
	var v T
	if _, err := wire.ForElement[T]().Decode(b, &v); err != nil {
		return fmt.Errorf("value for a queue %w: %w", fault.ErrEncode, err)
	}
	return s.put(ctx, v)
}

// getEncoded takes a value out and encodes it. It leaves the value in the queue if the
// value cannot be encoded here or decoded by the receiver. Decoding can fail only in a
// type's own methods; then getEncoded tries it before.
func (s *store[T]) getEncoded(ctx context.Context) (b []byte, err error) {
	v, err := s.take(ctx, 1)
	if err != nil {
		return nil, err
	}
	sent := false
	defer func() { s.giveBack(v, sent) }()
	c := wire.ForElement[T]()
	b, err = c.Append(nil, &v)
	if err == nil && c.Foreign {
		var try T
		_, err = c.Decode(b, &try)
	}
	if err != nil {
		return nil, fmt.Errorf("value from a queue %w: %w", fault.ErrEncode, err)
	}
	sent = true
	return b, nil
}

// published holds the queues that worker processes have references to.
var published queueTable

// queueHome is the upper half of the ids of this process's queues.
var queueHome = uint64(rand.Uint32())

type queueTable struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]anyStore
}

// An anyStore is a *store whatever its values.
type anyStore interface {
	putEncoded(ctx context.Context, v []byte) error
	getEncoded(ctx context.Context) ([]byte, error)
	close()
}

func (t *queueTable) add(s anyStore) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[uint64]anyStore)
	}
	t.last++
	id := queueHome<<32 | t.last
	t.open[id] = s
	return id
}

func (t *queueTable) find(id uint64) anyStore {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open[id]
}

func (t *queueTable) remove(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, id)
}
