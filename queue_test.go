package harness

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
				if errors.Is(err, ErrQueueClosed) {
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
		// A value that comes later is for whoever waits then.
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

// The wake-up meant for one who gives up must reach another.
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
	// What the worker's side of a backend would do.
	inTask := context.WithValue(ctx, workerKey{}, &Worker{Link: directLink{}})
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
	if _, err := q.Get(ctx); !errors.Is(err, ErrQueueClosed) {
		t.Errorf("Get() after Close = %v; want ErrQueueClosed", err)
	}
	if err := far.Put(inTask, "three"); !errors.Is(err, ErrQueueClosed) {
		t.Errorf("Put() after Close = %v; want ErrQueueClosed", err)
	}
	if len(published.open) != 0 {
		t.Errorf("%d queues are still published; want none once they are closed and drained", len(published.open))
	}
}

type directLink struct{}

func (directLink) Ask(ctx context.Context, op QueueOp, id uint64, payload []byte) ([]byte, error) {
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
