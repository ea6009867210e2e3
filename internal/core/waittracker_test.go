package core

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/f3f4c0de/harness/internal/fault"
)

// on returns a context as a task on that worker has it.
func on(ctx context.Context, w *Worker) context.Context {
	return context.WithValue(ctx, workerKey{}, w)
}

func always() bool { return true }

func TestCrewRefusesTheLastWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tracker, other WaitTracker
		tracker.Resize(2)
		other.Resize(1)
		first, second := &Worker{Waits: &tracker}, &Worker{Waits: &tracker}
		release := make(chan struct{})
		var isStuck atomic.Bool
		isStuck.Store(true)
		go func() {
			if err := Await(on(t.Context(), first), &tracker, isStuck.Load, func() { <-release }); err != nil {
				t.Errorf("the first of two workers waits: %v; want nil", err)
			}
		}()
		synctest.Wait()
		if got := tracker.Waiting(); got != 1 {
			t.Errorf("Waiting() = %d; want 1", got)
		}
		tests := []struct {
			name    string
			worker  *Worker
			tracker *WaitTracker
			stuck   func() bool
			want    error
		}{
			{"the last worker", second, &tracker, always, fault.ErrNested},
			{"the last worker, for what is about to be over", second, &tracker, func() bool { return false }, nil},
			{"the same worker again", first, &tracker, always, nil},
			{"nobody of the executor", &Worker{Waits: &other}, &tracker, always, nil},
			{"for another executor", second, &other, always, nil},
			{"for no executor", second, nil, always, nil},
			{"outside of a task", nil, &tracker, always, nil},
		}
		for _, tt := range tests {
			ctx := t.Context()
			if tt.worker != nil {
				ctx = on(ctx, tt.worker)
			}
			called := false
			err := Await(ctx, tt.tracker, tt.stuck, func() { called = true })
			if !errors.Is(err, tt.want) || called != (tt.want == nil) {
				t.Errorf("%s: Await() = %v, and wait was called: %v; want %v, and that it is called unless refused", tt.name, err, called, tt.want)
			}
		}
		isStuck.Store(false) // the wait is over, but the goroutine has not called leave
		if err := Await(on(t.Context(), second), &tracker, always, func() {}); err != nil {
			t.Errorf("while another's wait is over: Await() = %v; want nil", err)
		}
		isStuck.Store(true)
		tracker.Resize(3)
		if err := Await(on(t.Context(), second), &tracker, always, func() {}); err != nil {
			t.Errorf("with a third worker: Await() = %v; want nil", err)
		}
		close(release)
		synctest.Wait()
		if got := tracker.Waiting(); got != 0 {
			t.Errorf("Waiting() = %d when all waits are over; want 0", got)
		}
	})
}

func TestCrewWithoutABound(t *testing.T) {
	var tracker WaitTracker
	w := &Worker{Waits: &tracker}
	if err := Await(on(t.Context(), w), &tracker, always, func() {}); err != nil {
		t.Errorf("Await() = %v; want nil: somebody can always be found", err)
	}
}
