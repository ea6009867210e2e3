package harnesstest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

func testQueueRejects(t *testing.T, s *suite) {
	ctx, m, n := s.manager(t, 2, core.Config{Queue: 3, Full: core.Reject})
	release := occupy(ctx, t, m, n)
	var futures []*executor.Future[int64]
	rejected := 0
	for i := range int64(20) {
		f := double.Submit(ctx, m, i)
		if f.State() == executor.Done {
			if !errors.Is(f.Err(), executor.ErrFull) {
				t.Errorf("a task beyond the queue failed with %v; want ErrFull", f.Err())
			}
			rejected++
			continue
		}
		futures = append(futures, f)
	}
	// A few more calls may have been sent ahead to a worker process.
	if accepted := len(futures); accepted < 3 || s.b.Shared && accepted != 3 || rejected < 20-3-2*n {
		t.Errorf("of 20 tasks %d were accepted; the queue has room for 3", accepted)
	}
	release()
	for _, f := range futures {
		if _, err := f.Wait(ctx); err != nil {
			t.Errorf("a task in the queue failed with %v", err)
		}
	}
	if got, err := double.Submit(ctx, m, 4).Wait(ctx); got != 8 || err != nil {
		t.Errorf("when there was room again a task returned %d, %v; want 8, nil", got, err)
	}
}

// fill submits until the executor's queue of one is full, and returns what was
// accepted and one that was submitted, from another goroutine, after that.
func fill(ctx, lastCtx context.Context, t *testing.T, m *executor.Executor) (accepted []*executor.Future[int64], last <-chan *executor.Future[int64]) {
	t.Helper()
	for {
		submitted := make(chan *executor.Future[int64], 1)
		go func() { submitted <- double.Submit(lastCtx, m, 1) }() // ends with the submission, which the test sees to
		full := false
		until(ctx, t, "a submission to be accepted or to wait", func() bool {
			full = stuck()
			return full || len(submitted) > 0
		})
		if full {
			return accepted, submitted
		}
		accepted = append(accepted, <-submitted)
	}
}

// stuck reports whether a goroutine waits in Submit for room and all other goroutines
// wait as well, so that nobody will make room.
func stuck() bool {
	submits := func(g string) bool { return containsAll(g, ").Submit(", "sync.(*Cond).Wait") }
	all := ours()
	return slices.ContainsFunc(all, submits) && !slices.ContainsFunc(all, moves)
}

// moves reports whether the goroutine with this stack runs or can run. A goroutine that
// waits for a process to end does not.
func moves(stack string) bool {
	_, state, _ := strings.Cut(stack, " [")
	state, _, _ = strings.Cut(state, "]")
	switch state, _, _ = strings.Cut(state, ","); state {
	case "chan receive", "select", "sync.Cond.Wait", "sync.WaitGroup.Wait", "IO wait":
		return false
	}
	return !strings.Contains(stack, "os.(*Process)") && !strings.Contains(stack, "child.exitsCleanly")
}

func testQueueBlocks(t *testing.T, s *suite) {
	ctx, m, n := s.manager(t, 1, core.Config{Queue: 1})
	release := occupy(ctx, t, m, n)
	accepted, last := fill(ctx, ctx, t, m)
	release() // makes room
	for _, f := range append(accepted, <-last) {
		if got, err := f.Wait(ctx); got != 2 || err != nil {
			t.Errorf("a task returned %d, %v; want 2, nil", got, err)
		}
	}
}

func testQueueBlockGivesUp(t *testing.T, s *suite) {
	ctx, m, n := s.manager(t, 1, core.Config{Queue: 1})
	release := occupy(ctx, t, m, n)
	cause := errors.New("no longer wanted")
	lastCtx, cancel := context.WithCancelCause(ctx)
	_, last := fill(ctx, lastCtx, t, m)
	cancel(cause)
	if _, err := (<-last).Wait(ctx); !errors.Is(err, cause) {
		t.Errorf("a task whose context ended while it waited for room: %v; want the cause", err)
	}
	release()
	if got, err := double.Submit(ctx, m, 4).Wait(ctx); got != 8 || err != nil {
		t.Errorf("after that a task returned %d, %v; want 8, nil", got, err)
	}
}

func testQueueBlockStopped(t *testing.T, s *suite) {
	ctx, m, n := s.manager(t, 1, core.Config{Queue: 1})
	release := occupy(ctx, t, m, n)
	_, last := fill(ctx, ctx, t, m)
	m.Stop(nil)
	if _, err := (<-last).Wait(ctx); !errors.Is(err, executor.ErrClosed) {
		t.Errorf("a task that waited for room at Stop: %v; want ErrClosed", err)
	}
	release()
}

// However many submitters wait for room, the queue is never longer than its bound.
func testQueueBound(t *testing.T, s *suite) {
	if !s.b.Shared {
		t.Skip("calls that were sent ahead to a worker process are not counted")
	}
	const limit = 2
	ctx, m, n := s.manager(t, 1, core.Config{Queue: limit})
	release := occupy(ctx, t, m, n)
	var submitting sync.WaitGroup
	for range 8 {
		submitting.Go(func() {
			for i := range int64(20) {
				f := double.Submit(ctx, m, i)
				// An idle worker is about to take one more.
				if queued := m.Stats().Queued; queued > limit+n {
					t.Errorf("%d calls are queued; want at most %d and one for each of %d workers", queued, limit, n)
				}
				if i%5 == 0 {
					if _, err := f.Wait(ctx); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	release()
	submitting.Wait()
}
