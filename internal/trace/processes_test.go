package trace_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/otel"

	"github.com/f3f4c0de/harness/internal/backends/ipc"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/trace"
)

// TestMain lets the test program start itself as a traced worker process.
func TestMain(m *testing.M) {
	ipc.EntryPoint([]core.AnyTask{sayTask}, func() (core.WorkerHooks, error) { return trace.WorkerHooks(context.Background()) })
	if os.Getenv("GORACE") == "" {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // children end at once
	}
	os.Exit(m.Run())
}

// sayTask does what it is told, in a span of its own.
var sayTask = core.NewTask("say", func(ctx context.Context, what string) (string, error) {
	_, span := otel.Tracer("test").Start(ctx, "inside")
	defer span.End()
	switch what {
	case "fail":
		return "", errors.New("deliberate")
	case "panic":
		panic("deliberate")
	case "die":
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return "", err
		}
		select {}
	}
	return what, nil
})

// A traced executor has worker processes, and its trial counts their spans.
type traced struct {
	*testing.T
	core.Manager
	rec *trace.Trial
	w   *trace.Writer
	dir string
}

func open(t *testing.T, cfg core.Config) *traced {
	t.Helper()
	o := &traced{T: t, dir: t.TempDir()}
	var err error
	if o.w, err = trace.NewWriter(filepath.Join(o.dir, "traces.jsonl")); err != nil {
		t.Fatal(err)
	}
	o.rec, err = trace.NewTrial(t.Context(), trace.TrialConfig{
		Writer: o.w, Identity: trace.Identity{RunID: "run", Role: "trial", Version: "v"}, Epoch: trace.NewEpoch(),
		CellID: "w-processes-w2", Workload: "w", Backend: "processes", Workers: cfg.Workers, GOMAXPROCS: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Tasks, cfg.Observer, cfg.Processes = []core.AnyTask{sayTask}, o.rec.Observer(), o.rec.Processes()
	ex, err := ipc.Processes.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	o.Manager = ex.(core.Manager)
	o.rec.Begin()
	return o
}

// say has n tasks do something and returns how many of them failed.
func (o *traced) say(n int, what string) (failed int) {
	o.Helper()
	ctx := o.rec.Context(o.Context())
	var futures []*core.Future[string]
	for range n {
		futures = append(futures, sayTask.Submit(ctx, o, what))
	}
	for _, f := range futures {
		if _, err := f.Wait(ctx); err != nil {
			failed++
		}
	}
	return failed
}

// until waits for what the executor does by itself.
func (o *traced) until(what string, done func() bool) {
	o.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !done(); <-tick.C {
		if time.Now().After(deadline) {
			o.Fatalf("waited for half a minute for %s", what)
		}
	}
}

// export closes the executor and returns what was counted, and how many spans of
// each name there are.
func (o *traced) export() (trace.Counts, map[string]int) {
	o.Helper()
	closed := o.Close() // of a worker that was lost it tells
	counts, err := o.rec.Export(o.Context(), 1000, 500, closed)
	if err := errors.Join(err, o.w.Close()); err != nil {
		o.Fatal(err)
	}
	f, err := os.Open(filepath.Join(o.dir, "traces.jsonl"))
	if err != nil {
		o.Fatal(err)
	}
	defer f.Close()
	names, seen := make(map[string]int), make(map[string]bool)
	for batch, err := range trace.ReadLines(f) {
		if err != nil {
			o.Fatal(err)
		}
		for _, rs := range batch.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					seen[s.SpanID().String()] = true
					name, _, _ := strings.Cut(s.Name(), " ")
					names[name]++
				}
			}
		}
	}
	if total := counts.Total().Exported; total != len(seen) {
		o.Errorf("%d spans are said to be written; the file has %d", total, len(seen))
	}
	return counts, names
}

// If a worker process exits with code 0, none of its spans is lost: its own, those of the tasks
// that it ran, and those that these tasks started.
func TestWorkersThatAreReplacedLoseNoSpan(t *testing.T) {
	tests := []struct {
		name      string
		cfg       core.Config
		run       func(o *traced) (tasks int)
		processes int // at least
	}{
		{"after so many tasks", core.Config{Workers: 2, MaxTasksPerWorker: 3}, func(o *traced) int {
			o.say(20, "hello")
			return 20
		}, 7},
		{"for having nothing to do", core.Config{Workers: 2, IdleTimeout: time.Millisecond}, func(o *traced) int {
			for range 3 {
				o.say(2, "hello")
				o.until("the workers to end", func() bool { return o.Stats().Alive == 0 })
			}
			return 6
		}, 4},
		{"for being too many", core.Config{Workers: 3}, func(o *traced) int {
			tasks := 0
			say := func() {
				o.say(9, "hello")
				tasks += 9
			}
			for _, n := range []int{1, 4, 2, 3} {
				say()
				if err := o.Resize(n); err != nil {
					o.Error(err)
				}
				o.until("the workers to end", func() bool { return o.Stats().Alive <= n })
			}
			if err := o.Manager.(core.Warmer).Warm(o.Context()); err != nil { // those there are might have taken all
				o.Error(err)
			}
			say()
			return tasks
		}, 4},
		{"when tasks fail", core.Config{Workers: 2, MaxTasksPerWorker: 2}, func(o *traced) int {
			if failed := o.say(4, "fail") + o.say(4, "panic"); failed != 8 {
				o.Errorf("%d tasks failed; want 8", failed)
			}
			return 8
		}, 4},
		{"when it is stopped", core.Config{Workers: 2}, func(o *traced) int {
			o.say(5, "hello")
			o.Stop(errors.New("interrupted"))
			return 5
		}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := open(t, tt.cfg)
			tasks := tt.run(o)
			counts, names := o.export()
			if err := counts.Err(); err != nil {
				t.Error(err)
			}
			exits := o.rec.Exits()
			if len(exits) < tt.processes {
				t.Errorf("there were %d worker processes; want at least %d", len(exits), tt.processes)
			}
			for _, e := range exits {
				if n := counts[e.Name]; n.Exported == 0 {
					t.Errorf("%s (pid %d) has %+v spans; want its own at least", e.Name, e.PID, n)
				}
			}
			if len(counts) != 1+len(exits) {
				t.Errorf("spans are counted of %d processes; there were %d workers and the trial", len(counts), len(exits))
			}
			traces := 1 + (tasks-1)/1000 // a larger trial has several
			want := map[string]int{"trial": traces, "spawn": len(exits), "worker": len(exits), "task": tasks, "run": tasks, "inside": tasks}
			for name, n := range want {
				if names[name] != n {
					t.Errorf("there are %d spans %s; want %d", names[name], name, n)
				}
			}
		})
	}
}

// What a killed worker had recorded is lost. The error says how many spans, and why. The
// process that replaces it, and the others, lose nothing.
func TestWhatAKilledWorkerLosesIsCounted(t *testing.T) {
	o := open(t, core.Config{Workers: 1})
	o.say(3, "hello")
	if failed := o.say(1, "die"); failed != 1 {
		t.Fatal("the worker survived")
	}
	o.say(2, "hello")
	counts, names := o.export()
	const lost = 1 + 3 // the worker's own, and those of the tasks that were done
	each := 2          // of a task, here
	if core.StampsCompare {
		each = 4
	}
	here := 1 + 2 + 5*each + 2 // with two processes; of the task that died, itself and its queue
	want := trace.Counts{
		"trial":      {Expected: here, Exported: here},
		"worker-0":   {Expected: lost, Lost: "signal: killed"},
		"worker-0.2": {Expected: 1 + 2 + 2, Exported: 1 + 2 + 2},
	}
	for name, n := range want {
		if counts[name] != n {
			t.Errorf("%s has %+v; want %+v", name, counts[name], n)
		}
	}
	says := fmt.Sprintf("%d spans of worker-0 were expected and 0 were exported: it ended with signal: killed", lost)
	if err := counts.Err(); err == nil || !strings.HasPrefix(err.Error(), says) {
		t.Errorf("Err() = %v; want %s", err, says)
	}
	if names["run"] != 2 || names["task"] != 6 {
		t.Errorf("there are %v; want the six tasks, and the runs of the two that its successor ran", names)
	}
}
