package executor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
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

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// The environment variables that TestStress reads: how long it is to take for
// each backend, and the seed of an earlier history. That repeats what was
// submitted and when it was meddled with, not what the scheduler made of it. Ten
// minutes of worker processes:
//
//	HARNESS_STRESS=10m go test ./executor -run TestStress/processes -timeout 20m -v
const (
	stressFor  = "HARNESS_STRESS"
	stressSeed = "HARNESS_STRESS_SEED"
)

var errMine = errors.New("an error of the task's own")

// An order is what a task of a history is to do. It returns the double of N if
// nothing else.
type order struct {
	N    int64
	Do   deed
	Busy int64 // nanoseconds that it computes first
}

type deed int64

// The deeds of an order.
const (
	doubling deed = iota
	erring
	panicking
	leaving
	waiting // for a moment, or for the end of its context
	yielding
	unlocking
	exiting // its worker process
	deeds
)

// carriesOut does what an order says.
var carriesOut = executor.NewTask("executor.carriesOut", func(ctx context.Context, o order) (int64, error) {
	for start := time.Now(); time.Since(start) < time.Duration(o.Busy); {
	}
	switch o.Do {
	case erring:
		return 0, errMine
	case panicking:
		panic("stress")
	case leaving:
		runtime.Goexit()
	case waiting:
		executor.Blocking(ctx, func() {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(o.N%1000) * time.Microsecond):
			}
		})
		return 2 * o.N, ctx.Err()
	case yielding:
		for range 100 {
			executor.Checkpoint(ctx)
		}
	case unlocking:
		executor.NoGIL(ctx, runtime.Gosched)
	case exiting:
		os.Exit(exitCode)
	}
	return 2 * o.N, nil
})

// exitCode is what a worker ends with whose task ends it, and no other.
const exitCode = 77

var (
	// mirror returns what it is given.
	mirror = executor.NewTask("executor.mirror", func(_ context.Context, b []byte) ([]byte, error) { return b, nil })
	// whoami returns the process that it runs in.
	whoami = executor.NewTask("executor.whoami", func(context.Context, int64) (int64, error) { return int64(os.Getpid()), nil })
)

// Whatever happens to an executor, the laws hold of it: every task and every
// input of a batch or a Map has exactly one outcome, and one that its own
// input, its own cancellation or the end of the executor explains. No more are
// reported lost than workers were, each with a worker of its own. One that ends
// its worker is reported lost, and nobody else is for that. Only idempotent
// ones are quarantined, after three losses. In the end nothing is left.
func TestStress(t *testing.T) {
	each := 200 * time.Millisecond
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
			total := make(map[string]int)
			histories, accounted := 0, 0
			for end := time.Now().Add(each); time.Now().Before(end) && !t.Failed(); histories++ {
				h := &history{t: t, b: b, rng: rand.New(rand.NewPCG(seed+uint64(histories), 0)), outcomes: make(map[string]int), blamed: make(map[int]string)}
				h.live()
				for o, n := range h.outcomes {
					total[o] += n
					accounted += n
				}
				if t.Failed() {
					t.Logf("%s=%d, %s", stressSeed, seed+uint64(histories), h.what)
				}
			}
			t.Logf("%s=%d: %d tasks and inputs accounted for in %d histories: %s", stressSeed, seed, accounted, histories, listed(total))
		})
	}
}

func listed(counts map[string]int) string {
	var parts []string
	for _, o := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", o, counts[o]))
	}
	return strings.Join(parts, ", ")
}

// A history is one life of an executor, and what came of it.
type history struct {
	t        *testing.T
	b        *core.Backend
	rng      *rand.Rand
	what     string
	ex       *executor.Executor
	cfg      executor.Config
	exits    int          // one of so many orders ends its worker; 0 is none
	cause    error        // that it may be stopped with
	stopping atomic.Bool  // Stop with the cause was called, or is about to be
	faults   atomic.Int32 // reported

	mu      sync.Mutex
	entries []*entry

	outcomes map[string]int
	blamed   map[int]string // the calls and inputs that were lost, by the process
	lost     int            // workers that must have been lost for what was reported
}

// An entry is one call: of one order, or of a batch, or all that a Map made.
type entry struct {
	what       string
	orders     []order
	idempotent bool
	mayEnd     bool        // the context that it was submitted with
	mayCancel  atomic.Bool // Cancel was called, or is about to be
	future     executor.AnyFuture
	called     atomic.Int32 // its callback
	// results returns the value and the error of each order, fewer if it
	// ended with err.
	results func() (values []int64, errs func(i int) error, err error)
}

// errorf reports a law that does not hold, not for all that break it.
func (h *history) errorf(format string, args ...any) {
	h.t.Helper()
	const most = 10
	if n := h.faults.Add(1); n <= most {
		h.t.Errorf(format, args...)
	}
}

// live opens an executor, uses and meddles with it, closes it, and checks the
// laws.
func (h *history) live() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	before := left(h.t, h.b)
	rng, dear := h.rng, 1
	if !h.b.Shared { // a worker is
		dear = 10
	}
	h.cfg = executor.Config{Workers: 1 + rng.IntN(4), CancelGrace: time.Millisecond, SwitchInterval: 100 * time.Microsecond}
	if rng.IntN(3) == 0 {
		h.cfg.CancelGrace = time.Second
	}
	if rng.IntN(4) == 0 {
		h.cfg.MaxTasksPerWorker = dear * (1 + rng.IntN(200))
	}
	if rng.IntN(4) == 0 {
		h.cfg.IdleTimeout = time.Duration(dear*(1+rng.IntN(2000))) * time.Microsecond
	}
	if rng.IntN(3) == 0 {
		h.cfg.Queue, h.cfg.Full = 1+rng.IntN(50), executor.FullPolicy(rng.IntN(2))
	}
	if !h.b.Shared && rng.IntN(2) == 0 {
		h.exits = 300 + rng.IntN(3000)
	}
	h.what = fmt.Sprintf("%+v, one order of %d exits", h.cfg, h.exits)
	ex, err := executor.Open(ctx, h.b.Name, h.cfg)
	if err != nil {
		h.errorf("Open() = %v", err)
		return
	}
	h.ex = ex
	stop := make(chan struct{}) // for those who meddle
	var submitting, meddling sync.WaitGroup
	for range 4 {
		rng, n := fork(rng), 20+rng.IntN(200)
		submitting.Go(func() { h.submit(ctx, rng, n) })
	}
	var meddlers []func(context.Context, *rand.Rand)
	if rng.IntN(2) == 0 {
		meddlers = append(meddlers, h.resize)
	}
	if !h.b.Shared {
		for _, m := range []func(context.Context, *rand.Rand){h.kill, h.halt} {
			if rng.IntN(2) == 0 {
				meddlers = append(meddlers, m)
			}
		}
	}
	for _, meddle := range meddlers {
		rng, every, times := fork(rng), dear*(1+rng.IntN(5000)), 1000/(dear*dear)
		meddling.Go(func() {
			for range times {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rng.IntN(every)) * time.Microsecond):
					meddle(ctx, rng)
				}
			}
		})
	}
	if rng.IntN(4) == 0 { // in the middle of it
		h.cause = errors.New("stopped by the test")
		timer := time.AfterFunc(time.Duration(rng.IntN(20))*time.Millisecond, func() {
			h.stopping.Store(true)
			h.ex.Stop(h.cause)
		})
		defer timer.Stop()
	}
	submitting.Wait()
	close(stop)
	meddling.Wait()
	closed := make(chan error, 1)
	go func() { closed <- h.ex.Close() }()
	select {
	case err := <-closed:
		if err != nil && h.b.Shared {
			h.errorf("Close() = %v", err)
		}
	case <-ctx.Done():
		h.errorf("Close has not returned; Stats() = %+v", h.ex.Stats())
		return
	}
	h.account(ctx)
	until(h.t, func() (string, bool) {
		after := left(h.t, h.b)
		return fmt.Sprintf("left behind: %+v; before: %+v", after, before), after.within(before)
	})
}

// fork makes a source of its own for another goroutine.
func fork(rng *rand.Rand) *rand.Rand { return rand.New(rand.NewPCG(rng.Uint64(), 0)) }

// order makes one.
func (h *history) order(rng *rand.Rand) order {
	o := order{N: rng.Int64N(1 << 40)}
	switch rng.IntN(4) {
	case 0:
		o.Busy = rng.Int64N(int64(20 * time.Microsecond))
	case 1:
		if rng.IntN(50) == 0 {
			o.Busy = rng.Int64N(int64(3 * time.Millisecond))
		}
	}
	switch {
	case h.exits > 0 && rng.IntN(h.exits) == 0:
		o.Do = exiting
	case rng.IntN(4) == 0:
		o.Do = deed(rng.IntN(int(exiting)))
	}
	return o
}

func (h *history) orders(rng *rand.Rand, n int) []order {
	orders := make([]order, n)
	for i := range orders {
		orders[i] = h.order(rng)
	}
	return orders
}

// add notes an entry, and returns an earlier one.
func (h *history) add(rng *rand.Rand, e *entry) *entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries = append(h.entries, e)
	return h.entries[rng.IntN(len(h.entries))]
}

// submit submits n calls, and cancels some of them.
func (h *history) submit(ctx context.Context, rng *rand.Rand, n int) {
	for range n {
		e := &entry{}
		taskCtx := ctx
		switch rng.IntN(16) {
		case 0:
			c, cancel := context.WithTimeout(ctx, time.Duration(rng.IntN(1000))*time.Microsecond)
			defer cancel()
			taskCtx, e.mayEnd = c, true
		case 1:
			c, cancel := context.WithCancel(ctx)
			defer cancel() // when all have been submitted, whatever has become of it
			taskCtx, e.mayEnd = c, true
			if rng.IntN(2) == 0 {
				time.AfterFunc(time.Duration(rng.IntN(1000))*time.Microsecond, cancel)
			}
		}
		task := carriesOut
		if e.idempotent = rng.IntN(2) == 0; e.idempotent {
			task = carriesOut.Idempotent()
		}
		switch rng.IntN(20) {
		case 0, 1, 2:
			h.batch(taskCtx, rng, e, task)
		case 3:
			h.mapped(taskCtx, rng, e, task)
		case 4:
			h.mirrored(taskCtx, rng, e)
		default:
			o := h.order(rng)
			f := task.Submit(taskCtx, h.ex, o)
			e.what, e.orders, e.future, e.results = "call", []order{o}, f, func() ([]int64, func(int) error, error) {
				v, err := f.Wait(context.Background()) // it is done
				return []int64{v}, func(int) error { return err }, nil
			}
		}
		if e.future != nil {
			core.CallOf(e.future).OnDone(func() { e.called.Add(1) })
		}
		earlier := h.add(rng, e)
		if e.future == nil || earlier.future == nil {
			continue
		}
		switch rng.IntN(20) {
		case 0:
			e.mayCancel.Store(true)
			e.future.Cancel()
		case 1:
			earlier.mayCancel.Store(true)
			earlier.future.Cancel()
		case 2:
			earlier.future.State()
			h.ex.Stats()
		case 3:
			c, cancel := context.WithTimeout(ctx, time.Millisecond)
			_, _, _ = executor.Wait(c, executor.FirstCompleted, e.future, earlier.future)
			cancel()
		case 4:
			runtime.Gosched()
		}
	}
}

func (h *history) batch(ctx context.Context, rng *rand.Rand, e *entry, task *executor.Task[order, int64]) {
	orders := h.orders(rng, 1+rng.IntN(60))
	f := submitBatch(ctx, h.ex, task, orders)
	e.what, e.orders, e.future, e.results = "batch", orders, f, func() ([]int64, func(int) error, error) {
		b, err := f.Wait(context.Background())
		return b.Values, func(i int) error { return b.Errs[i] }, err
	}
}

// mapped maps, and has all results when it returns, unless it leaves before.
func (h *history) mapped(ctx context.Context, rng *rand.Rand, e *entry, task *executor.Task[order, int64]) {
	orders := h.orders(rng, rng.IntN(400))
	enough := len(orders)
	if enough > 0 && rng.IntN(8) == 0 {
		enough = 1 + rng.IntN(enough)
	}
	var values []int64
	var errs []error
	for v, err := range ordered(ctx, h.ex, task, slices.Values(orders), executor.MapOptions{}) {
		values, errs = append(values, v), append(errs, err)
		if len(values) == enough {
			break
		}
	}
	var last error
	if n := len(errs); n < enough { // the context has ended, and the last error says so
		last = errors.New("the Map ended early")
		if n > 0 {
			last = errs[n-1]
			values, errs = values[:n-1], errs[:n-1]
		}
	}
	e.what, e.orders, e.results = "Map", orders[:enough], func() ([]int64, func(int) error, error) {
		return values, func(i int) error { return errs[i] }, last
	}
}

// mirrored sends bytes, few as a rule, and up to 8 MiB.
func (h *history) mirrored(ctx context.Context, rng *rand.Rand, e *entry) {
	most := 1 << (4 + rng.IntN(14))
	if rng.IntN(20) == 0 {
		most = 8 << 20
	}
	in := bytes.Repeat([]byte{byte(rng.Int()), byte(rng.Int()), byte(rng.Int())}, most/3+1)[:rng.IntN(most)]
	e.idempotent = false
	f := mirror.Submit(ctx, h.ex, in)
	e.what, e.orders, e.future, e.results = "bytes", []order{{N: 1}}, f, func() ([]int64, func(int) error, error) {
		out, err := f.Wait(context.Background())
		v := int64(2)
		if !bytes.Equal(in, out) {
			v = -1
		}
		return []int64{v}, func(int) error { return err }, nil
	}
}

func (h *history) resize(_ context.Context, rng *rand.Rand) {
	n := 1 + rng.IntN(5)
	if most := h.b.MaxWorkers; most > 0 {
		n = min(n, most)
	}
	if err := h.ex.Resize(n); err != nil && (!errors.Is(err, executor.ErrClosed) || !h.stopping.Load()) {
		h.errorf("Resize(%d) = %v", n, err)
	}
}

// worker returns the process of a worker that has just done a task, and may be
// doing another; 0 if the task failed. It is an entry as any other.
func (h *history) worker(ctx context.Context, rng *rand.Rand) int {
	e := &entry{what: "pid", orders: []order{{}}}
	f := whoami.Submit(ctx, h.ex, 0)
	e.future, e.results = f, func() ([]int64, func(int) error, error) {
		return []int64{0}, func(int) error { return f.Err() }, nil
	}
	f.OnDone(func(*executor.Future[int64]) { e.called.Add(1) })
	h.add(rng, e)
	pid, err := f.Wait(ctx)
	if err != nil || !child(int(pid)) {
		return 0
	}
	return int(pid)
}

func (h *history) kill(ctx context.Context, rng *rand.Rand) {
	if pid := h.worker(ctx, rng); pid > 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
}

// halt has a worker stand still for a moment.
func (h *history) halt(ctx context.Context, rng *rand.Rand) {
	pid := h.worker(ctx, rng)
	if pid == 0 {
		return
	}
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	<-time.After(time.Duration(rng.IntN(5000)) * time.Microsecond)
	_ = syscall.Kill(pid, syscall.SIGCONT)
}

// account checks that the laws hold of what came of everything.
func (h *history) account(ctx context.Context) {
	for i, e := range h.entries {
		if e.future != nil {
			select {
			case <-e.future.Done():
			case <-ctx.Done():
				h.errorf("%s %d of %d never ended: it is %v", e.what, i, len(h.entries), e.future.State())
				return
			}
			until(h.t, func() (string, bool) {
				n := e.called.Load()
				return fmt.Sprintf("the callback of %s %d was called %d times", e.what, i, n), n == 1
			})
		}
		values, errs, whole := e.results()
		if whole != nil {
			h.outcome(e, i, -1, 0, whole)
			if e.what == "batch" {
				continue
			}
		} else if len(values) != len(e.orders) {
			h.errorf("%s %d has %d results of %d", e.what, i, len(values), len(e.orders))
			continue
		}
		for j, v := range values {
			h.outcome(e, i, j, v, errs(j))
		}
	}
	st := h.ex.Stats()
	if st.Alive != 0 || st.Busy != 0 || st.Queued != 0 {
		h.errorf("Stats() after Close = %+v; want nothing alive, busy or queued", st)
	}
	if h.lost > st.Lost {
		h.errorf("what was reported lost takes %d lost workers; Stats() = %+v", h.lost, st)
	}
}

// outcome checks that what came of order j of entry i, or of the whole of it
// where j is -1, is explained by itself, and counts it.
func (h *history) outcome(e *entry, i, j int, v int64, err error) {
	o := order{Do: -1}
	if j >= 0 {
		o = e.orders[j]
	}
	name, explained := h.explain(e, o, v, err)
	h.outcomes[name]++
	if !explained {
		h.errorf("%s %d, order %d (%+v, idempotent %t, context may end %t, cancelled %t): %s: %d, %s",
			e.what, i, j, o, e.idempotent, e.mayEnd, e.mayCancel.Load(), name, v, cut(err))
	}
	var lost *executor.WorkerLostError
	if name != "lost" && name != "quarantined" || !errors.As(err, &lost) {
		return
	}
	h.lost++
	if name == "quarantined" {
		h.lost += 2
	}
	who := fmt.Sprintf("%s %d, order %d (deed %d)", e.what, i, j, o.Do)
	if other, twice := h.blamed[lost.PID]; twice {
		h.errorf("both were lost with process %d (%s): %s and %s", lost.PID, lost.Cause, other, who)
	}
	h.blamed[lost.PID] = who
}

// explain names an outcome, and reports whether it is one that the order, its
// cancellation or the end of the executor explains.
func (h *history) explain(e *entry, o order, v int64, err error) (name string, explained bool) {
	var panicked *executor.PanicError
	var lost *executor.WorkerLostError
	stopping := h.stopping.Load()
	switch {
	case err == nil:
		return "done", v == 2*o.N && (o.Do == doubling || o.Do >= waiting && o.Do < exiting)
	case errors.Is(err, executor.ErrCancelled):
		return "cancelled", e.mayCancel.Load()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "context ended", e.mayEnd
	case stopping && errors.Is(err, h.cause):
		return "stopped", true
	case errors.Is(err, executor.ErrClosed):
		return "closed", stopping
	case errors.Is(err, executor.ErrFull):
		return "full", h.cfg.Full == executor.Reject
	case errors.Is(err, errMine):
		return "failed", o.Do == erring
	case errors.As(err, &panicked):
		return "panicked", o.Do == panicking || o.Do == leaving
	case errors.Is(err, executor.ErrQuarantined):
		return "quarantined", !h.b.Shared && e.idempotent && errors.As(err, &lost) && guilty(o, lost)
	case errors.As(err, &lost):
		return "lost", !h.b.Shared && !e.idempotent && o.Do >= 0 && guilty(o, lost)
	}
	return "unexplained", false
}

// guilty reports whether a worker can have been lost in this way while it ran
// the order: it exits, or somebody killed it.
func guilty(o order, lost *executor.WorkerLostError) bool {
	return lost.Code == exitCode && o.Do == exiting || lost.Signal == syscall.SIGKILL.String()
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
