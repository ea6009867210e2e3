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

// A measuredObserver is one observer of those that evidence trials use together. Here
// it runs alone, so that its cost can be measured. What it records is discarded.
type measuredObserver struct {
	results.ObserverInfo

	// alone makes the trial's instrumentation, for an observer that cannot be described
	// by start and calls.
	alone func(t *trial, ctx context.Context) (instrumentation, error)

	// start starts the observer in one process of the trial. calls, if it is set,
	// returns an observer of the calls in that process.
	start func(o observerOrder) (stop func() error, err error)
	calls func(o observerOrder) *core.Observer
}

// measuredObservers are those whose cost is measured. To add one, add an entry.
//
// Heap and goroutine profiles are not among them: the heap profile has the samples of
// the profile of allocations, and the goroutine profile is taken after the program.
var measuredObservers = []measuredObserver{
	{ObserverInfo: results.ObserverInfo{Name: "spans", Doc: "recording spans"}, alone: (*trial).spansAlone},
	{ObserverInfo: results.ObserverInfo{Name: "execution", Doc: "an execution trace"}, start: observerOrder.execution, calls: markedCalls},
	{ObserverInfo: results.ObserverInfo{Name: "cpu", Doc: "a CPU profile"}, start: profileAlone, calls: labelledCalls},
	{ObserverInfo: results.ObserverInfo{Name: "allocs", Doc: "a profile of allocations"}, start: profileAlone},
	{ObserverInfo: results.ObserverInfo{Name: "block", Doc: "a block profile"}, start: profileAlone},
	{ObserverInfo: results.ObserverInfo{Name: "mutex", Doc: "a mutex profile"}, start: profileAlone},
}

// Observers returns the observers whose cost can be measured.
func Observers() (all []results.ObserverInfo) {
	for _, o := range measuredObservers {
		all = append(all, o.ObserverInfo)
	}
	return all
}

func findObserver(name string) (measuredObserver, error) {
	return spec.Find("observer", measuredObservers, name, func(o measuredObserver) string { return o.Name })
}

// observed returns the instrumentation of a trial that measures what an observer costs.
func (t *trial) observed(ctx context.Context) (instrumentation, error) {
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
		return nil, fmt.Errorf("making the folder for the observer: %w", err)
	}
	return observed{observer: o, order: order, env: observerEnv + "=" + string(env)}, nil
}

// observed runs a timed trial with one observer.
type observed struct {
	plain
	observer measuredObserver
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
	stop := doNothing
	err := p.run(ctx, func() error {
		started, err := e.observer.start(e.order)
		if err == nil {
			stop = started
		}
		return err
	})
	return errors.Join(err, stop())
}

// observeWorker starts the observer in a worker process, until that exits.
func (o observerOrder) observeWorker(w *worker) error {
	found, err := findObserver(o.Name)
	if err != nil {
		return err
	}
	o.Workers = 1
	stop, err := found.start(o)
	if err != nil {
		return err
	}
	if found.calls != nil {
		w.hooks.Observer = found.calls(o)
	}
	w.atExit(stop)
	return nil
}

// spansAlone runs a timed trial in which spans are recorded in all processes. Worker
// processes send theirs when they exit.
type spansAlone struct {
	plain
	recorder *trace.Trial
}

func (t *trial) spansAlone(ctx context.Context) (instrumentation, error) {
	rec, err := t.recorder(ctx, nil) // without a writer the spans are discarded
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

// recorder returns the recorder of the trial's spans, which writes them to w unless w is nil.
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

func profileAlone(o observerOrder) (stop func() error, err error) {
	return profile.StartDiscarded(o.Name)
}

// labelledCalls labels the samples of the tasks.
func labelledCalls(o observerOrder) *core.Observer { return o.Labels.Observer() }
