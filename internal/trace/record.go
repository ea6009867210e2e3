package trace

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/f3f4c0de/harness/internal/core"
)

// A record is one call that is over, while the trial runs; afterwards it is a
// [task]. It holds no pointers, so the garbage collector does not look at it.
type record struct {
	number                                    uint64
	submitted, sent, started, ended, received core.Stamp
	pid                                       int32
	worker                                    int32
	task                                      int32 // its name: an index of the list's
	more                                      int32 // index of the list's extras, from 1; 0 if it has none
}

// An extra is what few calls have: an error, or a parent other than the trial.
type extra struct {
	parent  oteltrace.SpanContext // valid if it is not the trial
	err     string
	outcome string // as TaskRecord.Outcome
}

// chunks is a list that grows without moving what is in it.
type chunks[T any] struct {
	all   []*[recordChunk]T
	spare []*[recordChunk]T
	n     int
}

// recordChunk is how many are allocated at a time.
const recordChunk = 1024

// reserve makes room for n more elements, and has the system provide the memory.
func (c *chunks[T]) reserve(n int) {
	for ; n > 0; n -= recordChunk {
		chunk := new([recordChunk]T)
		clear(chunk[:])
		c.spare = append(c.spare, chunk)
	}
}

// grow adds a zero element and returns it.
func (c *chunks[T]) grow() *T {
	at := c.n % recordChunk
	if at == 0 {
		c.chunk()
	}
	c.n++
	return &c.all[len(c.all)-1][at]
}

func (c *chunks[T]) chunk() {
	if last := len(c.spare) - 1; last >= 0 {
		c.all, c.spare = append(c.all, c.spare[last]), c.spare[:last]
		return
	}
	c.all = append(c.all, new([recordChunk]T))
}

// last returns the last element, or nil.
func (c *chunks[T]) last() *T {
	if c.n == 0 {
		return nil
	}
	return &c.all[len(c.all)-1][(c.n-1)%recordChunk]
}

func (c *chunks[T]) each() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range c.n {
			if !yield(&c.all[i/recordChunk][i%recordChunk]) {
				return
			}
		}
	}
}

// A nameList has the names of the tasks of a trial, of which there are few.
type nameList []string

// index returns the index of a name, which is added if it is new.
func (ns *nameList) index(name string) int32 {
	for i, n := range *ns {
		if n == name {
			return int32(i)
		}
	}
	*ns = append(*ns, name)
	return int32(len(*ns) - 1)
}

// A recordList is what one worker did. Each worker has a list of its own, so
// nobody waits for its lock, unless a backend has several calls under way on
// one worker.
type recordList struct {
	mu      sync.Mutex
	records chunks[record]
	names   nameList
	extras  []extra
	_       [64]byte // the next worker's is on another cache line
}

// add appends a record. x may be empty.
func (l *recordList) add(task string, tm core.Timing, number uint64, x extra) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.records.grow()
	r.number, r.submitted, r.sent, r.started, r.ended, r.received = number, tm.Submitted, tm.Sent, tm.Started, tm.Ended, tm.Received
	r.pid, r.worker, r.task = int32(tm.PID), int32(tm.Worker), l.names.index(task)
	if x.parent.IsValid() || x.err != "" || x.outcome != "" {
		l.extras = append(l.extras, x)
		r.more = int32(len(l.extras))
	}
}

// spanKey is the key under which OpenTelemetry keeps the span in a context. The
// key's type is private, so a context is asked for it that tells what it was
// asked for.
var spanKey = func() any {
	spy := &keySpy{Context: context.Background()}
	oteltrace.SpanFromContext(spy)
	return spy.key
}()

type keySpy struct {
	context.Context
	key any
}

func (s *keySpy) Value(key any) any {
	s.key = key
	return nil
}

// A padded counter has a cache line for itself: what stands beside it is read
// by every worker.
type padded struct {
	_ [64]byte
	n atomic.Uint64
	_ [56]byte
}
