package harness_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
)

// inject is a workload of which it is known where its time goes: every task
// spends it on one thing, and says how much by its own clocks.
var inject = harness.Workload{
	Name:    "inject",
	Doc:     "spends known amounts of time on known things",
	Params:  &injectParams{Each: 5},
	Tasks:   []executor.AnyTask{spinTask, waitTask, lockTask, channelTask, turnTask, carryTask, gcTask},
	Workers: func(int) int { return 2 },
	Serve:   serveInjected,
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		return &injectSession{each: env.Params.(*injectParams).Each, addr: env.Addr, said: make(map[string][]spent)}, nil
	},
}

type injectParams struct {
	Each int `yaml:"each" doc:"tasks of each kind"`
}

// What the tasks spend, at least.
const (
	spun   = 10 * time.Millisecond
	served = 20 * time.Millisecond
	held   = 5 * time.Millisecond
	// of a value, each way
	encoding = 2 * time.Millisecond
	decoding = 3 * time.Millisecond
	payload  = 1 << 20
)

func spinFor(d time.Duration) {
	for start := harness.Now(); harness.Now().Sub(start) < d; {
	}
}

// spent is what a task says that it spent, in nanoseconds of its own clocks.
type spent map[string]int64

// since adds the time since then to s.
func (s spent) since(what string, then harness.Stamp) { s[what] += int64(harness.Now() - then) }

// measured makes a task that says how long it took in all.
func measured[In any](name string, f func(ctx context.Context, in In, s spent) error) *executor.Task[In, spent] {
	return executor.NewTask(name, func(ctx context.Context, in In) (spent, error) {
		s, began := make(spent), harness.Now()
		err := f(ctx, in, s)
		s.since("all", began)
		return s, err
	})
}

var (
	// spinTask has a thread for itself, so that it knows its processor time.
	spinTask = measured("inject.spin", func(_ context.Context, _ int, s spent) error {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		began, cpu := harness.Now(), profile.ThreadCPU()
		spinFor(spun)
		s["cpu"] = profile.ThreadCPU() - cpu
		s.since("spun", began)
		return nil
	})
	waitTask = measured("inject.wait", func(ctx context.Context, addr string, s spent) error {
		began := harness.Now()
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		defer c.Close()
		s.since("dialled", began)
		asked := harness.Now()
		ready, err := ask(ctx, c, served)
		s.since("late", ready)
		s["served"] = int64(ready - asked)
		return err
	})
	lockTask = measured("inject.lock", func(_ context.Context, _ int, s spent) error {
		var mu sync.Mutex
		var holder sync.WaitGroup
		var freed harness.Stamp
		began, locked := harness.Now(), make(chan struct{})
		holder.Go(func() {
			mu.Lock()
			close(locked)
			<-time.After(held)
			freed = harness.Now()
			mu.Unlock()
		})
		<-locked
		s.since("prepared", began)
		asked := harness.Now()
		waitForTheLock(&mu)
		s.since("until it ran again", asked)
		s["until it was free"] = int64(freed - asked)
		began = harness.Now()
		holder.Wait()
		s.since("prepared", began)
		return nil
	})
	channelTask = measured("inject.channel", func(_ context.Context, _ int, s spent) error {
		began := harness.Now()
		<-time.After(held)
		s.since("waited", began)
		return nil
	})
	// turnTask lets another goroutine run where there is one processor for both.
	turnTask = measured("inject.turn", func(_ context.Context, _ int, s spent) error {
		if runtime.GOMAXPROCS(0) > 1 {
			return nil
		}
		var done atomic.Bool
		go func() { // it ends before the task does
			began := harness.Now()
			spinFor(held)
			s.since("let run", began)
			done.Store(true)
		}()
		for !done.Load() {
			runtime.Gosched()
		}
		return nil
	})
	carryTask = executor.NewTask("inject.carry", func(_ context.Context, in carried) (carried, error) { return in, nil })
	gcTask    = measured("inject.gc", func(_ context.Context, _ int, s spent) error {
		began := harness.Now()
		runtime.GC()
		s.since("collected", began)
		return nil
	})
)

// ask asks the server for an answer after a delay and returns when it was there.
func ask(ctx context.Context, c net.Conn, delay time.Duration) (ready harness.Stamp, err error) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(delay))
	asked := harness.Now()
	if _, err := c.Write(b[:]); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return 0, err
	}
	ready = harness.Stamp(binary.LittleEndian.Uint64(b[:]))
	core.MarkReady(ctx, asked, ready)
	return ready, nil
}

//go:noinline
func waitForTheLock(mu *sync.Mutex) {
	mu.Lock()
	mu.Unlock() //nolint:staticcheck // waiting is what it is for
}

// A carried value knows how long it was encoded and decoded.
type carried struct {
	Encoded, Decoded int64
	Slow             bool // to be encoded and decoded
	Data             []byte
}

func (c *carried) AppendBinary(b []byte) ([]byte, error) {
	began, at := harness.Now(), len(b)
	slow := byte(0)
	if c.Slow {
		slow = 1
		spinFor(encoding)
	}
	b = append(b, make([]byte, 16)...)
	b = append(append(b, slow), c.Data...)
	binary.LittleEndian.PutUint64(b[at+8:], uint64(c.Decoded))
	binary.LittleEndian.PutUint64(b[at:], uint64(c.Encoded+int64(harness.Now()-began)))
	return b, nil
}

func (c *carried) UnmarshalBinary(b []byte) error {
	began := harness.Now()
	if len(b) < 17 {
		return errors.New("too short")
	}
	c.Encoded = int64(binary.LittleEndian.Uint64(b))
	c.Slow, c.Data = b[16] == 1, bytes.Clone(b[17:])
	if c.Slow {
		spinFor(decoding)
	}
	c.Decoded = int64(binary.LittleEndian.Uint64(b[8:])) + int64(harness.Now()-began)
	return nil
}

func serveInjected(ctx context.Context, _ any, ready func(addr string)) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	ready(l.Addr().String())
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return nil // it was closed
		}
		conns.Go(func() {
			defer c.Close()
			var b [8]byte
			for {
				if _, err := io.ReadFull(c, b[:]); err != nil {
					return
				}
				<-time.After(time.Duration(binary.LittleEndian.Uint64(b[:])))
				binary.LittleEndian.PutUint64(b[:], uint64(harness.Now()))
				if _, err := c.Write(b[:]); err != nil {
					return
				}
			}
		})
	}
}

type injectSession struct {
	each int
	addr string
	said map[string][]spent // by task, in order of submission
}

// Run has four tasks under way at a time, on two workers.
func (s *injectSession) Run(ctx context.Context, ex *executor.Executor) error {
	var errs []error
	for range s.each {
		began := harness.Now()
		four := []struct {
			task string
			f    *executor.Future[spent]
		}{
			{"inject.spin", spinTask.Submit(ctx, ex, 0)}, {"inject.wait", waitTask.Submit(ctx, ex, s.addr)},
			{"inject.lock", lockTask.Submit(ctx, ex, 0)}, {"inject.gc", gcTask.Submit(ctx, ex, 0)},
		}
		for _, t := range four {
			errs = append(errs, s.keep(t.task, began)(t.f.Wait(ctx)))
		}
		for task, f := range map[string]func() (spent, error){
			"inject.channel": func() (spent, error) { return channelTask.Submit(ctx, ex, 0).Wait(ctx) },
			"inject.turn":    func() (spent, error) { return turnTask.Submit(ctx, ex, 0).Wait(ctx) },
		} {
			errs = append(errs, s.keep(task, harness.Now())(f()))
		}
		for _, in := range []carried{{Slow: true}, {Data: make([]byte, payload)}} {
			began := harness.Now()
			out, err := carryTask.Submit(ctx, ex, in).Wait(ctx)
			if len(out.Data) != len(in.Data) {
				err = fmt.Errorf("%d bytes came back; want %d", len(out.Data), len(in.Data))
			}
			errs = append(errs, s.keep("inject.carry", began)(spent{"encoded": out.Encoded, "decoded": out.Decoded}, err))
		}
	}
	return errors.Join(errs...)
}

// keep keeps what a task that was submitted after began has said.
func (s *injectSession) keep(task string, began harness.Stamp) func(spent, error) error {
	return func(said spent, err error) error {
		if err == nil {
			said.since("submitted", began)
			s.said[task] = append(s.said[task], said)
		}
		return err
	}
}

func (s *injectSession) Check() (harness.Outcome, error) {
	out := harness.Outcome{Digest: "the same", Tasks: 8 * s.each}
	for _, task := range slices.Sorted(maps.Keys(s.said)) {
		for i, said := range s.said[task] {
			for _, what := range slices.Sorted(maps.Keys(said)) {
				out.Metrics = append(out.Metrics, harness.Metric{Name: fmt.Sprint(task, " ", i, " ", what), Unit: "ns", Value: float64(said[what])})
			}
		}
	}
	return out, nil
}

func (s *injectSession) Close() error { return nil }

// recovers holds the ledgers of a run of inject against what its tasks say.
func recovers(ts *testscript.TestScript, _ bool, args []string) {
	data, err := results.Read(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, l := range data.Ledger {
		tasks, err := results.ReadLedger(ts.MkAbs(args[0]), l.Cell)
		ts.Check(err)
		if len(tasks) == 0 || l.Resolved != l.Tasks {
			ts.Fatalf("%s: %d tasks, %d in an execution trace", l.Cell, l.Tasks, l.Resolved)
		}
		c := recovery{ts: ts, cell: l.Cell, slack: int64(clocks), said: make(map[string]float64), closest: make(map[string]float64)}
		for _, p := range l.Processes {
			c.slack += p.RunQueueNS // between two readings of the clock a thread may lose its processor
		}
		for _, t := range data.Trials {
			if t.Cell != l.Cell || t.Kind != results.Traced {
				continue
			}
			for _, m := range t.Metrics {
				c.said[m.Name] = m.Value
			}
			if l.SpawnNS <= 0 || l.SpawnNS != t.StartNS {
				ts.Fatalf("%s: starting the workers took %d ns; want %d", l.Cell, l.SpawnNS, t.StartNS)
			}
		}
		slices.SortFunc(tasks, func(a, b results.LedgerTask) int { return cmp.Compare(a.Number, b.Number) })
		seen := make(map[string]int)
		forced := make(map[string]int64)
		for i := range tasks {
			t := &tasks[i]
			c.task, c.index = t, seen[t.Task]
			seen[t.Task]++
			if t.Task == "inject.gc" {
				forced[t.Process]++
			}
			c.check()
		}
		for _, p := range l.Processes {
			if p.GCCycles < forced[p.Name] {
				ts.Fatalf("%s: %s had %d collections; its tasks forced %d", l.Cell, p.Name, p.GCCycles, forced[p.Name])
			}
		}
		for what, off := range c.closest {
			if off > 0 {
				ts.Fatalf("%s: %s: no task's is within 2 %% and %v of what it says; the closest misses that by %v", l.Cell, what, clocks, time.Duration(off))
			}
		}
	}
}

// clocks is by how much the clock of the execution trace may differ from that of
// the stamps, and the moments of its events from those of a task's readings.
const clocks = 200 * time.Microsecond

// A recovery holds the tasks of a cell against what they say. On a busy machine
// a task may be stopped anywhere, also between its own reading of a clock and
// the event in the trace. So there are two kinds of checks. The bounds hold for
// each task, because what it measured lies inside of what was traced. That the
// amount is the one that was injected, within the error that the documents
// state, must hold for one task of each kind in each cell.
type recovery struct {
	ts      *testscript.TestScript
	cell    string
	slack   int64 // of the bounds, in nanoseconds
	said    map[string]float64
	task    *results.LedgerTask
	index   int
	closest map[string]float64 // by how much the closest task misses
}

func (c *recovery) says(what string) int64 {
	v, ok := c.said[fmt.Sprint(c.task.Task, " ", c.index, " ", what)]
	if !ok {
		c.fail("it does not say what it %s", what)
	}
	return int64(v)
}

func (c *recovery) fail(format string, args ...any) {
	c.ts.Fatalf("%s: task %d (%s): %s: %+v", c.cell, c.task.Number, c.task.Task, fmt.Sprintf(format, args...), *c.task)
}

// bounds requires low ≤ got ≤ high.
func (c *recovery) bounds(what string, got, low, high int64) {
	if got < low-c.slack || got > high+c.slack {
		c.fail("%s is %v; want %v to %v", what, time.Duration(got), time.Duration(low), time.Duration(high))
	}
}

// close requires that one task's amount is what it says. A task that was stopped
// for so long that nothing was left of its amount does not count.
func (c *recovery) close(what string, got, want int64) {
	what = c.task.Task + ": " + what
	off := math.Abs(float64(got-want)) - 0.02*float64(want) - float64(clocks)
	if want <= 0 {
		off = math.MaxInt64
	}
	if best, ok := c.closest[what]; !ok || off < best {
		c.closest[what] = off
	}
}

func (c *recovery) sum(parts ...results.Part) (ns int64) {
	for _, p := range parts {
		ns += c.task.Parts[p]
	}
	return ns
}

// only requires that the task's function spent its time on these parts alone.
func (c *recovery) only(parts ...results.Part) {
	for p := results.PartRunning; int(p) < len(results.PartInfo); p++ {
		if c.task.Parts[p] != 0 && !slices.Contains(parts, p) {
			c.fail("it spent %v on %s", time.Duration(c.task.Parts[p]), p)
		}
	}
}

// awake are the parts of a task that does not wait for anything of its own.
var awake = []results.Part{results.PartRunning, results.PartRunnable, results.PartGC, results.PartSyscall}

func (c *recovery) check() {
	t, p := c.task, &c.task.Parts
	away := t.Process != "trial"
	if sum := p.Sum() + t.ResidualNS; sum != t.WallNS {
		c.fail("the parts and the residual are %d ns; want %d", sum, t.WallNS)
	}
	c.bounds("the residual", t.ResidualNS, 0, 0)
	c.bounds("the time from submission to result", t.WallNS, 0, c.says("submitted"))
	function := int64(0)
	for part := results.PartRunning; int(part) < len(results.PartInfo); part++ {
		function += p[part]
	}
	crossed := c.sum(results.PartEncode, results.PartTransport, results.PartDecode, results.PartAhead)
	if away == (crossed == 0) {
		c.fail("it ran in %s and took %v to cross a border", t.Process, time.Duration(crossed))
	}
	if t.Task != "inject.carry" {
		c.bounds("the function", function, c.says("all"), t.WallNS)
	}
	running := c.sum(awake...)
	switch t.Task {
	case "inject.spin":
		c.only(awake...)
		c.bounds("running", running, c.says("spun"), function)
		c.close("running", running, c.says("spun"))
		if t.OnCPUNS != nil {
			c.bounds("on a CPU", *t.OnCPUNS, c.says("cpu"), p[results.PartRunning])
			c.close("on a CPU", *t.OnCPUNS, c.says("cpu"))
			if *t.OnCPUNS+*t.OSQueueNS != p[results.PartRunning] {
				c.fail("on a CPU and waiting for one it was for %v; want all of running", time.Duration(*t.OnCPUNS+*t.OSQueueNS))
			}
		} else if c.says("cpu") > 0 {
			c.close("on a CPU", math.MaxInt64, c.says("cpu")) // it had a thread for itself
		}
	case "inject.wait":
		c.bounds("waiting before it asked", c.sum(results.PartIOWait, results.PartChannel, results.PartLock, results.PartSleep, results.PartOther), 0, c.says("dialled"))
		c.bounds("io_service", p[results.PartIOService], c.says("served")-running, c.says("served"))
		c.close("io_service", p[results.PartIOService], c.says("served"))
		c.bounds("io_late", p[results.PartIOLate], c.says("late")-running, c.says("late"))
	case "inject.lock":
		c.only(append(awake, results.PartLock, results.PartChannel)...)
		c.bounds("lock", p[results.PartLock], c.says("until it was free")-running, c.says("until it ran again")+c.says("prepared"))
		c.close("lock", p[results.PartLock], c.says("until it was free"))
		if want := "waitForTheLock"; p[results.PartLock] > c.says("prepared") && !strings.Contains(strings.Join(t.Stack, " "), want) {
			c.fail("it waited for a lock at %q; want %s", t.Stack, want)
		}
	case "inject.channel":
		c.only(append(awake, results.PartChannel)...)
		c.bounds("channel", p[results.PartChannel], c.says("waited")-running, c.says("waited"))
		c.close("channel", p[results.PartChannel], c.says("waited"))
	case "inject.turn":
		c.only(awake...)
		if c.said[fmt.Sprint(t.Task, " ", c.index, " let run")] > 0 {
			c.bounds("runnable", p[results.PartRunnable], c.says("let run")-p[results.PartRunning], function)
			c.close("runnable", p[results.PartRunnable], c.says("let run"))
			c.bounds("its children's running", t.ChildrenNS, c.says("let run")-p[results.PartRunning], function)
		}
	case "inject.gc":
		c.only(append(awake, results.PartLock, results.PartOther)...)
		c.bounds("the collection", function, c.says("collected"), function)
		c.close("the collection", function, c.says("collected"))
		if p[results.PartGC] == 0 {
			c.fail("it forced a collection, and nothing is said to be due to it")
		}
	case "inject.carry":
		c.bounds("encode", p[results.PartEncode], c.says("encoded"), t.WallNS)
		c.bounds("decode", p[results.PartDecode], c.says("decoded"), t.WallNS)
		if away {
			c.close(fmt.Sprint("encode ", c.index%2), p[results.PartEncode], c.says("encoded"))
			c.close(fmt.Sprint("decode ", c.index%2), p[results.PartDecode], c.says("decoded"))
			if p[results.PartTransport] <= 0 {
				c.fail("its way took no time")
			}
		}
	}
}
