package harness_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/results"
)

// inject is a workload of which it is known where its time goes: every task
// spends it on one thing, and says how much by its own clock.
var inject = harness.Workload{
	Name:    "inject",
	Doc:     "spends known amounts of time on known things",
	Params:  &injectParams{Each: 3},
	Tasks:   []harness.AnyTask{spinTask, waitTask, lockTask, codecTask, payloadTask, gcTask},
	Workers: func(int) int { return 2 },
	Serve:   serveInjected,
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		return &injectSession{each: env.Params.(*injectParams).Each, addr: env.Addr, spent: make(map[string][]int64)}, nil
	},
}

type injectParams struct {
	Each int `yaml:"each" doc:"tasks of each kind"`
}

// What the tasks spend.
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

var (
	spinTask = harness.NewTask("inject.spin", func(context.Context, int) (int64, error) {
		return timed(func() error { spinFor(spun); return nil })
	})
	// waitTask returns the time until the server had answered.
	waitTask = harness.NewTask("inject.wait", func(ctx context.Context, addr string) (int64, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		var b [8]byte
		asked := harness.Now()
		if _, err := c.Write(b[:]); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return 0, err
		}
		ready := harness.Stamp(binary.LittleEndian.Uint64(b[:]))
		harness.Served(ctx, asked, ready)
		return int64(ready - asked), nil
	})
	lockTask = harness.NewTask("inject.lock", func(context.Context, int) (int64, error) {
		var mu sync.Mutex
		var holder sync.WaitGroup
		locked := make(chan struct{})
		holder.Go(func() {
			mu.Lock()
			defer mu.Unlock()
			close(locked)
			<-time.After(held)
		})
		<-locked
		defer holder.Wait()
		return timed(func() error { waitForTheLock(&mu); return nil })
	})
	codecTask   = harness.NewTask("inject.codec", func(_ context.Context, in slowBytes) (slowBytes, error) { return in, nil })
	payloadTask = harness.NewTask("inject.payload", func(_ context.Context, in []byte) ([]byte, error) { return in, nil })
	gcTask      = harness.NewTask("inject.gc", func(context.Context, int) (int64, error) {
		return timed(func() error { runtime.GC(); return nil })
	})
)

//go:noinline
func waitForTheLock(mu *sync.Mutex) {
	mu.Lock()
	mu.Unlock() //nolint:staticcheck // waiting is what it is for
}

func timed(f func() error) (int64, error) {
	start := harness.Now()
	err := f()
	return int64(harness.Now() - start), err
}

// slowBytes take a known time to be encoded and decoded.
type slowBytes []byte

func (s *slowBytes) AppendBinary(b []byte) ([]byte, error) {
	spinFor(encoding)
	return append(b, *s...), nil
}

func (s *slowBytes) UnmarshalBinary(b []byte) error {
	spinFor(decoding)
	*s = bytes.Clone(b)
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
			if _, err := io.ReadFull(c, b[:]); err != nil {
				return
			}
			<-time.After(served)
			binary.LittleEndian.PutUint64(b[:], uint64(harness.Now()))
			_, _ = c.Write(b[:])
		})
	}
}

type injectSession struct {
	each  int
	addr  string
	spent map[string][]int64 // by task, in order of submission
}

func (s *injectSession) Run(ctx context.Context, ex harness.Executor) error {
	var errs []error
	for range s.each {
		for name, f := range map[string]*harness.Future[int64]{
			"spin": spinTask.Submit(ctx, ex, 0), "wait": waitTask.Submit(ctx, ex, s.addr),
			"lock": lockTask.Submit(ctx, ex, 0), "gc": gcTask.Submit(ctx, ex, 0),
		} {
			v, err := f.Wait(ctx)
			s.spent[name], errs = append(s.spent[name], v), append(errs, err)
		}
		_, err := codecTask.Submit(ctx, ex, slowBytes("small")).Wait(ctx)
		errs = append(errs, err)
		_, err = payloadTask.Submit(ctx, ex, make([]byte, payload)).Wait(ctx)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *injectSession) Check() (harness.Outcome, error) {
	out := harness.Outcome{Digest: "the same", Tasks: 6 * s.each}
	for name, all := range s.spent {
		for i, ns := range all {
			out.Metrics = append(out.Metrics, harness.Metric{Name: fmt.Sprint(name, "_", i), Unit: "ns", Value: float64(ns)})
		}
	}
	return out, nil
}

func (s *injectSession) Close() error { return nil }

// recovers holds the ledgers of a run of inject against what its tasks say:
// recovers DIR
func recovers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: recovers DIR")
	}
	data, err := results.Read(ts.MkAbs(args[0]))
	ts.Check(err)
	said := make(map[string]float64) // "cell name_i"
	for _, t := range data.Trials {
		for _, m := range t.Metrics {
			if t.Kind == results.Traced {
				said[t.Cell+" "+m.Name] = m.Value
			}
		}
	}
	for _, l := range data.Ledger {
		tasks, err := results.ReadLedger(ts.MkAbs(args[0]), l.Cell)
		ts.Check(err)
		if len(tasks) == 0 || l.Resolved != l.Tasks {
			ts.Fatalf("%s: %d tasks, %d in an execution trace", l.Cell, l.Tasks, l.Resolved)
		}
		seen := make(map[string]int)
		least := int64(math.MaxInt64)
		for _, t := range tasks {
			if t.Task != "inject.payload" {
				least = min(least, crossing(&t))
			}
		}
		for _, t := range tasks {
			i := seen[t.Task]
			seen[t.Task]++
			disturbed := int64(0)
			for _, p := range l.Processes {
				if p.Name == t.Process || p.Name == "trial" {
					disturbed += p.RunQueueNS
				}
			}
			recovered(ts, l.Cell, &t, least, disturbed, func(name string) float64 { return said[fmt.Sprint(l.Cell, " ", name, "_", i)] })
		}
	}
}

// recovered allows for errors of 2 % and 200 µs: a task's own readings of the
// clock and the events of the trace are not at the same moments. Another program
// may take the processor in between, for as long as the process says it waited.
func recovered(ts *testscript.TestScript, cell string, t *results.LedgerTask, least, disturbed int64, said func(name string) float64) {
	check := func(what string, got int64, want float64) {
		if want == 0 || math.Abs(float64(got)-want) > 0.02*want+200e3+float64(disturbed) {
			ts.Fatalf("%s: task %d (%s): %s is %v; want %v: %+v", cell, t.Number, t.Task, what, time.Duration(got), time.Duration(want), t)
		}
	}
	p := &t.Parts
	away := t.Process != "trial"
	if !away && crossing(t) != 0 {
		ts.Fatalf("%s: task %d stayed in its process and crossed a border: %+v", cell, t.Number, t)
	}
	if sum := p.Sum() + t.ResidualNS; sum != t.WallNS {
		ts.Fatalf("%s: task %d: parts and residual are %d ns; want %d", cell, t.Number, sum, t.WallNS)
	}
	if r := math.Abs(float64(t.ResidualNS)); r > 0.02*float64(t.WallNS)+200e3+float64(disturbed) {
		ts.Fatalf("%s: task %d: %v of %v is unexplained", cell, t.Number, time.Duration(t.ResidualNS), time.Duration(t.WallNS))
	}
	switch t.Task {
	case "inject.spin":
		check("running and runnable", p[results.PartRunning]+p[results.PartRunnable]+p[results.PartGC], said("spin"))
	case "inject.wait":
		check("io_service", p[results.PartIOService], said("wait"))
	case "inject.lock":
		// Once the lock is free the task may have to wait for a processor.
		check("lock and what follows it", p[results.PartLock]+p[results.PartRunnable]+p[results.PartGC], said("lock"))
		if want := "waitForTheLock"; p[results.PartLock] > 0 && !strings.Contains(strings.Join(t.Stack, " "), want) {
			ts.Fatalf("%s: task %d waited for a lock at %q; want %s", cell, t.Number, t.Stack, want)
		}
	case "inject.gc":
		check("the collection", p[results.PartGC]+p[results.PartRunning]+p[results.PartRunnable]+p[results.PartLock]+p[results.PartOther], said("gc"))
		if p[results.PartGC] == 0 {
			ts.Fatalf("%s: task %d forced a collection, and nothing is said to be due to it: %+v", cell, t.Number, t)
		}
	case "inject.codec":
		if away {
			check("encode", p[results.PartEncode], 2*float64(encoding))
			check("decode", p[results.PartDecode], 2*float64(decoding))
		}
	case "inject.payload":
		if away && crossing(t) <= least {
			ts.Fatalf("%s: task %d carried a mebibyte there and back in %v; another one carried nothing in %v", cell, t.Number, time.Duration(crossing(t)), time.Duration(least))
		}
	}
}

func crossing(t *results.LedgerTask) int64 {
	return t.Parts[results.PartEncode] + t.Parts[results.PartTransport] + t.Parts[results.PartDecode]
}
