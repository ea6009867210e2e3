package executor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// A stage is one failure at one stage of a call or of a worker's life, and the
// one right outcome of it in the words of [kind]. "X or Y" is either of the two.
type stage struct {
	stage, what string
	near        string // inside the process
	far         string // on worker processes
	again       string // there, of an idempotent task; as far if empty
	doc         string
	provoke     func(*cell) // nil if the fault travels with an argument
}

// What the outcomes in the table are made of.
const (
	none       = "no failure"
	impossible = "not possible"
	encode     = "ErrEncode"
	cancelled  = "ErrCancelled"
	exited     = "*WorkerLostError: exit status 3"
	crashed    = "*WorkerLostError: exit status 2" // by the Go runtime
	signalled  = "*WorkerLostError: signal: killed"
	quarantine = ", ErrQuarantined"
	panicked   = "*PanicError"
	carried    = none
	unopened   = "Canceled"
)

var stages = []stage{
	{encodeArgument, fails, none, encode, "", "", nil},
	{encodeArgument, panics, none, encode, "", "", nil},
	{encodeArgument, goexits, none, encode, "", "", nil},
	{encodeArgument, hangs, none, cancelled, "", "Nothing but Close waits for it.", nil},
	{encodeArgument, formless, none, encode, "", "For example a channel.", nil},
	{encodeArgument, deep, none, carried, "", "30,000 lists, each in another. A value is carried exactly or refused.", nil},
	{encodeArgument, huge, none, encode, "", "A message holds 1 GiB.", nil},
	{encodeArgument, exits, none, impossible, "", "The program itself exits, is killed, is stopped or runs out of memory.", nil},

	{"send", fails, impossible, none, "", "The worker has closed its end of the pipe. Another worker runs the task.", (*cell).sendDeaf},
	{"send", killed, impossible, none, "", "The worker is killed while the task is sent to it. Another worker runs the task.", (*cell).sendKilled},
	{"send", stops, impossible, none, "", "The worker is stopped while the task is sent to it. Another worker runs the task.", (*cell).sendStopped},

	{decodeArgument, fails, none, encode, "", "", nil},
	{decodeArgument, panics, none, encode, "", "", nil},
	{decodeArgument, goexits, none, encode, "", "", nil},
	{decodeArgument, exits, none, exited, exited + quarantine, "The call whose argument is decoded reports it.", nil},
	{decodeArgument, killed, none, signalled, signalled + quarantine, "", nil},
	{decodeArgument, stops, none, cancelled, "", "Until it is cancelled nothing happens to it; after Config.CancelGrace its worker is killed.", nil},
	{decodeArgument, hangs, none, cancelled, "", "", nil},
	{decodeArgument, exhausts, none, crashed, crashed + quarantine, "", nil},
	{decodeArgument, overflows, none, crashed, crashed + quarantine, "", nil},

	{running, fails, "*TaskError, the error", "*TaskError, the error", "", "", nil},
	{running, panics, panicked, panicked, "", "", nil},
	{running, goexits, panicked, panicked, "", "", nil},
	{running, exits, impossible, exited, exited + quarantine, "Inside the process it would end the program.", nil},
	{running, killed, impossible, signalled, signalled + quarantine, "", nil},
	{running, stops, impossible, cancelled, "", "", nil},
	{running, hangs, cancelled, cancelled, "", "Inside the process only a task that looks at its context can be stopped.", nil},
	{running, exhausts, impossible, crashed, crashed + quarantine, "", nil},
	{running, overflows, impossible, crashed, crashed + quarantine, "", nil},

	{encodeResult, fails, none, encode, "", "", nil},
	{encodeResult, panics, none, encode, "", "", nil},
	{encodeResult, goexits, none, encode, "", "", nil},
	{encodeResult, exits, none, exited, exited + quarantine, "", nil},
	{encodeResult, killed, none, signalled, signalled + quarantine, "", nil},
	{encodeResult, stops, none, cancelled, "", "", nil},
	{encodeResult, hangs, none, cancelled, "", "", nil},
	{encodeResult, exhausts, none, crashed, crashed + quarantine, "", nil},
	{encodeResult, overflows, none, crashed, crashed + quarantine, "", nil},
	{encodeResult, formless, none, encode, "", "", nil},
	{encodeResult, deep, none, carried, "", "", nil},
	{encodeResult, huge, none, encode, "", "", nil},

	{"send back", fails, impossible, none, none, "The worker's end of the pipe is closed, so the worker ends. The submitter reads the result from shared memory.", (*cell).sendBack},

	{decodeResult, fails, none, encode, "", "", nil},
	{decodeResult, panics, none, encode, "", "", nil},
	{decodeResult, goexits, none, encode, "", "", nil},
	{decodeResult, hangs, none, cancelled, "", "Nothing but Close waits for it.", nil},
	{decodeResult, exits, none, impossible, "", "It is the program itself.", nil},

	{"initialise", fails, "*InitError, *TaskError, the error", "*InitError, *TaskError, the error", "", "Config.Init; what Open reports, or the first task where workers are started later.", (*cell).initialise},
	{"initialise", panics, "*InitError, *PanicError", "*InitError, *PanicError", "", "", (*cell).initialise},
	{"initialise", goexits, "*InitError, *PanicError", "*InitError, *PanicError", "", "", (*cell).initialise},
	{"initialise", exits, impossible, "*InitError, " + exited, "", "", (*cell).initialise},
	{"initialise", killed, impossible, "*InitError, " + signalled, "", "", (*cell).initialise},
	{"initialise", stops, impossible, unopened, "", "Until the context of Open ends.", (*cell).initialise},
	{"initialise", hangs, unopened, unopened, "", "", (*cell).initialise},
	{"initialise", overflows, impossible, "*InitError, " + crashed, "", "", (*cell).initialise},

	{"start", "once", impossible, none, "", "A replacement does not start: it is tried again.", (*cell).startOnce},
	{"start", "always", impossible, "Open fails", "", "", (*cell).startNever},
	{"start", "always, later", impossible, "ErrBroken", "", "No replacement starts any more. Once the cause is gone, Resize or another executor starts workers again.", (*cell).startNoMore},
	{"start", stops, impossible, none, "", "A replacement is stopped by a signal: other workers run its tasks, and Close does not wait for it.", (*cell).startStopped},

	{"idle", exits, impossible, none, "", "The worker is replaced.", (*cell).idleExits},
	{"idle", killed, impossible, none, "", "", (*cell).idleKilled},
	{"idle", stops, impossible, none, "", "Other workers run the tasks that it was sent, and Close does not wait for it.", (*cell).idleStopped},
}

func (s stage) name() string { return s.stage + "/" + s.what }

// want is the outcome on a backend.
func (s stage) want(b *core.Backend, idempotent bool) string {
	switch {
	case b.Shared:
		return s.near
	case idempotent && s.again != "":
		return s.again
	}
	return s.far
}

// stuck reports whether the failure lasts until somebody does something.
func (s stage) stuck() bool { return s.what == stops || s.what == hangs }

// inCell has the test program run the cell itself. Others run theirs in a
// process of its own: what fails there may end it or leave it standing.
const inCell = "EXECUTOR_TEST_CELL"

// patience is how long something may take that happens at once. The environment
// variable EXECUTOR_TEST_PATIENCE shortens it, to see sooner all that fails.
var patience = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("EXECUTOR_TEST_PATIENCE")); err == nil {
		return d
	}
	return 20 * time.Second
}()

// Every failure at every stage has the outcome that the table says, on every
// backend. And nobody else is blamed for it, the pool goes on, and Close returns
// and leaves nothing. With -short each is tried with one call only, not as an
// idempotent one, in a batch or in a Map as well.
func TestStages(t *testing.T) {
	for _, b := range executor.Backends() {
		t.Run(b.Name, func(t *testing.T) {
			for _, s := range stages {
				if s.want(b, false) == impossible {
					continue
				}
				t.Run(s.name(), func(t *testing.T) {
					if b.Shared || os.Getenv(inCell) != "" {
						runCell(t, b, s)
						return
					}
					t.Parallel()
					runElsewhere(t)
				})
			}
		})
	}
}

// runElsewhere runs the calling test in another process.
func runElsewhere(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
	defer cancel()
	var pattern []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run="+strings.Join(pattern, "/"), "-test.v", fmt.Sprintf("-test.short=%t", testing.Short()))
	cmd.Env = append(os.Environ(), inCell+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second // for a worker that was left behind
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("it ended with %v:\n%s", err, summary(out))
	}
}

// told is a line of a test's output that tells why it failed.
var told = regexp.MustCompile(`(?m)^( +--- FAIL: .*| +\w+_test\.go:\d+: .*|panic: .*|fatal error: .*)$`)

// summary is those lines of a test's output, or its end if there are none.
func summary(out []byte) string {
	lines := told.FindAllString(string(out), -1)
	if len(lines) == 0 {
		return string(out[max(0, len(out)-4096):])
	}
	return strings.Join(lines, "\n")
}

// A cell is one failure on one backend, tried in one way.
type cell struct {
	*testing.T
	ctx        context.Context
	backend    *core.Backend
	stage      stage
	before     leftover
	task       *executor.Task[cargo, yield]
	idempotent bool   // it is
	want       string // of the call that fails
	ex         *executor.Executor
	workers    int
	dir        string
	n          int64 // innocents so far
	pending    []innocent
	stumbled   bool // it makes no sense to go on
}

// An innocent is a task that nothing is wrong with.
type innocent struct {
	n int64
	f *executor.Future[yield]
}

func runCell(t *testing.T, b *core.Backend, s stage) {
	ways := []struct {
		name       string
		idempotent bool
		try        func(*cell)
	}{
		{"plain", false, (*cell).single},
		{"idempotent", true, (*cell).single},
		{"batch", false, (*cell).batch},
		{"idempotent batch", true, (*cell).batch},
		{"Map", false, (*cell).mapped},
	}
	switch {
	case s.provoke != nil:
		ways = ways[:1]
		if s.again != "" {
			ways = ways[:2]
		}
	case s.stuck(): // a batch is cancelled as a whole
		ways = ways[:2]
		if s.want(b, false) == cancelled && slices.Contains([]string{decodeArgument, running, encodeResult}, s.stage) {
			ways[1].name, ways[1].try = "idempotent, with a time limit", (*cell).limited
		}
	}
	if testing.Short() {
		ways = ways[:1]
	}
	for _, way := range ways {
		stumbled := false
		t.Run(way.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			c := &cell{T: t, ctx: ctx, backend: b, stage: s, before: left(t, b), task: handles, idempotent: way.idempotent, want: s.want(b, way.idempotent), dir: t.TempDir()}
			if way.idempotent {
				c.task = handles.Idempotent()
			}
			if s.provoke != nil {
				s.provoke(c)
			} else if c.open(core.Config{}) {
				way.try(c)
			}
			c.close()
			stumbled = c.stumbled
		})
		if stumbled {
			return // the other ways would hang as well
		}
	}
}

// left is what there is of things that an executor of the backend has to
// release: those that stay inside the process have goroutines only, which are
// counted faster.
func left(t *testing.T, b *core.Backend) leftover {
	if b.Shared {
		return leftover{goroutines: len(ours())}
	}
	return leftovers(t)
}

// open opens an executor with two workers, where there can be two.
func (c *cell) open(cfg core.Config) bool {
	c.Helper()
	c.workers = 2
	if most := c.backend.MaxWorkers; most > 0 {
		c.workers = min(c.workers, most)
	}
	cfg.Workers, cfg.CancelGrace = c.workers, 10*time.Millisecond
	ex, err := openWith(c.ctx, c.backend, cfg)
	if err != nil {
		c.stumble("Open(%s) = %v", c.backend.Name, err)
		return false
	}
	c.ex = ex
	return true
}

// stumble fails the test where nothing of what follows would tell more.
func (c *cell) stumble(format string, args ...any) {
	c.Helper()
	c.Errorf(format, args...)
	c.stumbled = true
}

// submit submits innocents, every second of an idempotent task.
func (c *cell) submit(n int) {
	for range n {
		c.n++
		task := handles
		if c.n%2 == 0 {
			task = handles.Idempotent()
		}
		c.pending = append(c.pending, innocent{c.n, task.Submit(c.ctx, c.ex, newCargo(fault{N: c.n}))})
	}
}

// check waits for the innocents and checks that they have their results.
func (c *cell) check(when string) {
	c.Helper()
	outcomes := make(map[string]int)
	for _, i := range c.pending {
		switch y, err := i.f.Wait(c.ctx); {
		case i.f.State() < executor.Done:
			outcomes[fmt.Sprintf("still %v", i.f.State())]++
		case err != nil:
			outcomes[kind(err)]++
		case y.Fault.N != i.n:
			outcomes["the result of another"]++
		}
	}
	if len(outcomes) > 0 {
		c.Errorf("of %d innocent tasks %s some have no result: %v", len(c.pending), when, outcomes)
	}
	c.pending = nil
	if c.ctx.Err() != nil {
		c.stumble("%s it took more than %v", when, patience)
	}
}

// bad makes the argument that fails, and returns its mark as well.
func (c *cell) bad() (cargo, string) {
	file := filepath.Join(c.dir, "mark")
	return newCargo(fault{N: -1, Stage: c.stage.stage, What: c.stage.what, Mark: file}), file
}

// outcome compares what a task that fails reports with what the table says.
func (c *cell) outcome(what string, err error) {
	c.Helper()
	if got := kind(err); !slices.Contains(strings.Split(c.want, " or "), got) {
		c.Errorf("%s: %s; want %s\n%v", what, got, c.want, cut(err))
	}
	if err != nil && c.want != none && c.stage.provoke == nil && c.want != cancelled && !strings.Contains(err.Error(), handles.Name()) {
		c.Errorf("%s: the error does not name task %s: %v", what, handles.Name(), cut(err))
	}
}

// cut is the beginning of what an error says.
func cut(err error) string {
	s := fmt.Sprint(err)
	if len(s) > 300 {
		s = s[:300] + " …"
	}
	return s
}

func (c *cell) done(f executor.AnyFuture) bool {
	select {
	case <-f.Done():
		return true
	case <-c.ctx.Done():
		return false
	}
}

// single submits the one that fails among innocents.
func (c *cell) single() {
	in, mark := c.bad()
	c.submit(50)
	f := c.task.Submit(c.ctx, c.ex, in)
	c.submit(50)
	if c.want == cancelled {
		c.unstick(f, mark)
	}
	if c.stumbled {
		return
	}
	if !c.done(f) {
		c.stumble("the task that fails never ended: it is %v; want %s", f.State(), c.want)
		return
	}
	c.outcome("the future of the task that fails", f.Err())
	c.goesOn()
}

// limited submits the one that never ends with a time limit, among innocents that have
// one as well. Nobody cancels it.
func (c *cell) limited() {
	in, _ := c.bad()
	c.want = "*TimeoutError, DeadlineExceeded"
	c.submit(10)
	f := c.task.Timeout(20*time.Millisecond).Submit(c.ctx, c.ex, in)
	c.submit(10)
	if !c.done(f) {
		c.stumble("the task that never ends is %v after its time limit; want %s", f.State(), c.want)
		return
	}
	c.outcome("the future of the task that never ends", f.Err())
	c.goesOn()
}

// unstick waits until the task stands, checks that this holds up nobody else,
// and cancels it.
func (c *cell) unstick(f executor.AnyFuture, mark string) {
	c.Helper()
	until(c.T, func() (string, bool) {
		pid := marked(mark)
		return fmt.Sprintf("the task has not come to where it stands: it is %v", f.State()),
			pid != 0 && (c.stage.what != stops || stopped(pid)) || f.State() >= executor.Done
	})
	// What a worker that was stopped had done a moment before is not sent yet.
	beside := c.stage.what == stops
	if c.workers > 1 && !beside {
		c.check("beside it")
	}
	if state := f.State(); state >= executor.Done {
		c.Errorf("before it was cancelled it was %v with %v", state, cut(f.Err()))
	}
	go f.Cancel() // ends with the task; where that takes long, done tells
	if c.workers > 1 && beside {
		c.check("beside it")
	}
}

// batch submits a batch in whose middle one input fails.
func (c *cell) batch() {
	in, _ := c.bad()
	c.submit(10)
	inputs := c.inputs(100, 50, in)
	f := submitBatch(c.ctx, c.ex, c.task, inputs)
	c.submit(10)
	if !c.done(f) {
		c.stumble("the batch never ended: it is %v", f.State())
		return
	}
	got, err := f.Wait(c.ctx)
	if err != nil {
		c.Errorf("a batch of %d with one input that fails failed as a whole: %s", len(inputs), kind(err))
	} else {
		c.items("SubmitBatch", inputs, 50, got.Values, func(i int) error { return got.Errs[i] })
	}
	c.goesOn()
}

// mapped maps over inputs one of which fails.
func (c *cell) mapped() {
	n := 10_000
	if c.backend.Shared { // where nothing is dealt with but single calls
		n = 1000
	}
	bad := n / 2
	in, _ := c.bad()
	inputs := c.inputs(n, bad, in)
	var values []yield
	var errs []error
	for v, err := range ordered(c.ctx, c.ex, c.task, slices.Values(inputs), executor.MapOptions{}) {
		values, errs = append(values, v), append(errs, err)
	}
	if len(values) != n {
		c.stumble("Map of %d inputs gave %d results, the last with %v", n, len(values), cut(errs[len(errs)-1]))
		return
	}
	c.items("Map", inputs, bad, values, func(i int) error { return errs[i] })
	c.goesOn()
}

// inputs are n, of which one is bad.
func (c *cell) inputs(n, at int, bad cargo) []cargo {
	inputs := make([]cargo, n)
	for i := range inputs {
		inputs[i] = newCargo(fault{N: int64(i) + 1})
	}
	inputs[at] = bad
	return inputs
}

// items checks that the bad one fails and the others have their results.
func (c *cell) items(what string, inputs []cargo, bad int, values []yield, errOf func(i int) error) {
	c.Helper()
	c.outcome(what+", the input that fails", errOf(bad))
	outcomes := make(map[string]int)
	for i := range inputs {
		switch err := errOf(i); {
		case i == bad:
		case err != nil:
			outcomes[kind(err)]++
		case values[i].Fault.N != inputs[i].Fault.N:
			outcomes["the result of another"]++
		}
	}
	if len(outcomes) > 0 {
		c.Errorf("%s: of %d innocent inputs some have no result: %v", what, len(inputs)-1, outcomes)
	}
}

// goesOn checks that the innocents have their results, that further ones get
// theirs, that all workers are there, and that no more were lost than had to be.
func (c *cell) goesOn() {
	c.Helper()
	c.check("beside it")
	c.submit(20)
	c.check("after it")
	if c.stumbled {
		return
	}
	c.full()
	lost := 0
	switch {
	case strings.Contains(c.want, quarantine):
		lost = 3
	case strings.Contains(c.want, "WorkerLost"):
		lost = 1
	case strings.Contains(c.want, "TimeoutError") && !c.backend.Shared:
		lost = 1
	case c.want == cancelled && !c.backend.Shared && c.stage.stage != encodeArgument && c.stage.stage != decodeResult:
		lost = 1 // which was killed to end it
	}
	if st := c.ex.Stats(); st.Workers != c.workers || c.stage.provoke == nil && st.Lost != lost {
		c.Errorf("Stats() = %+v; want %d workers, and %d lost", st, c.workers, lost)
	}
}

// full checks that all workers take a task at the same time.
func (c *cell) full() {
	c.Helper()
	h := holding{1, executor.NewQueue[int64](10), executor.NewQueue[int64](10)}
	defer func() { _, _ = h.Release.Close(c.ctx), h.Started.Close(c.ctx) }()
	var futures []*executor.Future[int64]
	for range c.workers {
		futures = append(futures, held.Submit(c.ctx, c.ex, h))
	}
	for i := range futures {
		if _, err := h.Started.Get(c.ctx); err != nil {
			c.stumble("after it %d of %d workers take a task: %v; Stats() = %+v", i, c.workers, err, c.ex.Stats())
			return
		}
	}
	_ = h.Release.Close(c.ctx)
	for _, f := range futures {
		if _, err := f.Wait(c.ctx); !errors.Is(err, executor.ErrQueueClosed) {
			c.Errorf("after it a task whose queue was closed: %v; want ErrQueueClosed", cut(err))
		}
	}
}

// close lets go of what hangs in this process, closes the executor and checks
// that nothing remains.
func (c *cell) close() {
	c.Helper()
	if file := filepath.Join(c.dir, "mark"); marked(file) == os.Getpid() {
		close(letGo(file))
	}
	if c.ex != nil {
		closed := make(chan error, 1)
		go func() { closed <- c.ex.Close() }() // ends with the process, if it hangs
		select {
		case err := <-closed:
			if err != nil && c.stage.stage != "idle" && c.stage.stage != "start" && !strings.HasPrefix(c.stage.stage, "send") {
				c.Errorf("Close() = %v", cut(err))
			}
		case <-time.After(patience):
			c.stumble("Close has not returned after %v; Stats() = %+v", patience, c.ex.Stats())
			return
		}
		if st := c.ex.Stats(); st.Alive != 0 || st.Busy != 0 || st.Queued != 0 {
			c.Errorf("Stats() after Close = %+v; want nothing alive, busy or queued", st)
		}
	}
	until(c.T, func() (string, bool) {
		after := left(c.T, c.backend)
		return fmt.Sprintf("left behind: %+v; before: %+v", after, c.before), after.within(c.before)
	})
}

// park keeps all workers in a task, and returns how to let each go, by its
// process.
func (c *cell) park() map[int]func() bool {
	c.Helper()
	free := make(map[int]func() bool)
	for range c.workers {
		h := holding{0, executor.NewQueue[int64](1), executor.NewQueue[int64](1)}
		f := parks.Submit(c.ctx, c.ex, h)
		pid, err := h.Started.Get(c.ctx)
		if err != nil {
			c.stumble("a task does not start: %v", err)
			return nil
		}
		free[int(pid)] = func() bool {
			_ = h.Release.Put(c.ctx, 0)
			return c.done(f) && h.Started.Close(c.ctx) == nil && h.Release.Close(c.ctx) == nil
		}
	}
	return free
}

// stop has a process stand still.
func (c *cell) stop(pid int) {
	c.Helper()
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	c.Cleanup(func() { // long after Close
		if child(pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	until(c.T, func() (string, bool) { return fmt.Sprintf("process %d does not stop", pid), stopped(pid) })
}

// parcel is an argument that no pipe has room for.
func (c *cell) parcel() cargo {
	in := newCargo(fault{N: -2})
	in.Load.Any = strings.Repeat("x", 20<<20)
	return in
}

// expect waits for a task that must not fail.
func (c *cell) expect(f *executor.Future[yield], n int64) {
	c.Helper()
	if !c.done(f) {
		c.stumble("the task never ended: it is %v; want %s", f.State(), c.want)
		return
	}
	y, err := f.Wait(c.ctx)
	c.outcome("the task", err)
	if err == nil && y.Fault.N != n {
		c.Errorf("the task returned %d; want %d", y.Fault.N, n)
	}
}

func (c *cell) sendDeaf() {
	if !c.open(core.Config{}) {
		return
	}
	c.submit(20)
	c.check("before it")
	if _, err := severs.Submit(c.ctx, c.ex, 3).Wait(c.ctx); err != nil {
		c.Errorf("a task that closed its worker's ear: %v; want its result", cut(err))
	}
	c.expect(c.task.Submit(c.ctx, c.ex, newCargo(fault{N: -2})), -2)
	c.submit(50)
	c.goesOn()
}

// blocked submits a task to a worker that stands still, whose argument is too
// large to be written to it, while the other is busy.
func (c *cell) blocked(then func(still int)) {
	if runtime.GOOS != "linux" {
		c.Skip("whether a process has stopped is read from /proc")
	}
	sent := make(chan struct{}, 1000)
	if !c.open(core.Config{Observer: &core.Observer{Header: func(b []byte, _ *core.Call) []byte { sent <- struct{}{}; return b }}}) {
		return
	}
	free := c.park()
	if c.stumbled {
		return
	}
	still, busy := 0, 0
	for pid := range free {
		still, busy = busy, pid
	}
	if !free[still]() {
		c.stumble("a task that was let go did not end")
		return
	}
	c.stop(still)
	for len(sent) > 0 {
		<-sent
	}
	f := c.task.Submit(c.ctx, c.ex, c.parcel())
	select {
	case <-sent:
	case <-c.ctx.Done():
		c.stumble("the task was not sent")
	}
	then(still)
	if !free[busy]() {
		c.stumble("a task that was let go did not end")
	}
	c.expect(f, -2)
	c.submit(20)
	c.check("beside it")
}

func (c *cell) sendKilled() {
	c.blocked(func(still int) { _ = syscall.Kill(still, syscall.SIGKILL) })
	if c.ex != nil && !c.stumbled {
		c.goesOn()
	}
}

func (c *cell) sendStopped() {
	c.blocked(func(int) {}) // and is closed while it stands
}

func (c *cell) sendBack() {
	if !c.open(core.Config{}) {
		return
	}
	c.submit(20)
	c.check("before it")
	task := severs
	if c.idempotent {
		task = severs.Idempotent()
	}
	f := task.Submit(c.ctx, c.ex, 4)
	c.submit(50)
	if !c.done(f) {
		c.stumble("the task never ended: it is %v; want %s", f.State(), c.want)
		return
	}
	c.outcome("the task", f.Err())
	c.goesOn()
}

func (c *cell) initialise() {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	file := filepath.Join(c.dir, "mark")
	init := handles.With(newCargo(fault{Stage: running, What: c.stage.what, Mark: file}))
	opened := make(chan error, 1)
	go func() { // ends with Open
		ex, err := executor.Open(ctx, c.backend.Name, executor.Config{Workers: 1, Init: init, CancelGrace: 10 * time.Millisecond})
		if err == nil { // workers are started when they are needed, and prepared until Stop
			f := handles.Submit(c.ctx, ex, newCargo(fault{}))
			context.AfterFunc(ctx, func() { ex.Stop(context.Canceled) })
			_, err = f.Wait(c.ctx)
			_ = ex.Close()
		}
		opened <- err
	}()
	if c.stage.stuck() {
		until(c.T, func() (string, bool) { return "Init has not come to where it stands", marked(file) != 0 })
		cancel()
	}
	select {
	case err := <-opened:
		c.outcome("Open", err)
	case <-c.ctx.Done():
		c.stumble("Open has not returned after %v", patience)
	}
}

// stillborn opens an executor whose workers do what, before they are any, while
// their number is below bad.
func (c *cell) stillborn(what string, bad *atomic.Int64) bool {
	return c.open(core.Config{Processes: &core.ProcessObserver{Spawning: func(int) []string {
		if bad.Add(-1) < 0 {
			return nil
		}
		return []string{stillborn + "=" + what}
	}}})
}

// lose has a worker exit.
func (c *cell) lose() {
	c.Helper()
	f := dies.Submit(c.ctx, c.ex, 3)
	if !c.done(f) {
		c.stumble("a task that ends its worker never ended: it is %v", f.State())
	}
}

func (c *cell) startOnce() {
	var bad atomic.Int64
	if !c.stillborn(exits, &bad) {
		return
	}
	bad.Store(1)
	c.lose()
	c.lose()
	c.expect(c.task.Submit(c.ctx, c.ex, newCargo(fault{N: -2})), -2)
	c.submit(50)
	c.goesOn()
	if bad.Load() >= 0 {
		c.Errorf("no worker was started that exits at once")
	}
}

func (c *cell) startNever() {
	ex, err := openWith(c.ctx, c.backend, core.Config{Workers: 2, Processes: &core.ProcessObserver{
		Spawning: func(int) []string { return []string{stillborn + "=" + exits} },
	}})
	if err == nil {
		c.ex = ex
	}
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		c.Errorf("Open() whose workers exit at once = %v; want an error that says how they end", err)
	}
}

func (c *cell) startNoMore() {
	var bad atomic.Int64
	if !c.stillborn(exits, &bad) {
		return
	}
	bad.Store(1 << 30)
	c.lose()
	c.lose()
	f := c.task.Submit(c.ctx, c.ex, newCargo(fault{N: -2}))
	if !c.done(f) {
		c.stumble("the task never ended: it is %v; want %s", f.State(), c.want)
		return
	}
	c.outcome("the task", f.Err())
	bad.Store(0)
	if err := c.ex.Resize(c.workers); err != nil {
		c.stumble("Resize() once workers can be started again = %v; want nil", err)
		return
	}
	c.submit(20)
	c.goesOn()
}

func (c *cell) startStopped() {
	var bad atomic.Int64
	if !c.stillborn(stops, &bad) {
		return
	}
	bad.Store(1)
	c.lose()
	c.submit(100)
	c.check("while a replacement stands still")
}

// idle has one of two idle workers, that end does something to, fail nobody.
func (c *cell) idle(end func(pid int)) {
	if !c.open(core.Config{}) {
		return
	}
	free := c.park()
	for _, let := range free {
		if !let() {
			c.stumble("a task that was let go did not end")
		}
	}
	if c.stumbled {
		return
	}
	for pid := range free {
		end(pid)
		break
	}
	c.submit(100)
	c.check("after it")
}

// lost waits until a worker is.
func (c *cell) lost() {
	until(c.T, func() (string, bool) {
		st := c.ex.Stats()
		return fmt.Sprintf("Stats() = %+v; want one lost", st), st.Lost == 1
	})
}

func (c *cell) idleKilled() {
	c.idle(func(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL); c.lost() })
	if !c.stumbled {
		c.goesOn()
	}
}

func (c *cell) idleExits() {
	if !c.open(core.Config{}) {
		return
	}
	file := filepath.Join(c.dir, "leave")
	if _, err := leaves.Submit(c.ctx, c.ex, file).Wait(c.ctx); err != nil {
		c.stumble("a task that is to end its worker later: %v", err)
		return
	}
	if err := mark(file); err != nil {
		c.Fatal(err)
	}
	c.lost()
	c.submit(100)
	c.goesOn()
}

func (c *cell) idleStopped() {
	if runtime.GOOS != "linux" {
		c.Skip("whether a process has stopped is read from /proc")
	}
	c.idle(func(pid int) { c.stop(pid) }) // and is closed while it stands
}

// stagesSection is the part of docs/failures.md that the table makes.
func stagesSection() string {
	var page, notes bytes.Buffer
	page.WriteString(stagesIntro)
	page.WriteString("| stage | failure | inside the process | processes | processes, idempotent task |\n|---|---|---|---|---|\n")
	for _, s := range stages {
		again := s.again
		if again == "" {
			again = s.far
		}
		fmt.Fprintf(&page, "| %s | %s | %s | %s | %s |\n", s.stage, s.what, s.near, s.far, again)
		if s.doc != "" {
			fmt.Fprintf(&notes, "- %s, %s: %s\n", s.stage, s.what, s.doc)
		}
	}
	page.WriteString("\n")
	page.Write(notes.Bytes())
	return page.String()
}

const stagesIntro = `
## At every stage

A call has stages: its argument is encoded, sent and decoded, its task runs, the result is encoded, sent back and decoded. A worker has stages, too: it is started,
initialised, and idle between two tasks. Each row is a failure at one stage; each cell is what the future of the affected call reports, or ` + "`Open`" + `. In a batch and in
a ` + "`Map`" + ` it is what the affected input reports. In every row, no failure is attributed to another task; the pool goes on with all its workers; ` + "`Close`" + ` returns and leaves no process and no
goroutine. An idempotent task whose worker is lost is tried three times in all.
If a worker hangs or is stopped while it decodes the argument, runs the task or encodes the result, the call ends by Cancel, or, if the task has a time limit, with a
` + "`*TimeoutError`" + ` after that limit. In both cases a worker process that does not go on is killed.
` + "`go test ./executor -run TestStages`" + ` provokes every row on every backend, alone, in a batch and in a Map.

`
