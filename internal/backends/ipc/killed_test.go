package ipc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/internal/backends/ipc"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
)

// spin tells that it runs, and where, and computes for ever.
var spin = core.NewTask("spin", func(ctx context.Context, started *core.Queue[int]) (int, error) {
	if err := started.Put(ctx, os.Getpid()); err != nil {
		return 0, err
	}
	for {
		runtime.Gosched()
	}
})

// stops stops its worker, which does not go on.
var stops = core.NewTask("stops", func(context.Context, int) (int, error) {
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	select {}
})

// large tells that it runs, and waits until it is told to stop.
var large = core.NewTask("large", func(ctx context.Context, in largeIn) (int, error) {
	if err := in.Started.Put(ctx, 1); err != nil {
		return 0, err
	}
	<-ctx.Done()
	return 0, ctx.Err()
})

type largeIn struct {
	Data    []byte
	Started *core.Queue[int]
}

// deafen lets go of the end at which the worker hears its submitter.
var deafen = core.NewTask("deafen", func(context.Context, int) (int, error) {
	return os.Getpid(), syscall.Close(3)
})

// parentEnv has the test program open an executor and wait to be killed.
const parentEnv = "BACKENDS_TEST_PARENT"

// beParent opens workers that wait, compute and do nothing, and prints their
// processes. In a worker it serves.
func beParent() {
	ipc.EntryPoint(tasks, nil)
	ctx := context.Background()
	ex, err := ipc.Processes.Open(ctx, core.Config{Workers: 3, Tasks: tasks})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	started, never := core.NewQueue[int](3), core.NewQueue[int](1)
	gate.Submit(ctx, ex, gateIn{0, started, never})
	spin.Submit(ctx, ex, started)
	for range 2 {
		fmt.Println(started.Get(ctx))
	}
	fmt.Println(pid.Submit(ctx, ex, 0).Wait(ctx))
	select {}
}

// A parent that is killed leaves no worker, whatever its workers do.
func TestParentKilled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), parentEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var workers []int
	lines := bufio.NewScanner(out)
	for len(workers) < 3 && lines.Scan() {
		n, err := strconv.Atoi(strings.TrimSuffix(lines.Text(), " <nil>"))
		if err != nil {
			t.Fatalf("the parent says %q", lines.Text())
		}
		workers = append(workers, n)
	}
	if err := cmd.Process.Kill(); err != nil || len(workers) != 3 {
		t.Fatalf("killing the parent of workers %v: %v", workers, err)
	}
	_ = cmd.Wait() // it was killed
	for _, n := range workers {
		untilDead(ctx, t, n)
	}
}

// untilDead waits until the process has ended.
func untilDead(ctx context.Context, t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ; alive(pid); <-tick.C {
		if ctx.Err() != nil {
			t.Fatalf("process %d is still alive", pid)
		}
	}
}

// alive reports whether the process runs, and does not only wait to be reaped.
func alive(pid int) bool {
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		return !strings.Contains(string(b), ") Z ")
	}
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// Workers that are killed while they are idle fail no task.
func TestIdleWorkersKilled(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1})
	m := ex.(core.Manager)
	const kills = 4
	for i := range kills {
		victim, err := pid.Submit(ctx, ex, 0).Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		tick := time.NewTicker(time.Millisecond)
		for ; m.Stats().Lost <= i; <-tick.C {
			if ctx.Err() != nil {
				t.Fatalf("Stats() = %+v; want %d lost", m.Stats(), i+1)
			}
		}
		tick.Stop()
	}
	for range 20 {
		if _, err := pid.Submit(ctx, ex, 0).Wait(ctx); err != nil {
			t.Errorf("a task after idle workers were killed: %v; want none to fail", err)
		}
	}
	if err := ex.Close(); err == nil || !strings.Contains(err.Error(), "between two tasks") {
		t.Errorf("Close() = %v; want that workers were lost between two tasks", err)
	}
	if got := m.Stats(); got.Lost != kills || got.Started != kills+1 {
		t.Errorf("Stats() = %+v; want %d workers lost, %d started", got, kills, kills+1)
	}
}

// An idempotent task is tried again, by another worker, and not for ever.
func TestIdempotentTaskIsTriedAgain(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1})
	started, release := core.NewQueue[int](3), core.NewQueue[int](3)
	defer started.Close(ctx)
	defer release.Close(ctx)
	f := gate.Idempotent().Submit(ctx, ex, gateIn{5, started, release})
	for range 2 {
		victim, err := started.Get(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	if err := release.Put(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Wait(ctx); got != 5 || err != nil {
		t.Errorf("a task whose first two workers were killed returned %d, %v; want 5, nil", got, err)
	}
	var lost *fault.WorkerLostError
	if _, err := die.Idempotent().Submit(ctx, ex, 1).Wait(ctx); !errors.As(err, &lost) && !errors.Is(err, fault.ErrQuarantined) {
		t.Errorf("a task that ends every worker: %v; want a *WorkerLostError after some tries", err)
	}
}

// A running task that does not stop when it is cancelled is stopped with its
// worker, after the grace period, and only it.
func TestCancelGrace(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1, CancelGrace: 10 * time.Millisecond})
	started := core.NewQueue[int](1)
	defer started.Close(ctx)
	f := spin.Submit(ctx, ex, started)
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	behind := pid.Submit(ctx, ex, 0)
	f.Cancel()
	if _, err := f.Wait(ctx); !errors.Is(err, fault.ErrCancelled) || f.State() != core.Cancelled {
		t.Errorf("Wait() = %v, and it is %v; want ErrCancelled, cancelled", err, f.State())
	}
	if _, err := behind.Wait(ctx); err != nil {
		t.Errorf("the task behind it: %v; want that another worker does it", err)
	}
}

// The time limit of a task passes also while its worker does not move: it is not for the
// worker to look. What waits behind it in that worker loses none of its time.
func TestTimeLimitOfAWorkerThatIsStopped(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1, CancelGrace: time.Millisecond})
	f := stops.Timeout(10*time.Millisecond).Submit(ctx, ex, 0)
	behind := pid.Timeout(time.Millisecond).Submit(ctx, ex, 0)
	var late *fault.TimeoutError
	if _, err := f.Wait(ctx); !errors.As(err, &late) {
		t.Errorf("Wait() = %v; want a *TimeoutError", err)
	}
	if _, err := behind.Wait(ctx); err != nil {
		t.Errorf("the task behind it: %v; want that another worker does it", err)
	}
	if got := ex.(core.Manager).Stats().Lost; got != 1 {
		t.Errorf("%d workers were lost; want 1", got)
	}
}

// A worker that is alive and hears nothing any more is replaced.
func TestDeafWorker(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 1})
	before, err := deafen.Submit(ctx, ex, 0).Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := pid.Submit(ctx, ex, 0).Wait(ctx); after == before || err != nil {
		t.Errorf("after worker %d went deaf a task ran in %d, %v; want another worker", before, after, err)
	}
}

// Stop ends a worker that does not move, though it runs no task.
func TestStopWhileAWorkerIsStopped(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("whether a process has stopped is read from /proc")
	}
	sent := make(chan struct{}, 10)
	ctx, ex := openProcesses(t, core.Config{Workers: 1, CancelGrace: 10 * time.Millisecond, Observer: &core.Observer{
		Header: func(b []byte, _ *core.Call) []byte { sent <- struct{}{}; return b },
	}})
	worker, err := pid.Submit(ctx, ex, 0).Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	<-sent
	if err := syscall.Kill(worker, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for !stopped(t, worker) {
		runtime.Gosched()
	}
	f := pid.Submit(ctx, ex, 0)
	<-sent
	cause := errors.New("stopped by the test")
	ex.(core.Manager).Stop(cause)
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
		t.Error("Close waits for a worker that does not move")
		syscall.Kill(worker, syscall.SIGKILL)
	}
}

// A task that another worker has taken over from one that does not move is told
// to stop where it is, although the first is still being written to.
func TestCancelWhatWasTakenFromAStoppedWorker(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("whether a process has stopped is read from /proc")
	}
	sent := make(chan int, 10)
	ctx, ex := openProcesses(t, core.Config{Workers: 2, Timing: true, CancelGrace: 10 * time.Millisecond, Observer: &core.Observer{
		Header: func(b []byte, c *core.Call) []byte {
			if c.Task() == large.Name() {
				sent <- c.Timing().Worker
			}
			return b
		},
	}})
	var gates [2]*core.Future[int]
	var release [2]*core.Queue[int]
	var pids [2]int
	for i := range gates {
		started := core.NewQueue[int](1)
		release[i] = core.NewQueue[int](1)
		gates[i] = gate.Submit(ctx, ex, gateIn{i, started, release[i]})
		var err error
		if pids[i], err = started.Get(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := release[0].Put(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := gates[0].Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pids[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pids[0], syscall.SIGKILL)
	for !stopped(t, pids[0]) {
		runtime.Gosched()
	}
	started := core.NewQueue[int](1)
	f := large.Submit(ctx, ex, largeIn{make([]byte, 20<<20), started})
	for idle := gates[0].Timing().Worker; <-sent != idle; {
	}
	for ex.(core.Manager).Stats().Queued != 1 { // at that worker, where it can be taken away
		runtime.Gosched()
	}
	if err := release[1].Put(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	cancelled := make(chan bool, 1)
	go func() { cancelled <- f.Cancel() }()
	select {
	case never := <-cancelled:
		if _, err := f.Wait(ctx); never || !errors.Is(err, fault.ErrCancelled) {
			t.Errorf("Cancel() = %t, Wait() = %v; want false, as it runs, and that it is cancelled", never, err)
		}
	case <-ctx.Done():
		t.Error("Cancel waits for a worker that does not move")
	}
}

// Workers that are all slow to start do not take a task from each other again and
// again: each time it would have to be sent anew, which makes them slower.
func TestSlowWorkersDoNotTakeFromEachOther(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("whether a process has stopped is read from /proc")
	}
	sent := make(chan struct{}, 1000)
	ctx, ex := openProcesses(t, core.Config{Workers: 2, Observer: &core.Observer{
		Header: func(b []byte, c *core.Call) []byte {
			if c.Task() == mirror.Name() {
				sent <- struct{}{}
			}
			return b
		},
	}})
	started, release := core.NewQueue[int](2), core.NewQueue[int](2)
	var pids [2]int
	for i := range pids {
		gate.Submit(ctx, ex, gateIn{i, started, release})
		pids[i], _ = started.Get(ctx)
	}
	for range pids {
		_ = release.Put(ctx, 1)
	}
	for i := range 1000 { // so short that a worker would be sent many at a time
		if _, err := pid.Submit(ctx, ex, i).Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	untilIdle(ctx, t, ex.(core.Manager))
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		defer syscall.Kill(pid, syscall.SIGCONT)
		for !stopped(t, pid) {
			runtime.Gosched()
		}
	}
	f := mirror.Submit(ctx, ex, make([]byte, 3<<20))
	// It is sent to a worker and then to the other one, each time after twice as many
	// rounds of the watchdog as before. Timers may be late, and are never early.
	const period, rounds = 20 * time.Millisecond, 2 + 4 + 8 + 16
	var first time.Time
	for i := range 5 {
		select {
		case <-sent:
		case <-ctx.Done():
			t.Fatalf("no worker started it, and after %d sends none got it any more", i)
		}
		if i == 0 {
			first = time.Now()
		}
	}
	if took := time.Since(first); took < (rounds-4)*period {
		t.Errorf("while no worker started it, a task was sent 5 times within %v; want that other workers get it ever more seldom, within %v at least", took, (rounds-4)*period)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	if b, err := f.Wait(ctx); len(b) != 3<<20 || err != nil {
		t.Errorf("once they go on it returned %d bytes, %v; want %d", len(b), err, 3<<20)
	}
	_, _ = started.Close(ctx), release.Close(ctx)
}

func stopped(t *testing.T, pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), ") T ")
}

// Stop reaches a task for which a worker is just being started.
func TestStopWhileAWorkerStarts(t *testing.T) {
	spawning := make(chan struct{}, 10)
	ctx, ex := openProcesses(t, core.Config{Workers: 1, MaxTasksPerWorker: 1, Processes: &core.ProcessObserver{
		Spawning: func(int) []string { spawning <- struct{}{}; return nil },
	}})
	<-spawning
	if _, err := pid.Submit(ctx, ex, 0).Wait(ctx); err != nil {
		t.Fatal(err)
	}
	started, never := core.NewQueue[int](1), core.NewQueue[int](1)
	defer started.Close(ctx)
	defer never.Close(ctx)
	f := gate.Submit(ctx, ex, gateIn{0, started, never})
	<-spawning // for the task
	cause := errors.New("stopped by the test")
	ex.(core.Manager).Stop(cause)
	if _, err := f.Wait(ctx); !errors.Is(err, cause) {
		t.Errorf("Wait() = %v; want the cause of Stop", err)
	}
	if err := ex.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

// A worker gets no more tasks than it may do, of what others have either.
func TestMaxTasksPerWorkerHoldsForWhatIsTaken(t *testing.T) {
	ctx, ex := openProcesses(t, core.Config{Workers: 3, MaxTasksPerWorker: 3})
	var futures []*core.Future[int]
	for range 60 {
		futures = append(futures, pid.Submit(ctx, ex, 0))
	}
	done := make(map[int]int)
	for _, f := range futures {
		pid, err := f.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if done[pid]++; done[pid] > 3 {
			t.Errorf("process %d did %d tasks; want at most 3", pid, done[pid])
		}
	}
}
