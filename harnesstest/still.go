package harnesstest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// consumes adds up the values from a queue until it is closed and empty, or as many
// values as its argument says.
var consumes = executor.NewTask("harnesstest.consumes", func(ctx context.Context, h hold) (sum int64, err error) {
	for i := int64(0); h.N == 0 || i < h.N; i++ {
		v, err := h.Started.Get(ctx)
		if errors.Is(err, executor.ErrQueueClosed) {
			break
		}
		if err != nil {
			return sum, err
		}
		sum += v
	}
	return sum, nil
})

// bubble runs f in a synctest bubble if the backend runs inside the process.
func (s *suite) bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if !s.b.Shared {
		f(t)
		return
	}
	synctest.Test(t, func(t *testing.T) {
		f(t)
		s.finish(t)
		s.ex = nil // the executor belongs to the bubble
	})
}

// Producers that wait for room keep all workers, and the consumer waits for a worker: it
// gets an extra one, or, where there can be no more workers, a producer's wait is refused.
func testQueueStandsStill(t *testing.T, s *suite) {
	s.bubble(t, func(t *testing.T) {
		ctx, m, n := s.manager(t, 2, core.Config{})
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second) // without a fault it takes a second
		defer cancel()
		h := hold{N: 10, Started: executor.NewQueue[int64](1)}
		defer h.Started.Close(ctx) //nolint:errcheck // no error in the process that made the queue
		var producers []*executor.Future[int64]
		for range n + 1 { // one of them waits for a worker as well
			producers = append(producers, produces.Submit(ctx, m, h))
		}
		other := double.Submit(ctx, m, 4)
		consumer := consumes.Submit(ctx, m, hold{N: int64(n+1) * h.N, Started: h.Started})
		if s.b.MaxWorkers == 1 {
			if _, err := producers[0].Wait(ctx); !errors.Is(err, executor.ErrNested) {
				t.Errorf("a task that waits for room in a queue, and keeps the only worker from the one that would make it: %v; want ErrNested", err)
			}
			if _, err := producers[1].Wait(ctx); !errors.Is(err, executor.ErrNested) {
				t.Errorf("the next: %v; want ErrNested", err)
			}
			_ = h.Started.Close(ctx)
			if _, err := consumer.Wait(ctx); err != nil {
				t.Errorf("the one that would make room: %v; want no error", err)
			}
		} else {
			if sum, err := consumer.Wait(ctx); sum != int64(n+1)*45 || err != nil {
				t.Errorf("the consumer returned %d, %v; want %d, nil", sum, err, (n+1)*45)
			}
			for _, f := range producers {
				if _, err := f.Wait(ctx); err != nil {
					t.Errorf("a producer failed with %v", err)
				}
			}
		}
		if v, err := other.Wait(ctx); v != 8 || err != nil {
			t.Errorf("a task between them returned %d, %v; want 8, nil", v, err)
		}
		until(ctx, t, "the workers that are too many to end", func() bool { return m.Stats().Alive <= n })
		if v, err := double.Submit(ctx, m, 4).Wait(ctx); v != 8 || err != nil {
			t.Errorf("after that a task returned %d, %v; want 8, nil", v, err)
		}
	})
}

// As long as no queued call could end the waits, no extra worker is started.
func testQueueWaitsForOthers(t *testing.T, s *suite) {
	if !s.b.Shared {
		t.Skip("time cannot be made to pass in other processes")
	}
	s.bubble(t, func(t *testing.T) {
		ctx, m, n := s.manager(t, 2, core.Config{})
		release := occupy(ctx, t, m, n)
		f := double.Submit(ctx, m, 4)
		g := consumes.Submit(ctx, m, hold{N: 1, Started: executor.NewQueue[int64](1)})
		<-time.After(10 * time.Second)
		if got := m.Stats(); got.Alive != n || got.Queued != 2 || f.State() != executor.Pending {
			t.Errorf("while all wait for somebody outside Stats() = %+v; want %d alive and 2 queued", got, n)
		}
		g.Cancel()
		release()
		if v, err := f.Wait(ctx); v != 8 || err != nil {
			t.Errorf("after that the task returned %d, %v; want 8, nil", v, err)
		}
	})
}
