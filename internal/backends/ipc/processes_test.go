package ipc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/harnesstest"
	"github.com/f3f4c0de/harness/internal/backends/inproc"
	"github.com/f3f4c0de/harness/internal/backends/ipc"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
)

func TestMain(m *testing.M) {
	if os.Getenv("BACKENDS_TEST_DEAF") != "" {
		select {} // a program that does not serve as its own worker
	}
	if file := os.Getenv("BACKENDS_TEST_ENDED"); file != "" && os.Remove(file) == nil {
		syscall.Kill(os.Getpid(), syscall.SIGTERM) // before it can survive that
		select {}
	}
	if os.Getenv("BACKENDS_TEST_BROKEN") != "" {
		os.Exit(7) // one that cannot start
	}
	if os.Getenv(parentEnv) != "" {
		beParent()
	}
	harnesstest.Main(m, stops, die, pid, gate, environ, mirror, submits, where, spin, deafen, slowly, large, unsendable, gets, fails, stands, takesMute, givesMute, getsMute)
}

var (
	// die ends the worker: with an exit code, or by the signal -code.
	die = core.NewTask("die", func(_ context.Context, code int) (int, error) {
		fmt.Fprintln(os.Stderr, "about to end with", code)
		if code < 0 {
			syscall.Kill(os.Getpid(), syscall.Signal(-code))
			select {}
		}
		os.Exit(code)
		return 0, nil
	})
	pid = core.NewTask("pid", func(context.Context, int) (int, error) { return os.Getpid(), nil })
	// gate tells that it runs, and where, and waits until it is let go.
	gate = core.NewTask("gate", func(ctx context.Context, in gateIn) (int, error) {
		if err := in.Started.Put(ctx, os.Getpid()); err != nil {
			return 0, err
		}
		_, err := in.Release.Get(ctx)
		return in.N, err
	})
	// unsendable takes what cannot leave the process.
	unsendable = core.NewTask("unsendable", func(context.Context, chan int) (int, error) { return 0, nil })
	mirror     = core.NewTask("mirror", func(_ context.Context, b []byte) ([]byte, error) { return b, nil })
	environ    = core.NewTask("environ", func(_ context.Context, name string) (string, error) {
		if name == "" {
			return strconv.Itoa(runtime.GOMAXPROCS(0)), nil
		}
		return os.Getenv(name), nil
	})
	// where tells that it runs, waits until it is let go and returns the index
	// of its worker.
	where = core.NewTask("where", func(ctx context.Context, in gateIn) (int, error) {
		if err := in.Started.Put(ctx, os.Getpid()); err != nil {
			return 0, err
		}
		_, err := in.Release.Get(ctx)
		return core.WorkerOf(ctx).Index, err
	})
	submits = core.NewTask("submits", func(ctx context.Context, n int) (int, error) {
		return pid.Submit(ctx, elsewhere, n).Wait(ctx)
	})
)

type gateIn struct {
	N                int
	Started, Release *core.Queue[int]
}

var tasks = core.TasksOf(append(slices.Clone(harnesstest.Tasks), stops, die, pid, gate, environ, mirror, submits, where, spin, deafen, slowly, large, unsendable, gets, fails, stands, takesMute, givesMute, getsMute))

func openProcesses(t *testing.T, cfg core.Config) (context.Context, core.Executor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	if cfg.Tasks == nil {
		cfg.Tasks = tasks
	}
	ex, err := ipc.Processes.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ex.Close() })
	return ctx, ex
}

func TestWorkerLost(t *testing.T) {
	tests := []struct {
		name   string
		code   int
		cause  string
		stderr string
	}{
		{"exit", 3, "exit status 3", "about to end with 3"},
		{"exit zero", 0, "exit status 0", "about to end with 0"},
		{"kill", -int(syscall.SIGKILL), "signal: killed", "about to end with -9"},
		{"crash", -int(syscall.SIGABRT), "exit status 2", "SIGABRT: abort"}, // and every stack
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, ex := openProcesses(t, core.Config{Workers: 2})
			before, err := pid.Submit(ctx, ex, 0).Wait(ctx)
			if err != nil {
				t.Fatal(err)
			}
			_, err = die.Submit(ctx, ex, tt.code).Wait(ctx)
			var lost *fault.WorkerLostError
			if !errors.As(err, &lost) {
				t.Fatalf("Wait() = %v; want a *WorkerLostError", err)
			}
			if lost.Cause != tt.cause || lost.Task != "die" || lost.PID == 0 || lost.Worker < 0 || lost.Worker > 1 {
				t.Errorf("error is %+v; want cause %q and task die", lost, tt.cause)
			}
			if !strings.Contains(lost.Stderr, tt.stderr) {
				t.Errorf("the last lines are %q; want them to say %q", lost.Stderr, tt.stderr)
			}
			// Whoever is left or came anew does the rest.
			for range 50 {
				if got, err := pid.Submit(ctx, ex, 0).Wait(ctx); err != nil || got == lost.PID || before == 0 {
					t.Fatalf("a task after the loss ran in %d, %v; the lost one was %d", got, err, lost.PID)
				}
			}
			if err := ex.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
		})
	}
}

// Only the task that ran is lost; those sent ahead to the same worker are done
// by another.
func TestQueuedTasksSurviveTheirWorker(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1})
	started, release := core.NewQueue[int](100), core.NewQueue[int](100)
	defer started.Close(ctx)
	defer release.Close(ctx)
	first := gate.Submit(ctx, ex, gateIn{0, started, release})
	victim, err := started.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var rest []*core.Future[int]
	for range 20 {
		rest = append(rest, pid.Submit(ctx, ex, 0))
	}
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var lost *fault.WorkerLostError
	if _, err := first.Wait(ctx); !errors.As(err, &lost) || lost.PID != victim {
		t.Errorf("the running task reports %v; want that worker %d was lost", err, victim)
	}
	for i, f := range rest {
		if got, err := f.Wait(ctx); err != nil || got == victim {
			t.Errorf("queued task %d ran in %d, %v; want another process than %d", i, got, err, victim)
		}
	}
}

// openNoMore opens an executor with two workers, of which none can be replaced.
// spawned has as many elements as processes were started.
func openNoMore(t *testing.T) (_ context.Context, _ core.Executor, spawned chan struct{}) {
	t.Helper()
	spawned = make(chan struct{}, 100)
	ctx, ex := openProcesses(t, core.Config{Workers: 2, Processes: &core.ProcessObserver{
		Spawning: func(int) []string {
			if spawned <- struct{}{}; len(spawned) > 2 {
				return []string{"BACKENDS_TEST_BROKEN=1"}
			}
			return nil
		},
	}})
	return ctx, ex, spawned
}

// Close tells of a worker that could not be replaced, though others did its work.
func TestWorkerNotReplaced(t *testing.T) {
	ctx, ex, spawned := openNoMore(t)
	if _, err := die.Submit(ctx, ex, 1).Wait(ctx); err == nil {
		t.Fatal("a task that ended its worker did not fail")
	}
	started, release := core.NewQueue[int](2), core.NewQueue[int](2)
	defer started.Close(ctx)
	first, second := gate.Submit(ctx, ex, gateIn{1, started, release}), gate.Submit(ctx, ex, gateIn{2, started, release})
	for len(spawned) < 4 { // the third has failed, and is tried again
		runtime.Gosched()
	}
	if err := release.Close(ctx); err != nil { // for both
		t.Fatal(err)
	}
	for i, f := range []*core.Future[int]{first, second} {
		if _, err := f.Wait(ctx); !errors.Is(err, fault.ErrQueueClosed) {
			t.Errorf("task %d: %v; want that the worker that is left does it", i, err)
		}
	}
	if err := ex.Close(); err == nil || !strings.Contains(err.Error(), "replacing worker") || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("Close() = %v; want that a worker could not be replaced, and why", err)
	}
}

// While a worker cannot be replaced, an idle one does what comes, whichever of the
// two was idle for longer.
func TestIdleWorkerBesideOneThatIsNotReplaced(t *testing.T) {
	for which := range 2 {
		ctx, ex, spawned := openNoMore(t)
		started, release := core.NewQueue[int](2), core.NewQueue[int](2)
		pids := make([]int, 2)
		for i := range pids {
			gate.Submit(ctx, ex, gateIn{i, started, release})
			pids[i], _ = started.Get(ctx)
		}
		for range pids {
			_ = release.Put(ctx, 0)
		}
		untilIdle(ctx, t, ex.(core.Manager))
		_ = syscall.Kill(pids[which], syscall.SIGKILL)
		for len(spawned) < 4 { // the third has failed, and is tried again
			runtime.Gosched()
		}
		for i := range 3 {
			if got, err := pid.Submit(ctx, ex, 0).Wait(ctx); err != nil || got != pids[1-which] {
				t.Fatalf("with worker %d gone, task %d: %d, %v; want that process %d does it", which, i, got, err, pids[1-which])
			}
		}
		_, _ = started.Close(ctx), release.Close(ctx)
		_ = ex.Close() // it tells of the worker
	}
}

// A worker with nothing to do ends after the idle timeout, whatever others do.
func TestIdleTimeoutBesideABusyWorker(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 2, IdleTimeout: 200 * time.Millisecond})
	started, release := core.NewQueue[int](1), core.NewQueue[int](1)
	f := gate.Submit(ctx, ex, gateIn{1, started, release})
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	for m := ex.(core.Manager); m.Stats().Alive != 1; {
		if runtime.Gosched(); ctx.Err() != nil {
			t.Fatalf("Stats() = %+v; want one alive", m.Stats())
		}
	}
	if f.State() != core.Running {
		t.Errorf("the task is %v; want running", f.State())
	}
	_, _ = started.Close(ctx), release.Close(ctx)
}

// stands does not return if it can remove a file.
var stands = core.NewTask("stands", func(_ context.Context, file string) (int, error) {
	if os.Remove(file) == nil {
		select {}
	}
	return 0, nil
})

// A worker whose start stands still keeps no task from others, and does not keep Close
// waiting.
func TestStartThatStandsStill(t *testing.T) {
	for name, cfg := range map[string]core.Config{
		"after a task":    {MaxTasksPerWorker: 1},
		"after idle time": {IdleTimeout: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "stands")
			cfg.Workers, cfg.Init = 2, stands.With(file)
			ctx, ex := openProcesses(t, cfg)
			for cfg.IdleTimeout > 0 && ex.(core.Manager).Stats().Alive > 0 {
				if runtime.Gosched(); ctx.Err() != nil {
					t.Fatal("the workers did not end")
				}
			}
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for i := range 10 {
				if _, err := pid.Submit(ctx, ex, i).Wait(ctx); err != nil {
					t.Fatalf("task %d: %v", i, err)
				}
			}
			if _, err := os.Stat(file); err == nil {
				t.Fatal("no start stood still")
			}
			closed := make(chan error, 1)
			go func() { closed <- ex.Close() }()
			select {
			case err := <-closed:
				if err != nil {
					t.Errorf("Close() = %v", err)
				}
			case <-ctx.Done():
				t.Error("Close waits for a worker that nobody needs")
				ex.(core.Manager).Stop(errors.New("the test is over"))
			}
		})
	}
}

// A signal to all processes of a service, which its program survives, does not keep an
// executor from being opened.
func TestSignalWhileAWorkerStarts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ends")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, ex := openProcesses(t, core.Config{Workers: 2, Processes: &core.ProcessObserver{
		Spawning: func(int) []string { return []string{"BACKENDS_TEST_ENDED=" + file} },
	}})
	if _, err := os.Stat(file); err == nil {
		t.Fatal("no worker was ended")
	}
	if _, err := pid.Submit(ctx, ex, 0).Wait(ctx); err != nil {
		t.Error(err)
	}
}

// What comes back to the queue after Stop, when there is no worker, keeps nobody.
func TestStopWhileThereIsNoWorker(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1, IdleTimeout: time.Millisecond})
	m := ex.(core.Manager)
	in := slowInput{make(chan *core.Call)}
	f := slowly.Submit(ctx, ex, in)
	in.call <- f.Call() // it is being encoded, until it is done
	for m.Stats().Alive > 0 {
		if runtime.Gosched(); ctx.Err() != nil {
			t.Fatal("the worker did not end")
		}
	}
	cause := errors.New("stopped by the test")
	m.Stop(cause)
	if _, err := f.Wait(ctx); !errors.Is(err, cause) {
		t.Errorf("Wait() = %v; want the cause of Stop", err)
	}
	closed := make(chan error, 1)
	go func() { closed <- ex.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Errorf("Close() = %v", err)
		}
	case <-ctx.Done():
		t.Fatal("Close does not return")
	}
}

// untilIdle waits until no worker has a task.
func untilIdle(ctx context.Context, t *testing.T, m core.Manager) {
	t.Helper()
	for m.Stats().Busy > 0 {
		if runtime.Gosched(); ctx.Err() != nil {
			t.Fatalf("Stats() = %+v; want that nobody is busy", m.Stats())
		}
	}
}

// A task behind a long one is given to an idle worker.
func TestNothingWaitsBehindALongTask(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 2})
	started, release := core.NewQueue[int](100), core.NewQueue[int](100)
	defer started.Close(ctx)
	defer release.Close(ctx)
	for range 20 {
		long := gate.Submit(ctx, ex, gateIn{1, started, release})
		if _, err := started.Get(ctx); err != nil {
			t.Fatal(err)
		}
		// One worker is taken. Were one of these kept behind it, it would
		// wait for ever.
		var short []*core.Future[int]
		for range 10 {
			short = append(short, pid.Submit(ctx, ex, 0))
		}
		for i, f := range short {
			if _, err := f.Wait(ctx); err != nil {
				t.Fatalf("short task %d: %v", i, err)
			}
		}
		if err := release.Put(ctx, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := long.Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// slowly has an input that is encoded only once its call is over.
var slowly = core.NewTask("slowly", func(context.Context, slowInput) (int, error) { return 0, nil })

type slowInput struct{ call chan *core.Call }

func (in *slowInput) AppendBinary(b []byte) ([]byte, error) {
	<-(<-in.call).Done()
	return b, nil
}

func (*slowInput) UnmarshalBinary([]byte) error { return nil }

// A task whose argument's own methods encode it has not started, and is cancelled
// however long they take.
func TestCancelWhileItIsEncoded(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1})
	started, release := core.NewQueue[int](1), core.NewQueue[int](1)
	defer started.Close(ctx)
	defer release.Close(ctx)
	gate.Submit(ctx, ex, gateIn{1, started, release})
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	in := slowInput{make(chan *core.Call)}
	f := slowly.Submit(ctx, ex, in)
	in.call <- f.Call() // it is being encoded
	if !f.Cancel() || f.State() != core.Cancelled {
		t.Errorf("Cancel() of a task that was being encoded left it %v; want true, and cancelled", f.State())
	}
}

// However many encodings never end, they hold up no other task, of the same type or
// of another.
func TestEncodingsHoldUpNobody(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1})
	done := pid.Submit(ctx, ex, 0)
	if _, err := done.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	var hang []slowInput
	var hung []*core.Future[int]
	for range 5 {
		in := slowInput{make(chan *core.Call, 1)}
		hang, hung = append(hang, in), append(hung, slowly.Submit(ctx, ex, in))
	}
	quick := slowInput{make(chan *core.Call, 1)}
	quick.call <- done.Call()
	for i, f := range []*core.Future[int]{pid.Submit(ctx, ex, 0), slowly.Submit(ctx, ex, quick), pid.Submit(ctx, ex, 0)} {
		if _, err := f.Wait(ctx); err != nil {
			t.Errorf("task %d behind five that are encoded: %v", i, err)
		}
	}
	for i, f := range hung {
		if !f.Cancel() {
			t.Errorf("Cancel() of task %d, which was being encoded = false; want true", i)
		}
		hang[i].call <- f.Call()
	}
}

// gets takes a value from a queue, and tells whether that was refused.
var gets = core.NewTask("gets", func(ctx context.Context, q *core.Queue[leaves]) (bool, error) {
	_, err := q.Get(ctx)
	return errors.Is(err, fault.ErrEncode), nil
})

// The encoding of leaves ends its goroutine, or fails.
type leaves struct{ Err error }

func (l leaves) MarshalText() ([]byte, error) {
	if l.Err == nil {
		runtime.Goexit()
	}
	return nil, l.Err
}

func (l *leaves) UnmarshalText([]byte) error { return nil }

// A secret error does not tell what it wraps.
type secret struct{}

func (secret) Error() string { return "secret" }
func (secret) Unwrap() error { runtime.Goexit(); return nil }

// A worker that asks for a value whose encoding, or the error of that, ends the
// goroutine is answered.
func TestQueueWhoseValueEndsTheGoroutine(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1})
	for _, v := range []leaves{{nil}, {ending{}}, {secret{}}} {
		q := core.NewQueue[leaves](1)
		defer q.Close(ctx)
		if err := q.Put(ctx, v); err != nil {
			t.Fatal(err)
		}
		if refused, err := gets.Submit(ctx, ex, q).Wait(ctx); err != nil || !refused {
			t.Errorf("Get of %T in a worker was refused with ErrEncode: %t, %v; want true", v.Err, refused, err)
		}
	}
}

// A task that the only worker was sent ahead, and for which the one that it runs
// waits, is given to a worker of its own.
func TestStandstillEndedByWhatWasSentAhead(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1})
	if _, err := pid.Submit(ctx, ex, 0).Wait(ctx); err != nil {
		t.Fatal(err)
	}
	started, release, closed := core.NewQueue[int](1), core.NewQueue[int](1), core.NewQueue[int](1)
	_ = closed.Close(ctx)
	consumer := gate.Submit(ctx, ex, gateIn{1, started, release})
	producer := gate.Submit(ctx, ex, gateIn{2, release, closed})
	if n, err := consumer.Wait(ctx); n != 1 || err != nil {
		t.Errorf("the task that waits for the other returned %d, %v; want 1, nil; the other is %v", n, err, producer.State())
	}
	if _, err := producer.Wait(ctx); !errors.Is(err, fault.ErrQueueClosed) {
		t.Errorf("the other failed with %v; want that a queue was closed", err)
	}
	_, _ = started.Close(ctx), release.Close(ctx)
}

// fails fails in a way whose methods end the goroutine.
var fails = core.NewTask("fails", func(_ context.Context, how string) (int, error) {
	switch how {
	case "error":
		return 0, ending{}
	case "panic":
		panic(ending{})
	}
	return 7, nil
})

type ending struct{}

func (ending) Error() string { runtime.Goexit(); return "" }

// An argument of a batch whose failure cannot be described is the only one that fails.
func TestBatchWhoseErrorEndsTheGoroutine(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1})
	near, err := inproc.Goroutines.Open(ctx, core.Config{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	for _, ex := range []core.Executor{ex, near} {
		for _, how := range []string{"error", "panic"} {
			b, err := fails.SubmitBatch(ctx, ex, []string{"", how, "", ""}).Wait(ctx)
			if err != nil || len(b.Errs) != 1 || b.Errs[1] == nil || b.Values[3] != 7 {
				t.Errorf("a batch with one %s: %v, %v, and %d errors; want that of number 1 alone", how, b.Values, err, len(b.Errs))
			}
		}
	}
}

// A cause whose method ends the goroutine costs no worker that would stop at once.
func TestCauseThatEndsTheGoroutine(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1, CancelGrace: 30 * time.Second})
	started, release := core.NewQueue[int](1), core.NewQueue[int](1)
	defer started.Close(ctx)
	defer release.Close(ctx)
	theirs, cancel := context.WithCancelCause(ctx)
	f := gate.Submit(theirs, ex, gateIn{1, started, release})
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	cancel(ending{})
	select {
	case <-f.Done():
	case <-ctx.Done():
	}
	if lost := ex.(core.Manager).Stats().Lost; f.State() != core.Cancelled || lost != 0 {
		t.Errorf("the task is %v, and %d workers were lost; want cancelled, none", f.State(), lost)
	}
}

// What is called when a task's input cannot be encoded may cancel the task that
// the worker runs.
func TestCancelInACallback(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1})
	started := core.NewQueue[int](1)
	defer started.Close(ctx)
	running := spin.Submit(ctx, ex, started)
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	bad := unsendable.Submit(ctx, ex, make(chan int))
	bad.OnDone(func(*core.Future[int]) { running.Cancel() })
	if _, err := bad.Wait(ctx); !errors.Is(err, fault.ErrEncode) {
		t.Errorf("a task whose input cannot be encoded: %v; want ErrEncode", err)
	}
	if _, err := running.Wait(ctx); !errors.Is(err, fault.ErrCancelled) {
		t.Errorf("the task that was cancelled: %v; want ErrCancelled", err)
	}
}

// With fewer tasks than workers are sent ahead, every worker still finds one.
func TestIdleWorkersFindWork(t *testing.T) {
	for range 30 {
		ctx, ex := openProcesses(t, core.Config{Workers: 5})
		started, release := core.NewQueue[int](5), core.NewQueue[int](5)
		for i := range 5 {
			gate.Submit(ctx, ex, gateIn{i, started, release})
		}
		for range 5 {
			if _, err := started.Get(ctx); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = release.Close(ctx), started.Close(ctx)
		if err := ex.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A call that kills its workers is tried three times if that does no harm, and no
// other call of the task is blamed for it.
func TestCallThatKillsIsQuarantined(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1})
	var futures, again []*core.Future[int]
	for range 5 {
		futures = append(futures, die.Submit(ctx, ex, 1))
	}
	for range 2 {
		again = append(again, die.Idempotent().Submit(ctx, ex, 1))
	}
	for i, f := range futures {
		_, err := f.Wait(ctx)
		var lost *fault.WorkerLostError
		if !errors.As(err, &lost) || errors.Is(err, fault.ErrQuarantined) {
			t.Errorf("task %d failed with %v; want a lost worker", i, err)
		}
	}
	for i, f := range again {
		_, err := f.Wait(ctx)
		var lost *fault.WorkerLostError
		if !errors.As(err, &lost) || !errors.Is(err, fault.ErrQuarantined) {
			t.Errorf("idempotent task %d failed with %v; want ErrQuarantined and a lost worker", i, err)
		}
	}
	if got := ex.(core.Manager).Stats().Lost; got != 5+2*3 {
		t.Errorf("%d workers were lost; want 5 for those that are tried once, and 6 for two that are tried three times", got)
	}
	if _, err := pid.Submit(ctx, ex, 0).Wait(ctx); err != nil {
		t.Errorf("another task failed with %v; want that it is run", err)
	}
}

func TestWorkersHaveOneProcessor(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1, Processes: &core.ProcessObserver{
		Spawning: func(worker int) []string { return []string{fmt.Sprintf("GIVEN=to-%d", worker)} },
	}})
	if got, err := environ.Submit(ctx, ex, "").Wait(ctx); got != "1" || err != nil {
		t.Errorf("GOMAXPROCS in a worker is %s, %v; want 1", got, err)
	}
	if got, err := environ.Submit(ctx, ex, "GIVEN").Wait(ctx); got != "to-0" || err != nil {
		t.Errorf("the worker's environment has %q, %v; want what Spawning returned", got, err)
	}
}

func TestProcessObserver(t *testing.T) {
	var mu sync.Mutex
	var exits []core.ProcessExit
	ctx, ex := openProcesses(t, core.Config{Workers: 2, Processes: &core.ProcessObserver{
		Exited: func(e core.ProcessExit) {
			mu.Lock()
			defer mu.Unlock()
			exits = append(exits, e)
		},
	}})
	if _, err := die.Submit(ctx, ex, 5).Wait(ctx); err == nil {
		t.Fatal("a task that ended its worker did not fail")
	}
	if _, err := pid.Submit(ctx, ex, 0).Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if err := ex.Close(); err != nil {
		t.Fatal(err)
	}
	codes := make(map[int]int)
	for _, e := range exits {
		codes[e.Code]++
		if !slices.IsSorted([]core.Stamp{1, e.Started, e.Ready, e.Ended}) || e.PID == 0 {
			t.Errorf("an exit was told as %+v; want its moments in order and its process", e)
		}
	}
	if codes[5] != 1 || codes[0] < 1 {
		t.Errorf("exit codes were %v; want 5 once and 0 for the others", codes)
	}
}

func TestUnknownTasks(t *testing.T) {
	stranger := core.NewTask("stranger", func(context.Context, int) (int, error) { return 0, nil })
	_, err := ipc.Processes.Open(t.Context(), core.Config{Workers: 1, Tasks: []core.AnyTask{stranger}})
	if !errors.Is(err, fault.ErrUnknownTask) || !strings.Contains(err.Error(), "stranger") {
		t.Errorf("Open with a task that the worker does not know = %v; want ErrUnknownTask that names it", err)
	}
	ctx, ex := openProcesses(t, core.Config{Workers: 1})
	if _, err := stranger.Submit(ctx, ex, 1).Wait(ctx); !errors.Is(err, fault.ErrUnknownTask) {
		t.Errorf("Wait() = %v; want ErrUnknownTask", err)
	}
}

func TestWorkersKnowTheirIndex(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 2, Timing: true})
	in := gateIn{Started: core.NewQueue[int](2), Release: core.NewQueue[int](2)}
	futures := []*core.Future[int]{where.Submit(ctx, ex, in), where.Submit(ctx, ex, in)}
	for range futures {
		if _, err := in.Started.Get(ctx); err != nil {
			t.Fatal(err)
		}
	}
	in.Started.Close(ctx)
	for range futures {
		in.Release.Put(ctx, 1)
	}
	in.Release.Close(ctx)
	seen := make(map[int]bool)
	for _, f := range futures {
		got, err := f.Wait(ctx)
		if want := f.Timing().Worker; err != nil || got != want || seen[got] {
			t.Errorf("the worker says that its index is %d, %v; want %d, and that of no other", got, err, want)
		}
		seen[got] = true
	}
}

func TestTwoTasksOfOneName(t *testing.T) {
	other := core.NewTask("pid", func(_ context.Context, n int) (int, error) { return n, nil })
	stranger := core.NewTask("stranger", func(_ context.Context, n int) (int, error) { return n, nil })
	var none *core.Task[int, int]
	tests := []struct {
		name  string
		tasks []core.AnyTask
		want  string // of the panic
	}{
		{"twice, and its copy", []core.AnyTask{pid, die, pid, pid.Idempotent()}, ""},
		{"another of the name", []core.AnyTask{pid, die, pid, other}, "two tasks are named pid"},
		{"one that the first call was not given", []core.AnyTask{pid, stranger}, "was not given task stranger"},
		{"nil", []core.AnyTask{pid, nil}, "of 2 tasks that were given to executor.Main or cli.Main, number 2 is nil"},
		{"a nil task", []core.AnyTask{none}, "number 1 is nil"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				v, _ := recover().(string)
				if (v == "") != (tt.want == "") || !strings.Contains(v, tt.want) {
					t.Errorf("EntryPoint panicked with %q; want %q", v, tt.want)
				}
			}()
			ipc.EntryPoint(tt.tasks, nil)
		})
	}
	for name, cfg := range map[string]core.Config{"Tasks": {Tasks: []core.AnyTask{other}}, "Init": {Init: other.With(1)}} {
		cfg.Workers = 1
		if _, err := ipc.Processes.Open(t.Context(), cfg); !errors.Is(err, fault.ErrUnknownTask) || !strings.Contains(err.Error(), "another task of that name") {
			t.Errorf("Open with another task of the name as Config.%s = %v; want ErrUnknownTask that tells why", name, err)
		}
	}
	if _, err := ipc.Processes.Open(t.Context(), core.Config{Workers: 1, Tasks: []core.AnyTask{none}}); err == nil {
		t.Error("Open with a nil task gave no error")
	}
}

// An executor in a variable is there in the submitter's process only.
var elsewhere core.Executor

func TestSubmitWithoutExecutor(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1})
	elsewhere = ex
	_, err := submits.Submit(ctx, ex, 1).Wait(ctx)
	if !errors.Is(err, fault.ErrNested) || !strings.Contains(err.Error(), "submitting task pid") {
		t.Errorf("a task that submits another = %v; want ErrNested that names the other", err)
	}
	if _, err := pid.SubmitBatch(ctx, nil, []int{1}).Wait(ctx); err == nil || errors.Is(err, fault.ErrNested) {
		t.Errorf("SubmitBatch to nil = %v; want an error that is not ErrNested", err)
	}
}

func TestProgramWithoutDivert(t *testing.T) {
	t.Setenv("BACKENDS_TEST_DEAF", "1")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errors.New("the test gave up"))
	defer cancel()
	_, err := ipc.Processes.Open(ctx, core.Config{Workers: 2})
	if err == nil || !strings.Contains(err.Error(), "starting worker") {
		t.Errorf("Open() = %v; want an error about starting a worker", err)
	}
}

func TestControl(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 2})
	_, err := ex.(core.Controller).Control(ctx, "nonsense", nil)
	if err == nil || !strings.Contains(err.Error(), `knows no request "nonsense"`) {
		t.Errorf("Control() = %v; want that the workers do not know the request", err)
	}
}

// Payloads of every size come back as they went, by whichever way.
func TestPayloads(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 2})
	for _, n := range []int{0, 32<<10 - 300, 32 << 10, 64 << 10, 1 << 20, 9 << 20, 17 << 20} {
		in := bytes.Repeat([]byte("0123456789abcde\n"), n/16+1)[:n]
		var futures []*core.Future[[]byte]
		for range 4 {
			futures = append(futures, mirror.Submit(ctx, ex, in))
		}
		for i, f := range futures {
			if got, err := f.Wait(ctx); !bytes.Equal(got, in) || err != nil {
				t.Errorf("%d bytes came back as %d bytes, %v (task %d)", n, len(got), err, i)
			}
		}
	}
}

// With OnDemand, what Open would have found is what Warm and the first task report, at
// once, and Resize has the executor try again.
func TestFirstWorkerCannotBeStarted(t *testing.T) {
	for _, by := range []string{"Warm", "task"} {
		var mended atomic.Bool
		ctx, ex := openProcesses(t, core.Config{Workers: 2, OnDemand: true, Processes: &core.ProcessObserver{
			Spawning: func(int) []string {
				if mended.Load() {
					return nil
				}
				return []string{"BACKENDS_TEST_BROKEN=1"}
			},
		}})
		m := ex.(core.Manager)
		check := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, fault.ErrBroken) || !strings.Contains(err.Error(), "exit status 7") {
				t.Errorf("%s = %v; want ErrBroken, with how the worker ended", what, err)
			}
		}
		if by == "Warm" {
			check("Warm", ex.(core.Warmer).Warm(ctx))
		}
		_, err := pid.Submit(ctx, ex, 1).Wait(ctx)
		check("the first task", err)
		mended.Store(true)
		if err := m.Resize(2); err != nil {
			t.Fatal(err)
		}
		if _, err := pid.Submit(ctx, ex, 1).Wait(ctx); err != nil {
			t.Errorf("after Resize a task fails with %v", err)
		}
		if err := ex.Close(); err != nil {
			t.Errorf("Close() = %v; want nil: the tasks have told", err)
		}
	}
}

// What Open can find without a worker is found by Open, also on demand.
func TestOnDemandIsCheckedByOpen(t *testing.T) {
	unknown := core.NewTask("unknown to workers", func(_ context.Context, n int) (int, error) { return n, nil })
	for name, cfg := range map[string]core.Config{
		"an unknown task":    {Tasks: []core.AnyTask{unknown}},
		"an unknown Init":    {Init: unknown.With(1)},
		"too many workers":   {Workers: 1 << 40},
		"a task that is nil": {Tasks: []core.AnyTask{nil}},
	} {
		cfg.OnDemand = true
		if ex, err := ipc.Processes.Open(t.Context(), cfg); err == nil {
			_ = ex.Close()
			t.Errorf("Open with %s gave no error", name)
		}
	}
}
