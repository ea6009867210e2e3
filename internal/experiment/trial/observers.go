package trial

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// An observer is one thing that evidence trials are watched with, by itself, so
// that its cost can be measured. What it finds is thrown away.
type observer struct {
	results.Observer

	// alone is what the trial does, if neither start nor calls say it.
	alone func(t trial, ctx context.Context) (evidence, error)

	// start starts it in a process of the trial. calls, if it is set, watches
	// the calls in that process.
	start func(o observerOrder) (stop func() error, err error)
	calls func(o observerOrder) *harness.Observer
}

// observers are those whose cost is measured. To add one, add it here.
//
// Heap and goroutine profiles are not among them: the first is what the profile
// of allocations samples, the second is taken when the program is over.
var observers = []observer{
	{Observer: results.Observer{Name: "spans", Doc: "recording spans"}, alone: trial.spansAlone},
	{Observer: results.Observer{Name: "execution", Doc: "an execution trace"}, start: observerOrder.execution, calls: markedCalls},
	{Observer: results.Observer{Name: "cpu", Doc: "a CPU profile"}, start: profileAlone, calls: labelledCalls},
	{Observer: results.Observer{Name: "allocs", Doc: "a profile of allocations"}, start: profileAlone},
	{Observer: results.Observer{Name: "block", Doc: "a block profile"}, start: profileAlone},
	{Observer: results.Observer{Name: "mutex", Doc: "a mutex profile"}, start: profileAlone},
}

// Observers returns those whose cost can be measured.
func Observers() (all []results.Observer) {
	for _, o := range observers {
		all = append(all, o.Observer)
	}
	return all
}

// observerEnv tells a worker process what is to watch it.
const observerEnv = "HARNESS_OBSERVER"

// An observerOrder is what it says.
type observerOrder struct {
	Name    string         `json:"name"`
	Dir     string         `json:"dir"` // for what must be a file
	Workers int            `json:"workers"`
	Labels  profile.Labels `json:"labels"`
}

func findObserver(name string) (observer, error) {
	return spec.Find("observer", observers, name, func(o observer) string { return o.Name })
}

// observed is the evidence of a trial by which the cost of observing is
// measured.
func (t trial) observed(ctx context.Context) (evidence, error) {
	if t.order.Observer == "" {
		return unobserved(), nil
	}
	o, err := findObserver(t.order.Observer)
	if err != nil {
		return evidence{}, err
	}
	if o.alone != nil {
		return o.alone(t, ctx)
	}
	cell := t.order.Cell
	order := observerOrder{
		Name: o.Name, Dir: t.order.Evidence.Execution, Workers: cell.Workers,
		Labels: profile.Labels{Workload: cell.Workload, Backend: cell.Backend},
	}
	env, err := json.Marshal(order)
	if err != nil {
		return evidence{}, err
	}
	if err := os.MkdirAll(order.Dir, 0o777); err != nil {
		return evidence{}, fmt.Errorf("making the folder for what is observed: %w", err)
	}
	stop := func() error { return nil }
	ev := unobserved()
	ev.configure = func(cfg *harness.Config) {
		if o.calls != nil {
			cfg.Observer = o.calls(order)
		}
		cfg.Processes = &harness.ProcessObserver{Spawning: func(int) []string { return []string{observerEnv + "=" + string(env)} }}
	}
	ev.begin = func(context.Context, harness.Executor) (err error) {
		stop, err = o.start(order)
		return err
	}
	ev.collect = func(context.Context, harness.Executor) error { return stop() }
	return ev, nil
}

// observeWorker has a worker process observed from its start to its end.
func observeWorker(hooks *harness.WorkerHooks, env string) error {
	var order observerOrder
	if err := json.Unmarshal([]byte(env), &order); err != nil {
		return err
	}
	o, err := findObserver(order.Name)
	if err != nil {
		return err
	}
	order.Workers = 1
	stop, err := o.start(order)
	if err != nil {
		return err
	}
	if o.calls != nil {
		hooks.Observer = o.calls(order)
	}
	hooks.Exit = func(func(string, []byte) error) error { return stop() }
	return nil
}

// spansAlone records the tasks of a trial, and those of its workers, which send
// their spans when they end.
func (t trial) spansAlone(ctx context.Context) (evidence, error) {
	rec, err := t.recorder(ctx, nil) // what it finds is thrown away
	if err != nil {
		return evidence{}, err
	}
	ev := unobserved()
	ev.configure = func(cfg *harness.Config) { cfg.Observer, cfg.Processes = rec.Observer(), rec.Processes() }
	ev.context = rec.Context
	ev.begin = func(context.Context, harness.Executor) error {
		rec.Begin()
		return nil
	}
	return ev, nil
}

// recorder returns what records the tasks of the trial. w may be nil.
func (t trial) recorder(ctx context.Context, w *trace.Writer) (*trace.Trial, error) {
	cell := t.order.Cell
	return trace.NewTrial(ctx, trace.TrialConfig{
		Identity: trace.Identity{RunID: t.order.RunID, Role: "trial", Version: t.order.Version},
		Epoch:    t.order.Evidence.Epoch, Cell: t.order.Evidence.CellSpan, CellID: cell.ID,
		Workload: cell.Workload, Backend: cell.Backend, Workers: cell.Workers, GOMAXPROCS: runtime.GOMAXPROCS(0),
		Writer: w,
	})
}

func (o observerOrder) execution() (stop func() error, err error) {
	return profile.Execution(filepath.Join(o.Dir, executionFile(os.Getpid())))
}

// markedCalls marks the tasks in the execution trace.
func markedCalls(o observerOrder) *harness.Observer {
	var calls atomic.Uint64
	return profile.MarkTasks(harness.Observer{
		Submit: func(c *harness.Call) { c.Number = calls.Add(1) },
		Start: func(ctx context.Context, c *harness.Call) context.Context {
			if c.Number == 0 { // in a worker process
				c.Number = calls.Add(1)
			}
			return ctx
		},
	}, o.Workers)
}

func profileAlone(o observerOrder) (stop func() error, err error) { return profile.Alone(o.Name) }

// labelledCalls labels the samples of the tasks.
func labelledCalls(o observerOrder) *harness.Observer { return o.Labels.Observer() }
