package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/wire"
)

func TestQueueBlocksWhenFullAndWhenEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		q := NewQueue[int](2)
		var got []int
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range 5 {
				if err := q.Put(ctx, i); err != nil {
					t.Errorf("Put(%d) = %v", i, err)
				}
			}
			if waited := time.Since(start); waited != 3*time.Second {
				t.Errorf("five values went into a queue of two within %v; want 3s, when the third was taken", waited)
			}
			q.Close(ctx)
		})
		wg.Go(func() {
			for {
				<-time.After(time.Second)
				v, err := q.Get(ctx)
				if errors.Is(err, fault.ErrQueueClosed) {
					return
				}
				got = append(got, v)
			}
		})
		wg.Wait()
		if len(got) != 5 || got[0] != 0 || got[4] != 4 {
			t.Errorf("taken out were %v; want 0 to 4 in order", got)
		}
	})
}

func TestQueueGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("too long")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		q := NewQueue[int](1)
		if _, err := q.Get(ctx); !errors.Is(err, cause) {
			t.Errorf("Get() = %v; want the context's cause", err)
		}
		// A later value goes to whoever waits then.
		if err := q.Put(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		if err := q.Put(ctx, 8); !errors.Is(err, cause) {
			t.Errorf("Put() on a full queue = %v; want the context's cause", err)
		}
		if v, err := q.Get(t.Context()); v != 7 || err != nil {
			t.Errorf("Get() = %d, %v; want 7, nil", v, err)
		}
	})
}

// If a waiting Get or Put gives up, its wake-up reaches another.
func TestQueuePassesWakeUpsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue[int](1)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		var taken atomic.Int64
		for i := range 10 {
			ctx := t.Context()
			if i%2 == 0 {
				ctx = short
			}
			wg.Go(func() {
				if _, err := q.Get(ctx); err == nil {
					taken.Add(1)
				}
			})
			synctest.Wait()
		}
		wg.Go(func() {
			<-time.After(time.Second)
			for i := range 5 { // blocks unless somebody takes each
				if err := q.Put(t.Context(), i); err != nil {
					t.Error(err)
				}
			}
			q.Close(t.Context())
		})
		wg.Wait()
		if taken.Load() != 5 {
			t.Errorf("%d of 5 values were taken", taken.Load())
		}
	})
}

func TestQueueAcrossProcesses(t *testing.T) {
	ctx := t.Context()
	q := NewQueue[string](3)
	ref, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.ParseUint(string(ref), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	far := &Queue[string]{id: id} // as it arrives in another process
	if err := far.Put(ctx, "x"); err == nil {
		t.Error("Put outside of the task that got the queue gave no error")
	}
	// The worker's side of a backend would do this.
	inTask := context.WithValue(ctx, workerKey{}, &Worker{Queues: directQueues{}})
	if err := far.Put(inTask, "one"); err != nil {
		t.Fatal(err)
	}
	if err := q.Put(ctx, "two"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "two"} {
		if got, err := far.Get(inTask); got != want || err != nil {
			t.Errorf("Get() = %q, %v; want %q, nil", got, err, want)
		}
	}
	if err := far.Close(inTask); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Get(ctx); !errors.Is(err, fault.ErrQueueClosed) {
		t.Errorf("Get() after Close = %v; want fault.ErrQueueClosed", err)
	}
	if err := far.Put(inTask, "three"); !errors.Is(err, fault.ErrQueueClosed) {
		t.Errorf("Put() after Close = %v; want fault.ErrQueueClosed", err)
	}
	if len(published.open) != 0 {
		t.Errorf("%d queues are still published; want none once they are closed and drained", len(published.open))
	}
}

// sent makes a queue, and the reference to it that another process has, with the
// context of a task there.
func sent[T any](t *testing.T, capacity int) (here, there *Queue[T], ctx context.Context) {
	t.Helper()
	here = NewQueue[T](capacity)
	there = &Queue[T]{id: here.store.publish()}
	return here, there, context.WithValue(t.Context(), workerKey{}, &Worker{Queues: directQueues{}})
}

// through checks that a value arrives from a queue as it was put there.
func through[T any](v T) func(*testing.T) {
	return func(t *testing.T) {
		here, there, ctx := sent[T](t, 1)
		defer here.Close(ctx)
		for name, ends := range map[string][2]*Queue[T]{"to a worker": {here, there}, "from a worker": {there, here}, "between workers": {there, there}} {
			if err := ends[0].Put(ctx, v); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := ends[1].Get(ctx)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if f, ok := any(v).(float64); !reflect.DeepEqual(v, got) && !(ok && math.IsNaN(f) && math.IsNaN(any(got).(float64))) {
				t.Errorf("%s: %#v became %#v", name, v, got)
			}
		}
	}
}

type (
	point      struct{ X, Y int }
	celsius    float64
	ring       struct{ Next *ring }
	codedError struct {
		Code int
		Err  error
	}
)

func (c celsius) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v°C", float64(c)), nil }
func (c *celsius) UnmarshalText(b []byte) error {
	_, err := fmt.Sscanf(string(b), "%g°C", c)
	return err
}

func (e *codedError) Error() string { return fmt.Sprint(e.Code, e.Err) }

func init() { wire.Register[*codedError]() }

func TestQueueCarriesExactly(t *testing.T) {
	for name, f := range map[string]func(*testing.T){
		"private number": through(struct{ A, b int }{1, 2}),
		"not UTF-8":      through("caf\xe9"),
		"struct key":     through(map[point]int{{1, 2}: 3}),
		"NaN":            through(math.NaN()),
		"complex":        through(1 + 2i),
		"not for JSON": through(struct {
			A int `json:"-"`
		}{5}),
		"large":      through(int64(1<<62 + 1)),
		"nil bytes":  through([]byte(nil)),
		"no bytes":   through([]byte{}),
		"bytes":      through([]byte{1, 2}),
		"any":        through(any(map[string]any{"n": 1})),
		"error":      through(error(&codedError{1, io.EOF})),
		"text":       through(celsius(1.5)),
		"a queue":    through((*Queue[int])(nil)),
		"circle":     through(func() *ring { r := &ring{}; r.Next = r; return r }()),
		"many words": through(strings.Repeat("word ", 1<<16)),
	} {
		t.Run(name, f)
	}
}

// fragile cannot be decoded if it is negative, nor encoded if it is 0.
type fragile int

func (f fragile) MarshalText() ([]byte, error) {
	if f == 0 {
		return nil, errors.New("zero")
	}
	return strconv.AppendInt(nil, int64(f), 10), nil
}

func (f *fragile) UnmarshalText(b []byte) error {
	n, err := strconv.Atoi(string(b))
	if n < 0 {
		panic("negative")
	}
	*f = fragile(n)
	return err
}

// A value that cannot be encoded, or decoded by the receiver, is not lost.
func TestQueueKeepsWhatCannotCross(t *testing.T) {
	here, there, far := sent[fragile](t, 2)
	ctx := t.Context()
	for _, bad := range []fragile{0, -1} {
		if err := there.Put(far, bad); !errors.Is(err, fault.ErrEncode) {
			t.Errorf("Put(%d) from a worker = %v; want fault.ErrEncode", bad, err)
		}
		for _, v := range []fragile{bad, 7} {
			if err := here.Put(ctx, v); err != nil {
				t.Fatal(err)
			}
		}
		if err := here.Close(ctx); bad == -1 && err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if v, err := there.Get(far); !errors.Is(err, fault.ErrEncode) || v != 0 {
				t.Errorf("Get of %d = %d, %v; want fault.ErrEncode", bad, v, err)
			}
		}
		for _, want := range []fragile{bad, 7} {
			if v, err := here.Get(ctx); v != want || err != nil {
				t.Errorf("Get after that = %d, %v; want %d", v, err, want)
			}
		}
		if v, err := there.Get(far); !errors.Is(err, fault.ErrQueueClosed) {
			t.Errorf("Get at the end = %d, %v; want fault.ErrQueueClosed", v, err)
		}
		here, there, far = sent[fragile](t, 2)
	}
	here.Close(ctx)
	if n := len(published.open); n != 0 {
		t.Errorf("%d queues are still published", n)
	}
}

// A Get that waits on a closed queue returns ErrQueueClosed once the last value has
// been sent, and the value if sending it failed.
func TestQueueWaitsForALoan(t *testing.T) {
	for _, ok := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := NewQueue[int](1).store
			if err := s.put(t.Context(), 7); err != nil {
				t.Fatal(err)
			}
			s.close()
			v, err := s.take(t.Context(), 1)
			if v != 7 || err != nil {
				t.Fatalf("take = %d, %v", v, err)
			}
			done := make(chan error, 1)
			go func() { // ends with the test
				_, err := s.get(t.Context())
				done <- err
			}()
			synctest.Wait()
			if len(done) > 0 {
				t.Error("Get did not wait for a value that may come back")
			}
			s.giveBack(v, ok)
			if err := <-done; ok != errors.Is(err, fault.ErrQueueClosed) {
				t.Errorf("sent: %v; Get = %v", ok, err)
			}
		})
	}
}

type directQueues struct{}

func (directQueues) Ask(ctx context.Context, op QueueOp, id uint64, payload []byte) ([]byte, error) {
	return AnswerQueue(ctx, op, id, payload)
}

func TestNewQueueNeedsABound(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("NewQueue(0) did not panic")
		}
	}()
	NewQueue[int](0)
}

func TestStamp(t *testing.T) {
	before := time.Now()
	s := Now()
	after := time.Now()
	if wall := s.Time(); wall.Before(before.Add(-time.Millisecond)) || wall.After(after.Add(time.Millisecond)) {
		t.Errorf("a stamp between %v and %v says %v", before, after, wall)
	}
	if later := Now(); later < s || later.Sub(s) < 0 {
		t.Errorf("a later stamp is %d, before %d", later, s)
	}
}

// carry sends a value to another process and takes it there.
func carry[T any](v T) (came T, err error) {
	c := wire.For[T]()
	b, err := c.Append(nil, &v)
	if err == nil {
		err = c.Decode(b, &came)
	}
	return came, err
}

// A queue crosses as a reference, which is the queue itself where it was made.
func TestQueueComesHome(t *testing.T) {
	q := NewQueue[string](2)
	came, err := carry(q)
	if err != nil {
		t.Fatal(err)
	}
	if came.store != q.store {
		t.Error("a queue that comes back to its process is another one")
	}
	b, err := wire.For[*Queue[string]]().Append(nil, &q)
	if err != nil {
		t.Fatal(err)
	}
	var wrong *Queue[int]
	if err := wire.For[*Queue[int]]().Decode(b, &wrong); err == nil {
		t.Error("a queue of strings became one of numbers")
	}
	_ = q.Close(t.Context())
	late, err := carry(q)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Get(t.Context()); !errors.Is(err, fault.ErrQueueClosed) {
		t.Errorf("Get from a queue that was closed on the way: %v; want %v", err, fault.ErrQueueClosed)
	}
}
