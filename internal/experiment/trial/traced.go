package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// traced is the instrumentation of a traced trial: it records every task and writes the
// spans after the program has ended.
type traced struct {
	trial     *trial
	writer    *trace.Writer
	recorder  *trace.Trial
	execution executionOrder
	env       string // execution, for the workers

	before, after map[int]profile.Usage   // by process id, at the begin and the end of the measured part
	points        map[int][]results.Point // by process id
}

func (t *trial) traced(ctx context.Context) (instrumentation, error) {
	cell := t.order.Cell
	w, err := trace.NewWriter(t.order.Evidence.SpansFile)
	if err != nil {
		return nil, err
	}
	rec, err := t.recorder(ctx, w)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	execution := executionOrder{Dir: t.order.Evidence.Execution, Labels: profile.Labels{Workload: cell.Workload, Backend: cell.Backend}}
	if err := os.MkdirAll(execution.Dir, 0o777); err != nil {
		return nil, fmt.Errorf("making the folder for execution traces: %w", err)
	}
	env, err := json.Marshal(execution)
	if err != nil {
		return nil, err
	}
	return &traced{trial: t, writer: w, recorder: rec, execution: execution, env: executionEnv + "=" + string(env)}, nil
}

func (e *traced) configure(cfg *core.Config) {
	cfg.Observer, cfg.Processes = e.execution.observer(e.recorder.Observer(), e.trial.order.Cell.Workers), e.recorder.Processes()
	spawning := cfg.Processes.Spawning
	cfg.Processes.Spawning = func(worker int) []string { return append(spawning(worker), e.env) }
}

// observe reads the accounting right after the program, before the output is checked:
// what the check uses does not count.
func (e *traced) observe(ctx context.Context, p *program) error {
	ctx = e.recorder.Context(ctx)
	own := e.execution.Labels
	own.TraceID, own.SpanID = trace.IDs(ctx)
	own.Set()
	if err := p.warm(ctx); err != nil {
		return err
	}
	stop := doNothing
	err := p.measure(ctx, func() (err error) {
		if e.before, err = processes(ctx, p.ex); err != nil {
			return err
		}
		if stop, err = e.execution.start(); err != nil {
			stop = doNothing
			return err
		}
		e.recorder.Begin()
		return nil
	})
	err = errors.Join(err, stop(), e.end(ctx, p.ex))
	if err != nil {
		return err
	}
	return check(p.session, p.measured)
}

// end reads what each process has used, even if the program has failed.
func (e *traced) end(ctx context.Context, ex core.Executor) (err error) {
	var err2 error
	e.after, err = processes(ctx, ex)
	e.points, err2 = runtimes(ctx, ex)
	return errors.Join(err, err2)
}

func (e *traced) finish(ctx context.Context, reply *Reply, failure error) (err error) {
	m, rec, cell := &reply.Measured, e.recorder, e.trial.order.Cell
	defer func() { err = errors.Join(err, e.writer.Close()) }()
	counts, err := rec.Export(ctx, m.WallNS, m.CPUNS(), failure)
	total := counts.Total()
	m.TraceID, m.SpansExpected, m.SpansExported = rec.TraceID(), total.Expected, total.Exported
	all := e.trial.exited.complete(e.before, e.after, rec.Began(), rec.Exits())
	runtime := make(map[string][]results.Point)
	for i := range all {
		p := &all[i]
		n := counts[p.Name]
		p.SpansExpected, p.SpansExported = n.Expected, n.Exported
		if points := e.points[p.PID]; points != nil {
			runtime[p.Name] = points
		}
	}
	reply.Timeline = &results.Timeline{
		Cell: cell.ID, TraceID: rec.TraceID(), WallNS: m.WallNS, Workers: cell.Workers,
		Tasks: rec.Tasks(maxLaneTasks), BeganNS: int64(rec.Began()), Processes: all, Runtime: runtime,
	}
	if n := rec.Submitted(); n > maxLaneTasks {
		reply.Timeline.Submitted = n
	}
	return errors.Join(err, counts.Err())
}

// observeWorker makes a worker process write an execution trace and a CPU profile from
// its start to its end, and mark its tasks in both.
func (o executionOrder) observeWorker(w *worker) error {
	stop, err := o.start()
	if err != nil {
		return err
	}
	if w.hooks.Observer != nil {
		w.hooks.Observer = o.observer(w.hooks.Observer, 1)
	}
	w.atExit(stop)
	return nil
}

// start starts the execution trace and the CPU profile of this process.
func (o executionOrder) start() (stop func() error, err error) {
	stopTrace, err := profile.Execution(filepath.Join(o.Dir, executionFile(os.Getpid())))
	if err != nil {
		return nil, err
	}
	stopCPU, err := profile.CPU(filepath.Join(o.Dir, CPUFile(os.Getpid())))
	if err != nil {
		return nil, errors.Join(err, stopTrace())
	}
	return func() error { return errors.Join(stopCPU(), stopTrace()) }, nil
}

// observer marks the tasks of obs in the execution trace and the CPU profile.
func (o executionOrder) observer(obs *core.Observer, workers int) *core.Observer {
	return profile.MarkTasks(*o.Labels.LabelTasks(*obs, trace.IDs), workers)
}

// maxLaneTasks bounds the tasks that the lanes of a trial, and so its ledger, contain.
// There are spans for all tasks. Lanes are bounded because several processes hold them
// in memory, and people read them.
const maxLaneTasks = results.MaxTasks

// processes reads what each process of a trial has used so far, by process id.
func processes(ctx context.Context, ex core.Executor) (map[int]profile.Usage, error) {
	u, err := profile.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("reading the accounting: %w", err)
	}
	all := map[int]profile.Usage{os.Getpid(): u}
	replies, err := control(ctx, ex, requestAll)
	if err != nil {
		return nil, err
	}
	for _, r := range replies {
		var u profile.Usage
		if err := json.Unmarshal(r.Payload, &u); err != nil {
			return nil, fmt.Errorf("accounting of worker %d: %w", r.Worker, err)
		}
		all[r.PID] = u
	}
	return all, nil
}

// trialName is the name, in the records, of the process that submits the tasks.
const trialName = "trial"

// runtimes reads the metrics of the Go runtime in each process of a trial, by process id.
func runtimes(ctx context.Context, ex core.Executor) (map[int][]results.Point, error) {
	own, err := trace.Runtime()
	if err != nil {
		return nil, err
	}
	all := map[int][]results.Point{os.Getpid(): own}
	replies, err := control(ctx, ex, requestRuntime)
	if err != nil {
		return nil, err
	}
	for _, r := range replies {
		var points []results.Point
		if err := json.Unmarshal(r.Payload, &points); err != nil {
			return nil, fmt.Errorf("runtime of worker %d: %w", r.Worker, err)
		}
		all[r.PID] = points
	}
	return all, nil
}

// processOf returns the record of a process that has used u in the measured part.
func processOf(name string, pid int, u profile.Usage) results.Process {
	return results.Process{
		Name: name, PID: pid, CPUNS: u.CPUNS(), RunQueueNS: u.RunQueueNS, GCCycles: u.GCCycles,
		Switches: u.InvoluntarySwitches, Execution: executionFile(pid),
		SystemNS: new(u.SystemNS), VoluntarySwitches: new(u.VoluntarySwitches),
	}
}
