package executor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
)

// The environment variables that TestStress reads: how long it is to take for
// each backend, and the seed of an earlier run. That repeats what was submitted
// and when it was meddled with, not what the scheduler made of it.
const (
	stressFor  = "HARNESS_STRESS"
	stressSeed = "HARNESS_STRESS_SEED"
)

var errMine = errors.New("an error of the task's own")

// stressed does what a number says, and returns its double if nothing else.
var stressed = harness.NewTask("executor.stressed", func(ctx context.Context, n int64) (int64, error) {
	switch n % 16 {
	case 0:
		return 0, errMine
	case 1:
		panic("stress")
	case 2:
		runtime.Goexit()
	case 3, 4, 5:
		harness.Blocking(ctx, func() {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(n%1000) * time.Microsecond):
			}
		})
		return 2 * n, ctx.Err()
	case 6:
		for range 100 {
			harness.Checkpoint(ctx)
		}
	case 7:
		harness.NoGIL(ctx, runtime.Gosched)
	}
	return 2 * n, nil
})

// mirror returns what it is given.
var mirror = harness.NewTask("executor.mirror", func(_ context.Context, b []byte) ([]byte, error) { return b, nil })

// whoami returns the process that it runs in.
var whoami = harness.NewTask("executor.whoami", func(context.Context, int64) (int64, error) { return int64(os.Getpid()), nil })

// Whatever happens to an executor, every task that was submitted has exactly
// one outcome, and nothing is left in the end.
func TestStress(t *testing.T) {
	each := 150 * time.Millisecond
	if s := os.Getenv(stressFor); s != "" {
		var err error
		if each, err = time.ParseDuration(s); err != nil {
			t.Fatalf("%s: %v", stressFor, err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv(stressSeed); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s: %v", stressSeed, err)
		}
	}
	for _, b := range executor.Backends() {
		t.Run(b.Name, func(t *testing.T) {
			t.Logf("%s=%d", stressSeed, seed)
			before := leftovers(t)
			rng := rand.New(rand.NewPCG(seed, 0))
			rounds := 0
			for end := time.Now().Add(each); time.Now().Before(end); rounds++ {
				(&stress{t: t, b: b, outcomes: make(map[string]int)}).round(rng)
				if t.Failed() {
					t.Fatalf("in round %d", rounds)
				}
			}
			until(t, func() (string, bool) {
				after := leftovers(t)
				return fmt.Sprintf("left behind: %v; before: %v", after, before), after.within(before)
			})
		})
	}
}

// stress is one life of an executor.
type stress struct {
	t  *testing.T
	b  *harness.Backend
	ex harness.Manager

	mu       sync.Mutex
	tasks    []*stressTask
	outcomes map[string]int
}

type stressTask struct {
	n      int64
	future harness.AnyFuture
	value  func() (int64, bool) // of a task that did not fail, if it is one number
	called atomic.Int32         // its callback
}

func (s *stress) round(rng *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cfg := executor.Config{Workers: 1 + rng.IntN(4), CancelGrace: time.Millisecond, SwitchInterval: 100 * time.Microsecond}
	if rng.IntN(3) == 0 {
		cfg.MaxTasksPerWorker = 1 + rng.IntN(20)
	}
	if rng.IntN(3) == 0 {
		cfg.IdleTimeout = time.Duration(1+rng.IntN(2000)) * time.Microsecond
	}
	if rng.IntN(3) == 0 {
		cfg.Queue, cfg.Full = 1+rng.IntN(50), harness.FullPolicy(rng.IntN(2))
	}
	what := fmt.Sprintf("with %+v", cfg)
	ex, err := executor.Open(ctx, s.b.Name, cfg)
	if err != nil {
		s.t.Errorf("Open() = %v, %s", err, what)
		return
	}
	s.ex = ex.(harness.Manager)
	const submitters = 4
	stop := make(chan struct{}) // for those who meddle
	var submitting, meddling sync.WaitGroup
	for range submitters {
		rng := rand.New(rand.NewPCG(rng.Uint64(), 0))
		submitting.Go(func() { s.submit(ctx, rng, 20+rng.IntN(200)) })
	}
	meddlers := []func(*rand.Rand){s.resize}
	if !s.b.Shared {
		meddlers = append(meddlers, func(rng *rand.Rand) { s.kill(ctx, rng) })
	}
	for _, meddle := range meddlers {
		rng := rand.New(rand.NewPCG(rng.Uint64(), 0))
		meddling.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rng.IntN(5000)) * time.Microsecond):
					meddle(rng)
				}
			}
		})
	}
	var cause error
	if rng.IntN(3) == 0 { // in the middle of it
		cause = errors.New("stopped by the test")
		time.AfterFunc(time.Duration(rng.IntN(20))*time.Millisecond, func() { s.ex.Stop(cause) })
	}
	submitting.Wait()
	close(stop)
	meddling.Wait()
	if err := s.ex.Close(); err != nil && s.b.Shared {
		s.t.Errorf("Close() = %v, %s", err, what)
	}
	s.account(ctx, cause, what)
}

// submit submits n tasks, and cancels some of them.
func (s *stress) submit(ctx context.Context, rng *rand.Rand, n int) {
	for range n {
		task := &stressTask{n: rng.Int64N(1 << 40)}
		taskCtx := ctx
		switch rng.IntN(10) {
		case 0:
			c, cancel := context.WithTimeout(ctx, time.Duration(rng.IntN(1000))*time.Microsecond)
			defer cancel()
			taskCtx = c
		case 1:
			c, cancel := context.WithCancel(ctx)
			defer cancel()
			taskCtx = c
			if rng.IntN(2) == 0 {
				time.AfterFunc(time.Duration(rng.IntN(1000))*time.Microsecond, cancel)
			}
		}
		declared := stressed
		if rng.IntN(2) == 0 {
			declared = stressed.Idempotent()
		}
		switch rng.IntN(16) {
		case 0, 1:
			f := declared.SubmitBatch(taskCtx, s.ex, []int64{task.n, task.n + 1, task.n + 2})
			task.future, task.value = f, func() (int64, bool) { return 0, false }
		case 2:
			in := bytes.Repeat([]byte{byte(task.n)}, rng.IntN(1<<(4+rng.IntN(18))))
			f := mirror.Submit(taskCtx, s.ex, in)
			task.n = 15 // which does not fail
			task.future = f
			task.value = func() (int64, bool) {
				if out, _ := f.Wait(context.Background()); !bytes.Equal(in, out) {
					return 0, true
				}
				return 2 * task.n, true
			}
		default:
			f := declared.Submit(taskCtx, s.ex, task.n)
			task.future = f
			task.value = func() (int64, bool) {
				v, _ := f.Wait(context.Background()) // it is done
				return v, true
			}
		}
		task.future.Call().OnDone(func() { task.called.Add(1) })
		s.mu.Lock()
		s.tasks = append(s.tasks, task)
		earlier := s.tasks[rng.IntN(len(s.tasks))]
		s.mu.Unlock()
		switch rng.IntN(10) {
		case 0:
			task.future.Cancel()
		case 1:
			earlier.future.Cancel()
		case 2:
			earlier.future.State()
			s.ex.Stats()
		case 3:
			c, cancel := context.WithTimeout(ctx, time.Millisecond)
			_, _, _ = executor.Wait(c, executor.FirstCompleted, task.future, earlier.future)
			cancel()
		case 4:
			runtime.Gosched()
		}
	}
}

func (s *stress) resize(rng *rand.Rand) {
	n := 1 + rng.IntN(5)
	if most := s.b.MaxWorkers; most > 0 {
		n = min(n, most)
	}
	var unprepared *harness.InitError
	if err := s.ex.Resize(n); err != nil && !errors.Is(err, harness.ErrClosed) && !errors.As(err, &unprepared) {
		s.t.Errorf("Resize(%d) = %v", n, err)
	}
}

// kill kills a worker that has just done a task, and may be running another.
func (s *stress) kill(ctx context.Context, rng *rand.Rand) {
	pid, err := whoami.Submit(ctx, s.ex, 0).Wait(ctx)
	if err == nil && child(int(pid)) {
		signal := syscall.SIGKILL
		if rng.IntN(2) == 0 {
			signal = syscall.SIGTERM
		}
		_ = syscall.Kill(int(pid), signal) // it may have ended
	}
}

// account checks that every task has come to exactly one end that makes sense.
func (s *stress) account(ctx context.Context, cause error, what string) {
	for i, task := range s.tasks {
		select {
		case <-task.future.Done():
		case <-ctx.Done():
			s.t.Errorf("task %d of %d never ended: it is %v, %s", i, len(s.tasks), task.future.State(), what)
			return
		}
		until(s.t, func() (string, bool) {
			n := task.called.Load()
			return fmt.Sprintf("the callback of task %d was called %d times, %s", i, n, what), n == 1
		})
		err := task.future.Err()
		if outcome := s.outcome(task, err, cause); outcome == "" {
			s.t.Errorf("task %d, which was given %d, ended %v with %v, %s", i, task.n%16, task.future.State(), err, what)
		} else {
			s.outcomes[outcome]++
		}
	}
	if st := s.ex.Stats(); st.Alive != 0 || st.Busy != 0 || st.Queued != 0 {
		s.t.Errorf("Stats() after Close = %+v, %s", st, what)
	}
}

// outcome names how a task ended, or returns nothing if that cannot be.
func (s *stress) outcome(task *stressTask, err, cause error) string {
	var pe *harness.PanicError
	var lost *harness.WorkerLostError
	switch n := task.n % 16; {
	case err == nil:
		if v, single := task.value(); single && v != 2*task.n || single && n < 3 {
			return ""
		}
		return "done"
	case errors.Is(err, harness.ErrCancelled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "context ended"
	case cause != nil && errors.Is(err, cause):
		return "stopped"
	case cause != nil && errors.Is(err, harness.ErrClosed):
		return "closed"
	case errors.Is(err, harness.ErrFull):
		return "full"
	case errors.Is(err, errMine) && n == 0:
		return "failed"
	case errors.As(err, &pe):
		return "panicked"
	case !s.b.Shared && errors.As(err, &lost):
		return "lost"
	case !s.b.Shared && errors.Is(err, harness.ErrQuarantined):
		return "quarantined"
	}
	return ""
}

// until waits until ok, and fails the test with what it says if it does not.
func until(t *testing.T, ok func() (string, bool)) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		what, done := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("after %v %s", patience, what)
			return
		}
	}
}

// A leftover is what there is of things that an executor has to release.
type leftover struct {
	goroutines, processes, files int
}

// within reports whether there is no more than before, when something of an
// earlier test may still have been on its way out.
func (l leftover) within(before leftover) bool {
	return l.goroutines <= before.goroutines && l.processes <= before.processes && l.files <= before.files
}

// leftovers counts the goroutines of this module that are not the test's, the
// processes that this one has started, and its open files.
func leftovers(t *testing.T) (n leftover) {
	t.Helper()
	n.goroutines = len(ours())
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // none on other systems
	for _, path := range stats {
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && child(pid) {
			n.processes++
		}
	}
	files, _ := os.ReadDir("/proc/self/fd")
	for _, f := range files {
		// The runtime's own, and the directory itself, come and stay.
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:") {
			n.files++
		}
	}
	return n
}

// ours returns the stacks of the goroutines of this module that are not the
// test's.
func ours() (stacks []string) {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(g, "f3f4c0de/harness") && !strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "testing.(*M)") {
			stacks = append(stacks, g)
		}
	}
	return stacks
}

// child reports whether the process was started by this one.
func child(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	return len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid())
}
