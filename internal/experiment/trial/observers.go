package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// An observer is one thing that evidence trials are watched with, by itself, so
// that its cost can be measured. What it finds is thrown away.
type observer struct {
	results.ObserverInfo

	// alone is how the trial runs, if neither start nor calls say it.
	alone func(t *trial, ctx context.Context) (evidence, error)

	// start starts it in a process of the trial. calls, if it is set, watches
	// the calls in that process.
	start func(o observerOrder) (stop func() error, err error)
	calls func(o observerOrder) *core.Observer
}

// observers are those whose cost is measured. To add one, add it here.
//
// Heap and goroutine profiles are not among them: the first is what the profile
// of allocations samples, the second is taken when the program is over.
var observers = []observer{
	{ObserverInfo: results.ObserverInfo{Name: "spans", Doc: "recording spans"}, alone: (*trial).spansAlone},
	{ObserverInfo: results.ObserverInfo{Name: "execution", Doc: "an execution trace"}, start: observerOrder.execution, calls: markedCalls},
	{ObserverInfo: results.ObserverInfo{Name: "cpu", Doc: "a CPU profile"}, start: profileAlone, calls: labelledCalls},
	{ObserverInfo: results.ObserverInfo{Name: "allocs", Doc: "a profile of allocations"}, start: profileAlone},
	{ObserverInfo: results.ObserverInfo{Name: "block", Doc: "a block profile"}, start: profileAlone},
	{ObserverInfo: results.ObserverInfo{Name: "mutex", Doc: "a mutex profile"}, start: profileAlone},
}

// Observers returns those whose cost can be measured.
func Observers() (all []results.ObserverInfo) {
	for _, o := range observers {
		all = append(all, o.ObserverInfo)
	}
	return all
}

func findObserver(name string) (observer, error) {
	return spec.Find("observer", observers, name, func(o observer) string { return o.Name })
}

// observed returns the evidence of a trial by which the cost of observing is
// measured.
func (t *trial) observed(ctx context.Context) (evidence, error) {
	if t.order.Observer == "" {
		return plain{}, nil
	}
	o, err := findObserver(t.order.Observer)
	if err != nil {
		return nil, err
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
		return nil, err
	}
	if err := os.MkdirAll(order.Dir, 0o777); err != nil {
		return nil, fmt.Errorf("making the folder for what is observed: %w", err)
	}
	return observed{observer: o, order: order, env: observerEnv + "=" + string(env)}, nil
}

// observed is a timed trial that one observer watches.
type observed struct {
	plain
	observer observer
	order    observerOrder
	env      string // order, for the workers
}

func (e observed) configure(cfg *core.Config) {
	if e.observer.calls != nil {
		cfg.Observer = e.observer.calls(e.order)
	}
	cfg.Processes = &core.ProcessObserver{Spawning: func(int) []string { return []string{e.env} }}
}

func (e observed) observe(ctx context.Context, p *program) error {
	stop := nothing
	err := p.run(ctx, func() error {
		started, err := e.observer.start(e.order)
		if err == nil {
			stop = started
		}
		return err
	})
	return errors.Join(err, stop())
}

// observeWorker has a worker process observed from its start to its end.
func (o observerOrder) observeWorker(w *worker) error {
	watcher, err := findObserver(o.Name)
	if err != nil {
		return err
	}
	o.Workers = 1
	stop, err := watcher.start(o)
	if err != nil {
		return err
	}
	if watcher.calls != nil {
		w.hooks.Observer = watcher.calls(o)
	}
	w.atExit(stop)
	return nil
}

// spansAlone is a timed trial that records its tasks, and those of its workers,
// which send their spans when they end.
type spansAlone struct {
	plain
	recorder *trace.Trial
}

func (t *trial) spansAlone(ctx context.Context) (evidence, error) {
	rec, err := t.recorder(ctx, nil) // what it finds is thrown away
	return spansAlone{recorder: rec}, err
}

func (e spansAlone) configure(cfg *core.Config) {
	cfg.Observer, cfg.Processes = e.recorder.Observer(), e.recorder.Processes()
}

func (e spansAlone) observe(ctx context.Context, p *program) error {
	return p.run(e.recorder.Context(ctx), func() error {
		e.recorder.Begin()
		return nil
	})
}

// recorder returns what records the tasks of the trial. w may be nil.
func (t *trial) recorder(ctx context.Context, w *trace.Writer) (*trace.Trial, error) {
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
func markedCalls(o observerOrder) *core.Observer {
	var calls atomic.Uint64
	return profile.MarkTasks(core.Observer{
		Submit: func(c *core.Call) { c.Number = calls.Add(1) },
		Start: func(ctx context.Context, c *core.Call) context.Context {
			if c.Number == 0 { // in a worker process
				c.Number = calls.Add(1)
			}
			return ctx
		},
	}, o.Workers)
}

func profileAlone(o observerOrder) (stop func() error, err error) { return profile.Alone(o.Name) }

// labelledCalls labels the samples of the tasks.
func labelledCalls(o observerOrder) *core.Observer { return o.Labels.Observer() }
