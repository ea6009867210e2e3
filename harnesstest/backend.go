package harnesstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/executor/backend"
	"github.com/f3f4c0de/harness/internal/core"
)

// Tasks are the tasks that TestBackend submits.
var Tasks = []executor.AnyTask{
	double, echo, sends, fails, failsBadly, panics, exits, holds, untilCancelled, unencodable, takes, makes, encodes, produces, nap,
	prepares, mixed, does, opens, fickle, refuses, mixes, takesLong, brackets, double.Idempotent(), consumes, untilStopped, stubborn, napsOrWaits,
}

var (
	double = executor.NewTask("harnesstest.double", func(_ context.Context, n int64) (int64, error) { return 2 * n, nil })
	echo   = executor.NewTask("harnesstest.echo", func(_ context.Context, b []byte) ([]byte, error) { return b, nil })
	sends  = executor.NewTask("harnesstest.sends", func(_ context.Context, m message) (message, error) { return m, nil })
	fails  = executor.NewTask("harnesstest.fails", func(_ context.Context, text string) (int64, error) {
		return 0, fmt.Errorf("%s: %w", text, errMine)
	})
	failsBadly = executor.NewTask("harnesstest.failsBadly", func(ctx context.Context, started *executor.Queue[int64]) (int64, error) {
		if started != nil {
			if err := started.Put(ctx, 1); err != nil {
				return 0, err
			}
			<-ctx.Done()
		}
		var err *broken
		return 0, err // not nil: an interface with a nil pointer
	})
	panics = executor.NewTask("harnesstest.panics", func(_ context.Context, v string) (int64, error) { panic(v) })
	exits  = executor.NewTask("harnesstest.exits", func(context.Context, int64) (int64, error) {
		runtime.Goexit()
		return 0, nil
	})
	// holds reports that it has started, then keeps its worker until it is released.
	holds = executor.NewTask("harnesstest.holds", func(ctx context.Context, h hold) (int64, error) {
		if err := h.Started.Put(ctx, h.N); err != nil {
			return 0, err
		}
		_, err := h.Release.Get(ctx)
		return h.N, err
	})
	untilCancelled = executor.NewTask("harnesstest.untilCancelled", func(ctx context.Context, started *executor.Queue[int64]) (int64, error) {
		if err := started.Put(ctx, 1); err != nil {
			return 0, err
		}
		var err error
		executor.Blocking(ctx, func() {
			<-ctx.Done()
			err = ctx.Err()
		})
		return 0, err
	})
	unencodable = executor.NewTask("harnesstest.unencodable", func(_ context.Context, ok bool) (any, error) {
		if ok {
			return "fine", nil
		}
		return make(chan int), nil
	})
	takes   = executor.NewTask("harnesstest.takes", func(_ context.Context, b balky) (string, error) { return b.When, nil })
	makes   = executor.NewTask("harnesstest.makes", func(_ context.Context, when string) (balky, error) { return balky{when}, nil })
	encodes = executor.NewTask("harnesstest.encodes", func(_ context.Context, v any) (string, error) {
		return fmt.Sprint(v), nil
	})
	produces = executor.NewTask("harnesstest.produces", func(ctx context.Context, h hold) (int64, error) {
		for i := range h.N {
			if err := h.Started.Put(ctx, i); err != nil {
				return i, err
			}
		}
		return h.N, nil
	})
	nap = executor.NewTask("harnesstest.nap", func(ctx context.Context, d int64) (int64, error) {
		executor.Blocking(ctx, func() {
			select {
			case <-time.After(time.Duration(d)):
			case <-ctx.Done():
			}
		})
		return d, nil
	})
)

var errMine = errors.New("an error of the task's own")

// A broken error panics in Error if it is a nil pointer, which tasks return by mistake.
type broken struct{ err error }

func (b *broken) Error() string { return b.err.Error() }
func (b *broken) Unwrap() error { return b.err }

// A message is a struct with bytes, whose encoded size is not known beforehand.
type message struct{ Content []byte }

type hold struct {
	N       int64
	Started *executor.Queue[int64]
	Release *executor.Queue[int64]
}

func newHold(n int64) hold {
	return hold{n, executor.NewQueue[int64](1000), executor.NewQueue[int64](1000)}
}

func (h hold) close(ctx context.Context) {
	_, _ = h.Started.Close(ctx), h.Release.Close(ctx) // no error in the process that made the queues
}

// TestBackend checks every promise that a backend makes, on b. The test's
// TestMain must call [Main].
func TestBackend(t *testing.T, b *backend.Backend) {
	t.Helper()
	if b.Name != strings.ToLower(b.Name) || strings.ContainsAny(b.Name, " /.,=") {
		t.Errorf("Name is %q; want one lower-case word", b.Name)
	}
	if first, _, _ := strings.Cut(b.Doc, "\n"); first == "" || len(first) > 72 {
		t.Errorf("Doc begins with %q; want a line of at most 72 characters", first)
	}
	promises := []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"results", testResults},
		{"payloads", testPayloads},
		{"order", testOrder},
		{"width", testWidth},
		{"task error", testTaskError},
		{"error panics", testErrorPanics},
		{"panic", testPanic},
		{"methods refuse", testMethodsRefuse},
		{"part of an error refuses", testErrorPartRefuses},
		{"goexit", testGoexit},
		{"cannot be encoded", testUnencodable},
		{"encoding panics", testEncodingPanics},
		{"namesakes", testNamesakes},
		{"misuse", testMisuse},
		{"cancel queued", testCancelQueued},
		{"cancel running", testCancelRunning},
		{"who cancelled", testWhoCancelled},
		{"arguments are let go", testArgumentsAreLetGo},
		{"context ends queued", testContextEndsQueued},
		{"context ends running", testContextEndsRunning},
		{"wait gives up", testWaitGivesUp},
		{"deadline", testDeadline},
		{"time limit", testTimeLimit},
		{"time limit and queue", testTimeLimitQueued},
		{"time limit kills", testTimeLimitKills},
		{"time limit and map", testTimeLimitMap},
		{"callbacks", testCallbacks},
		{"callback panics", testCallbackPanics},
		{"callback always", testCallbackAlways},
		{"callback submits", testCallbackSubmits},
		{"callback submits when cancelled", testCallbackSubmitsCancelled},
		{"callback blocks", testCallbackBlocks},
		{"callback ends its goroutine", testCallbackGoexit},
		{"close in a callback", testCloseInCallback},
		{"close in a task", testCloseInTask},
		{"close waits for callbacks", testCloseWaitsForCallbacks},
		{"then", testThen},
		{"then deep", testThenDeep},
		{"batch", testBatch},
		{"batch errors", testBatchErrors},
		{"batch cut", testBatchCut},
		{"batch cannot be encoded", testBatchUnencodable},
		{"batch encoding", testBatchEncoding},
		{"batch cancel", testBatchCancel},
		{"batch cancel last", testBatchCancelLast},
		{"state", testState},
		{"timing", testTiming},
		{"observer", testObserver},
		{"queue", testQueue},
		{"queue get cancelled", testQueueCancelled},
		{"init", testInit},
		{"init fails", testInitFails},
		{"init fails later", testInitFailsLater},
		{"init stopped", testInitStopped},
		{"max tasks per worker", testMaxTasksPerWorker},
		{"idle timeout", testIdleTimeout},
		{"on demand", testOnDemand},
		{"on demand but unused", testOnDemandUnused},
		{"warm", testWarm},
		{"warm gives up", testWarmGivesUp},
		{"init fails on demand", testInitFailsOnDemand},
		{"resize", testResize},
		{"resize down while busy", testResizeDownWhileBusy},
		{"resize back and forth", testResizeFlaps},
		{"resize beyond reason", testResizeBeyondReason},
		{"stats", testStats},
		{"stop", testStop},
		{"stop with cause", testStopWithCause},
		{"full queue rejects", testQueueRejects},
		{"full queue blocks", testQueueBlocks},
		{"full queue gives up", testQueueBlockGivesUp},
		{"queue is bounded", testQueueBound},
		{"full queue stopped", testQueueBlockStopped},
		{"nested", testNested},
		{"nested submit", testNestedSubmit},
		{"nested allowed", testNestedAllowed},
		{"nested resize", testNestedResize},
		{"queue stands still", testQueueStandsStill},
		{"queue waits for others", testQueueWaitsForOthers},
		{"close waits", testCloseWaits},
		{"closed", testClosed},
		{"many submitters", testManySubmitters},
	}
	run := func(name string, onDemand bool, test func(*testing.T, *suite)) {
		t.Run(name, func(t *testing.T) {
			s := &suite{b: b, onDemand: onDemand, before: ours()}
			test(t, s)
			s.finish(t)
		})
	}
	for _, p := range promises {
		run(p.name, false, p.test)
		if slices.Contains(alsoOnDemand, p.name) {
			run(p.name+", on demand", true, p.test)
		}
	}
}

// alsoOnDemand are the promises that are checked a second time on an executor that starts
// its workers on demand, because they depend on when workers are started.
var alsoOnDemand = []string{
	"order", "width", "init", "init fails later", "init stopped", "max tasks per worker", "idle timeout", "resize", "resize down while busy",
	"resize back and forth", "stats", "stop", "stop with cause", "full queue rejects", "full queue blocks", "queue is bounded", "nested", "nested submit",
	"nested allowed", "nested resize", "queue stands still", "close waits", "many submitters",
}

// A suite is the state of one test of a backend.
type suite struct {
	b        *core.Backend
	onDemand bool // open opens executors that start workers on demand
	ex       *executor.Executor
	before   []string
}

// open opens the backend with up to n workers and returns how many it has.
func (s *suite) open(t *testing.T, n int, cfg core.Config) (context.Context, *executor.Executor, int) {
	t.Helper()
	if s.b.MaxWorkers > 0 {
		n = min(n, s.b.MaxWorkers)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cfg.Workers, cfg.OnDemand = n, cfg.OnDemand || s.onDemand
	ex, err := open(ctx, s.b, cfg)
	if err != nil {
		t.Fatalf("Open(%+v) = %v", cfg, err)
	}
	s.ex = ex
	return ctx, ex, n
}

// finish closes the executor and checks that nothing of it remains.
func (s *suite) finish(t *testing.T) {
	t.Helper()
	if s.ex == nil {
		return
	}
	for range 2 {
		if err := s.ex.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	// A goroutine that has done its work may not have exited yet.
	deadline := time.Now().Add(time.Minute)
	for {
		left := remaining(s.before)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("after Close, %d goroutines remain:\n%s", len(left), strings.Join(left, "\n\n"))
			return
		}
		runtime.Gosched()
	}
}

// ours returns the stacks of the goroutines that run code of this module.
func ours() []string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var mine []string
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(g, "f3f4c0de/harness") && !strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "testing.(*M)") {
			mine = append(mine, g)
		}
	}
	return mine
}

// remaining returns the stacks of ours that were not there before.
func remaining(before []string) []string {
	id := func(g string) string { s, _, _ := strings.Cut(g, " ["); return s }
	return slices.DeleteFunc(ours(), func(g string) bool {
		return slices.ContainsFunc(before, func(b string) bool { return id(b) == id(g) })
	})
}

// occupy keeps all workers busy until release is called.
func occupy(ctx context.Context, t *testing.T, ex *executor.Executor, workers int) (release func()) {
	t.Helper()
	h := newHold(0)
	var futures []*executor.Future[int64]
	for range workers {
		futures = append(futures, holds.Submit(ctx, ex, h))
	}
	for range workers {
		if _, err := h.Started.Get(ctx); err != nil {
			t.Fatalf("occupying %d workers: %v", workers, err)
		}
	}
	return func() {
		h.close(ctx) // Get then returns ErrQueueClosed
		for _, f := range futures {
			if _, err := f.Wait(ctx); !errors.Is(err, executor.ErrQueueClosed) {
				t.Errorf("a task whose queue was closed returned %v; want %v", err, executor.ErrQueueClosed)
			}
		}
	}
}

func testResults(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 3, core.Config{})
	var futures []*executor.Future[int64]
	for i := range int64(500) {
		futures = append(futures, double.Submit(ctx, ex, i))
	}
	for i, f := range futures {
		if got, err := f.Wait(ctx); got != int64(2*i) || err != nil {
			t.Fatalf("task %d returned %d, %v; want %d, nil", i, got, err, 2*i)
		}
	}
}

func testPayloads(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 2, core.Config{})
	for _, n := range []int{0, 1, 4095, 65536, 3 << 20} {
		in := bytes.Repeat([]byte{0, 0xff, '\n', 'x'}, n/4+1)[:n]
		if got, err := echo.Submit(ctx, ex, in).Wait(ctx); !bytes.Equal(got, in) || err != nil {
			t.Errorf("%d bytes came back as %d bytes, %v", n, len(got), err)
		}
	}
	for _, n := range []int{1, 40_000, 20 << 20} { // the encoded size of a struct is not known beforehand
		in := message{bytes.Repeat([]byte{7}, n)}
		if got, err := sends.Submit(ctx, ex, in).Wait(ctx); !bytes.Equal(got.Content, in.Content) || err != nil {
			t.Errorf("a struct with %d bytes came back with %d bytes, %v", n, len(got.Content), err)
		}
	}
}

func testOrder(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	h := newHold(0)
	defer h.close(ctx)
	release := occupy(ctx, t, ex, 1)
	var last *executor.Future[int64]
	for i := range int64(20) {
		if err := h.Release.Put(ctx, i); err != nil {
			t.Fatal(err)
		}
		h.N = i
		last = holds.Submit(ctx, ex, h)
	}
	release()
	if _, err := last.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	for want := range int64(20) {
		if got, err := h.Started.Get(ctx); got != want || err != nil {
			t.Fatalf("one worker started task %d, %v; want %d: the order of submission", got, err, want)
		}
	}
}

func testWidth(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 5, core.Config{Timing: true})
	occupy(ctx, t, ex, n)() // fails unless all n tasks run at the same time
	seen := make(map[int]bool)
	release := occupy(ctx, t, ex, n-1)
	defer release()
	f := double.Submit(ctx, ex, 1)
	if _, err := f.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	seen[f.Timing().Worker] = true
	for w := range seen {
		if w < 0 || w >= n {
			t.Errorf("a task ran on worker %d of %d", w, n)
		}
	}
}

func testState(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	h := newHold(1)
	defer h.close(ctx)
	running, queued := holds.Submit(ctx, ex, h), double.Submit(ctx, ex, 1)
	if _, err := h.Started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	if running.State() != executor.Running || queued.State() != executor.Pending {
		t.Errorf("states are %v and %v; want running and pending", running.State(), queued.State())
	}
	select {
	case <-running.Done():
		t.Error("Done() is closed while the task runs")
	default:
	}
	if err := h.Release.Put(ctx, 1); err != nil {
		t.Fatal(err)
	}
	<-queued.Done()
	if running.State() != executor.Done || queued.State() != executor.Done {
		t.Errorf("states are %v and %v; want done and done", running.State(), queued.State())
	}
}

func testTiming(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 2, core.Config{Timing: true})
	const asked = 3 * time.Millisecond
	before := core.Now()
	f := nap.Submit(ctx, ex, int64(asked))
	if _, err := f.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	tm := f.Timing()
	order := []time.Time{before.Time(), tm.Submitted, tm.Sent, tm.Started, tm.Ended, tm.Received, core.Now().Time()}
	if core.StampsCompare && !slices.IsSortedFunc(order, time.Time.Compare) {
		t.Errorf("moments are %v; want them in order", order)
	}
	if tm.Run() < asked || tm.Queue() < 0 || core.StampsCompare && tm.IPC() < 0 {
		t.Errorf("a task of %v ran %v, after %v in the queue, with %v between processes", asked, tm.Run(), tm.Queue(), tm.IPC())
	}
	if inside := tm.PID == os.Getpid(); inside != s.b.Shared || tm.PID == 0 {
		t.Errorf("it ran in process %d, this one being %d; the backend shares memory: %v", tm.PID, os.Getpid(), s.b.Shared)
	}
	if tm.Worker < 0 || tm.Worker >= n {
		t.Errorf("it ran on worker %d of %d", tm.Worker, n)
	}
}

func testObserver(t *testing.T, s *suite) {
	var submitted, ended atomic.Int64
	obs := &core.Observer{
		Submit: func(c *core.Call) { c.Number = uint64(submitted.Add(1)) },
		End: func(c *core.Call, err error) {
			var te *executor.TaskError
			if c.Number == 0 || c.Timing().Received == 0 || (c.Number%10 == 0) != errors.As(err, &te) {
				t.Errorf("End was called with number %d, error %v and timing %+v", c.Number, err, c.Timing())
			}
			ended.Add(1)
		},
	}
	ctx, ex, _ := s.open(t, 2, core.Config{Observer: obs})
	const n = 50
	for i := range int64(n) {
		if i%10 == 9 {
			fails.Submit(ctx, ex, "x")
		} else {
			double.Submit(ctx, ex, i)
		}
	}
	s.finish(t)
	if submitted.Load() != n || ended.Load() != n {
		t.Errorf("the observer saw %d calls submitted and %d ended; want %d of each", submitted.Load(), ended.Load(), n)
	}
}

func testQueue(t *testing.T, s *suite) {
	ctx, ex, n := s.open(t, 3, core.Config{})
	h := newHold(100)
	var producers []*executor.Future[int64]
	for range n {
		producers = append(producers, produces.Submit(ctx, ex, h))
	}
	sum := int64(0)
	for range n * 100 {
		v, err := h.Started.Get(ctx)
		if err != nil {
			t.Fatal(err)
		}
		sum += v
	}
	if want := int64(n) * 99 * 100 / 2; sum != want {
		t.Errorf("the queue handed over a sum of %d; want %d", sum, want)
	}
	for _, f := range producers {
		if _, err := f.Wait(ctx); err != nil {
			t.Error(err)
		}
	}
	h.close(ctx)
	if _, err := produces.Submit(ctx, ex, h).Wait(ctx); !errors.Is(err, executor.ErrQueueClosed) {
		t.Errorf("Put on a closed queue = %v; want ErrQueueClosed", err)
	}
}

func testQueueCancelled(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	h := newHold(1)
	f := holds.Submit(ctx, ex, h)
	if _, err := h.Started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	f.Cancel() // while it waits in Get
	if _, err := f.Wait(ctx); !errors.Is(err, executor.ErrCancelled) {
		t.Errorf("Wait() = %v; want ErrCancelled", err)
	}
	// A value that is put now must not go to the task that was cancelled.
	if err := h.Release.Put(ctx, 42); err != nil {
		t.Fatal(err)
	}
	if v, err := h.Release.Get(ctx); v != 42 || err != nil {
		t.Errorf("Get() = %d, %v; want 42, nil", v, err)
	}
	h.close(ctx)
}

func testCloseWaits(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 2, core.Config{})
	var futures []*executor.Future[int64]
	for i := range int64(50) {
		futures = append(futures, double.Submit(ctx, ex, i))
	}
	if err := ex.Close(); err != nil {
		t.Fatal(err)
	}
	for i, f := range futures {
		if f.State() != executor.Done {
			t.Fatalf("after Close task %d is %v; want done", i, f.State())
		}
	}
}

func testClosed(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	if err := ex.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := double.Submit(ctx, ex, 1).Wait(ctx); !errors.Is(err, executor.ErrClosed) {
		t.Errorf("a task submitted after Close: %v; want ErrClosed", err)
	}
}

func testManySubmitters(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 4, core.Config{})
	var submitters sync.WaitGroup
	for g := range int64(8) {
		submitters.Go(func() {
			for i := range int64(100) {
				f := double.Submit(ctx, ex, g*i)
				if i%7 == 0 {
					f.Cancel()
				}
				if got, err := f.Wait(ctx); err == nil && got != 2*g*i || err != nil && !errors.Is(err, executor.ErrCancelled) {
					t.Errorf("task returned %d, %v; want %d", got, err, 2*g*i)
				}
			}
		})
	}
	submitters.Wait()
}
