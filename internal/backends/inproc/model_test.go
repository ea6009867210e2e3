package inproc_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/f3f4c0de/harness/internal/backends/inproc"
	"github.com/f3f4c0de/harness/internal/core"
)

// does calls its argument, which cannot be encoded for another process.
var does = core.NewTask("does", func(ctx context.Context, f func(context.Context)) (int, error) {
	f(ctx)
	return 0, nil
})

// pass lets time pass in a bubble, as a task does that computes or waits.
func pass(d time.Duration) { <-time.After(d) }

// open opens a backend in a bubble of package synctest.
func open(t *testing.T, b *core.Backend, cfg core.Config) core.Executor {
	t.Helper()
	ex, err := b.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ex
}

func closeNow(t *testing.T, ex core.Executor) {
	t.Helper()
	if err := ex.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

// A task that waits for the interpreter lock gets it at the holder's first
// Checkpoint after the switch interval, and not before.
func TestGILHandsOver(t *testing.T) {
	tests := []struct {
		name     string
		interval time.Duration
		want     time.Duration // at the holder's next step of 2 ms
	}{
		{"default", 0, 6 * time.Millisecond},
		{"longer", 9 * time.Millisecond, 10 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ex := open(t, inproc.GIL, core.Config{Workers: 2, SwitchInterval: tt.interval})
				defer closeNow(t, ex)
				var start time.Time
				var got atomic.Int64
				computing := make(chan struct{})
				does.Submit(t.Context(), ex, func(ctx context.Context) {
					start = time.Now()
					close(computing)
					for got.Load() == 0 && time.Since(start) < time.Second {
						pass(2 * time.Millisecond) // computes, with the lock held
						core.Checkpoint(ctx)
					}
				})
				<-computing
				does.Submit(t.Context(), ex, func(context.Context) { got.Store(int64(time.Since(start))) })
				synctest.Wait()
				closeNow(t, ex)
				if got := time.Duration(got.Load()); got != tt.want {
					t.Errorf("a task waited %v for the lock; want %v", got, tt.want)
				}
			})
		})
	}
}

// Without a Checkpoint no other task runs, however long it waits.
func TestGILIsHeldBetweenCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ex := open(t, inproc.GIL, core.Config{Workers: 3})
		defer closeNow(t, ex)
		var order []int
		for i := range 3 {
			does.Submit(t.Context(), ex, func(context.Context) {
				order = append(order, i)
				pass(time.Second)
				order = append(order, i)
			})
			synctest.Wait()
		}
		closeNow(t, ex)
		if !slices.Equal(order, []int{0, 0, 1, 1, 2, 2}) && !slices.Equal(order, []int{0, 0, 2, 2, 1, 1}) {
			t.Errorf("the tasks began and ended as %v; want one after the other", order)
		}
	})
}

// Sections outside of the lock overlap: waiting on both models, and computing in NoGIL
// on gil only.
func TestWhatOverlaps(t *testing.T) {
	second := func() { pass(time.Second) }
	holding := func(_ context.Context, f func()) { f() }
	tests := []struct {
		name    string
		backend *core.Backend
		run     func(context.Context, func())
		want    time.Duration // for three tasks of a second
	}{
		{"gil computes", inproc.GIL, holding, 3 * time.Second},
		{"gil waits", inproc.GIL, core.Blocking, time.Second},
		{"gil without the lock", inproc.GIL, core.NoGIL, time.Second},
		{"eventloop computes", inproc.EventLoop, holding, 3 * time.Second},
		{"eventloop waits", inproc.EventLoop, core.Blocking, time.Second},
		{"eventloop has no lock to release", inproc.EventLoop, core.NoGIL, 3 * time.Second},
		{"goroutines compute", inproc.Goroutines, holding, time.Second},
		{"goroutines without a lock", inproc.Goroutines, core.NoGIL, time.Second},
		{"sequential waits", inproc.Sequential, core.Blocking, 3 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ex := open(t, tt.backend, core.Config{Workers: 3})
				start := time.Now()
				for range 3 {
					does.Submit(t.Context(), ex, func(ctx context.Context) { tt.run(ctx, second) })
				}
				closeNow(t, ex)
				if got := time.Since(start); got != tt.want {
					t.Errorf("three tasks of a second took %v; want %v", got, tt.want)
				}
			})
		})
	}
}

// Between two points of an event loop's task without Blocking no other task
// runs, whatever else it calls.
func TestEventLoopTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ex := open(t, inproc.EventLoop, core.Config{Workers: 4})
		inside := 0
		step := func(ctx context.Context) {
			if inside++; inside != 1 {
				t.Errorf("%d tasks are between two points without Blocking; want 1", inside)
			}
			pass(10 * time.Millisecond)
			core.Checkpoint(ctx)
			core.NoGIL(ctx, func() { pass(10 * time.Millisecond) })
			inside--
		}
		for range 4 {
			does.Submit(t.Context(), ex, func(ctx context.Context) {
				for range 5 {
					step(ctx)
					core.Blocking(ctx, func() { pass(time.Millisecond) })
				}
			})
		}
		closeNow(t, ex)
	})
}

// On an event loop the task that has waited longest is next.
func TestEventLoopIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ex := open(t, inproc.EventLoop, core.Config{Workers: 3})
		var order []int
		for i := range 3 {
			does.Submit(t.Context(), ex, func(ctx context.Context) {
				for range 3 {
					order = append(order, i)
					pass(time.Second) // holds the turn, so that the others queue up
					core.Blocking(ctx, func() { pass(time.Millisecond) })
				}
			})
			synctest.Wait()
		}
		closeNow(t, ex)
		first := order[:3]
		for i, got := range order {
			if got != first[i%3] {
				t.Errorf("turns went to %v; want each in its turn", order)
				break
			}
		}
	})
}

// A task that waits in several goroutines releases the lock once and acquires it again
// once. After a panic in the wait it holds the lock.
func TestGateIsTakenAgain(t *testing.T) {
	for _, b := range []*core.Backend{inproc.GIL, inproc.EventLoop} {
		t.Run(b.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ex := open(t, b, core.Config{Workers: 2})
				inside := 0
				enter := func() {
					if inside++; inside != 1 {
						t.Errorf("%d tasks hold the lock; want 1", inside)
					}
				}
				for range 2 {
					does.Submit(t.Context(), ex, func(ctx context.Context) {
						var others sync.WaitGroup
						for i := range 3 {
							others.Go(func() {
								core.Blocking(ctx, func() { pass(time.Duration(i+1) * time.Second) })
							})
						}
						core.Blocking(ctx, others.Wait)
						enter()
						pass(time.Second)
						inside--
						func() {
							defer func() { _ = recover() }()
							core.Blocking(ctx, func() { panic("while it waits") })
						}()
						enter()
						pass(time.Second)
						inside--
					})
				}
				closeNow(t, ex)
			})
		})
	}
}

// A goroutine that a task has left behind does not acquire the lock while later tasks
// run, and does not keep it.
func TestLeftBehindHasNoLock(t *testing.T) {
	tests := []struct {
		name string
		left func(ctx context.Context, begun chan<- struct{}, release <-chan struct{})
	}{
		{"it waits", func(ctx context.Context, begun chan<- struct{}, release <-chan struct{}) {
			core.Blocking(ctx, func() { close(begun); <-release })
		}},
		{"it waits from later on", func(ctx context.Context, begun chan<- struct{}, release <-chan struct{}) {
			close(begun)
			<-release
			core.Blocking(ctx, func() { pass(time.Second) })
		}},
		{"it computes", func(ctx context.Context, begun chan<- struct{}, release <-chan struct{}) {
			close(begun)
			<-release
			for range 10 {
				pass(10 * time.Millisecond)
				core.Checkpoint(ctx)
			}
		}},
	}
	for _, b := range []*core.Backend{inproc.GIL, inproc.EventLoop} {
		for _, tt := range tests {
			t.Run(b.Name+"/"+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ex := open(t, b, core.Config{Workers: 2})
					release := make(chan struct{})
					var left sync.WaitGroup
					for range 2 {
						does.Submit(t.Context(), ex, func(ctx context.Context) {
							begun := make(chan struct{})
							left.Go(func() { tt.left(ctx, begun, release) })
							<-begun
						})
						synctest.Wait()
					}
					inside := 0
					for range 4 {
						does.Submit(t.Context(), ex, func(context.Context) {
							if inside++; inside != 1 {
								t.Errorf("%d tasks hold the lock; want 1", inside)
							}
							pass(30 * time.Millisecond)
							inside--
						})
					}
					synctest.Wait()
					close(release)
					closeNow(t, ex)
					left.Wait()
				})
			})
		}
	}
}

// Only workers that have been idle for the timeout end.
func TestIdleTimeoutIsExact(t *testing.T) {
	for _, b := range []*core.Backend{inproc.Sequential, inproc.EventLoop, inproc.GIL, inproc.GOMAXPROCS1, inproc.Goroutines, inproc.Spawn, inproc.Threads} {
		if b == inproc.Spawn { // whose workers are never idle
			continue
		}
		t.Run(b.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ex := open(t, b, core.Config{Workers: 1, IdleTimeout: time.Minute}).(core.Manager)
				defer closeNow(t, ex)
				for range 2 {
					if _, err := does.Submit(t.Context(), ex, func(context.Context) {}).Wait(t.Context()); err != nil {
						t.Fatal(err)
					}
					pass(time.Minute - 1)
					synctest.Wait()
					if got := ex.Stats().Alive; got != 1 {
						t.Errorf("just before the timeout %d workers are alive; want 1", got)
					}
				}
				pass(2)
				synctest.Wait()
				if got := ex.Stats().Alive; got != 0 {
					t.Errorf("just after the timeout %d workers are alive; want 0", got)
				}
			})
		})
	}
}

// The time limit of a task counts from its start; exactly then its context ends.
func TestTimeLimitIsExact(t *testing.T) {
	for _, b := range []*core.Backend{inproc.Sequential, inproc.EventLoop, inproc.GIL, inproc.Goroutines, inproc.Spawn} {
		t.Run(b.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ex := open(t, b, core.Config{Workers: 1})
				defer closeNow(t, ex)
				start := time.Now()
				does.Submit(t.Context(), ex, func(context.Context) { pass(5 * time.Second) })
				var ended time.Duration
				f := does.Timeout(2*time.Second).Submit(t.Context(), ex, func(ctx context.Context) {
					core.Blocking(ctx, func() { <-ctx.Done() })
					ended = time.Since(start)
				})
				if _, err := f.Wait(t.Context()); err != nil {
					t.Errorf("Wait() = %v; want nil: the task has returned a result all the same", err)
				}
				if want := 7 * time.Second; ended != want {
					t.Errorf("its context ended after %v; want %v", ended, want)
				}
			})
		})
	}
}
