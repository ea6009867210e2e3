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

// traced records every task and writes the spans when the trial is over.
type traced struct {
	trial     *trial
	writer    *trace.Writer
	recorder  *trace.Trial
	execution executionOrder
	env       string // execution, for the workers

	before, after []results.Process
	points        map[int][]results.Point // by process id
}

func (t *trial) traced(ctx context.Context) (evidence, error) {
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

// observe does not count what the trial does when the program is over.
func (e *traced) observe(ctx context.Context, p *program) error {
	ctx = e.recorder.Context(ctx)
	own := e.execution.Labels
	own.TraceID, own.SpanID = trace.IDs(ctx)
	own.Set()
	if err := p.warm(ctx); err != nil {
		return err
	}
	stop := nothing
	err := p.measure(ctx, func() (err error) {
		if e.before, err = processes(ctx, p.ex); err != nil {
			return err
		}
		if stop, err = e.execution.start(); err != nil {
			stop = nothing
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

// end notes what each process has used, also if the program has failed.
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
	used := e.trial.ends.complete(e.before, e.after, rec.Began(), rec.Exits())
	runtime := make(map[string][]results.Point)
	for i := range used {
		n := counts[used[i].Name]
		used[i].SpansExpected, used[i].SpansExported = n.Expected, n.Exported
		if p := e.points[used[i].PID]; p != nil {
			runtime[used[i].Name] = p
		}
	}
	reply.Timeline = &results.Timeline{
		Cell: cell.ID, TraceID: rec.TraceID(), WallNS: m.WallNS, Workers: cell.Workers,
		Tasks: rec.Tasks(maxLaneTasks), BeganNS: int64(rec.Began()), Processes: used, Runtime: runtime,
	}
	if n := rec.Submitted(); n > maxLaneTasks {
		reply.Timeline.Submitted = n
	}
	return errors.Join(err, counts.Err())
}

// observeWorker has a worker process write an execution trace and a CPU profile,
// from its start to its end, and mark its tasks in both.
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

// maxLaneTasks is of how many tasks of a trial the lanes, and so the ledger, tell.
// Spans are made of all; these are held in memory, by several processes, and
// read by people.
const maxLaneTasks = results.MaxTasks

// processes reads what each process of a trial has used so far.
func processes(ctx context.Context, ex core.Executor) ([]results.Process, error) {
	u, err := profile.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("reading the accounting: %w", err)
	}
	all := []results.Process{processOf(trialName, os.Getpid(), u)}
	replies, err := control(ctx, ex, requestAll)
	if err != nil {
		return nil, err
	}
	for _, r := range replies {
		if err := json.Unmarshal(r.Payload, &u); err != nil {
			return nil, fmt.Errorf("accounting of worker %d: %w", r.Worker, err)
		}
		all = append(all, processOf(trace.WorkerName(r.Worker, 0), r.PID, u))
	}
	return all, nil
}

// trialName names the process that submits in the records.
const trialName = "trial"

// runtimes asks the Go runtime of each process of a trial about itself.
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

func processOf(name string, pid int, u profile.Usage) results.Process {
	return results.Process{
		Name: name, PID: pid, CPUNS: u.CPUNS(), RunQueueNS: u.RunQueueNS, GCCycles: u.GCCycles,
		Switches: u.InvoluntarySwitches, Execution: executionFile(pid),
		SystemNS: new(u.SystemNS), VoluntarySwitches: new(u.VoluntarySwitches),
	}
}

// usedBy is what each process of after has used since before, or since its
// start if it was not there then.
func usedBy(after, before []results.Process) []results.Process {
	for i := range after {
		p := &after[i]
		for _, b := range before {
			if b.PID == p.PID {
				p.CPUNS -= b.CPUNS
				p.RunQueueNS -= b.RunQueueNS
				p.GCCycles -= b.GCCycles
				p.Switches -= b.Switches
				*p.SystemNS -= *b.SystemNS
				*p.VoluntarySwitches -= *b.VoluntarySwitches
			}
		}
	}
	return after
}
