package core

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/f3f4c0de/harness/internal/fault"
)

// The executor is told when all workers wait and not all of them for tasks.
func TestCrewStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tracker WaitTracker
		tracker.Resize(2)
		told := 0
		tracker.OnAllWaiting(func() { told++ })
		first, second := &Worker{Waits: &tracker}, &Worker{Waits: &tracker}
		full := NewQueue[int](1)
		if err := full.Put(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		put := make(chan error)
		go func() { put <- full.Put(on(t.Context(), first), 2) }()
		synctest.Wait()
		if told != 0 || tracker.AllWaiting() {
			t.Errorf("one of two workers waits on a queue: told %d times, AllWaiting() = %v; want 0, false", told, tracker.AllWaiting())
		}
		// The second wait is not refused: code outside may take from the queue.
		release := make(chan struct{})
		waited := make(chan error)
		go func() { waited <- Await(on(t.Context(), second), &tracker, always, func() { <-release }) }()
		synctest.Wait()
		if told != 1 || !tracker.AllWaiting() {
			t.Errorf("both wait: told %d times, AllWaiting() = %v; want 1, true", told, tracker.AllWaiting())
		}
		s := tracker.Snapshot()
		if s.Workers != 2 || s.Queues() != 1 || s.Changes != tracker.Changes() {
			t.Errorf("Snapshot() = %+v with %d queues; want 2 workers and 1 queue", s, s.Queues())
		}
		take := NewTask("take", func(context.Context, *Queue[int]) (int, error) { return 0, nil })
		other := take.With(NewQueue[int](1)).Call(t.Context())
		if _, ok := other.MayEnd(s); ok {
			t.Error("a call that has another queue may end the standstill; want that it may not")
		}
		refuse, ok := take.With(full).Call(t.Context()).MayEnd(s)
		if !ok {
			t.Fatal("a call that has the queue may not end the standstill; want that it may")
		}
		refuse()
		if err := <-put; !errors.Is(err, fault.ErrNested) {
			t.Errorf("a Put that was refused = %v; want fault.ErrNested", err)
		}
		close(release)
		if err := <-waited; err != nil {
			t.Error(err)
		}
		if v, err := full.Get(on(t.Context(), first)); v != 1 || err != nil {
			t.Errorf("Get() = %d, %v; want 1, nil: nothing else was put", v, err)
		}
		if tracker.AllWaiting() || tracker.Waiting() != 0 || len(tracker.waits) != 0 {
			t.Errorf("when all waits are over AllWaiting() = %v and %d wait", tracker.AllWaiting(), len(tracker.waits))
		}
	})
}

// MayEnd finds a queue in every part of an argument, and reports false for a call that
// is done.
func TestMayEnd(t *testing.T) {
	type node struct {
		Next *node
		q    *Queue[int]
		n    []int
	}
	type shared struct {
		mu sync.Mutex //nolint:unused // it is there to be found
		q  *Queue[int]
	}
	q := NewQueue[int](1)
	s := &WaitSnapshot{queues: map[any]*trackedWait{q.store: {refuse: func() {}}}}
	cycle := &node{n: make([]int, 1<<20)}
	cycle.Next = &node{Next: cycle}
	found := &node{Next: &node{q: q}}
	found.Next.Next = found
	for _, tt := range []struct {
		name string
		in   any
		want bool
	}{
		{"the queue", q, true},
		{"a copy", *q, true},
		{"behind pointers", found, true},
		{"in a slice", [][]any{{1, "a"}, {nil, q}}, true},
		{"in a map", map[string]any{"q": &node{q: q}}, true},
		{"a cycle without it", cycle, false},
		{"nothing", nil, false},
		{"nil pointers", (*node)(nil), false},
		{"large", make([]node, 1<<20), false},
		{"another queue", NewQueue[int](1), false},
		{"what is in use", &shared{q: q}, false},
		{"a function", func() { _ = q }, false},
	} {
		task := NewTask("any", func(context.Context, any) (int, error) { return 0, nil })
		c := task.With(tt.in).Call(t.Context())
		if _, ok := c.MayEnd(s); ok != tt.want {
			t.Errorf("%s: MayEnd() = %v; want %v", tt.name, ok, tt.want)
		}
		c.Cancel(fault.ErrCancelled)
		if _, ok := c.MayEnd(s); ok {
			t.Errorf("%s: MayEnd() of a call that was cancelled = true; want false", tt.name)
		}
	}
}

// MayEnd does not read an argument while the call releases it.
func TestMayEndWhileItIsCancelled(t *testing.T) {
	q := NewQueue[int](1)
	s := &WaitSnapshot{queues: map[any]*trackedWait{q.store: {refuse: func() {}}}}
	task := NewTask("queue", func(context.Context, *Queue[int]) (int, error) { return 0, nil })
	for i := range 500 {
		c := task.With(q).Call(t.Context())
		var both sync.WaitGroup
		both.Go(func() { c.MayEnd(s) })
		both.Go(func() {
			if i%2 == 0 {
				c.Cancel(fault.ErrCancelled)
			} else {
				c.Run(&Worker{})
			}
		})
		both.Wait()
		if c.body.(*pending[*Queue[int], int]).in != nil {
			t.Fatal("a call that is done keeps its argument")
		}
	}
}
