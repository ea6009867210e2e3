package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// An evidenceOrder is what a trial that is observed is told in addition.
type evidenceOrder struct {
	Epoch     trace.Epoch   `json:"epoch,omitempty"`
	CellSpan  string        `json:"cell_span,omitempty"`  // traceparent
	SpansFile string        `json:"spans_file,omitempty"` // to be written
	Execution string        `json:"execution,omitempty"`  // folder for execution traces, to be made
	Profiles  string        `json:"profiles,omitempty"`   // folder to be written
	ProfileNS time.Duration `json:"profile_ns,omitempty"`
}

// What a worker process can be asked for.
const (
	requestUsage        = "usage"
	requestAll          = "usage.all" // with the waiting for processors
	requestRuntime      = "runtime"
	requestProfileStart = "profile.start"
	requestProfileStop  = "profile.stop"
)

// executionEnv tells a worker process of a traced trial how to observe itself.
const executionEnv = "HARNESS_EXECUTION"

// An executionOrder is what it says.
type executionOrder struct {
	Dir    string         `json:"dir"` // for the execution trace and the CPU profile
	Labels profile.Labels `json:"labels"`
}

// WorkerHooks returns the hooks with which a worker process takes part in a
// trial. It is called once, when the process starts.
func WorkerHooks(ctx context.Context) (harness.WorkerHooks, error) {
	hooks, err := trace.WorkerHooks(ctx)
	if err != nil {
		return hooks, err
	}
	if env := os.Getenv(profileEnv); env != "" {
		profile.EarlySettings()
		var labels profile.Labels
		if err := json.Unmarshal([]byte(env), &labels); err != nil {
			return hooks, fmt.Errorf("%s: %w", profileEnv, err)
		}
		hooks.Observer = labels.Observer()
	}
	if env := os.Getenv(executionEnv); env != "" {
		var order executionOrder
		if err := json.Unmarshal([]byte(env), &order); err != nil {
			return hooks, fmt.Errorf("%s: %w", executionEnv, err)
		}
		if err := order.observeWorker(&hooks); err != nil {
			return hooks, err
		}
	}
	if env := os.Getenv(observerEnv); env != "" {
		if err := observeWorker(&hooks, env); err != nil {
			return hooks, fmt.Errorf("%s: %w", observerEnv, err)
		}
	}
	var stop func() (profile.Set, error)
	if os.Getenv(profileNowEnv) != "" {
		if stop, err = profile.Start(); err != nil {
			return hooks, err
		}
	}
	exit := hooks.Exit
	hooks.Exit = func(send func(topic string, payload []byte) error) error {
		err := sendUsage(send)
		if stop != nil {
			err = errors.Join(err, sendProfiles(send, stop))
		}
		if exit != nil {
			err = errors.Join(err, exit(send))
		}
		return err
	}
	hooks.Control = func(request string, _ []byte) (_ []byte, err error) {
		switch {
		case request == requestUsage:
			u, err := profile.ReadUsage()
			if err != nil {
				return nil, err
			}
			return json.Marshal(u)
		case request == requestAll:
			u, err := profile.ReadAll()
			if err != nil {
				return nil, err
			}
			return json.Marshal(u)
		case request == requestRuntime:
			points, err := trace.Runtime()
			if err != nil {
				return nil, err
			}
			return json.Marshal(points)
		case request == requestProfileStart:
			stop, err = profile.Start()
			return nil, err
		case request == requestProfileStop && stop != nil:
			set, err := stop()
			stop = nil
			if err != nil {
				return nil, err
			}
			return json.Marshal(set)
		}
		return nil, fmt.Errorf("unknown request %q", request)
	}
	return hooks, nil
}

// observeWorker has a worker process write an execution trace and a CPU profile,
// from its start to its end, and mark its tasks in both.
func (o executionOrder) observeWorker(hooks *harness.WorkerHooks) error {
	stop, err := o.start()
	if err != nil {
		return err
	}
	if hooks.Observer != nil {
		hooks.Observer = o.observer(hooks.Observer, 1)
	}
	exit := hooks.Exit
	hooks.Exit = func(send func(topic string, payload []byte) error) error {
		err := stop()
		if exit != nil {
			err = errors.Join(err, exit(send))
		}
		return err
	}
	return nil
}

// start starts the execution trace and the CPU profile of this process.
func (o executionOrder) start() (stop func() error, err error) {
	stopTrace, err := profile.Execution(filepath.Join(o.Dir, executionFile(os.Getpid())))
	if err != nil {
		return nil, err
	}
	stopCPU, err := profile.CPU(filepath.Join(o.Dir, cpuFile(os.Getpid())))
	if err != nil {
		return nil, errors.Join(err, stopTrace())
	}
	return func() error { return errors.Join(stopCPU(), stopTrace()) }, nil
}

// observer marks the tasks of obs in the execution trace and the CPU profile.
func (o executionOrder) observer(obs *harness.Observer, workers int) *harness.Observer {
	return profile.MarkTasks(*o.Labels.LabelTasks(*obs, trace.IDs), workers)
}

// executionFile names the execution trace of a process, and cpuFile its CPU
// profile. A worker that is lost has a successor, so its index does not tell
// which.
func executionFile(pid int) string { return fmt.Sprintf("%d.trace", pid) }
func cpuFile(pid int) string       { return fmt.Sprintf("%d.cpu.pb.gz", pid) }

// evidence is what a trial does beside running its program. The functions are
// called in this order, but aside, which is called for whatever comes between.
type evidence struct {
	configure func(cfg *harness.Config)
	context   func(ctx context.Context) context.Context
	begin     func(ctx context.Context, ex harness.Executor) error              // before the measured part
	end       func(ctx context.Context, ex harness.Executor) error              // after it, if the program did not fail
	aside     func(f func() error) error                                        // what is not the program
	repeat    func(ctx context.Context, again func() error) error               // when the output was checked
	collect   func(ctx context.Context, ex harness.Executor) error              // before the executor is closed
	finish    func(ctx context.Context, reply *trialReply, failure error) error // after
}

// unobserved is the evidence of a timed trial: none.
func unobserved() evidence {
	return evidence{
		configure: func(*harness.Config) {},
		context:   func(ctx context.Context) context.Context { return ctx },
		begin:     func(context.Context, harness.Executor) error { return nil },
		end:       func(context.Context, harness.Executor) error { return nil },
		aside:     func(f func() error) error { return f() },
		repeat:    func(context.Context, func() error) error { return nil },
		collect:   func(context.Context, harness.Executor) error { return nil },
		finish:    func(context.Context, *trialReply, error) error { return nil },
	}
}

func (t trial) evidence(ctx context.Context) (evidence, error) {
	switch t.order.Kind {
	case results.Traced:
		return t.traced(ctx)
	case results.Profiled:
		return t.profiled(), nil
	case results.Cost:
		return t.observed(ctx)
	}
	return unobserved(), nil
}

// traced records every task and writes the spans when the trial is over.
func (t trial) traced(ctx context.Context) (evidence, error) {
	cell := t.order.Cell
	w, err := trace.NewWriter(t.order.Evidence.SpansFile)
	if err != nil {
		return evidence{}, err
	}
	rec, err := t.recorder(ctx, w)
	if err != nil {
		return evidence{}, errors.Join(err, w.Close())
	}
	execution := executionOrder{Dir: t.order.Evidence.Execution, Labels: profile.Labels{Workload: cell.Workload, Backend: cell.Backend}}
	if err := os.MkdirAll(execution.Dir, 0o777); err != nil {
		return evidence{}, fmt.Errorf("making the folder for execution traces: %w", err)
	}
	env, err := json.Marshal(execution)
	if err != nil {
		return evidence{}, err
	}
	stop := func() error { return nil }
	var before, after []results.Process
	var points map[int][]results.Point // by process id

	ev := unobserved()
	ev.configure = func(cfg *harness.Config) {
		cfg.Observer, cfg.Processes = execution.observer(rec.Observer(), cell.Workers), rec.Processes()
		spawning := cfg.Processes.Spawning
		cfg.Processes.Spawning = func(worker int) []string {
			return append(spawning(worker), executionEnv+"="+string(env))
		}
	}
	ev.context = func(ctx context.Context) context.Context {
		ctx = rec.Context(ctx)
		own := execution.Labels
		own.TraceID, own.SpanID = trace.IDs(ctx)
		own.Set()
		return ctx
	}
	ev.begin = func(ctx context.Context, ex harness.Executor) (err error) {
		if before, err = processes(ctx, ex); err != nil {
			return err
		}
		if stop, err = execution.start(); err != nil {
			return err
		}
		rec.Begin()
		return nil
	}
	ev.end = func(ctx context.Context, ex harness.Executor) error {
		err := stop()
		var err2, err3 error
		after, err2 = processes(ctx, ex)
		points, err3 = runtimes(ctx, ex)
		return errors.Join(err, err2, err3)
	}
	ev.collect = func(ctx context.Context, ex harness.Executor) error {
		if after != nil {
			return nil
		}
		return ev.end(ctx, ex) // the program failed
	}
	ev.finish = func(ctx context.Context, reply *trialReply, failure error) (err error) {
		m := &reply.Measured
		defer func() { err = errors.Join(err, w.Close()) }()
		counts, err := rec.Export(ctx, m.WallNS, m.CPUNS(), failure)
		total := counts.Total()
		m.TraceID, m.SpansExpected, m.SpansExported = rec.TraceID(), total.Expected, total.Exported
		used := t.ends.complete(before, after, rec.Began(), rec.Exits())
		runtime := make(map[string][]results.Point)
		for i := range used {
			n := counts[used[i].Name]
			used[i].SpansExpected, used[i].SpansExported = n.Expected, n.Exported
			if p := points[used[i].PID]; p != nil {
				runtime[used[i].Name] = p
			}
		}
		reply.Lanes = &results.Lanes{
			Cell: cell.ID, TraceID: rec.TraceID(), WallNS: m.WallNS, Workers: cell.Workers,
			Tasks: rec.Tasks(maxLaneTasks), BeganNS: int64(rec.Began()), Processes: used, Runtime: runtime,
		}
		if n := rec.Submitted(); n > maxLaneTasks {
			reply.Lanes.Submitted = n
		}
		return errors.Join(err, counts.Err())
	}
	return ev, nil
}

// maxLaneTasks is of how many tasks of a trial the lanes, and so the ledger, tell.
// Spans are made of all; these are held in memory, by several processes, and
// read by people.
const maxLaneTasks = results.MaxTasks

// processes reads what each process of a trial has used so far.
func processes(ctx context.Context, ex harness.Executor) ([]results.Process, error) {
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
func runtimes(ctx context.Context, ex harness.Executor) (map[int][]results.Point, error) {
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
